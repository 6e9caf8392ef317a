#include "modellib/passes/widen.h"

#include <optional>
#include <vector>

#include "modellib/ops/pointwise.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/rebuild.h"

namespace modellib {

absl::StatusOr<GraphRef> widen(const GraphRef& graph, PassContext& context) {
  if (context.backend() == nullptr) return graph;
  return rebuild(
      *graph, context.registry(), [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
        const std::optional<DType> wide = context.backend()->computes_in(site.graph, site.node);
        if (!wide.has_value() || !context.may_rewrite()) return std::nullopt;
        const DType narrow = site.graph.type(site.node.output(0)).dtype;
        std::vector<Value> operands;
        for (const Value& in : site.inputs) {
          const bool casts = !in.is_null() && in.dtype() == narrow;
          operands.push_back(casts ? cast(in, *wide) : in);
        }
        std::vector<Value> results =
            site.builder.emit(*site.node.op, operands, site.node.attributes);
        for (Value& result : results) {
          if (result.dtype() == *wide) result = cast(result, narrow);
        }
        return results;
      });
}

}  // namespace modellib
