// Constant folding: nodes whose operands are all constants are computed now, by their reference
// kernels.
#ifndef MODELLIB_PASSES_FOLD_CONSTANTS_H_
#define MODELLIB_PASSES_FOLD_CONSTANTS_H_

#include "modellib/passes/pass.h"

namespace modellib {

// What would grow beyond a mebibyte and beyond its operands (an iota, a broadcast) stays: it is
// cheaper to compute than to store; but for floats that are cast to wider ones, which a kernel can
// then take packed ahead. So do products, convolutions and pools that would take more than is left
// of PassContext::compute(), about ten seconds for all passes over a program with its regions: a
// product of two matrices of 1024 x 1024 takes half of it, a tap of a window as much as ten
// products of a matmul. And so does all that is left once the bytes of PassContext::compute() are
// read or written beside eight for each byte of the graph's own constants: results exist at once.
// They are computed in each run then, by the kernels of the device, which are far faster than those
// of the reference.
absl::StatusOr<GraphRef> fold_constants(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_FOLD_CONSTANTS_H_
