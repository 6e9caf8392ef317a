#include "modellib/ops/normalization.h"

#include <limits>
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

// Rows of x: its last `normalized_rank` axes.
struct Rows {
  Rows(const Value& x, int64_t normalized_rank)
      : rank(x.rank()),
        inner(static_cast<int>(normalized_rank)),
        axes(trailing_axes(rank, inner)),
        outer_axes(leading_axes(rank - inner)),
        shape(x.shape().end() - inner, x.shape().end()) {}
  // Sums over all rows: [row's shape].
  Value sum_of_rows(Value x) const { return reshape(sum_over(x, outer_axes), shape); }

  int rank, inner;
  std::vector<int64_t> axes, outer_axes;
  Shape shape;
};

absl::Status check_rows(const TensorType& x, int64_t normalized_rank, double eps) {
  if (normalized_rank < 1 || normalized_rank > x.rank()) {
    return absl::InvalidArgumentError(absl::StrCat("normalized_rank must lie in [1, ", x.rank(),
                                                   "], the rank of the operand, is ",
                                                   normalized_rank));
  }
  return require_between("eps", eps, 0.0, std::numeric_limits<double>::max());
}
TensorType statistics_type(const TensorType& x, int64_t normalized_rank) {
  Shape shape = x.shape;
  for (auto i = shape.end() - normalized_rank; i != shape.end(); ++i) *i = Dim(1);
  return {accumulation_type(x.dtype), std::move(shape)};
}
Shape row_shape(const TensorType& x, int64_t normalized_rank) {
  return Shape(x.shape.end() - normalized_rank, x.shape.end());
}

// The gradient for x of y = normalised · weight. `normalised` is (x - mean) rstd, or x rstd.
Value row_gradient(const Rows& rows, Value g, Value normalised, Value rstd, bool centred) {
  const Value along = normalised * mean_over(g * normalised, rows.axes);
  return rstd * (centred ? g - mean_over(g, rows.axes) - along : g - along);
}
// The gradient for x of rstd itself; second derivatives need it. `centre` is x - mean, or x.
Value rstd_gradient(const Rows& rows, Value g, Value rstd, Value centre) {
  const Value count = count_along(centre, rows.axes);
  return g * (rstd * square(rstd)) * centre / neg(count);
}

// layer_norm(x, weight?, bias?) -> y, mean, rstd

absl::Status infer_layer_norm(InferenceContext& c) {
  const auto& a = c.attributes.as<LayerNormAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  MODELLIB_RETURN_IF_ERROR(check_rows(c.input(0), a.normalized_rank, a.eps));
  const Shape row = row_shape(c.input(0), a.normalized_rank);
  MODELLIB_RETURN_IF_ERROR(require_shape(c, 1, row, "weight"));
  MODELLIB_RETURN_IF_ERROR(require_shape(c, 2, row, "bias"));
  const TensorType statistics = statistics_type(c.input(0), a.normalized_rank);
  c.outputs = {c.input(0), statistics, statistics};
  return absl::OkStatus();
}

std::vector<Value> decompose_layer_norm(OpCall& c) {
  const auto& a = c.attributes.as<LayerNormAttributes>();
  const Value x = widened(c.in(0));
  const Rows rows(x, a.normalized_rank);
  const Value mean = mean_over(x, rows.axes);
  const Value centred = x - mean;
  const Value rstd = rsqrt(mean_over(square(centred), rows.axes) + a.eps);
  Value y = centred * rstd;
  if (c.has(1)) y = y * as_dtype(c.in(1), x.dtype());
  if (c.has(2)) y = y + as_dtype(c.in(2), x.dtype());
  return {as_dtype(y, c.in(0).dtype()), mean, rstd};
}

std::vector<Value> layer_norm_gradient(OpCall& c, absl::Span<const Value> gradients) {
  const auto& a = c.attributes.as<LayerNormAttributes>();
  const Value mean = c.out(1), rstd = c.out(2);
  Value dx, dweight, dbias;
  if (!gradients[0].is_null()) {
    const Value weight = c.has(1) ? c.in(1) : Value();
    const std::vector<Value> all = emit_outputs(
        "layer_norm_grad", 3, {gradients[0], c.in(0), mean, rstd, weight}, c.attributes);
    dx = all[0];
    if (c.has(1)) dweight = as_dtype(all[1], c.in(1).dtype());
    if (c.has(2)) dbias = as_dtype(all[2], c.in(2).dtype());
  }
  const Rows rows(c.in(0), a.normalized_rank);
  const Value x = widened(c.in(0));
  if (!gradients[1].is_null()) {
    const Value even = gradients[1] / count_along(x, rows.axes);
    dx = add_gradients(dx, as_dtype(broadcast_to(even, x.shape()), c.in(0).dtype()));
  }
  if (!gradients[2].is_null()) {
    dx = add_gradients(
        dx, as_dtype(rstd_gradient(rows, gradients[2], rstd, x - mean), c.in(0).dtype()));
  }
  return {dx, dweight, dbias};
}

