// A program compiled for the CPU and loaded in this process: the short way that tests take from
// graphs to results.
#ifndef MODELLIB_TESTS_SUPPORT_CPU_PROGRAM_H_
#define MODELLIB_TESTS_SUPPORT_CPU_PROGRAM_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/variable_store.h"
#include "modellib/graph/program.h"
#include "modellib/graph/tensor.h"
#include "modellib/passes/compile.h"

namespace modellib {

struct CpuProgram {
  CompileResult compiled;
  std::shared_ptr<const runtime::Executable> executable;
};

absl::StatusOr<CpuProgram> compile_for_cpu(const Program& program,
                                           const CompileOptions& options = {});
absl::StatusOr<CpuProgram> compile_for_cpu(const GraphRef& graph,
                                           const CompileOptions& options = {});
// The graph compiled for the extents of the inputs.
absl::StatusOr<CpuProgram> compile_for_inputs(const GraphRef& graph,
                                              absl::Span<const Tensor> inputs);
// A plan as the CPU's runtime loads it.
absl::StatusOr<std::shared_ptr<const runtime::Executable>> load_for_cpu(const LoweredPlan& lowered);

// Whether a kernel of the plan is one that may allocate when it runs (oneDNN).
bool may_allocate(const fb::PlanT& plan);

struct CpuResult {
  std::vector<Tensor> outputs;
  std::map<std::string, Tensor> assigned;  // every shared variable after the run
};
// Runs the entry "main" once, as the only rank, on a new store with these contents; others are as
// "initialize" leaves them.
absl::StatusOr<CpuResult> run_once(const std::shared_ptr<const runtime::Executable>& executable,
                                   absl::Span<const Tensor> inputs,
                                   const std::map<std::string, Tensor>& variables = {},
                                   runtime::SessionOptions options = {});
// Both: compile_for_inputs, run_once.
absl::StatusOr<CpuResult> run_on_cpu(const GraphRef& graph, absl::Span<const Tensor> inputs,
                                     const std::map<std::string, Tensor>& variables = {},
                                     int threads = 2);

}  // namespace modellib

#endif  // MODELLIB_TESTS_SUPPORT_CPU_PROGRAM_H_
