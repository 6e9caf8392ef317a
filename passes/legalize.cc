#include "modellib/passes/legalize.h"

#include <utility>

#include "modellib/graph/status_macros.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

bool must_decompose(const Graph& graph, const Graph::Node& node, const Backend* backend) {
  if (node.op->kind != OpDef::Kind::kComposite) return false;
  return backend == nullptr || !backend->takes_composite(graph, node);
}

}  // namespace

absl::StatusOr<GraphRef> legalize(const GraphRef& graph, PassContext& context) {
  GraphRef current = graph;
  // A decomposition may hold composites again; each round goes one level down, and ops are finite.
  while (true) {
    bool changed = false;
    MODELLIB_ASSIGN_OR_RETURN(
        GraphRef next,
        rebuild(*current, context.registry(),
                [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
                  if (!must_decompose(site.graph, site.node, context.backend()))
                    return std::nullopt;
                  if (!context.may_rewrite()) return std::nullopt;
                  changed = true;
                  OpCall call{site.builder, *site.node.op, site.node.attributes, site.inputs, {}};
                  return site.node.op->decompose(call);
                }));
    if (!changed) return current;
    current = std::move(next);
  }
}

}  // namespace modellib
