#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/cpu_device.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/frontends/cli/load_with_inputs.h"
#include "modellib/frontends/cli/reference_device.h"
#include "modellib/frontends/cli/tensors_in_files.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

struct RunOptions {
  std::string model, output, output_format = "npy", device = "cpu", entry;
  std::vector<std::string> inputs;
  std::optional<int> threads;
};

absl::StatusOr<std::vector<Tensor>> outputs_of_reference(const LoadedFile& file,
                                                         const RunOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(const Model* model, model_for_reference(file, options.model));
  MODELLIB_ASSIGN_OR_RETURN(const Program::Entry entry, entry_of(*model, options.entry));
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs,
                            read_inputs(options.inputs, input_slots(*entry.graph), file.signature));
  MODELLIB_ASSIGN_OR_RETURN(ReferenceResult result, run_on_reference(*model, entry.graph, inputs));
  return std::move(result.outputs);
}

absl::StatusOr<std::vector<Tensor>> outputs_of_cpu(const LoadedFile& file,
                                                   const RunOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(const DimRanges dims,
                            dims_of_inputs(file, options.entry, options.inputs));
  MODELLIB_ASSIGN_OR_RETURN(std::shared_ptr<const PlanFile> plan,
                            plan_for_cpu(file, options.entry, dims));
  MODELLIB_ASSIGN_OR_RETURN(const CpuSession cpu,
                            start_on_cpu(std::move(plan), options.threads.value_or(0)));
  MODELLIB_ASSIGN_OR_RETURN(const std::string name,
                            choose_entry(entry_names(*cpu.executable), options.entry));
  MODELLIB_ASSIGN_OR_RETURN(const runtime::EntryId entry, cpu.executable->entry(name));
  // What cannot run whatever its inputs are is found before they are read.
  MODELLIB_RETURN_IF_ERROR(cpu.session->reserve_outputs(entry));
  std::vector<InputSlot> slots;
  for (const runtime::TensorInfo& input : cpu.executable->info(entry).inputs) {
    slots.push_back({input.name, input.dtype});
  }
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs,
                            read_inputs(options.inputs, slots, file.signature));
  return cpu.session->run_tensors(entry, inputs);
}

absl::Status run(const RunOptions& options) {
  if (options.device == "reference" && options.threads.has_value()) {
    return wrong_usage("--threads: the reference executor has one");
  }
  MODELLIB_ASSIGN_OR_RETURN(const LoadedFile file, load_with_inputs(options.model, options.inputs));
  auto outputs = options.device == "reference" ? outputs_of_reference(file, options)
                                               : outputs_of_cpu(file, options);
  if (!outputs.ok()) return outputs.status();
  return write_outputs(*outputs, file.signature, options.output,
                       options.output_format == "pb" ? TensorFormat::kOnnx : TensorFormat::kNpy);
}

}  // namespace

void add_run_command(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Runs a model once, from files to files");
  command->add_option("MODEL", options->model, "ONNX, native or text model, or plan")->required();
  command->add_option(
      "INPUT", options->inputs,
      "FILE, in the order of the model's inputs, or NAME=FILE; .npy or .pb. A .pb holds a "
      "tensor, a sequence of tensors, or an optional of one of them");
  command
      ->add_option("--output", options->output,
                   "Folder for output_0.npy and so on; of a sequence, output_0_0.npy and so on")
      ->required()
      ->type_name("DIR");
  command->add_option("--output-format", options->output_format, "Of the files that are written")
      ->check(CLI::IsMember({"npy", "pb"}))
      ->type_name("FORMAT")
      ->capture_default_str();
  command->add_option("--device", options->device, "What runs it")
      ->check(CLI::IsMember({"cpu", "reference"}))
      ->type_name("DEVICE")
      ->capture_default_str();
  command->add_option("--threads", options->threads, "0: one for each core")
      ->check(CLI::Range(0, 1024))
      ->type_name("N")
      ->default_str("0");
  command->add_option("--entry", options->entry, "Of a program with several")->type_name("NAME");
  set_examples(*command,
               {"modellib run model.mltxt x.npy --output out",
                "modellib run model.mltxt x=x.npy --output out-pb --output-format pb --threads 1",
                "modellib run model.mltxt x.npy --output out-reference --device reference"});
  command->callback([options, &outcome] { outcome = run(*options); });
}

}  // namespace modellib::cli
