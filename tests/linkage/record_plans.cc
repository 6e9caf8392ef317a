// Compiles every test plan (the op table, the list of test programs, random graphs), writes it to a
// file, runs it, and writes beside it what came out: record_plans FOLDER.
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/graph/status_macros.h"
#include "modellib/tests/linkage/recorded_runs.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/random_graphs/checks.h"
#include "modellib/tests/support/cpu_program.h"
#include "modellib/tests/support/program_run.h"
#include "modellib/tests/support/test_programs.h"

namespace modellib {
namespace {

constexpr uint64_t kRandomGraphs = 500;

absl::Status record(const std::string& path, const LoweredPlan& lowered, ProgramCalls calls) {
  RecordedRuns runs;
  runs.calls = std::move(calls);
  MODELLIB_ASSIGN_OR_RETURN(const auto file, make_plan_file(lowered));
  MODELLIB_RETURN_IF_ERROR(file->write(path + ".mlplan"));
  MODELLIB_ASSIGN_OR_RETURN(const auto executable, load_for_cpu(lowered));
  MODELLIB_ASSIGN_OR_RETURN(const auto run,
                            ProgramRun::create(executable, runs.calls, {.threads = 2}));
  for (size_t i = 0; i < runs.calls.calls.size(); ++i) {
    MODELLIB_RETURN_IF_ERROR(run->call(i));
    runs.digests.push_back(run->digest(i));
  }
  MODELLIB_ASSIGN_OR_RETURN(runs.variables, run->variables_digest());
  return save_runs(path + ".runs", runs);
}

// With free dimensions bounded to twice their extent.
absl::Status record_op(const std::string& path, const OpCase& c) {
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef graph, sample_graph(c));
  ProgramCalls calls;
  MODELLIB_ASSIGN_OR_RETURN(std::vector<Tensor> inputs, sample_inputs(c));
  MODELLIB_ASSIGN_OR_RETURN(const DimBinding binding, bind_inputs(*graph, inputs));
  calls.calls.push_back({"main", {std::move(inputs)}});
  CompileOptions options;
  for (const auto& [symbol, extent] : binding) options.dims[symbol] = {1, 2 * extent};
  absl::StatusOr<CpuProgram> program = compile_for_cpu(graph, options);
  if (!program.ok()) {
    // What takes static extents alone.
    for (const auto& [symbol, extent] : binding) options.dims[symbol] = {extent, extent};
    program = compile_for_cpu(graph, options);
  }
  if (!program.ok()) return program.status();
  return record(path, program->compiled.lowered, std::move(calls));
}

absl::Status record_program(const std::string& path, const TestProgramCase& c) {
  MODELLIB_ASSIGN_OR_RETURN(TestProgram program, c.make());
  MODELLIB_ASSIGN_OR_RETURN(const CompileResult compiled, compile_test_program(program));
  return record(path, compiled.lowered, std::move(program.calls));
}

absl::Status record_random(const std::string& path, uint64_t seed) {
  GraphCase c = random_graph(seed);
  MODELLIB_ASSIGN_OR_RETURN(const DimBinding binding, bind_inputs(*c.graph, c.inputs));
  CompileOptions options;
  for (const auto& [symbol, extent] : binding) options.dims[symbol] = {1, extent + 2};
  MODELLIB_ASSIGN_OR_RETURN(const Program source, program_of(c));
  MODELLIB_ASSIGN_OR_RETURN(const CpuProgram program, compile_for_cpu(source, options));
  ProgramCalls calls;
  calls.calls.push_back({"main", {std::move(c.inputs)}});
  return record(path, program.compiled.lowered, std::move(calls));
}

absl::Status record_all(const std::string& folder) {
  std::filesystem::create_directories(folder);
  const auto named = [](const absl::Status& status, const std::string& name) {
    if (status.ok()) return status;
    return absl::Status(status.code(), absl::StrCat(name, ": ", status.message()));
  };
  for (const OpCase& c : op_cases()) {
    std::string name = c.name();
    for (char& letter : name) letter = letter == '/' ? '.' : letter;
    MODELLIB_RETURN_IF_ERROR(named(record_op(absl::StrCat(folder, "/op.", name), c), name));
  }
  for (const TestProgramCase& c : test_programs()) {
    MODELLIB_RETURN_IF_ERROR(
        named(record_program(absl::StrCat(folder, "/program.", c.name), c), c.name));
  }
  for (uint64_t seed = 0; seed < kRandomGraphs; ++seed) {
    const std::string name = absl::StrCat("random.", seed);
    MODELLIB_RETURN_IF_ERROR(named(record_random(absl::StrCat(folder, "/", name), seed), name));
  }
  return absl::OkStatus();
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
