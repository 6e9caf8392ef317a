// Computes in a wider type what the backend has no kernel for in a narrow one: the type of storage
// stays, operands are cast on the way in and results rounded on the way out.
#ifndef MODELLIB_PASSES_WIDEN_H_
#define MODELLIB_PASSES_WIDEN_H_

#include "modellib/passes/pass.h"

namespace modellib {

// As the backend says (Backend::computes_in). Products of f16 and bf16 add up in f32 by definition,
// those that ask for it in f64, so their results stay the same. The casts are pointwise ops: they
// join what is around them.
absl::StatusOr<GraphRef> widen(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_WIDEN_H_
