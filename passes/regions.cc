#include "modellib/passes/regions.h"

#include <optional>
#include <utility>
#include <variant>

#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/control.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

// The attributes with the pass run on the regions among them; the same ones if it changed none.
absl::StatusOr<Attributes> run_on_attributes(const Pass& pass, const Graph::Node& node,
                                             PassContext& context) {
  AttributeList list = node.attributes.list();
  const int64_t before = context.rewrites();
  for (auto& [name, value] : list) {
    auto* region = std::get_if<GraphRef>(&value);
    if (region == nullptr || *region == nullptr) continue;
    MODELLIB_ASSIGN_OR_RETURN(*region, run_with_regions(pass, *region, context));
  }
  if (context.rewrites() == before) return node.attributes;
  return node.op->attributes.parse(list);
}

}  // namespace

std::vector<GraphRef> control_regions(const Graph::Node& node) {
  const Attributes& a = node.attributes;
  if (a.is<CondAttributes>()) {
    const auto& cond = a.as<CondAttributes>();
    return {cond.then_branch, cond.else_branch};
  }
  if (a.is<ScanAttributes>()) return {a.as<ScanAttributes>().body};
  if (a.is<WhileAttributes>()) {
    const auto& loop = a.as<WhileAttributes>();
    return {loop.condition, loop.body};
  }
  return {};
}

absl::StatusOr<GraphRef> run_with_regions(const Pass& pass, const GraphRef& graph,
                                          PassContext& context) {
  const int64_t before = context.rewrites();
  std::vector<std::optional<Attributes>> changed(graph->nodes().size());
  bool any = false;
  for (size_t n = 0; n < graph->nodes().size(); ++n) {
    const Graph::Node& node = graph->nodes()[n];
    if (control_regions(node).empty()) continue;
    const int64_t until = context.rewrites();
    MODELLIB_ASSIGN_OR_RETURN(Attributes attributes, run_on_attributes(pass, node, context));
    if (context.rewrites() == until) continue;
    changed[n] = std::move(attributes);
    any = true;
  }
  GraphRef current = graph;
  if (any) {
    MODELLIB_ASSIGN_OR_RETURN(current,
                              rebuild(*graph, context.registry(),
                                      [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
                                        auto& attributes = changed[static_cast<size_t>(site.id)];
                                        if (!attributes.has_value()) return std::nullopt;
                                        return site.builder.emit(*site.node.op, site.inputs,
                                                                 *std::move(attributes));
                                      }));
  }
  MODELLIB_ASSIGN_OR_RETURN(GraphRef result, pass.run(current, context));
  // A pass that copies what it does not change gives an equal graph: the old one stands for it. One
  // that changes it and reports nothing is for the runner to find.
  if (context.rewrites() == before && structural_hash(*result) == structural_hash(*graph)) {
    return graph;
  }
  return result;
}

}  // namespace modellib
