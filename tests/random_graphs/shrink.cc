#include "modellib/tests/random_graphs/shrink.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/text.h"
#include "modellib/ops/registry.h"

namespace modellib {
namespace {

// What of a graph is left: outputs and assignments by index, a value that becomes an output, and
// values that become inputs.
struct Cut {
  std::set<size_t> outputs, assignments;
  std::optional<ValueId> output;
  std::set<ValueId> inputs;
};

// The tensors of all values, as the reference executor computes them; empty on any mistake.
std::map<ValueId, Tensor> values_of(const GraphCase& c) {
  std::map<ValueId, Tensor> values;
  ReferenceOptions options;
  options.observe = [&](ValueId id, const Tensor& t) { values[id] = t; };
  ReferenceExecutor executor(c.graph, options);
  if (!executor.run(c.inputs, c.variables).ok()) values.clear();
  return values;
}

std::optional<GraphCase> apply(const GraphCase& from, const Cut& cut,
                               const std::map<ValueId, Tensor>& values) {
  const Graph& graph = *from.graph;
  // What is needed, from the outputs that stay.
  std::vector<bool> needed(graph.values().size(), false);
  for (size_t i : cut.outputs) needed[static_cast<size_t>(graph.outputs()[i].value)] = true;
  for (size_t i : cut.assignments) {
    needed[static_cast<size_t>(graph.variables()[i].assigned)] = true;
  }
  std::vector<bool> kept(graph.nodes().size(), false);
  if (cut.output.has_value()) needed[static_cast<size_t>(*cut.output)] = true;
  for (size_t n = graph.nodes().size(); n-- > 0;) {
    const Graph::Node& node = graph.nodes()[n];
    for (int i = 0; i < node.num_outputs; ++i) {
      const ValueId out = node.output(i);
      if (needed[static_cast<size_t>(out)] && cut.inputs.count(out) == 0) kept[n] = true;
    }
    if (!kept[n]) continue;
    for (ValueId in : node.inputs) {
      if (in != kNoValue) needed[static_cast<size_t>(in)] = true;
    }
  }

  GraphCase result;
  result.tolerance = from.tolerance;
  GraphBuilder b(builtin_ops(), graph.name());
  std::vector<Value> map(graph.values().size());
  for (const auto& [symbol, range] : graph.ranges()) b.set_range(symbol, range);
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    const ValueId id = graph.inputs()[i];
    if (!needed[static_cast<size_t>(id)]) continue;
    map[static_cast<size_t>(id)] = b.input(graph.value(id).name, graph.type(id));
    result.inputs.push_back(from.inputs[i]);
  }
  for (ValueId id : cut.inputs) {
    if (!needed[static_cast<size_t>(id)] || values.count(id) == 0) continue;
    map[static_cast<size_t>(id)] = b.input(absl::StrCat("cut", id), graph.type(id));
    result.inputs.push_back(values.at(id));
  }
  for (const Graph::VariableUse& use : graph.variables()) {
    if (use.value == kNoValue || !needed[static_cast<size_t>(use.value)]) continue;
    map[static_cast<size_t>(use.value)] = b.variable(*use.variable);
    result.variables[use.variable->name] = from.variables.at(use.variable->name);
  }
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    if (!kept[n]) continue;
    const Graph::Node& node = graph.nodes()[n];
    std::vector<Value> operands;
    for (ValueId in : node.inputs) {
      operands.push_back(in == kNoValue ? Value() : map[static_cast<size_t>(in)]);
    }
    const std::vector<Value> outputs = b.emit(*node.op, operands, node.attributes);
    if (!b.status().ok()) return std::nullopt;
    for (int i = 0; i < node.num_outputs; ++i) {
      Value& slot = map[static_cast<size_t>(node.output(i))];
      if (slot.is_null()) slot = outputs[static_cast<size_t>(i)];
    }
  }
  for (size_t i : cut.outputs) {
    b.output(graph.outputs()[i].name, map[static_cast<size_t>(graph.outputs()[i].value)]);
  }
  for (size_t i : cut.assignments) {
    const Graph::VariableUse& use = graph.variables()[i];
    b.assign(*use.variable, map[static_cast<size_t>(use.assigned)]);
    result.variables[use.variable->name] = from.variables.at(use.variable->name);
  }
  if (cut.output.has_value()) b.output("y", map[static_cast<size_t>(*cut.output)]);
  absl::StatusOr<GraphRef> built = b.build();
  if (!built.ok()) return std::nullopt;
  result.graph = *std::move(built);
  return result;
}

size_t size_of(const GraphCase& c) {
  return c.graph->nodes().size() + c.graph->outputs().size() + c.graph->variables().size();
}

class Shrinker {
 public:
  Shrinker(GraphCase failing, const Check& check) : best_(std::move(failing)), check_(check) {}

  GraphCase run() {
    while (round()) {
    }
    return std::move(best_);
  }

 private:
  // One successful cut, or false.
  bool round() {
    const Graph& graph = *best_.graph;
    Cut whole;
    for (size_t i = 0; i < graph.outputs().size(); ++i) whole.outputs.insert(i);
    for (size_t i = 0; i < graph.variables().size(); ++i) {
      if (graph.variables()[i].assigned != kNoValue) whole.assignments.insert(i);
    }
    const std::map<ValueId, Tensor> values = values_of(best_);
    for (size_t i : whole.outputs) {
      if (whole.outputs.size() + whole.assignments.size() > 1 &&
          try_cut({{i}, {}, {}, {}}, values)) {
        return true;
      }
    }
    for (size_t i : whole.assignments) {
      if (whole.outputs.size() + whole.assignments.size() > 1 &&
          try_cut({{}, {i}, {}, {}}, values)) {
        return true;
      }
    }
    // The later the value, the more falls away.
    for (size_t n = graph.nodes().size(); n-- > 0;) {
      const Graph::Node& node = graph.nodes()[n];
      if (node.op->name == "constant") continue;
      Cut cut = whole;
      for (int i = 0; i < node.num_outputs; ++i) cut.inputs.insert(node.output(i));
      if (try_cut(cut, values)) return true;
    }
    // An earlier value as the only output.
    for (size_t n = 0; n + 1 < graph.nodes().size(); ++n) {
      const Graph::Node& node = graph.nodes()[n];
      if (node.op->name == "constant") continue;
      if (try_cut({{}, {}, node.output(0), {}}, values)) return true;
    }
    return false;
  }

  bool try_cut(const Cut& cut, const std::map<ValueId, Tensor>& values) {
    return accept(apply(best_, cut, values));
  }

  // Smaller, still a case that the reference computes, and still failing.
  bool accept(std::optional<GraphCase> candidate) {
    if (!candidate.has_value() || size_of(*candidate) >= size_of(best_)) return false;
    if (!run_reference(candidate->graph, candidate->inputs, candidate->variables).ok())
      return false;
    if (check_(*candidate).empty()) return false;
    best_ = *std::move(candidate);
    return true;
  }

  GraphCase best_;
  const Check& check_;
};

}  // namespace

GraphCase shrink(const GraphCase& failing, const Check& check) {
  return Shrinker(failing, check).run();
}

std::string shrunk_failure(const GraphCase& failing, const Check& check) {
  const GraphCase small = shrink(failing, check);
  return absl::StrCat(check(small), "\nin\n", print(*small.graph, {.types = true}));
}

}  // namespace modellib
