#include "modellib/ops/loss_scaling.h"

#include "absl/status/status.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"

namespace modellib {

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

Value clip_factor(Value norm, double max_norm) { return minimum(max_norm / (norm + 1e-6), 1.0); }

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
  const Value steps = state.good_steps + 1.0;
  const Value grows = greater_equal(steps, static_cast<double>(options.growth_interval));
  const Value larger = state.scale * options.growth_factor;
  const Value grown = where(logical_and(grows, is_finite(larger)), larger, state.scale);
  return {where(ok, grown, state.scale * options.backoff_factor),
          where(logical_and(ok, logical_not(grows)), steps, 0.0)};
}

}  // namespace modellib
