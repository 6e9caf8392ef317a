#include "modellib/passes/bind_dims.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

using Replacements = absl::btree_map<std::string, Dim>;

Shape substitute(const Shape& shape, const Replacements& with) {
  Shape out;
  for (const Dim& d : shape) out.push_back(d.substitute(with));
  return out;
}

absl::StatusOr<GraphRef> substitute(const Graph& graph, const OpRegistry& registry,
                                    const Replacements& with, const DimRanges& ranges);

// The ranges of those symbols that occur in the graph. What is known of a symbol in a graph is
// known in its regions as well, so that passes may look at a region alone.
DimRanges mentioned(const DimRanges& ranges, const Graph& graph) {
  DimRanges result;
  for (const Graph::ValueInfo& value : graph.values()) {
    for (const Dim& dim : value.type.shape) {
      for (const std::string& symbol : dim.symbols()) {
        if (auto it = ranges.find(symbol); it != ranges.end()) result.insert(*it);
      }
    }
  }
  return result;
}

bool has_regions(const Graph& graph) {
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), [](const Graph::Node& node) {
    const AttributeList list = node.attributes.empty() ? AttributeList() : node.attributes.list();
    return std::any_of(list.begin(), list.end(), [](const auto& attribute) {
      return std::holds_alternative<GraphRef>(attribute.second);
    });
  });
}

// What constraints hold equal has the bounds of both sides: kernels are planned for no sizes that
// cannot be. Where they have none in common, binding inputs will say so.
void meet_constraints(const Graph& graph, Replacements& with, DimRanges& ranges) {
  const auto meet = [&](const Dim& symbol, const Dim& other) {
    if (!symbol.is_symbol() || with.contains(symbol.symbol_name())) return;
    const auto [own, is_new] = ranges.try_emplace(symbol.symbol_name());
    const DimRange range = other.substitute(with).range(ranges);
    const DimRange both = {std::max(own->second.min, range.min),
                           std::min(own->second.max, range.max)};
    if (both.min <= both.max) own->second = both;
    if (own->second == DimRange()) ranges.erase(own);
  };
  // The second time with what the first found.
  for (int again = 0; again < 2; ++again) {
    for (const Graph::Constraint& c : graph.constraints()) {
      meet(c.left, c.right);
      meet(c.right, c.left);
    }
  }
  for (const Graph::Constraint& c : graph.constraints()) {
    for (const Dim* side : {&c.left, &c.right}) {
      if (!side->is_symbol()) continue;
      const auto found = ranges.find(side->symbol_name());
      if (found == ranges.end() || found->second.min != found->second.max) continue;
      with.emplace(found->first, found->second.min);
      ranges.erase(found);
    }
  }
}

// Attributes may hold expressions and regions; both are rewritten.
absl::StatusOr<Attributes> substitute(const Graph::Node& node, const OpRegistry& registry,
                                      const Replacements& with, const DimRanges& ranges) {
  if (node.attributes.empty()) return node.attributes;
  AttributeList list = node.attributes.list();
  bool changed = false;
  for (auto& [name, value] : list) {
    if (auto* shape = std::get_if<Shape>(&value); shape != nullptr && !is_static(*shape)) {
      *shape = substitute(*shape, with);
      changed = true;
    }
    if (auto* region = std::get_if<GraphRef>(&value); region != nullptr && *region != nullptr) {
      MODELLIB_ASSIGN_OR_RETURN(*region,
                                substitute(**region, registry, with, mentioned(ranges, **region)));
      changed = true;
    }
  }
  if (!changed) return node.attributes;
  return node.op->attributes.parse(list);
}

absl::StatusOr<GraphRef> substitute(const Graph& graph, const OpRegistry& registry,
                                    const Replacements& with, const DimRanges& ranges) {
  GraphBuilder builder(registry, graph.name());
  std::vector<Value> map(graph.values().size());
  const auto mapped = [&](ValueId id) -> Value& { return map[static_cast<size_t>(id)]; };
  for (const auto& [symbol, range] : ranges) builder.set_range(symbol, range);
  for (ValueId id : graph.inputs()) {
    TensorType type = graph.type(id);
    type.shape = substitute(type.shape, with);
    mapped(id) = builder.input(graph.value(id).name, std::move(type));
  }
  for (const Graph::VariableUse& use : graph.variables()) {
    if (use.value != kNoValue) mapped(use.value) = builder.variable(*use.variable);
  }
  for (const Graph::Constraint& c : graph.constraints()) {
    builder.require_equal(c.left.substitute(with), c.right.substitute(with), c.reason);
  }
  for (const Graph::Node& node : graph.nodes()) {
    const GraphBuilder::ScopeOf scope(builder, graph.scopes()[static_cast<size_t>(node.scope)]);
    MODELLIB_ASSIGN_OR_RETURN(Attributes attributes, substitute(node, registry, with, ranges));
    std::vector<Value> operands;
    for (ValueId in : node.inputs) operands.push_back(in == kNoValue ? Value() : mapped(in));
    const std::vector<Value> outputs = builder.emit(*node.op, operands, std::move(attributes));
    if (!builder.status().ok()) return builder.status();
    for (int i = 0; i < node.num_outputs; ++i) {
      mapped(node.output(i)) = outputs[static_cast<size_t>(i)];
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

}  // namespace

absl::StatusOr<GraphRef> bind_dims(const GraphRef& graph, const OpRegistry& registry,
                                   const DimRanges& dims) {
  Replacements with;
  DimRanges ranges = graph->ranges();
  for (const auto& [symbol, range] : dims) {
    DimRange& own = ranges[symbol];
    own = {std::max(own.min, range.min), std::min(own.max, range.max)};
    if (own.min > own.max) {
      return absl::InvalidArgumentError(absl::StrCat("graph '", graph->name(), "': dimension '",
                                                     symbol, "' cannot lie in ", range.min, "..",
                                                     range.max));
    }
    if (own.min == own.max) {
      with.emplace(symbol, own.min);
      ranges.erase(symbol);
    }
  }
  meet_constraints(*graph, with, ranges);
  if (with.empty() && ranges == graph->ranges() && (ranges.empty() || !has_regions(*graph))) {
    return graph;
  }
  return substitute(*graph, registry, with, ranges);
}

}  // namespace modellib
