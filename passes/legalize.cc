#include "modellib/passes/legalize.h"

#include <algorithm>
#include <utility>

#include "modellib/graph/status_macros.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/rebuild.h"
#include "modellib/passes/recast.h"

namespace modellib {
namespace {

bool must_decompose(const Graph& graph, const Graph::Node& node, const Backend* backend) {
  if (node.op->kind != OpDef::Kind::kComposite) return false;
  return backend == nullptr || !backend->takes_composite(graph, node);
}

// A node that a decomposition made is asked in the next round.
bool must_widen(const Graph& graph, const Graph::Node& node, const Backend* backend) {
  const auto half = [&](ValueId in) { return in != kNoValue && is_half(graph.type(in).dtype); };
  return backend != nullptr && std::any_of(node.inputs.begin(), node.inputs.end(), half) &&
         backend->widens(graph, node);
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
                  if (must_widen(site.graph, site.node, context.backend())) {
                    if (!context.may_rewrite()) return std::nullopt;
                    changed = true;
                    return emit_recast(site, [&](int i) {
                      const DType own = site.in(i).dtype();
                      return is_half(own) ? DType::kF32 : own;
                    });
                  }
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
