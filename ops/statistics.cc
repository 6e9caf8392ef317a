#include "modellib/ops/statistics.h"

#include <algorithm>
#include <cmath>
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

std::vector<int64_t> all_or(const std::vector<int64_t>& axes, int rank) {
  return axes.empty() ? leading_axes(rank) : axes;
}

// logsumexp(x) -> y

absl::Status infer(InferenceContext& c) {
  const auto& a = c.attributes.as<LogsumexpAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  const TensorType& x = c.input(0);
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<int> axes, normal_axes(a.axes, x.rank()));
  Shape shape;
  for (int i = 0; i < x.rank(); ++i) {
    const bool reduced = std::find(axes.begin(), axes.end(), i) != axes.end();
    if (!reduced) shape.push_back(x.shape[static_cast<size_t>(i)]);
    if (reduced && a.keepdims) shape.push_back(1);
  }
  c.outputs.push_back({x.dtype, std::move(shape)});
  return absl::OkStatus();
}

std::vector<Value> decompose(OpCall& c) {
  const auto& a = c.attributes.as<LogsumexpAttributes>();
  const Value x = widened(c.in(0));
  const std::vector<int64_t> axes = all_or(a.axes, x.rank());
  const Value largest = stop_gradient(max_over(x, axes));
  // An infinite one is not subtracted: inf - inf would be NaN.
  const Value shift = where(is_finite(largest), largest, 0.0);
  Value y = log(sum_over(exp(x - shift), axes)) + shift;
  if (!a.keepdims) y = squeeze(y, axes);
  return {as_dtype(y, c.in(0).dtype())};
}

std::vector<Value> gradient(OpCall& c, absl::Span<const Value> gradients) {
  const auto& a = c.attributes.as<LogsumexpAttributes>();
  const Value x = widened(c.in(0));
  Value y = widened(c.out(0)), g = widened(gradients[0]);
  if (!a.keepdims) {
    y = restore_axes(y, x.shape(), a.axes);
    g = restore_axes(g, x.shape(), a.axes);
  }
  return {as_dtype(g * exp(x - where(is_finite(y), y, 0.0)), c.in(0).dtype())};
}

std::vector<OpSample> samples() {
  const auto sample = [](const char* name, TensorType type, std::vector<int64_t> axes,
                         bool keepdims, double tolerance = 1e-5) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(type)};
    s.attributes = Attributes::of(LogsumexpAttributes{std::move(axes), keepdims});
    s.tolerance = tolerance;
    return s;
  };
  std::vector<OpSample> samples = {
      sample("last", f32({3, 37}), {-1}, false), sample("keep", f32({2, 3, 4}), {0, 2}, true),
      sample("all", f32({2, 5}), {}, false), sample("f16", f16({2, 9}), {1}, false, 2e-3),
      sample("symbolic", f32({Dim::symbol("batch"), 5}), {1}, false)};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

// The square root with gradient 0, not infinite, at 0. The root that is differentiated never sees
// the 0.
Value root(Value x) {
  const Value zero = equal(x, 0.0);
  return where(zero, 0.0, sqrt(where(zero, 1.0, x)));
}

}  // namespace

std::vector<OpDef> statistics_ops() {
  OpDef op = composite("logsumexp", 1, 1, infer, decompose, samples);
  op.attributes = AttributesSchema::of<LogsumexpAttributes>();
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  return {op};
}

Value logsumexp(Value x, LogsumexpAttributes attributes) {
  return emit_op_one("logsumexp", {x}, Attributes::of(std::move(attributes)));
}

Value variance(Value x, const VarianceOptions& options) {
  if (!usable("variance", {x})) return poisoned({x});
  const Value wide = widened(x);
  const std::vector<int64_t> axes = all_or(options.axes, x.rank());
  const Value squares = reduce_sum(square(wide - mean_over(wide, axes)),
                                   {.axes = axes, .keepdims = options.keepdims});
  return as_dtype(squares / (count_along(wide, axes) - options.correction), x.dtype());
}

Value standard_deviation(Value x, const VarianceOptions& options) {
  if (!usable("standard_deviation", {x})) return poisoned({x});
  return as_dtype(root(variance(widened(x), options)), x.dtype());
}

Value norm(Value x, const NormOptions& options) {
  if (!usable("norm", {x})) return poisoned({x});
  if (!(options.p >= 0)) {
    return x.builder()->poison(
        absl::InvalidArgumentError(absl::StrCat("norm: p must be at least 0, is ", options.p)));
  }
  const Value wide = widened(x);
  const ReduceAttributes over{.axes = options.axes, .keepdims = options.keepdims};
  Value y;
  if (options.p == 2) {
    y = root(reduce_sum(square(wide), over));
  } else if (options.p == 1) {
    y = reduce_sum(abs(wide), over);
  } else if (std::isinf(options.p)) {
    y = reduce_max(abs(wide), over);
  } else if (options.p == 0) {
    y = reduce_sum(cast(not_equal(wide, 0.0), wide.dtype()), over);
  } else {
    // As in root(), zeros are kept away from the powers.
    const Value size = abs(wide), zero = equal(size, 0.0);
    const Value sum = reduce_sum(where(zero, 0.0, pow(where(zero, 1.0, size), options.p)), over);
    const Value none = equal(sum, 0.0);
    y = where(none, 0.0, pow(where(none, 1.0, sum), 1.0 / options.p));
  }
  return as_dtype(y, x.dtype());
}

Value l2_normalize(Value x, int64_t axis, double eps) {
  if (!usable("l2_normalize", {x})) return poisoned({x});
  const Value wide = widened(x);
  const Value length = norm(wide, {.p = 2, .axes = {axis}, .keepdims = true});
  return as_dtype(wide / maximum(length, eps), x.dtype());
}

}  // namespace modellib
