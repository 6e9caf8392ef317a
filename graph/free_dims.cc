#include "modellib/graph/free_dims.h"

#include <algorithm>
#include <string>

namespace modellib {

DimRanges bounds_of_free_dims(const Graph& graph, const DimRange& bounds) {
  DimRanges dims;
  for (ValueId id : graph.inputs()) {
    for (const Dim& d : graph.type(id).shape) {
      for (const std::string& symbol : d.symbols()) {
        const auto it = graph.ranges().find(symbol);
        const DimRange range = it == graph.ranges().end() ? DimRange() : it->second;
        if (range.max != DimRange::kUnbounded) continue;
        dims[symbol] = {std::max(range.min, bounds.min), std::max(range.min, bounds.max)};
      }
    }
  }
  return dims;
}

}  // namespace modellib
