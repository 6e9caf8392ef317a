// Legalise: decompose every composite that the backend has no kernel for.
#ifndef MODELLIB_PASSES_LEGALIZE_H_
#define MODELLIB_PASSES_LEGALIZE_H_

#include "modellib/passes/pass.h"

namespace modellib {

// Regions are legalised too. Without a backend every composite is decomposed.
absl::StatusOr<GraphRef> legalize(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_LEGALIZE_H_
