#include "modellib/ops/batch_norm.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

double eps_of(const OpCall& c) { return c.attributes.as<BatchNormAttributes>().eps; }

absl::Status check_operand(const InferenceContext& c, int x) {
  MODELLIB_RETURN_IF_ERROR(require_real(c, x));
  if (c.input(x).rank() < 2) {
    return absl::InvalidArgumentError("the operand must be [batch, channels, …]");
  }
  return require_between("eps", c.attributes.as<BatchNormAttributes>().eps, 0.0,
                         std::numeric_limits<double>::max());
}
TensorType statistics_type(const TensorType& x) {
  return {accumulation_type(x.dtype), {x.shape[1]}};
}
absl::Status require_statistics(InferenceContext& c, int operand, const TensorType& x) {
  MODELLIB_RETURN_IF_ERROR(require_dtype(c, operand, accumulation_type(x.dtype)));
  return require_vector(c, operand, x.shape[1], "the statistics");
}

// Sums over all axes but that of the channels: [channels].
Value channel_sum(Value x) { return reduce_sum(x, {.axes = axes_but(x.rank(), 1)}); }

// How many values a channel of x has, if that is known.
std::optional<int64_t> values_per_channel(const Value& x) {
  Dim count = 1;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (axis != 1) count = count * x.dim(axis);
  }
  return count.is_static() ? std::optional(count.value()) : std::nullopt;
}

// The weight and bias of operands `weight` and `bias`, where present.
Value scaled_and_shifted(const OpCall& c, Value y, int weight, int bias) {
  if (c.has(weight)) y = y * per_channel(as_dtype(c.in(weight), y.dtype()), y.rank());
  if (c.has(bias)) y = y + per_channel(as_dtype(c.in(bias), y.dtype()), y.rank());
  return y;
}

// batch_norm_training(x, weight?, bias?) -> y, mean, var

absl::Status infer_training(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(check_operand(c, 0));
  const TensorType& x = c.input(0);
  MODELLIB_RETURN_IF_ERROR(require_vector(c, 1, x.shape[1], "weight"));
  MODELLIB_RETURN_IF_ERROR(require_vector(c, 2, x.shape[1], "bias"));
  c.outputs = {x, statistics_type(x), statistics_type(x)};
  return absl::OkStatus();
}

std::vector<Value> decompose_training(OpCall& c) {
  const Value x = widened(c.in(0));
  const std::vector<int64_t> axes = axes_but(x.rank(), 1);
  const Value mean = mean_over(x, axes);
  const Value centred = x - mean;
  const Value var = mean_over(square(centred), axes);
  const Value y = scaled_and_shifted(c, centred * rsqrt(var + eps_of(c)), 1, 2);
  const Shape channels = {x.shape()[1]};
  return {as_dtype(y, c.in(0).dtype()), reshape(mean, channels), reshape(var, channels)};
}

std::vector<Value> training_gradient(OpCall& c, absl::Span<const Value> gradients) {
  const Value mean = c.out(1), var = c.out(2);
  Value dx, dweight, dbias;
  if (!gradients[0].is_null()) {
    const Value weight = c.has(1) ? c.in(1) : Value();
    const std::vector<Value> all = emit_outputs(
        "batch_norm_grad", 3, {gradients[0], c.in(0), mean, var, weight}, c.attributes);
    dx = all[0];
    if (c.has(1)) dweight = as_dtype(all[1], c.in(1).dtype());
    if (c.has(2)) dbias = as_dtype(all[2], c.in(2).dtype());
  }
  // Through the statistics themselves: for second derivatives, and losses on them.
  const Value x = widened(c.in(0));
  const Value count = count_along(x, axes_but(x.rank(), 1));
  if (!gradients[1].is_null()) {
    const Value even = per_channel(gradients[1] / count, x.rank());
    dx = add_gradients(dx, as_dtype(broadcast_to(even, x.shape()), c.in(0).dtype()));
  }
  if (!gradients[2].is_null()) {
    const Value each = per_channel(gradients[2] * 2.0 / count, x.rank());
    dx = add_gradients(dx, as_dtype(each * (x - per_channel(mean, x.rank())), c.in(0).dtype()));
  }
  return {dx, dweight, dbias};
}