std::vector<OpSample> layer_norm_samples() {
  const auto sample = [](const char* name, std::vector<TensorType> inputs, int64_t normalized_rank,
                         double tolerance = 1e-5) {
    OpSample s;
    s.name = name;
    s.inputs = std::move(inputs);
    s.attributes = Attributes::of(LayerNormAttributes{normalized_rank, 1e-5});
    s.tolerance = tolerance;
    return s;
  };
  const Dim batch = Dim::symbol("batch");
  std::vector<OpSample> samples = {
      sample("affine", {f32({3, 37}), f32({37}), f32({37})}, 1),
      sample("plain", {f32({2, 3, 8})}, 1),
      sample("weight_only", {f32({4, 6}), f32({6})}, 1),
      sample("bias_only", {f32({4, 6}), TensorType(), f32({6})}, 1),
      sample("two_axes", {f32({2, 3, 4}), f32({3, 4}), f32({3, 4})}, 2),
      sample("all_axes", {f32({3, 4})}, 2),
      sample("f64", {f64({2, 5}), f64({5}), f64({5})}, 1, 1e-12),
      sample("f16_weights_f32", {f16({2, 16}), f32({16}), f32({16})}, 1, 4e-3),
      sample("symbolic", {f32({batch, 5}), f32({5}), f32({5})}, 1)};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

// layer_norm_grad(dy, x, mean, rstd, weight?) -> dx, dweight, dbias

absl::Status infer_layer_norm_grad(InferenceContext& c) {
  const auto& a = c.attributes.as<LayerNormAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_real(c, 1));
  const TensorType& x = c.input(1);
  MODELLIB_RETURN_IF_ERROR(check_rows(x, a.normalized_rank, a.eps));
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 1));
  MODELLIB_RETURN_IF_ERROR(require_shape(c, 0, x.shape, "dy"));
  const TensorType statistics = statistics_type(x, a.normalized_rank);
  for (int i : {2, 3}) {
    MODELLIB_RETURN_IF_ERROR(require_dtype(c, i, statistics.dtype));
    MODELLIB_RETURN_IF_ERROR(require_shape(c, i, statistics.shape, "the statistics"));
  }
  const Shape row = row_shape(x, a.normalized_rank);
  MODELLIB_RETURN_IF_ERROR(require_shape(c, 4, row, "weight"));
  const TensorType sums{statistics.dtype, row};
  c.outputs = {x, sums, sums};
  return absl::OkStatus();
}

std::vector<Value> decompose_layer_norm_grad(OpCall& c) {
  const Value x = widened(c.in(1)), dy = widened(c.in(0));
  const Rows rows(x, c.attributes.as<LayerNormAttributes>().normalized_rank);
  const Value rstd = c.in(3);
  const Value normalised = (x - c.in(2)) * rstd;
  const Value g = c.has(4) ? dy * as_dtype(c.in(4), x.dtype()) : dy;
  const Value dx = row_gradient(rows, g, normalised, rstd, true);
  return {as_dtype(dx, c.in(1).dtype()), rows.sum_of_rows(dy * normalised), rows.sum_of_rows(dy)};
}

