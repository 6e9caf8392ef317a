#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "modellib/frontends/cli/describe.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/program.h"

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

std::set<std::string> assigned_by(const Graph* graph) {
  std::set<std::string> names;
  if (graph == nullptr) return names;
  for (const Graph::VariableUse& use : graph->variables()) {
    if (use.assigned != kNoValue) names.insert(use.variable->name);
  }
  return names;
}

void add_missing(Json from, Json& to) {
  for (auto& [key, value] : from.items()) {
    if (!to.contains(key)) to[key] = std::move(value);
  }
}

}  // namespace

absl::Status will_not_run(const PlanToDescribe& plan, bool gave_sizes) {
  if (plan.runs.ok()) return absl::OkStatus();
  const bool assumed = plan.runs.code() == absl::StatusCode::kInvalidArgument &&
                       !plan.assumed.empty() && !gave_sizes;
  return absl::Status(
      assumed ? absl::StatusCode::kUnimplemented : plan.runs.code(),
      absl::StrCat("it will not run here: ", lines_of(plan.runs)[0].get<std::string>()));
}

std::string origin_of_content(bool in_file, bool of_session, bool initialized) {
  if (in_file) return "in the file";
  if (of_session) return "zeros";
  return initialized ? "from the entry initialize" : "none";
}

Json lines_of(const absl::Status& status) {
  Json lines = Json::array();
  if (status.ok()) return lines;
  for (absl::string_view line : absl::StrSplit(status.message(), '\n')) {
    lines.push_back(std::string(absl::StripAsciiWhitespace(line)));
  }
  return lines;
}

Json describe_model(const Model& model, const PlanToDescribe& plan,
                    const runtime::KernelTable& kernels) {
  Json out = {{"format", "model"}};
  if (plan.plan != nullptr && !plan.assumed.empty()) {
    out["planned_for"] = Json::array();
    for (const auto& [symbol, range] : plan.assumed) {
      out["planned_for"].push_back({{"name", symbol}, {"min", range.min}, {"max", range.max}});
    }
  }
  const std::set<std::string> initialized = assigned_by(model.program.find(kInitializeEntry));
  out["variables"] = Json::array();
  for (const VariableRef& v : model.program.variables()) {
    out["variables"].push_back({{"name", v->name},
                                {"kind", std::string(to_string(v->kind))},
                                {"type", to_string(v->type)},
                                {"content", origin_of_content(model.variables.contains(v->name),
                                                              v->kind == Variable::Kind::kSession,
                                                              initialized.contains(v->name))}});
  }
  out["entries"] = Json::array();
  for (const Program::Entry& e : model.program.entries) out["entries"].push_back(entry(e));
  out["will_not_run"] = lines_of(plan.runs);
  if (plan.plan == nullptr) return out;
  // What both tell, such as inputs and dimensions, stands as in the model.
  Json planned = describe_plan(plan, kernels);
  for (size_t i = 0; i < out["entries"].size(); ++i) {
    add_missing(std::move(planned["entries"][i]), out["entries"][i]);
  }
  add_missing(std::move(planned), out);
  return out;
}

}  // namespace modellib::cli
