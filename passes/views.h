// Which nodes need no step: their output is their input's bytes, seen under another shape or from
// another start, or their inputs are made where they lie in the output.
#ifndef MODELLIB_PASSES_VIEWS_H_
#define MODELLIB_PASSES_VIEWS_H_

#include <cstdint>

#include "absl/types/optional.h"
#include "modellib/graph/graph.h"

namespace modellib {

struct View {
  int input;            // operand that it is a view of
  int64_t byte_offset;  // of the first byte, from the operand's first
};

// The view that the node is, if its op is a view and its bytes are contiguous from a fixed offset.
absl::optional<View> view_of(const Graph& graph, const Graph::Node& node);

// Where the operands of a concatenation lie in its result, in bytes from its start, if each is one
// contiguous stretch of it at a fixed place.
absl::optional<std::vector<int64_t>> parts_of(const Graph& graph, const Graph::Node& node);

// Bytes of a value of the type.
Dim byte_size(const TensorType& type);

}  // namespace modellib

#endif  // MODELLIB_PASSES_VIEWS_H_
