#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/frontends/cli/describe.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/compile.h"

namespace modellib::cli {
namespace {

// Bounds of the free dimensions; those that the graph says nothing about have none.
DimRanges free_dims(const Graph& graph) {
  DimRanges dims = graph.ranges();
  for (ValueId id : graph.inputs()) {
    for (const Dim& d : graph.type(id).shape) {
      for (const std::string& symbol : d.symbols()) dims.try_emplace(symbol);
    }
  }
  return dims;
}

Json entry(const Program::Entry& e) {
  const Graph& g = *e.graph;
  Json out = {{"name", e.name},
              {"graph", std::string(g.name())},
              {"symbols", Json::array()},
              {"constraints", Json::array()},
              {"inputs", Json::array()},
              {"outputs", Json::array()},
              {"reads", Json::array()},
              {"assigns", Json::array()},
              {"nodes", g.nodes().size()},
              {"ops", Json::array()}};
  for (const auto& [symbol, range] : free_dims(g)) {
    Json described = {{"name", symbol}, {"min", range.min}};
    if (range.max != DimRange::kUnbounded) described["max"] = range.max;
    out["symbols"].push_back(std::move(described));
  }
  for (const Graph::Constraint& c : g.constraints()) {
    out["constraints"].push_back(
        {{"left", c.left.to_string()}, {"right", c.right.to_string()}, {"reason", c.reason}});
  }
  for (ValueId id : g.inputs()) {
    out["inputs"].push_back({{"name", g.value(id).name}, {"type", to_string(g.type(id))}});
  }
  for (const Graph::Output& output : g.outputs()) {
    out["outputs"].push_back({{"name", output.name}, {"type", to_string(g.type(output.value))}});
  }
  for (const Graph::VariableUse& use : g.variables()) {
    if (use.value != kNoValue) out["reads"].push_back(use.variable->name);
    if (use.assigned != kNoValue) out["assigns"].push_back(use.variable->name);
  }
  std::map<std::string, int> ops;
  for (const Graph::Node& node : g.nodes()) ++ops[node.op->name];
  for (const auto& [name, count] : ops) out["ops"].push_back({{"name", name}, {"count", count}});
  return out;
}

}  // namespace

Json lines_of(const absl::Status& status) {
  Json lines = Json::array();
  for (absl::string_view line : absl::StrSplit(status.message(), '\n')) {
    lines.push_back(std::string(absl::StripAsciiWhitespace(line)));
  }
  return lines;
}

Json describe_model(const Model& model) {
  Json out = {{"format", "model"},
              {"variables", Json::array()},
              {"entries", Json::array()},
              {"will_not_run", Json::array()}};
  for (const VariableRef& v : model.program.variables()) {
    const bool has_content = model.variables.contains(v->name);
    out["variables"].push_back(
        {{"name", v->name},
         {"kind", std::string(to_string(v->kind))},
         {"type", to_string(v->type)},
         {"content", has_content ? "in the file" : "from the entry initialize"}});
  }
  for (const Program::Entry& e : model.program.entries) out["entries"].push_back(entry(e));
  // Free dimensions without a maximum can be bounded when it is compiled; that is no fault.
  CompileOptions options;
  constexpr int64_t kAssumed = 64;
  for (const Program::Entry& e : model.program.entries) {
    for (const auto& [symbol, range] : free_dims(*e.graph)) {
      if (range.max == DimRange::kUnbounded) {
        options.dims[symbol] = {range.min, std::max(range.min, kAssumed)};
      }
    }
  }
  const auto compiled = compile(model.program, builtin_ops(), cpu::cpu_backend(), options);
  if (!compiled.ok()) {
    out["will_not_run"] = lines_of(compiled.status());
    return out;
  }
  for (size_t i = 0; i < out["entries"].size(); ++i) {
    const auto& count = compiled->lowered.plan.entries[i]->pointwise;
    out["entries"][i]["pointwise"] = {{"in_regions", count->in_regions()},
                                      {"in_epilogues", count->in_epilogues()},
                                      {"outside", count->outside()}};
  }
  return out;
}

}  // namespace modellib::cli
