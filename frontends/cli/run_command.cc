#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/cpu_device.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/frontends/cli/tensors_in_files.h"
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

absl::StatusOr<std::vector<Tensor>> run_on_cpu(const LoadedFile& file, const RunOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(std::shared_ptr<const PlanFile> plan, plan_for_cpu(file, {}));
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

absl::Status run(const RunOptions& options) {
  if (options.output_format == "pb") {
    return absl::UnimplementedError("ONNX tensors are not written; use --output-format npy");
  }
  MODELLIB_ASSIGN_OR_RETURN(const LoadedFile file, load_file(options.model));
  auto outputs =
      options.device == "reference" ? run_on_reference(file, options) : run_on_cpu(file, options);
  if (!outputs.ok()) return outputs.status();
  return write_outputs(*outputs, options.output);
}

}  // namespace

void add_run_command(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Runs a model once, from files to files");
  command->add_option("MODEL", options->model, "Native model, text model or plan")->required();
  command->add_option("INPUT", options->inputs,
                      "FILE, in the order of the model's inputs, or NAME=FILE; .npy");
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
