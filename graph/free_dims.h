// Sizes for a model whose inputs have dimensions without a maximum, for whoever wants a plan of it
// and has none in mind: to look at it, or to test it.
#ifndef MODELLIB_GRAPH_FREE_DIMS_H_
#define MODELLIB_GRAPH_FREE_DIMS_H_

#include <array>

#include "modellib/graph/dim.h"
#include "modellib/graph/graph.h"

namespace modellib {

// To try in turn until there is a plan. Not all models take images, or pieces of sound, as small as
// the first.
inline constexpr std::array<DimRange, 3> kAssumedBounds = {{{0, 64}, {64, 64}, {256, 256}}};

// `bounds` for each dimension of the inputs that has no maximum; what the graph says of its least
// extents holds.
DimRanges bounds_of_free_dims(const Graph& graph, const DimRange& bounds);

}  // namespace modellib

#endif  // MODELLIB_GRAPH_FREE_DIMS_H_
