// Canonicalise: one simplest form for what can be written in several, so that later passes and
// backends meet fewer cases. Each rule is a function in a table (canonicalize.cc).
//
// The sign of a zero may change: a sum over an axis of extent 1 becomes its operand, which may be
// -0 where adding to 0 gives 0.
#ifndef MODELLIB_PASSES_CANONICALIZE_H_
#define MODELLIB_PASSES_CANONICALIZE_H_

#include "modellib/passes/pass.h"

namespace modellib {

// Repeats until nothing changes. What is dead is dropped and what is equal is merged on the way.
absl::StatusOr<GraphRef> canonicalize(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_CANONICALIZE_H_
