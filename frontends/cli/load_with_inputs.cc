#include "modellib/frontends/cli/load_with_inputs.h"

#include <set>
#include <utility>

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/frontends/cli/reference_device.h"
#include "modellib/frontends/cli/tensors_in_files.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

// What may be a name in NAME=FILE: names and paths may hold "=" themselves.
std::set<std::string> names_in(const std::vector<std::string>& arguments) {
  std::set<std::string> names;
  for (const std::string& argument : arguments) {
    for (size_t at = argument.find('='); at != std::string::npos; at = argument.find('=', at + 1)) {
      names.insert(argument.substr(0, at));
    }
  }
  return names;
}

}  // namespace

absl::StatusOr<LoadedFile> load_with_inputs(const std::string& path,
                                            const std::vector<std::string>& inputs) {
  // A default that is given a file by its name is an input.
  const std::set<std::string> named = names_in(inputs);
  auto file = load_file(path, /*trusted=*/false, named);
  if (file.status().code() != absl::StatusCode::kUnimplemented) return file;
  const auto declared = onnx::model_inputs(path, named);
  if (!declared.ok()) return file;
  std::vector<InputSlot> slots;
  for (const onnx::ModelInput& input : *declared) slots.push_back({input.name, input.type.dtype});
  const auto tensors = read_inputs(inputs, slots);
  if (!tensors.ok()) return file;
  constexpr int64_t kSmall = 256;
  onnx::ImportOptions known;
  known.overridden = named;
  for (size_t i = 0; i < slots.size(); ++i) {
    const Tensor& t = (*tensors)[i];
    if (t.rank() <= 1 && t.elements() <= kSmall) known.known_inputs.emplace(slots[i].name, t);
  }
  if (known.known_inputs.empty()) return file;
  auto model = onnx::import_model(path, known);
  if (!model.ok()) return file;
  LoadedFile loaded;
  loaded.format = FileFormat::kOnnx;
  loaded.model = *std::move(model);
  return loaded;
}

absl::StatusOr<DimRanges> dims_of_inputs(const LoadedFile& file, const std::string& entry,
                                         const std::vector<std::string>& inputs) {
  DimRanges dims;
  if (!file.model.has_value()) return dims;
  MODELLIB_ASSIGN_OR_RETURN(const Program::Entry chosen, entry_of(*file.model, entry));
  const Graph& graph = *chosen.graph;
  std::set<std::string> unbounded;
  for (ValueId id : graph.inputs()) {
    for (const Dim& d : graph.type(id).shape) {
      for (const std::string& symbol : d.symbols()) {
        const auto range = graph.ranges().find(symbol);
        if (range == graph.ranges().end() || range->second.max == DimRange::kUnbounded) {
          unbounded.insert(symbol);
        }
      }
    }
  }
  if (unbounded.empty()) return dims;
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> tensors,
                            read_inputs(inputs, input_slots(graph)));
  MODELLIB_ASSIGN_OR_RETURN(const DimBinding binding, modellib::bind_inputs(graph, tensors));
  for (const std::string& symbol : unbounded) {
    const auto bound = binding.find(symbol);
    if (bound != binding.end()) dims[symbol] = {bound->second, bound->second};
  }
  return dims;
}

}  // namespace modellib::cli
