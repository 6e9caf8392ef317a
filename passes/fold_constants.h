// Constant folding: nodes whose operands are all constants are computed now, by their reference
// kernels.
#ifndef MODELLIB_PASSES_FOLD_CONSTANTS_H_
#define MODELLIB_PASSES_FOLD_CONSTANTS_H_

#include "modellib/passes/pass.h"

namespace modellib {

// What would grow beyond a mebibyte and beyond its operands (an iota, a broadcast) stays: it is
// cheaper to compute than to store. So do products, convolutions and pools beyond what all of a
// graph may take together, some seconds: reference kernels are slow.
absl::StatusOr<GraphRef> fold_constants(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_FOLD_CONSTANTS_H_