OpSample sample(const char* name, std::vector<TensorType> inputs, double tolerance = 1e-5) {
  OpSample s;
  s.name = name;
  s.inputs = std::move(inputs);
  s.attributes = Attributes::of(BatchNormAttributes{});
  s.tolerance = tolerance;
  return s;
}

std::vector<OpSample> training_samples() {
  std::vector<OpSample> samples = {
      sample("affine", {f32({3, 2, 3, 4}), f32({2}), f32({2})}),
      sample("plain", {f32({4, 3, 5})}),
      sample("rows", {f32({6, 5}), f32({5}), f32({5})}),
      sample("bias_only", {f32({6, 3}), TensorType(), f32({3})}),
      sample("f16", {f16({4, 2, 6}), f32({2}), f32({2})}, 4e-3),
      sample("symbolic", {f32({Dim::symbol("batch"), 2, 3}), f32({2}), f32({2})})};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

// batch_norm_grad(dy, x, mean, var, weight?) -> dx, dweight, dbias

absl::Status infer_grad(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(check_operand(c, 1));
  const TensorType& x = c.input(1);
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 1));
  MODELLIB_RETURN_IF_ERROR(require_shape(c, 0, x.shape, "dy"));
  MODELLIB_RETURN_IF_ERROR(require_statistics(c, 2, x));
  MODELLIB_RETURN_IF_ERROR(require_statistics(c, 3, x));
  MODELLIB_RETURN_IF_ERROR(require_vector(c, 4, x.shape[1], "weight"));
  c.outputs = {x, statistics_type(x), statistics_type(x)};
  return absl::OkStatus();
}

// dx = weight rstd (dy - mean(dy) - normalised · mean(dy · normalised)); both means follow from the
// sums that are the gradients of bias and weight.
std::vector<Value> decompose_grad(OpCall& c) {
  const Value dy = widened(c.in(0)), x = widened(c.in(1));
  const int rank = x.rank();
  const Value rstd = rsqrt(c.in(3) + eps_of(c));
  const Value normalised = (x - per_channel(c.in(2), rank)) * per_channel(rstd, rank);
  const Value dweight = channel_sum(dy * normalised), dbias = channel_sum(dy);
  const Value count = count_along(x, axes_but(rank, 1));
  const Value scale = c.has(4) ? rstd * as_dtype(c.in(4), x.dtype()) : rstd;
  const Value dx = per_channel(scale, rank) * (dy - per_channel(dbias / count, rank) -
                                               normalised * per_channel(dweight / count, rank));
  return {as_dtype(dx, c.in(1).dtype()), dweight, dbias};
}

