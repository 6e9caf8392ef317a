// Gives free dimensions numbers or bounds before a graph is compiled.
#ifndef MODELLIB_PASSES_BIND_DIMS_H_
#define MODELLIB_PASSES_BIND_DIMS_H_

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/op_def.h"

namespace modellib {

// What is asked of symbols: a range with min == max makes the dimension static, else it stays free
// within the range (intersected with the graph's own). Symbols that are not named keep what they
// have. InvalidArgument if a range is empty, or if a constraint of the graph cannot hold.
absl::StatusOr<GraphRef> bind_dims(const GraphRef& graph, const OpRegistry& registry,
                                   const DimRanges& dims);

}  // namespace modellib

#endif  // MODELLIB_PASSES_BIND_DIMS_H_