std::vector<OpSample> layer_norm_grad_samples() {
  const auto sample = [](const char* name, DType dtype, Shape x, Shape statistics, Shape row,
                         int64_t normalized_rank, double tolerance) {
    OpSample s;
    s.name = name;
    const DType wide = accumulation_type(dtype);
    s.inputs = {{dtype, x}, {dtype, x}, {wide, statistics}, {wide, statistics}};
    if (!row.empty()) s.inputs.push_back({wide, row});
    s.attributes = Attributes::of(LayerNormAttributes{normalized_rank, 1e-5});
    s.domains = {{3, 0.5, 2.0}};
    s.tolerance = tolerance;
    return s;
  };
  const Dim batch = Dim::symbol("batch");
  std::vector<OpSample> samples = {
      sample("affine", DType::kF32, {3, 37}, {3, 1}, {37}, 1, 1e-5),
      sample("plain", DType::kF32, {2, 3, 4}, {2, 3, 1}, {}, 1, 1e-5),
      sample("two_axes", DType::kF32, {2, 3, 4}, {2, 1, 1}, {3, 4}, 2, 1e-5),
      sample("f16", DType::kF16, {2, 16}, {2, 1}, {16}, 1, 4e-3),
      sample("symbolic", DType::kF32, {batch, 5}, {batch, 1}, {5}, 1, 1e-5)};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

// rms_norm(x, weight?) -> y, rstd

absl::Status infer_rms_norm(InferenceContext& c) {
  const auto& a = c.attributes.as<RmsNormAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  MODELLIB_RETURN_IF_ERROR(check_rows(c.input(0), a.normalized_rank, a.eps));
  MODELLIB_RETURN_IF_ERROR(require_shape(c, 1, row_shape(c.input(0), a.normalized_rank), "weight"));
  c.outputs = {c.input(0), statistics_type(c.input(0), a.normalized_rank)};
  return absl::OkStatus();
}

std::vector<Value> decompose_rms_norm(OpCall& c) {
  const auto& a = c.attributes.as<RmsNormAttributes>();
  const Value x = widened(c.in(0));
  const Rows rows(x, a.normalized_rank);
  const Value rstd = rsqrt(mean_over(square(x), rows.axes) + a.eps);
  Value y = x * rstd;
  if (c.has(1)) y = y * as_dtype(c.in(1), x.dtype());
  return {as_dtype(y, c.in(0).dtype()), rstd};
}

// Row-wise but for the sum in dweight: fusion makes a region of it, so it has no composite of its
// own.
std::vector<Value> rms_norm_gradient(OpCall& c, absl::Span<const Value> gradients) {
  const Value x = widened(c.in(0)), rstd = c.out(1);
  const Rows rows(x, c.attributes.as<RmsNormAttributes>().normalized_rank);
  Value dx, dweight;
  if (!gradients[0].is_null()) {
    const Value dy = widened(gradients[0]);
    const Value normalised = x * rstd;
    const Value g = c.has(1) ? dy * as_dtype(c.in(1), x.dtype()) : dy;
    dx = row_gradient(rows, g, normalised, rstd, false);
    if (c.has(1)) dweight = as_dtype(rows.sum_of_rows(dy * normalised), c.in(1).dtype());
  }
  if (!gradients[1].is_null()) dx = add_gradients(dx, rstd_gradient(rows, gradients[1], rstd, x));
  return {as_dtype(dx, c.in(0).dtype()), dweight};
}

std::vector<OpSample> rms_norm_samples() {
  const auto sample = [](const char* name, std::vector<TensorType> inputs, int64_t normalized_rank,
                         double tolerance = 1e-5) {
    OpSample s;
    s.name = name;
    s.inputs = std::move(inputs);
    s.attributes = Attributes::of(RmsNormAttributes{normalized_rank, 1e-6});
    s.tolerance = tolerance;
    return s;
  };
  std::vector<OpSample> samples = {
      sample("affine", {f32({3, 37}), f32({37})}, 1), sample("plain", {f32({2, 3, 8})}, 1),
      sample("two_axes", {f32({2, 3, 4}), f32({3, 4})}, 2),
      sample("f16", {f16({2, 16}), f16({16})}, 1, 4e-3),
      sample("symbolic", {f32({Dim::symbol("batch"), 5}), f32({5})}, 1)};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

// group_norm(x, weight?, bias?) -> y

absl::Status infer_group_norm(InferenceContext& c) {
  const auto& a = c.attributes.as<GroupNormAttributes>();
  const TensorType& x = c.input(0);
  MODELLIB_RETURN_IF_ERROR(require_between("eps", a.eps, 0.0, std::numeric_limits<double>::max()));
  if (x.rank() < 2 || !x.shape[1].is_static()) {
    return absl::InvalidArgumentError(
        "the operand must be [batch, channels, …], its channels known ahead");
  }
  if (a.num_groups < 1 || x.shape[1].value() % a.num_groups != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(x.shape[1].value(), " channels do not divide into ", a.num_groups, " groups"));
  }
  MODELLIB_RETURN_IF_ERROR(require_vector(c, 1, x.shape[1], "weight"));
  MODELLIB_RETURN_IF_ERROR(require_vector(c, 2, x.shape[1], "bias"));
  return infer_same_real(c);
}

std::vector<Value> decompose_group_norm(OpCall& c) {
  const auto& a = c.attributes.as<GroupNormAttributes>();
  const Value x = widened(c.in(0));
  const Shape& shape = x.shape();
  Dim row = shape[1].value() / a.num_groups;
  for (size_t i = 2; i < shape.size(); ++i) row = row * shape[i];
  const Value rows = reshape(x, {shape[0], a.num_groups, row});
  Value y = reshape(layer_norm(rows, {}, {}, {.normalized_rank = 1, .eps = a.eps}), shape);
  if (c.has(1)) y = y * per_channel(as_dtype(c.in(1), x.dtype()), x.rank());
  if (c.has(2)) y = y + per_channel(as_dtype(c.in(2), x.dtype()), x.rank());
  return {as_dtype(y, c.in(0).dtype())};
}

std::vector<OpSample> group_norm_samples() {
  const auto sample = [](const char* name, std::vector<TensorType> inputs, int64_t groups,
                         double tolerance = 1e-5) {
    OpSample s;
    s.name = name;
    s.inputs = std::move(inputs);
    s.attributes = Attributes::of(GroupNormAttributes{groups, 1e-5});
    s.tolerance = tolerance;
    return s;
  };
  std::vector<OpSample> samples = {
      sample("two_groups", {f32({2, 4, 3, 3}), f32({4}), f32({4})}, 2),
      sample("one_group", {f32({2, 3, 5}), f32({3}), f32({3})}, 1),
      sample("each_channel", {f32({2, 3, 2, 4})}, 3),
      sample("f16", {f16({2, 4, 8}), f16({4}), f16({4})}, 2, 4e-3),
      sample("symbolic", {f32({Dim::symbol("batch"), 4, 6}), f32({4}), f32({4})}, 2)};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

}  // namespace

std::vector<OpDef> normalization_ops() {
  OpDef layer =
      composite("layer_norm", 1, 3, infer_layer_norm, decompose_layer_norm, layer_norm_samples);
  layer.attributes = AttributesSchema::of<LayerNormAttributes>();
  layer.differentiable = OpDef::Gradient::kRule;
  layer.gradient = layer_norm_gradient;
  OpDef layer_grad = composite("layer_norm_grad", 4, 5, infer_layer_norm_grad,
                               decompose_layer_norm_grad, layer_norm_grad_samples);
  layer_grad.attributes = AttributesSchema::of<LayerNormAttributes>();
  OpDef rms = composite("rms_norm", 1, 2, infer_rms_norm, decompose_rms_norm, rms_norm_samples);
  rms.attributes = AttributesSchema::of<RmsNormAttributes>();
  rms.differentiable = OpDef::Gradient::kRule;
  rms.gradient = rms_norm_gradient;
  OpDef group =
      composite("group_norm", 1, 3, infer_group_norm, decompose_group_norm, group_norm_samples);
  group.attributes = AttributesSchema::of<GroupNormAttributes>();
  return {layer, layer_grad, rms, group};
}

LayerNormOutputs layer_norm_with_statistics(Value x, Value weight, Value bias,
                                            LayerNormAttributes attributes) {
  const std::vector<Value> outputs =
      emit_outputs("layer_norm", 3, {x, weight, bias}, Attributes::of(attributes));
  return {outputs[0], outputs[1], outputs[2]};
}
Value layer_norm(Value x, Value weight, Value bias, LayerNormAttributes attributes) {
  return layer_norm_with_statistics(x, weight, bias, attributes).y;
}
Value rms_norm(Value x, Value weight, RmsNormAttributes attributes) {
  return emit_op_one("rms_norm", {x, weight}, Attributes::of(attributes));
}
Value group_norm(Value x, Value weight, Value bias, GroupNormAttributes attributes) {
  return emit_op_one("group_norm", {x, weight, bias}, Attributes::of(attributes));
}
Value instance_norm(Value x, Value weight, Value bias, double eps) {
  if (!usable("instance_norm", {x})) return poisoned({x});
  const Dim channels = x.dim(1);
  return group_norm(x, weight, bias,
                    {.num_groups = channels.is_static() ? channels.value() : 0, .eps = eps});
}

}  // namespace modellib
