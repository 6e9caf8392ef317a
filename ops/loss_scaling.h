// What stands between gradients and updates: their global norm, clipping, and the dynamic scale of
// a loss in f16.
//
//   Value ok = all_finite(grads);                       // of the scaled loss
//   Value unscale = 1.0 / state.scale;
//   Value norm = global_norm(grads, unscale);
//   OptimizerStep step{lr, count, ok, unscale * clip_factor(norm, 1.0)};
//   LossScale next = update_loss_scale(state, ok);
#ifndef MODELLIB_OPS_LOSS_SCALING_H_
#define MODELLIB_OPS_LOSS_SCALING_H_

#include <cstdint>

#include "absl/types/span.h"
#include "modellib/graph/builder.h"

namespace modellib {

// √(Σ (scale · g)²) over all elements of all gradients, a scalar in the type their sums are kept
// in. Gradients may be of different float types; at least one. scale: a float scalar, null: 1. It
// comes before the squares, which would overflow where a scaled loss has made gradients large.
Value global_norm(absl::Span<const Value> gradients, Value scale = {});
// min(1, max_norm / (norm + 1e-6)): what torch.nn.utils.clip_grad_norm_ multiplies gradients by. A
// norm that is not finite gives 0 or NaN: predicate the update. max_norm >= 0.
Value clip_factor(Value norm, double max_norm);
// bool scalar: no gradient has an infinity or NaN.
Value all_finite(absl::Span<const Value> gradients);

struct LossScale {
  Value scale;       // float scalar, the loss is multiplied by it; torch starts with 65536
  Value good_steps;  // i64 scalar: steps in a row without an overflow, starts with 0
};
struct LossScaleOptions {
  double growth_factor = 2.0;   // above 1
  double backoff_factor = 0.5;  // between 0 and 1
  int64_t growth_interval = 2000;
};
// After a step: an overflow (ok false) shrinks the scale; growth_interval good steps in a row let
// it grow, unless it would become infinite. As torch.amp.GradScaler, but for one that would shrink
// below the smallest normal number, where its reciprocal becomes infinite: it stays.
LossScale update_loss_scale(const LossScale& state, Value ok, const LossScaleOptions& options = {});

}  // namespace modellib

#endif  // MODELLIB_OPS_LOSS_SCALING_H_
