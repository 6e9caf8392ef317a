#include "modellib/frontends/cli/load_with_inputs.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
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

bool has_optionals(const LoadedFile& file) {
  return absl::c_any_of(file.signature.inputs,
                        [](const onnx::Signature::Part& part) { return part.optional; });
}

// The types of all inputs, and what small ones hold.
onnx::ImportOptions what_is_known(const std::vector<onnx::ModelInput>& inputs,
                                  const std::vector<std::optional<std::vector<Tensor>>>& contents) {
  constexpr int64_t kSmall = 256;
  onnx::ImportOptions known;
  for (size_t i = 0; i < inputs.size(); ++i) {
    auto& types = known.input_types[inputs[i].name];
    if (!contents[i].has_value()) continue;
    types.emplace();
    for (const Tensor& t : *contents[i]) {
      types->push_back({t.dtype(), Shape(t.shape().begin(), t.shape().end())});
      if (inputs[i].sequence || t.rank() > 1 || t.elements() > kSmall) continue;
      known.known_inputs.emplace(inputs[i].name, t);
    }
  }
  return known;
}

}  // namespace

absl::StatusOr<LoadedFile> load_with_inputs(const std::string& path,
                                            const std::vector<std::string>& inputs) {
  // A default that is given a file by its name is an input.
  const std::set<std::string> named = names_in(inputs);
  auto file = load_file(path, /*trusted=*/false, named);
  if (file.ok() ? !has_optionals(*file) : !absl::IsUnimplemented(file.status())) return file;
  const auto declared = onnx::model_inputs(path, named);
  if (!declared.ok()) return file;
  // Then what is wrong with the model shows only once there are inputs.
  const bool needs_types = absl::c_any_of(*declared, [](const onnx::ModelInput& input) {
    return input.sequence || !input.shape.has_value();
  });
  const auto contents = read_declared_inputs(inputs, *declared);
  if (!contents.ok()) return needs_types ? contents.status() : file;
  onnx::ImportOptions known = what_is_known(*declared, *contents);
  known.overridden = named;
  LoadedFile loaded;
  auto model = onnx::import_model(path, known, &loaded.signature);
  if (!model.ok()) return needs_types ? as_unsupported(model.status()) : file;
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
                            read_inputs(inputs, input_slots(graph), file.signature));
  MODELLIB_ASSIGN_OR_RETURN(const DimBinding binding, modellib::bind_inputs(graph, tensors));
  for (const std::string& symbol : unbounded) {
    const auto bound = binding.find(symbol);
    if (bound != binding.end()) dims[symbol] = {bound->second, bound->second};
  }
  return dims;
}

}  // namespace modellib::cli