std::vector<OpSample> grad_samples() {
  std::vector<OpSample> samples = {
      sample("affine", {f32({3, 2, 3, 4}), f32({3, 2, 3, 4}), f32({2}), f32({2}), f32({2})}),
      sample("plain", {f32({6, 5}), f32({6, 5}), f32({5}), f32({5})}),
      sample("f16", {f16({4, 2, 6}), f16({4, 2, 6}), f32({2}), f32({2}), f32({2})}, 4e-3),
      sample("symbolic", {f32({Dim::symbol("batch"), 2, 3}), f32({Dim::symbol("batch"), 2, 3}),
                          f32({2}), f32({2})})};
  for (OpSample& s : samples) s.domains = {{3, 0.5, 2.0}};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

// batch_norm_inference(x, mean, var, weight?, bias?) -> y

absl::Status infer_inference(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(check_operand(c, 0));
  const Dim& channels = c.input(0).shape[1];
  MODELLIB_RETURN_IF_ERROR(require_vector(c, 1, channels, "mean"));
  MODELLIB_RETURN_IF_ERROR(require_vector(c, 2, channels, "var"));
  MODELLIB_RETURN_IF_ERROR(require_vector(c, 3, channels, "weight"));
  MODELLIB_RETURN_IF_ERROR(require_vector(c, 4, channels, "bias"));
  return infer_same_real(c);
}

// All that depends on the channel alone is gathered in one factor and one term, so that it folds
// into a convolution before it: y = x · (rstd weight) + (bias - mean rstd weight).
std::vector<Value> decompose_inference(OpCall& c) {
  const Value x = widened(c.in(0));
  const Value mean = as_dtype(c.in(1), x.dtype()), var = as_dtype(c.in(2), x.dtype());
  Value factor = rsqrt(var + eps_of(c));
  if (c.has(3)) factor = factor * as_dtype(c.in(3), x.dtype());
  Value term = neg(mean * factor);
  if (c.has(4)) term = term + as_dtype(c.in(4), x.dtype());
  return {
      as_dtype(x * per_channel(factor, x.rank()) + per_channel(term, x.rank()), c.in(0).dtype())};
}

std::vector<OpSample> inference_samples() {
  std::vector<OpSample> samples = {
      sample("affine", {f32({2, 3, 4, 5}), f32({3}), f32({3}), f32({3}), f32({3})}),
      sample("plain", {f32({4, 5}), f32({5}), f32({5})}),
      sample("f16", {f16({4, 2, 6}), f32({2}), f32({2}), f32({2}), f32({2})}, 4e-3),
      sample("symbolic",
             {f32({Dim::symbol("batch"), 2, 3}), f32({2}), f32({2}), f32({2}), f32({2})})};
  for (OpSample& s : samples) s.domains = {{2, 0.5, 2.0}};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

}  // namespace

std::vector<OpDef> batch_norm_ops() {
  OpDef training =
      composite("batch_norm_training", 1, 3, infer_training, decompose_training, training_samples);
  training.differentiable = OpDef::Gradient::kRule;
  training.gradient = training_gradient;
  std::vector<OpDef> ops = {
      training, composite("batch_norm_grad", 4, 5, infer_grad, decompose_grad, grad_samples),
      composite("batch_norm_inference", 3, 5, infer_inference, decompose_inference,
                inference_samples)};
  for (OpDef& op : ops) op.attributes = AttributesSchema::of<BatchNormAttributes>();
  return ops;
}

BatchNormOutputs batch_norm_training(Value x, Value weight, Value bias,
                                     BatchNormAttributes attributes) {
  const std::vector<Value> outputs =
      emit_outputs("batch_norm_training", 3, {x, weight, bias}, Attributes::of(attributes));
  return {outputs[0], outputs[1], outputs[2]};
}

Value batch_norm_inference(Value x, Value mean, Value var, Value weight, Value bias,
                           BatchNormAttributes attributes) {
  return emit_op_one("batch_norm_inference", {x, mean, var, weight, bias},
                     Attributes::of(attributes));
}

RunningStatistics update_running_statistics(RunningStatistics running,
                                            const BatchNormOutputs& batch, Value x,
                                            double momentum) {
  if (!usable("update_running_statistics", {running.mean, running.var, batch.mean, batch.var, x})) {
    const Value bad = poisoned({running.mean, running.var, batch.mean, batch.var, x});
    return {bad, bad};
  }
  const Value count = count_along(widened(x), axes_but(x.rank(), 1));
  const std::optional<int64_t> known = values_per_channel(x);
  if (known.has_value() && *known < 2) {
    const Value bad = x.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("running statistics need more than one value per channel, the operand is ",
                     to_string(x.type()))));
    return {bad, bad};
  }
  const Value unbiased = batch.var * (count / (count - 1.0));
  // A batch whose extents are free may turn out to have fewer than `least` values.
  const auto moved = [&](Value old, Value fresh, double least) {
    const Value wide = widened(old);
    fresh = as_dtype(stop_gradient(fresh), wide.dtype());
    Value next = wide + (fresh - wide) * momentum;
    if (!known.has_value()) next = where(greater_equal(count, least), next, wide);
    return as_dtype(next, old.dtype());
  };
  return {moved(running.mean, batch.mean, 1), moved(running.var, unbiased, 2)};
}

}  // namespace modellib
