// where, cast, stop_gradient.
#include <algorithm>
#include <cmath>

#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/sum_to.h"

namespace modellib {
namespace {

absl::Status infer_where(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_dtype(c, 0, DType::kBool));
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 1, 2));
  if (c.input(1).dtype != DType::kBool) MODELLIB_RETURN_IF_ERROR(require_number(c, 1));
  MODELLIB_ASSIGN_OR_RETURN(Shape branches,
                            broadcast_shapes(c, c.input(1).shape, c.input(2).shape));
  MODELLIB_ASSIGN_OR_RETURN(Shape shape, broadcast_shapes(c, c.input(0).shape, branches));
  c.outputs.push_back({c.input(1).dtype, std::move(shape)});
  return absl::OkStatus();
}

absl::Status reference_where(ReferenceContext& c) {
  int64_t i = 0;
  for_each_index(c.out(0).shape(), [&](absl::Span<const int64_t> index) {
    const bool first = c.in(0).int_at(broadcast_offset(index, c.in(0).shape())) != 0;
    const Tensor& source = c.in(first ? 1 : 2);
    copy_element(source, broadcast_offset(index, source.shape()), c.out(0), i++);
  });
  return absl::OkStatus();
}

std::vector<Value> gradient_where(OpCall& c, absl::Span<const Value> g) {
  return {Value(), sum_to(where(c.in(0), g[0], 0.0), c.in(1).shape()),
          sum_to(where(c.in(0), 0.0, g[0]), c.in(2).shape())};
}

std::vector<OpSample> samples_where() {
  const auto sample = [](const char* name, Shape condition, TensorType a, TensorType b) {
    OpSample s;
    s.name = name;
    s.inputs = {boolean(std::move(condition)), std::move(a), std::move(b)};
    s.domains = {{0, 0, 1}};
    return s;
  };
  std::vector<OpSample> samples = {
      sample("f32", {3, 37}, f32({3, 37}), f32({3, 37})),
      sample("broadcast", {4, 1}, f32({3, 1, 5}), f32({})),
      sample("condition_row", {5}, f32({4, 5}), f32({4, 5})),
      sample("i64", {2, 3}, i64({2, 3}), i64({3})),
      sample("symbolic", {Dim::symbol("batch"), 1}, f32({Dim::symbol("batch"), 5}), f32({5}))};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

absl::Status infer_cast(InferenceContext& c) {
  const DType to = c.attributes.as<CastAttributes>().dtype;
  for (DType dtype : {to, c.input(0).dtype}) {
    if (bits_of(dtype) == 0) {
      return absl::InvalidArgumentError("cannot cast between strings and numbers");
    }
  }
  c.outputs.push_back({to, c.input(0).shape});
  return absl::OkStatus();
}

absl::Status reference_cast(ReferenceContext& c) {
  const Tensor& x = c.in(0);
  const DType to = c.out(0).dtype();
  const bool real = is_floating(x.dtype());
  // Tensor::set saturates to 64 bits; a narrower integer has its own limits.
  const bool narrow = is_integer(to) && bits_of(to) < 64;
  const int value_bits = bits_of(to) - (is_signed_integer(to) ? 1 : 0);
  const double high = std::ldexp(1.0, value_bits) - 1;
  const double low = is_signed_integer(to) ? -high - 1 : 0;
  for (int64_t i = 0; i < x.elements(); ++i) {
    if (real) {
      const double v = x.at(i);
      c.out(0).set(i, !narrow || std::isnan(v) ? v : std::clamp(v, low, high));
    } else if (x.dtype() == DType::kU64 && is_floating(to)) {
      const auto v = static_cast<uint64_t>(x.int_at(i));
      c.out(0).set(i, to == DType::kF64 ? static_cast<double>(v) : static_cast<float>(v));
    } else {
      c.out(0).set_int(i, x.int_at(i));
    }
  }
  return absl::OkStatus();
}

std::vector<Value> gradient_cast(OpCall& c, absl::Span<const Value> g) {
  if (!is_floating(c.in(0).dtype()) || !is_floating(c.out(0).dtype())) return {Value()};
  return {cast(g[0], gradient_type(c.in(0).dtype()))};
}

std::vector<OpSample> samples_cast() {
  const auto sample = [](const char* name, TensorType from, DType to) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(from)};
    s.attributes = Attributes::of(CastAttributes{to});
    s.low = -9, s.high = 9;
    return s;
  };
  std::vector<OpSample> samples = {sample("f32_to_f64", f32({3, 5}), DType::kF64),
                                   sample("f64_to_f32", f64({3, 5}), DType::kF32),
                                   sample("f32_to_f16", f32({3, 37}), DType::kF16),
                                   sample("f16_to_f32", f16({3, 37}), DType::kF32),
                                   sample("f32_to_bf16", f32({3, 37}), DType::kBF16),
                                   sample("bf16_to_f32", bf16({3, 37}), DType::kF32),
                                   sample("f32_to_i32", f32({3, 5}), DType::kI32),
                                   sample("i32_to_f32", i32({3, 5}), DType::kF32),
                                   sample("i64_to_i32", i64({3, 5}), DType::kI32),
                                   sample("i32_to_i64", i32({3, 5}), DType::kI64),
                                   sample("f32_to_u8", f32({3, 5}), DType::kU8),
                                   sample("f32_to_bool", f32({3, 5}), DType::kBool),
                                   sample("i64_to_bool", i64({3, 5}), DType::kBool),
                                   sample("bool_to_f32", boolean({3, 5}), DType::kF32),
                                   sample("bool_to_i64", boolean({3, 5}), DType::kI64)};
  for (OpSample& s : samples) {
    if (s.inputs[0].dtype == DType::kBool) s.low = 0, s.high = 1;
  }
  return samples;
}

absl::Status infer_identity(InferenceContext& c) {
  c.outputs.push_back(c.input(0));
  return absl::OkStatus();
}
absl::Status reference_identity(ReferenceContext& c) {
  c.out(0) = c.in(0);
  return absl::OkStatus();
}
std::vector<OpSample> samples_identity() { return {{.name = "f32", .inputs = {f32({2, 3})}}}; }

}  // namespace

std::vector<OpDef> pointwise_other_ops() {
  OpDef where;
  where.name = "where";
  where.min_inputs = where.max_inputs = 3;
  where.infer = infer_where;
  where.reference = reference_where;
  where.differentiable = OpDef::Gradient::kRule;
  where.gradient = gradient_where;
  where.samples = samples_where;
  where.pointwise = true;

  OpDef cast;
  cast.name = "cast";
  cast.attributes = AttributesSchema::of<CastAttributes>();
  cast.infer = infer_cast;
  cast.reference = reference_cast;
  cast.differentiable = OpDef::Gradient::kRule;
  cast.gradient = gradient_cast;
  cast.samples = samples_cast;
  cast.pointwise = true;

  OpDef stop;
  stop.name = "stop_gradient";
  stop.infer = infer_identity;
  stop.reference = reference_identity;
  stop.differentiable = OpDef::Gradient::kNone;
  stop.samples = samples_identity;
  stop.pointwise = true;
  stop.view = true;
  return {where, cast, stop};
}

Value where(Value condition, Value a, Value b) { return emit_op_one("where", {condition, a, b}); }

Value cast(Value x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return emit_op_one("cast", {x}, Attributes::of(CastAttributes{dtype}));
}

Value stop_gradient(Value x) { return emit_op_one("stop_gradient", {x}); }

}  // namespace modellib
