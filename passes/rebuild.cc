#include "modellib/passes/rebuild.h"

#include "modellib/graph/op_def.h"

namespace modellib {

std::vector<bool> live_nodes(const Graph& graph) {
  std::vector<bool> live(graph.nodes().size(), false);
  const auto mark = [&](ValueId id) {
    if (id != kNoValue && graph.value(id).producer >= 0) {
      live[static_cast<size_t>(graph.value(id).producer)] = true;
    }
  };
  for (const Graph::Output& out : graph.outputs()) mark(out.value);
  for (const Graph::VariableUse& use : graph.variables()) mark(use.assigned);
  for (size_t n = graph.nodes().size(); n-- > 0;) {
    if (!graph.nodes()[n].op->pure) live[n] = true;
    if (!live[n]) continue;
    for (ValueId in : graph.nodes()[n].inputs) mark(in);
  }
  return live;
}

absl::StatusOr<GraphRef> rebuild(const Graph& graph, const OpRegistry& registry,
                                 const RebuildHook& hook) {
  GraphBuilder builder(registry, graph.name());
  std::vector<Value> map(graph.values().size());
  const auto mapped = [&](ValueId id) -> Value& { return map[static_cast<size_t>(id)]; };
  for (const auto& [symbol, range] : graph.ranges()) builder.set_range(symbol, range);
  for (ValueId id : graph.inputs()) {
    mapped(id) = builder.input(graph.value(id).name, graph.type(id));
  }
  for (const Graph::VariableUse& use : graph.variables()) {
    if (use.value != kNoValue) mapped(use.value) = builder.variable(*use.variable);
  }
  // Ahead of the nodes, which would give the same ones with reasons that know no place.
  for (const Graph::Constraint& c : graph.constraints()) {
    builder.require_equal(c.left, c.right, c.reason);
  }
  const std::vector<bool> live = live_nodes(graph);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    if (!live[n]) continue;
    const Graph::Node& node = graph.nodes()[n];
    const GraphBuilder::ScopeOf scope(builder, graph.scopes()[static_cast<size_t>(node.scope)]);
    RebuildSite site{builder, graph, static_cast<NodeId>(n), node, {}, map};
    for (ValueId in : node.inputs) site.inputs.push_back(in == kNoValue ? Value() : mapped(in));
    std::optional<std::vector<Value>> outputs = hook(site);
    if (!outputs.has_value()) outputs = builder.emit(*node.op, site.inputs, node.attributes);
    if (!builder.status().ok()) return builder.status();
    for (int i = 0; i < node.num_outputs; ++i) {
      mapped(node.output(i)) = (*outputs)[static_cast<size_t>(i)];
      const std::string& name = graph.value(node.output(i)).name;
      if (!name.empty()) builder.set_name(mapped(node.output(i)), name);
    }
  }
  for (const Graph::Output& out : graph.outputs()) builder.output(out.name, mapped(out.value));
  for (const Graph::VariableUse& use : graph.variables()) {
    if (use.assigned != kNoValue) builder.assign(*use.variable, mapped(use.assigned));
  }
  return builder.build();
}

}  // namespace modellib
