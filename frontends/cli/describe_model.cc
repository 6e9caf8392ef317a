#include <map>
#include <string>

#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/frontends/cli/describe.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/compile.h"

namespace modellib::cli {
namespace {

Json entry(const Program::Entry& e) {
  const Graph& g = *e.graph;
  Json out = {
      {"name", e.name},           {"graph", std::string(g.name())}, {"symbols", Json::array()},
      {"inputs", Json::array()},  {"outputs", Json::array()},       {"reads", Json::array()},
      {"assigns", Json::array()}, {"nodes", g.nodes().size()},      {"ops", Json::array()}};
  for (const auto& [symbol, range] : g.ranges()) {
    Json described = {{"name", symbol}, {"min", range.min}};
    if (range.max != DimRange::kUnbounded) described["max"] = range.max;
    out["symbols"].push_back(std::move(described));
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
  for (const Program::Entry& e : model.program.entries) {
    for (ValueId id : e.graph->inputs()) {
      for (const Dim& d : e.graph->type(id).shape) {
        for (const std::string& symbol : d.symbols()) {
          const auto range = e.graph->ranges().find(symbol);
          if (range == e.graph->ranges().end() || range->second.max == DimRange::kUnbounded) {
            const int64_t least = range == e.graph->ranges().end() ? 0 : range->second.min;
            options.dims[symbol] = {least, std::max<int64_t>(least, 64)};
          }
        }
      }
    }
  }
  const auto compiled = compile(model.program, builtin_ops(), cpu::cpu_backend(), options);
  if (!compiled.ok()) out["will_not_run"].push_back(std::string(compiled.status().message()));
  return out;
}

}  // namespace modellib::cli
