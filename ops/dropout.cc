#include "modellib/ops/dropout.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/random.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

// dropout(x, key) -> y

absl::Status infer(InferenceContext& c) {
  const auto& a = c.attributes.as<DropoutAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_between("p", a.p, 0.0, 1.0));
  MODELLIB_RETURN_IF_ERROR(require_key(c, 1));
  return infer_same_real(c);
}

// Uniform numbers are drawn in f32 whatever the element type: the same mask at any precision.
Value kept(Value key, Shape shape, double p, int64_t stream) {
  return greater_equal(random_uniform(key, {.shape = std::move(shape), .stream = stream}), p);
}

std::vector<Value> decompose(OpCall& c) {
  const auto& a = c.attributes.as<DropoutAttributes>();
  const Value x = c.in(0);
  if (a.p == 0.0) return {x};
  if (a.p == 1.0) return {zeros_like(x)};
  const Value wide = widened(x);
  const Value scaled = wide / (1.0 - a.p);
  return {as_dtype(where(kept(c.in(1), x.shape(), a.p, a.stream), scaled, 0.0), x.dtype())};
}

// The same elements of the gradient are dropped, and the same scale applies.
std::vector<Value> gradient(OpCall& c, absl::Span<const Value> gradients) {
  return {emit_op_one("dropout", {gradients[0], c.in(1)}, c.attributes), Value()};
}

std::vector<OpSample> samples() {
  const auto sample = [](const char* name, TensorType type, double p, double tolerance = 1e-5) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(type), random_key_type()};
    s.attributes = Attributes::of(DropoutAttributes{p, 3});
    s.domains = {{1, 0, 1000}};
    s.tolerance = tolerance;
    return s;
  };
  std::vector<OpSample> samples = {sample("half", f32({3, 37}), 0.5),
                                   sample("tenth", f32({70}), 0.1),
                                   sample("none", f32({5}), 0.0),
                                   sample("all", f32({5}), 1.0),
                                   sample("f16", f16({2, 9}), 0.5, 2e-3),
                                   sample("symbolic", f32({Dim::symbol("batch"), 5}), 0.5)};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

// x times dropout of ones of `shape`, which broadcasts against x.
Value drop_blocks(Value x, Value key, double p, Shape shape) {
  return x * dropout(full(x, std::move(shape), 1.0), key, {.p = p});
}

Value bad_probability(Value x, absl::string_view function, double p) {
  return x.builder()->poison(
      absl::InvalidArgumentError(absl::StrCat(function, ": p must lie in [0, 1], is ", p)));
}

}  // namespace

std::vector<OpDef> dropout_ops() {
  OpDef op = composite("dropout", 2, 2, infer, decompose, samples);
  op.attributes = AttributesSchema::of<DropoutAttributes>();
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  return {op};
}

Value dropout(Value x, Value key, DropoutAttributes attributes) {
  if (!usable("dropout", {x, key})) return poisoned({x, key});
  if (attributes.stream < 0) attributes.stream = builder_of({x, key})->next_random_stream();
  return emit_op_one("dropout", {x, key}, Attributes::of(attributes));
}

Value dropout2d(Value x, Value key, double p) {
  if (!usable("dropout2d", {x, key})) return poisoned({x, key});
  Shape shape(x.shape().size(), Dim(1));
  for (int i : {0, 1}) {
    const Dim extent = x.dim(i);  // poisons where x has no such axis
    if (i < x.rank()) shape[static_cast<size_t>(i)] = extent;
  }
  return drop_blocks(x, key, p, std::move(shape));
}

Value drop_path(Value x, Value key, double p, bool scale_by_keep) {
  if (!usable("drop_path", {x, key})) return poisoned({x, key});
  if (!(p >= 0 && p <= 1)) return bad_probability(x, "drop_path", p);
  Shape shape(x.shape().size(), Dim(1));
  const Dim batch = x.dim(0);
  if (!shape.empty()) shape[0] = batch;
  const Value dropped = drop_blocks(x, key, p, std::move(shape));
  return scale_by_keep ? dropped : dropped * (1.0 - p);
}

Value drop_batch(Value x, Value key, double p) {
  if (!usable("drop_batch", {x, key})) return poisoned({x, key});
  return drop_blocks(x, key, p, Shape(x.shape().size(), Dim(1)));
}

Value alpha_dropout(Value x, Value key, double p) {
  if (!usable("alpha_dropout", {x, key})) return poisoned({x, key});
  if (!(p >= 0 && p <= 1)) return bad_probability(x, "alpha_dropout", p);
  if (p == 0) return x;
  if (p == 1) return zeros_like(x);
  // -scale · alpha of SELU, its limit for large negative operands.
  constexpr double kLimit = -1.7580993408473766;
  const double a = 1.0 / std::sqrt((1.0 - p) * (1.0 + p * kLimit * kLimit));
  const Value mask = kept(key, x.shape(), p, builder_of({x, key})->next_random_stream());
  const Value wide = widened(x);
  return as_dtype(where(mask, wide, kLimit) * a - a * p * kLimit, x.dtype());
}

}  // namespace modellib
