// Folds a batch norm with constant statistics into the convolution before it: its factor scales the
// filter, the rest is a bias.
#ifndef MODELLIB_PASSES_FOLD_BATCH_NORM_H_
#define MODELLIB_PASSES_FOLD_BATCH_NORM_H_

#include "modellib/passes/pass.h"

namespace modellib {

// y = factor (conv(x, w) + b) + term becomes conv(x, factor w) + (factor b + term), where w, b and
// all operands of the batch norm are constants and nobody else reads the convolution. What is
// constant stands as nodes, for "fold-constants" to compute.
absl::StatusOr<GraphRef> fold_batch_norm(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_FOLD_BATCH_NORM_H_
