#include <CLI/CLI.hpp>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/cpu_device.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/frontends/cli/tensors_in_files.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

struct RunOptions {
  std::string model, output, output_format = "npy", device = "cpu", entry;
  std::vector<std::string> inputs;
  int threads = 0;
};

absl::StatusOr<std::vector<Tensor>> run_on_reference(const LoadedFile& file,
                                                     const RunOptions& options) {
  if (!file.model.has_value()) {
    return absl::UnimplementedError(
        "a plan runs on the device that it was compiled for; the reference executor runs models");
  }
  const Model& model = *file.model;
  std::vector<std::string> names;
  for (const Program::Entry& entry : model.program.entries) names.push_back(entry.name);
  MODELLIB_ASSIGN_OR_RETURN(const std::string name, choose_entry(names, options.entry));
  GraphRef graph;
  NamedTensors variables;
  for (const Program::Entry& entry : model.program.entries) {
    if (entry.name == name) graph = entry.graph;
    if (entry.name == kInitializeEntry) {
      MODELLIB_ASSIGN_OR_RETURN(ReferenceResult initial,
                                run_reference(entry.graph, {Tensor::scalar(int64_t{0})}));
      variables = std::move(initial.assigned);
    }
  }
  for (const auto& [variable, content] : model.variables) variables[variable] = content;
  std::vector<InputSlot> slots;
  for (ValueId id : graph->inputs())
    slots.push_back({graph->value(id).name, graph->type(id).dtype});
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs, read_inputs(options.inputs, slots));
  MODELLIB_ASSIGN_OR_RETURN(ReferenceResult result, run_reference(graph, inputs, variables));
  return std::move(result.outputs);
}

// Free dimensions without a maximum are planned for the extents of these inputs.
absl::StatusOr<DimRanges> dims_of_inputs(const LoadedFile& file, const RunOptions& options) {
  DimRanges dims;
  if (!file.model.has_value()) return dims;
  std::vector<std::string> names;
  for (const Program::Entry& entry : file.model->program.entries) names.push_back(entry.name);
  MODELLIB_ASSIGN_OR_RETURN(const std::string name, choose_entry(names, options.entry));
  const Graph& graph = *file.model->program.find(name);
  std::vector<InputSlot> slots;
  std::set<std::string> unbounded;
  for (ValueId id : graph.inputs()) {
    slots.push_back({graph.value(id).name, graph.type(id).dtype});
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
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs, read_inputs(options.inputs, slots));
  MODELLIB_ASSIGN_OR_RETURN(const DimBinding binding, bind_inputs(graph, inputs));
  for (const std::string& symbol : unbounded) {
    const auto bound = binding.find(symbol);
    if (bound != binding.end()) dims[symbol] = {bound->second, bound->second};
  }
  return dims;
}

absl::StatusOr<std::vector<Tensor>> run_on_cpu(const LoadedFile& file, const RunOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(const DimRanges dims, dims_of_inputs(file, options));
  MODELLIB_ASSIGN_OR_RETURN(std::shared_ptr<const PlanFile> plan, plan_for_cpu(file, dims));
  MODELLIB_ASSIGN_OR_RETURN(const CpuSession cpu, start_on_cpu(std::move(plan), options.threads));
  MODELLIB_ASSIGN_OR_RETURN(const std::string name,
                            choose_entry(entry_names(*cpu.executable), options.entry));
  MODELLIB_ASSIGN_OR_RETURN(const runtime::EntryId entry, cpu.executable->entry(name));
  std::vector<InputSlot> slots;
  for (const runtime::TensorInfo& input : cpu.executable->info(entry).inputs) {
    slots.push_back({input.name, input.dtype});
  }
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs, read_inputs(options.inputs, slots));
  return cpu.session->run_tensors(entry, inputs);
}

// An ONNX model whose shapes depend on what small inputs hold is imported for what they hold now.
absl::StatusOr<LoadedFile> load_for_run(const RunOptions& options) {
  auto file = load_file(options.model);
  if (file.status().code() != absl::StatusCode::kUnimplemented) return file;
  const auto inputs = onnx::model_inputs(options.model);
  if (!inputs.ok()) return file;
  std::vector<InputSlot> slots;
  for (const onnx::ModelInput& input : *inputs) slots.push_back({input.name, input.type.dtype});
  const auto tensors = read_inputs(options.inputs, slots);
  if (!tensors.ok()) return file;
  constexpr int64_t kSmall = 256;
  onnx::ImportOptions known;
  for (size_t i = 0; i < slots.size(); ++i) {
    const Tensor& t = (*tensors)[i];
    if (t.rank() <= 1 && t.elements() <= kSmall) known.known_inputs.emplace(slots[i].name, t);
  }
  if (known.known_inputs.empty()) return file;
  auto model = onnx::import_model(options.model, known);
  if (!model.ok()) return file;
  LoadedFile loaded;
  loaded.format = FileFormat::kOnnx;
  loaded.model = *std::move(model);
  return loaded;
}

absl::Status run(const RunOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(const LoadedFile file, load_for_run(options));
  auto outputs =
      options.device == "reference" ? run_on_reference(file, options) : run_on_cpu(file, options);
  if (!outputs.ok()) return outputs.status();
  return write_outputs(*outputs, options.output,
                       options.output_format == "pb" ? TensorFormat::kOnnx : TensorFormat::kNpy);
}

}  // namespace

void add_run_command(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Runs a model once, from files to files");
  command->add_option("MODEL", options->model, "ONNX, native or text model, or plan")->required();
  command->add_option("INPUT", options->inputs,
                      "FILE, in the order of the model's inputs, or NAME=FILE; .npy or .pb");
  command->add_option("--output", options->output, "Folder for output_0.npy and so on")
      ->required()
      ->type_name("DIR");
  command->add_option("--output-format", options->output_format, "Of the files that are written")
      ->check(CLI::IsMember({"npy", "pb"}));
  command->add_option("--device", options->device, "What runs it")
      ->check(CLI::IsMember({"cpu", "reference"}));
  command->add_option("--threads", options->threads, "0: one for each core")
      ->check(CLI::Range(0, 1024));
  command->add_option("--entry", options->entry, "Of a program with several");
  command->callback([options, &outcome] { outcome = run(*options); });
}

}  // namespace modellib::cli
