// Compiles every test plan, the training programs among them, writes it to a file, runs it, and
// writes beside it what came out: record_plans FOLDER.
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/distributed/local/local_group.h"
#include "modellib/examples/mnist/simple_net.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/frontends/training/optimizer.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/losses.h"
#include "modellib/tests/linkage/recorded_runs.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"
#include "modellib/tests/training/golden_training.h"

namespace modellib {
namespace {

// `runs` comes without outputs and variables after.
absl::Status record(const std::string& path, const CpuProgram& program, RecordedRuns runs) {
  MODELLIB_ASSIGN_OR_RETURN(const auto file, make_plan_file(program.compiled.lowered));
  MODELLIB_RETURN_IF_ERROR(file->write(path + ".mlplan"));
  MODELLIB_ASSIGN_OR_RETURN(const auto store, runtime::VariableStore::create(program.executable));
  for (const auto& [name, value] : runs.before) MODELLIB_RETURN_IF_ERROR(store->set(name, value));
  runtime::SessionOptions options;
  const auto alone = distributed::make_local_group(1);
  options.communicator = alone[0].get();
  MODELLIB_ASSIGN_OR_RETURN(
      const auto session, runtime::Session::create(program.executable, store, std::move(options)));
  for (RecordedRuns::Run& run : runs.runs) {
    MODELLIB_ASSIGN_OR_RETURN(const runtime::EntryId entry, program.executable->entry(run.entry));
    MODELLIB_ASSIGN_OR_RETURN(run.outputs, session->run_tensors(entry, run.inputs));
  }
  for (const runtime::VariableInfo& v : store->variables()) {
    MODELLIB_ASSIGN_OR_RETURN(Tensor value, store->get(v.name));
    runs.after.emplace_back(v.name, std::move(value));
  }
  return save_runs(path + ".runs", runs);
}

absl::Status record_op(const std::string& path, const OpCase& c) {
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef graph, sample_graph(c));
  RecordedRuns runs;
  runs.runs.push_back({"main", {}, {}});
  MODELLIB_ASSIGN_OR_RETURN(runs.runs[0].inputs, sample_inputs(c));
  MODELLIB_ASSIGN_OR_RETURN(const DimBinding binding, bind_inputs(*graph, runs.runs[0].inputs));
  CompileOptions options;
  for (const auto& [symbol, extent] : binding) options.dims[symbol] = {1, 2 * extent};
  absl::StatusOr<CpuProgram> program = compile_for_cpu(graph, options);
  if (!program.ok()) {
    // What takes static extents alone.
    for (const auto& [symbol, extent] : binding) options.dims[symbol] = {extent, extent};
    program = compile_for_cpu(graph, options);
  }
  // cpu_test tells which ops the CPU refuses.
  if (program.status().code() == absl::StatusCode::kUnimplemented) return absl::OkStatus();
  if (!program.ok()) return program.status();
  return record(path, *program, std::move(runs));
}

absl::Status record_training(const std::string& path, const std::string& name) {
  MODELLIB_ASSIGN_OR_RETURN(const GoldenTraining training, make_golden_training(name));
  MODELLIB_ASSIGN_OR_RETURN(const CpuProgram program, compile_for_cpu(training.program));
  RecordedRuns runs;
  for (const auto& [variable, value] : training.parameters()) {
    runs.before.emplace_back(variable, value);
  }
  for (int64_t step = 0; step < 3; ++step) {
    runs.runs.push_back({training::kTrainEntry, training.inputs(step), {}});
  }
  runs.runs.push_back({training::kEvalEntry, {training.inputs(0)[0]}, {}});
  return record(path, program, std::move(runs));
}

// The main job's program, first values from "initialize".
absl::Status record_mnist(const std::string& path) {
  examples::SimpleNet model(784, 256, 10);
  const training::Adam optimizer({.lr = 1e-3});
  const Dim batch = Dim::symbol("batch");
  training::TrainProgramOptions options;
  options.inputs = {{"images", {DType::kF32, {batch, 784}}}};
  options.targets = {{"labels", {DType::kI64, {batch}}}};
  options.loss = [](Value logits, absl::Span<const Value> targets) {
    return cross_entropy(logits, targets[0]);
  };
  MODELLIB_ASSIGN_OR_RETURN(const Program program,
                            training::make_train_program(model, optimizer, options));
  CompileOptions compile_options;
  compile_options.dims["batch"] = {1, 1000};
  MODELLIB_ASSIGN_OR_RETURN(const CpuProgram compiled, compile_for_cpu(program, compile_options));
  RecordedRuns runs;
  for (const int64_t n : {32, 16, 32}) {
    const std::string stream = absl::StrCat("digits", n, runs.runs.size());
    MODELLIB_ASSIGN_OR_RETURN(const Tensor images,
                              random_tensor(DType::kF32, {n, 784}, 0, 1, stream));
    MODELLIB_ASSIGN_OR_RETURN(const Tensor labels, random_tensor(DType::kI64, {n}, 0, 9, stream));
    runs.runs.push_back({training::kTrainEntry, {images, labels, Tensor::scalar(1e-3f)}, {}});
    runs.runs.push_back({training::kEvalEntry, {images}, {}});
  }
  return record(path, compiled, std::move(runs));
}

absl::Status record_all(const std::string& folder) {
  std::filesystem::create_directories(folder);
  for (const OpCase& c : op_cases()) {
    std::string name = c.name();
    for (char& letter : name) letter = letter == '/' ? '.' : letter;
    const absl::Status status = record_op(absl::StrCat(folder, "/", name), c);
    if (!status.ok()) {
      return absl::Status(status.code(), absl::StrCat(c.name(), ": ", status.message()));
    }
  }
  for (const std::string& name : golden_trainings()) {
    MODELLIB_RETURN_IF_ERROR(record_training(absl::StrCat(folder, "/training.", name), name));
  }
  return record_mnist(folder + "/training.mnist");
}

}  // namespace
}  // namespace modellib

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: record_plans FOLDER\n");
    return 2;
  }
  const absl::Status status = modellib::record_all(argv[1]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
