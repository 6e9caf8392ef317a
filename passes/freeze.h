// Freeze: variables become constants, so that their layouts can be chosen and packed ahead.
#ifndef MODELLIB_PASSES_FREEZE_H_
#define MODELLIB_PASSES_FREEZE_H_

#include <functional>

#include "absl/status/statusor.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/tensor.h"

namespace modellib {

// Puts `content(variable)` in place of each variable that the graph reads; what it assigns to
// variables is dropped. Errors are those of `content`; InvalidArgument for a tensor of another type
// or shape.
absl::StatusOr<GraphRef> freeze(
    const Graph& graph, const OpRegistry& registry,
    const std::function<absl::StatusOr<Tensor>(const Variable&)>& content);

}  // namespace modellib

#endif  // MODELLIB_PASSES_FREEZE_H_
