#include "modellib/tests/support/cpu_program.h"

#include <utility>

#include "modellib/distributed/local/local_group.h"
#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/registry.h"

namespace modellib {

absl::StatusOr<std::shared_ptr<const runtime::Executable>> load_for_cpu(
    const LoweredPlan& lowered) {
  MODELLIB_ASSIGN_OR_RETURN(const std::shared_ptr<const PlanFile> file, make_plan_file(lowered));
  return runtime::Executable::load(file, cpu::cpu_kernel_table());
}

absl::StatusOr<CpuProgram> compile_for_cpu(const Program& program, const CompileOptions& options) {
  CpuProgram result;
  MODELLIB_ASSIGN_OR_RETURN(result.compiled,
                            compile(program, builtin_ops(), cpu::cpu_backend(), options));
  MODELLIB_ASSIGN_OR_RETURN(result.executable, load_for_cpu(result.compiled.lowered));
  return result;
}

absl::StatusOr<CpuProgram> compile_for_cpu(const GraphRef& graph, const CompileOptions& options) {
  return compile_for_cpu(Program{{{"main", graph}}}, options);
}

bool may_allocate(const fb::PlanT& plan) {
  for (const std::string& name : plan.kernels) {
    for (const runtime::Kernel& kernel : cpu::cpu_kernels()) {
      if (name == kernel.name && kernel.may_allocate) return true;
    }
  }
  return false;
}

absl::StatusOr<CpuProgram> compile_for_inputs(const GraphRef& graph,
                                              absl::Span<const Tensor> inputs) {
  MODELLIB_ASSIGN_OR_RETURN(const DimBinding binding, bind_inputs(*graph, inputs));
  CompileOptions options;
  for (const auto& [symbol, extent] : binding) options.dims[symbol] = {extent, extent};
  return compile_for_cpu(graph, options);
}

absl::StatusOr<CpuResult> run_once(const std::shared_ptr<const runtime::Executable>& executable,
                                   absl::Span<const Tensor> inputs,
                                   const std::map<std::string, Tensor>& variables,
                                   runtime::SessionOptions options) {
  std::shared_ptr<runtime::VariableStore> store;
  if (!executable->variables().empty()) {
    MODELLIB_ASSIGN_OR_RETURN(store, runtime::VariableStore::create(executable));
    for (const auto& [name, value] : variables) MODELLIB_RETURN_IF_ERROR(store->set(name, value));
  }
  const auto alone = distributed::make_local_group(1);
  options.communicator = alone[0].get();
  MODELLIB_ASSIGN_OR_RETURN(const std::unique_ptr<runtime::Session> session,
                            runtime::Session::create(executable, store, std::move(options)));
  MODELLIB_ASSIGN_OR_RETURN(const runtime::EntryId entry, executable->entry("main"));
  CpuResult result;
  MODELLIB_ASSIGN_OR_RETURN(result.outputs, session->run_tensors(entry, inputs));
  if (store != nullptr) {
    for (const runtime::VariableInfo& v : store->variables()) {
      MODELLIB_ASSIGN_OR_RETURN(result.assigned[v.name], store->get(v.name));
    }
  }
  return result;
}

absl::StatusOr<CpuResult> run_on_cpu(const GraphRef& graph, absl::Span<const Tensor> inputs,
                                     const std::map<std::string, Tensor>& variables, int threads) {
  MODELLIB_ASSIGN_OR_RETURN(const CpuProgram program, compile_for_inputs(graph, inputs));
  runtime::SessionOptions options;
  options.threads = threads;
  return run_once(program.executable, inputs, variables, std::move(options));
}

}  // namespace modellib
