#include "modellib/ops/loss_scaling.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"

namespace modellib {
namespace {

absl::Status check(const LossScaleOptions& o) {
  const bool good =
      o.growth_factor > 1 && o.backoff_factor > 0 && o.backoff_factor < 1 && o.growth_interval > 0;
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "a loss scale grows by a factor above 1, shrinks by one between 0 and 1, and grows after a "
      "positive number of steps; these are ",
      o.growth_factor, ", ", o.backoff_factor, " and ", o.growth_interval));
}

// Below it numbers lose their bits, and soon their reciprocal is infinite.
double smallest_normal(DType dtype) {
  if (dtype == DType::kF64) return 0x1p-1022;
  return dtype == DType::kF16 ? 0x1p-14 : 0x1p-126;
}

}  // namespace

Value global_norm(absl::Span<const Value> gradients, Value scale) {
  // One sum for each gradient, then the sums in their order: the result does not depend on anything
  // else.
  Value total;
  for (const Value& g : gradients) {
    if (!usable("global_norm", {g})) return poisoned({g});
    Value wide = widened(g);
    if (!scale.is_null()) wide = wide * as_dtype(scale, wide.dtype());
    const Value sum = reduce_sum(square(wide), {});
    // A mixture of f64 and f32 is added in f64.
    const DType dtype = !total.is_null() && bits_of(total.dtype()) > bits_of(sum.dtype())
                            ? total.dtype()
                            : sum.dtype();
    total = add_gradients(as_dtype(total, dtype), as_dtype(sum, dtype));
  }
  return total.is_null() ? total : sqrt(total);
}

Value clip_factor(Value norm, double max_norm) {
  if (!usable("clip_factor", {norm})) return poisoned({norm});
  if (!(max_norm >= 0)) {
    return norm.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("clip_factor: the largest norm must not be negative, is ", max_norm)));
  }
  return minimum(max_norm / (norm + 1e-6), 1.0);
}

Value all_finite(absl::Span<const Value> gradients) {
  Value all;
  for (const Value& g : gradients) {
    if (!usable("all_finite", {g})) return poisoned({g});
    const Value finite = reduce_all(is_finite(g));
    all = all.is_null() ? finite : logical_and(all, finite);
  }
  return all;
}

LossScale update_loss_scale(const LossScale& state, Value ok, const LossScaleOptions& options) {
  if (!usable("update_loss_scale", {state.scale, state.good_steps, ok})) {
    const Value bad = poisoned({state.scale, state.good_steps, ok});
    return {bad, bad};
  }
  if (absl::Status s = check(options); !s.ok()) {
    const Value bad = state.scale.builder()->poison(std::move(s));
    return {bad, bad};
  }
  const Value steps = state.good_steps + 1.0;
  const Value grows = greater_equal(steps, static_cast<double>(options.growth_interval));
  const Value larger = state.scale * options.growth_factor;
  const Value grown = where(logical_and(grows, is_finite(larger)), larger, state.scale);
  const Value smaller = state.scale * options.backoff_factor;
  const Value shrunk =
      where(greater_equal(smaller, smallest_normal(state.scale.dtype())), smaller, state.scale);
  return {where(ok, grown, shrunk), where(logical_and(ok, logical_not(grows)), steps, 0.0)};
}

}  // namespace modellib
