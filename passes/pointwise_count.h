// How much of a graph's pointwise work was fused with what is around it.
#ifndef MODELLIB_PASSES_POINTWISE_COUNT_H_
#define MODELLIB_PASSES_POINTWISE_COUNT_H_

#include <cstdint>

#include "modellib/graph/graph.h"

namespace modellib {

struct PointwiseCount {
  int64_t in_regions = 0;    // of fused regions
  int64_t in_epilogues = 0;  // bias, residual and activation of a product, each one
  int64_t outside = 0;       // steps of their own, that read and write memory for themselves
};

// Of the graph and of the regions of its control flow.
PointwiseCount count_pointwise(const Graph& graph);

}  // namespace modellib

#endif  // MODELLIB_PASSES_POINTWISE_COUNT_H_
