#include "modellib/passes/canonical_order.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "modellib/graph/builder.h"
#include "modellib/graph/op_def.h"

namespace modellib {
namespace {

std::vector<const Graph::VariableUse*> by_name(const Graph& graph) {
  std::vector<const Graph::VariableUse*> uses;
  for (const Graph::VariableUse& use : graph.variables()) uses.push_back(&use);
  std::sort(uses.begin(), uses.end(),
            [](const auto* a, const auto* b) { return a->variable->name < b->variable->name; });
  return uses;
}

std::vector<const Graph::Constraint*> by_text(const Graph& graph) {
  std::vector<const Graph::Constraint*> constraints;
  for (const Graph::Constraint& c : graph.constraints()) constraints.push_back(&c);
  const auto text = [](const Graph::Constraint* c) {
    return std::pair(c->left.to_string(), c->right.to_string());
  };
  std::sort(constraints.begin(), constraints.end(),
            [&](const auto* a, const auto* b) { return text(a) < text(b); });
  return constraints;
}

// Live nodes in the order in which a depth-first walk leaves them.
class Walk {
 public:
  explicit Walk(const Graph& graph) : graph_(graph), seen_(graph.nodes().size(), false) {
    NodeId last = -1;
    before_.assign(graph.nodes().size(), -1);
    for (size_t n = 0; n < graph.nodes().size(); ++n) {
      if (graph.nodes()[n].op->pure) continue;
      before_[n] = last;
      last = static_cast<NodeId>(n);
    }
  }

  std::vector<NodeId> run() {
    for (const Graph::Output& out : graph_.outputs()) visit(graph_.value(out.value).producer);
    for (const Graph::VariableUse* use : by_name(graph_)) {
      if (use->assigned != kNoValue) visit(graph_.value(use->assigned).producer);
    }
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      if (!graph_.nodes()[n].op->pure) visit(static_cast<NodeId>(n));
    }
    return std::move(order_);
  }

 private:
  // With a stack of its own: graphs may be deeper than the thread's.
  void visit(NodeId root) {
    std::vector<std::pair<NodeId, size_t>> stack;
    const auto enter = [&](NodeId n) {
      if (n < 0 || seen_[static_cast<size_t>(n)]) return;
      seen_[static_cast<size_t>(n)] = true;
      stack.emplace_back(n, 0);
    };
    enter(root);
    while (!stack.empty()) {
      auto& [n, next] = stack.back();
      const Graph::Node& node = graph_.node(n);
      if (next == 0) {
        ++next;
        enter(before_[static_cast<size_t>(n)]);
      } else if (next <= node.inputs.size()) {
        const ValueId in = node.inputs[next++ - 1];
        if (in != kNoValue) enter(graph_.value(in).producer);
      } else {
        order_.push_back(n);
        stack.pop_back();
      }
    }
  }

  const Graph& graph_;
  std::vector<bool> seen_;
  std::vector<NodeId> before_;  // the effect before; -1: none
  std::vector<NodeId> order_;
};

// Whether the graph has its nodes in this order, no others, and its variables by name.
bool is_canonical(const Graph& graph, const std::vector<NodeId>& order) {
  if (order.size() != graph.nodes().size() || !std::is_sorted(order.begin(), order.end())) {
    return false;
  }
  const auto variables = graph.variables();
  return std::is_sorted(variables.begin(), variables.end(), [](const auto& a, const auto& b) {
    return a.variable->name < b.variable->name;
  });
}

}  // namespace

absl::StatusOr<GraphRef> canonical_order(const GraphRef& graph, PassContext& context) {
  const std::vector<NodeId> order = Walk(*graph).run();
  if (is_canonical(*graph, order)) return graph;
  context.may_rewrite();  // one, to say so; the structure stays, so no budget holds it back
  GraphBuilder builder(context.registry(), graph->name());
  std::vector<Value> map(graph->values().size());
  const auto mapped = [&](ValueId id) -> Value& { return map[static_cast<size_t>(id)]; };
  for (const auto& [symbol, range] : graph->ranges()) builder.set_range(symbol, range);
  for (ValueId id : graph->inputs()) {
    mapped(id) = builder.input(graph->value(id).name, graph->type(id));
  }
  for (const Graph::VariableUse* use : by_name(*graph)) {
    if (use->value != kNoValue) mapped(use->value) = builder.variable(*use->variable);
  }
  // Ahead of the nodes, as rebuild does.
  for (const Graph::Constraint* c : by_text(*graph)) {
    builder.require_equal(c->left, c->right, c->reason);
  }
  for (NodeId n : order) {
    const Graph::Node& node = graph->node(n);
    const GraphBuilder::ScopeOf scope(builder, graph->scopes()[static_cast<size_t>(node.scope)]);
    std::vector<Value> operands;
    for (ValueId in : node.inputs) operands.push_back(in == kNoValue ? Value() : mapped(in));
    const std::vector<Value> outputs = builder.emit(*node.op, operands, node.attributes);
    if (!builder.status().ok()) return builder.status();
    for (int i = 0; i < node.num_outputs; ++i) {
      mapped(node.output(i)) = outputs[static_cast<size_t>(i)];
      const std::string& name = graph->value(node.output(i)).name;
      if (!name.empty()) builder.set_name(mapped(node.output(i)), name);
    }
  }
  for (const Graph::Output& out : graph->outputs()) builder.output(out.name, mapped(out.value));
  for (const Graph::VariableUse* use : by_name(*graph)) {
    if (use->assigned != kNoValue) builder.assign(*use->variable, mapped(use->assigned));
  }
  return builder.build();
}

}  // namespace modellib
