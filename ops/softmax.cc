#include "modellib/ops/softmax.h"

#include "modellib/graph/status_macros.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"

namespace modellib {
namespace {

absl::Status infer(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(
      normal_axis(c.attributes.as<SoftmaxAttributes>().axis, c.input(0).rank()).status());
  return infer_same_real(c);
}

std::vector<int64_t> axes_of(const OpCall& c) {
  return {c.attributes.as<SoftmaxAttributes>().axis};
}

// x less its largest element, in the type of the sums.
Value shifted(const OpCall& c) {
  const Value x = widened(c.in(0));
  return x - stop_gradient(max_over(x, axes_of(c)));
}

std::vector<Value> decompose_softmax(OpCall& c) {
  const Value e = exp(shifted(c));
  return {as_dtype(e / sum_over(e, axes_of(c)), c.in(0).dtype())};
}

std::vector<Value> decompose_log_softmax(OpCall& c) {
  const Value x = shifted(c);
  return {as_dtype(x - log(sum_over(exp(x), axes_of(c))), c.in(0).dtype())};
}

// Both gradients need the result alone: the operand may die early.
std::vector<Value> softmax_gradient(OpCall& c, absl::Span<const Value> gradients) {
  const Value y = widened(c.out(0)), g = widened(gradients[0]);
  return {as_dtype(y * (g - sum_over(y * g, axes_of(c))), c.in(0).dtype())};
}

std::vector<Value> log_softmax_gradient(OpCall& c, absl::Span<const Value> gradients) {
  const Value y = widened(c.out(0)), g = widened(gradients[0]);
  return {as_dtype(g - exp(y) * sum_over(g, axes_of(c)), c.in(0).dtype())};
}

std::vector<OpSample> samples() {
  const auto sample = [](const char* name, TensorType type, int64_t axis, double tolerance = 1e-5) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(type)};
    s.attributes = Attributes::of(SoftmaxAttributes{axis});
    s.low = -4, s.high = 4;
    s.tolerance = tolerance;
    return s;
  };
  std::vector<OpSample> samples = {sample("last", f32({3, 37}), -1),
                                   sample("first", f32({3, 4, 2}), 0),
                                   sample("middle", f32({2, 5, 3}), 1),
                                   sample("one", f32({3, 1}), -1),
                                   sample("f64", f64({2, 5}), -1, 1e-12),
                                   sample("f16", f16({2, 9}), -1, 2e-3),
                                   sample("symbolic", f32({Dim::symbol("batch"), 5}), -1)};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

OpDef definition(absl::string_view name, decltype(OpDef::decompose) decompose,
                 decltype(OpDef::gradient) gradient) {
  OpDef op = composite(name, 1, 1, infer, decompose, samples);
  op.attributes = AttributesSchema::of<SoftmaxAttributes>();
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  return op;
}

}  // namespace

std::vector<OpDef> softmax_ops() {
  return {definition("softmax", decompose_softmax, softmax_gradient),
          definition("log_softmax", decompose_log_softmax, log_softmax_gradient)};
}

Value softmax(Value x, SoftmaxAttributes attributes) {
  return emit_op_one("softmax", {x}, Attributes::of(attributes));
}
Value log_softmax(Value x, SoftmaxAttributes attributes) {
  return emit_op_one("log_softmax", {x}, Attributes::of(attributes));
}
Value softmin(Value x, SoftmaxAttributes attributes) { return softmax(neg(x), attributes); }

}  // namespace modellib
