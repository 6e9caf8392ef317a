#include "modellib/ops/random.h"

#include "absl/strings/str_cat.h"
#include "modellib/graph/philox.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"

namespace modellib {
namespace {

absl::Status infer_random(InferenceContext& c, DType dtype) {
  const auto& a = c.attributes.as<RandomAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_key(c, 0));
  if (a.stream < 0) {
    return absl::InvalidArgumentError(absl::StrCat("stream must not be negative, is ", a.stream));
  }
  c.outputs.push_back({dtype, a.shape});
  return absl::OkStatus();
}

absl::Status infer_uniform(InferenceContext& c) {
  const DType dtype = c.attributes.as<RandomAttributes>().dtype;
  if (dtype != DType::kF32 && dtype != DType::kF64) {
    return absl::InvalidArgumentError(
        absl::StrCat("dtype must be f32 or f64, is ", to_string(dtype), "; cast the result"));
  }
  return infer_random(c, dtype);
}

absl::Status infer_bits(InferenceContext& c) { return infer_random(c, DType::kU32); }

template <bool uniform>
absl::Status reference_random(ReferenceContext& c) {
  const auto key = static_cast<uint64_t>(c.in(0).int_at(0));
  const auto stream = static_cast<uint64_t>(c.attributes.as<RandomAttributes>().stream);
  for (int64_t i = 0; i < c.out(0).elements(); ++i) {
    const uint32_t bits = philox_bits(key, stream, static_cast<uint64_t>(i));
    if (uniform) {
      c.out(0).set(i, philox_uniform(bits));
    } else {
      c.out(0).set_int(i, bits);
    }
  }
  return absl::OkStatus();
}

template <bool uniform>
std::vector<OpSample> samples_random() {
  const auto sample = [](const char* name, RandomAttributes a) {
    if (!uniform) a.dtype = DType::kU32;
    OpSample s;
    s.name = name;
    s.inputs = {random_key_type()};
    s.attributes = Attributes::of(std::move(a));
    s.low = 0, s.high = 1 << 20;
    s.tolerance = 0;
    return s;
  };
  std::vector<OpSample> samples = {sample("matrix", {{5, 7}, 3}),
                                   sample("long_stream", {{9}, int64_t{1} << 62}),
                                   sample("scalar", {{}, 0})};
  if (uniform) samples.push_back(sample("f64", {{2, 3}, 3, DType::kF64}));
  return samples;
}

absl::Status infer_fold_in(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_key(c, 0));
  MODELLIB_RETURN_IF_ERROR(require_dtype(c, 1, DType::kI64));
  MODELLIB_RETURN_IF_ERROR(require_rank(c, 1, 0));
  c.outputs.push_back(random_key_type());
  return absl::OkStatus();
}

absl::Status reference_fold_in(ReferenceContext& c) {
  const auto words = philox_block(static_cast<uint64_t>(c.in(0).int_at(0)), kFoldInStream,
                                  static_cast<uint64_t>(c.in(1).int_at(0)));
  c.out(0).set_int(0, static_cast<int64_t>(words[0] | uint64_t{words[1]} << 32));
  return absl::OkStatus();
}

std::vector<OpSample> samples_fold_in() {
  return {{.name = "step", .inputs = {random_key_type(), i64({})}, .low = 0, .high = 1 << 20}};
}

template <bool uniform>
OpDef definition(const char* name) {
  OpDef op;
  op.name = name;
  op.attributes = AttributesSchema::of<RandomAttributes>();
  op.infer = uniform ? infer_uniform : infer_bits;
  op.reference = reference_random<uniform>;
  op.differentiable = OpDef::Gradient::kNone;
  op.samples = samples_random<uniform>;
  return op;
}

Value emit_random(const char* op, Value key, RandomAttributes a) {
  if (key.is_null() || key.is_poisoned()) return key;
  if (a.stream < 0) a.stream = key.builder()->next_random_stream();
  return emit_op_one(op, {key}, Attributes::of(std::move(a)));
}

}  // namespace

std::vector<OpDef> random_ops() {
  OpDef fold;
  fold.name = "fold_in";
  fold.min_inputs = fold.max_inputs = 2;
  fold.infer = infer_fold_in;
  fold.reference = reference_fold_in;
  fold.differentiable = OpDef::Gradient::kNone;
  fold.samples = samples_fold_in;
  return {definition<true>("random_uniform"), definition<false>("random_bits"), fold};
}

Value random_uniform(Value key, RandomAttributes a) {
  return emit_random("random_uniform", key, std::move(a));
}

Value random_bits(Value key, RandomAttributes a) {
  a.dtype = DType::kU32;
  return emit_random("random_bits", key, std::move(a));
}

Value random_normal(Value key, RandomAttributes a) {
  constexpr double kTwoPi = 6.28318530717958647693;
  RandomAttributes second = a;
  // A stream given by the caller has a partner of its own in the upper half of the streams.
  if (a.stream >= 0) second.stream = a.stream ^ (int64_t{1} << 62);
  const Value radius = sqrt(log(1.0 - random_uniform(key, std::move(a))) * -2.0);
  return radius * cos(random_uniform(key, std::move(second)) * kTwoPi);
}

Value fold_in(Value key, Value data) { return emit_op_one("fold_in", {key, data}); }

Value fold_in(Value key, int64_t data) {
  if (key.is_null() || key.is_poisoned()) return key;
  return fold_in(key, key.builder()->constant(Tensor::scalar(data)));
}

TensorType random_key_type() { return i64({}); }

absl::Status require_key(const InferenceContext& c, int operand) {
  MODELLIB_RETURN_IF_ERROR(require_dtype(c, operand, DType::kI64));
  return require_rank(c, operand, 0);
}

}  // namespace modellib
