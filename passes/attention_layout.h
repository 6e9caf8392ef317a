// Lets attention read and write its operands as projections leave them, [batch, positions, heads,
// size]: transposes before and after it become its layout attributes.
#ifndef MODELLIB_PASSES_ATTENTION_LAYOUT_H_
#define MODELLIB_PASSES_ATTENTION_LAYOUT_H_

#include "modellib/passes/pass.h"

namespace modellib {

// Only where the backend takes the node whole: a decomposition would transpose again. What it
// transposes back (the result, the gradients) meets its counterpart in "canonicalize".
absl::StatusOr<GraphRef> choose_attention_layout(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_ATTENTION_LAYOUT_H_
