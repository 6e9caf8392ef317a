#include "modellib/frontends/cli/reference_device.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/program.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {

absl::StatusOr<const Model*> model_for_reference(const LoadedFile& file, const std::string& path) {
  if (file.model.has_value()) return &*file.model;
  return absl::UnimplementedError(
      absl::StrCat(path,
                   " is a plan, which runs on the device that it was compiled for; the "
                   "reference executor runs models"));
}

absl::StatusOr<Program::Entry> entry_of(const Model& model, const std::string& wanted) {
  std::vector<std::string> names;
  for (const Program::Entry& entry : model.program.entries) names.push_back(entry.name);
  MODELLIB_ASSIGN_OR_RETURN(const std::string name, choose_entry(names, wanted));
  for (const Program::Entry& entry : model.program.entries) {
    if (entry.name == name) return entry;
  }
  return absl::InternalError("an entry without a graph");
}

std::vector<InputSlot> input_slots(const Graph& graph) {
  std::vector<InputSlot> slots;
  for (ValueId id : graph.inputs()) {
    slots.push_back({graph.value(id).name, graph.type(id).dtype});
  }
  return slots;
}

namespace {

// Zeros for what has no content: all that the graph reads, or the session's own.
absl::Status add_zeros(const Graph& graph, bool all, NamedTensors& variables) {
  for (const Graph::VariableUse& use : graph.variables()) {
    const Variable& variable = *use.variable;
    if (!all && variable.kind != Variable::Kind::kSession) continue;
    if (variables.contains(variable.name)) continue;
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<int64_t> extents,
                              static_extents(variable.type.shape));
    MODELLIB_ASSIGN_OR_RETURN(variables[variable.name],
                              Tensor::zeros(variable.type.dtype, extents));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ReferenceResult> run_on_reference(const Model& model, GraphRef graph,
                                                 const std::vector<Tensor>& inputs,
                                                 ReferenceOptions options) {
  NamedTensors variables;
  for (const Program::Entry& entry : model.program.entries) {
    if (entry.name != kInitializeEntry) continue;
    // It may do without the seed.
    std::vector<Tensor> seed;
    if (!entry.graph->inputs().empty()) seed.push_back(Tensor::scalar(int64_t{0}));
    NamedTensors nothing;
    MODELLIB_RETURN_IF_ERROR(add_zeros(*entry.graph, /*all=*/true, nothing));
    MODELLIB_ASSIGN_OR_RETURN(ReferenceResult initial, run_reference(entry.graph, seed, nothing));
    variables = std::move(initial.assigned);
  }
  for (const auto& [variable, content] : model.variables) variables[variable] = content;
  MODELLIB_RETURN_IF_ERROR(add_zeros(*graph, /*all=*/false, variables));
  return ReferenceExecutor(std::move(graph), std::move(options)).run(inputs, variables);
}

}  // namespace modellib::cli
