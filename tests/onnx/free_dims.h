// Sizes for models that say none.
#ifndef MODELLIB_TESTS_ONNX_FREE_DIMS_H_
#define MODELLIB_TESTS_ONNX_FREE_DIMS_H_

#include <algorithm>
#include <cstdint>
#include <string>

#include "modellib/graph/dim.h"
#include "modellib/graph/graph.h"

namespace modellib {

// From `min` to `max` for the dimensions of a model's inputs that have no maximum; what the model
// says of its least extents holds.
inline DimRanges bounds_of_free_dims(const Graph& graph, int64_t min, int64_t max) {
  DimRanges dims;
  for (ValueId id : graph.inputs()) {
    for (const Dim& d : graph.type(id).shape) {
      for (const std::string& symbol : d.symbols()) {
        const auto it = graph.ranges().find(symbol);
        const DimRange range = it == graph.ranges().end() ? DimRange() : it->second;
        if (range.max != DimRange::kUnbounded) continue;
        dims[symbol] = {std::max(range.min, min), std::max(range.min, max)};
      }
    }
  }
  return dims;
}

}  // namespace modellib

#endif  // MODELLIB_TESTS_ONNX_FREE_DIMS_H_
