#include "modellib/frontends/cli/cpu_device.h"

#include <utility>

#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/runtime/variable_store.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/frontends/cli/dims.h"
#include "modellib/frontends/cli/value_names.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/registry.h"

namespace modellib::cli {

absl::StatusOr<CompiledModel> compile_for_cpu(const Model& model, const CompileOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(const Program program, name_values(model.program));
  MODELLIB_ASSIGN_OR_RETURN(CompileResult result,
                            compile(program, builtin_ops(), cpu::cpu_backend(), options));
  add_variable_contents(model.variables, result.lowered);
  CompiledModel compiled;
  MODELLIB_ASSIGN_OR_RETURN(compiled.plan, make_plan_file(result.lowered));
  for (size_t i = 0; i < result.runs.size(); ++i) {
    compiled.entries.push_back({program.entries[i].name, std::move(result.runs[i])});
  }
  return compiled;
}

absl::StatusOr<std::shared_ptr<const PlanFile>> plan_for_cpu(const LoadedFile& file,
                                                             const DimRanges& dims) {
  if (file.plan != nullptr) return file.plan;
  CompileOptions options;
  options.dims = dims;
  MODELLIB_ASSIGN_OR_RETURN(CompiledModel compiled, compile_for_cpu(*file.model, options));
  return std::move(compiled.plan);
}

absl::StatusOr<std::shared_ptr<const PlanFile>> plan_for_cpu(const LoadedFile& file,
                                                             const std::string& entry,
                                                             const DimRanges& dims) {
  MODELLIB_ASSIGN_OR_RETURN(const LoadedFile kept, keep_entry(file, entry));
  return plan_for_cpu(kept, dims_among(dims, dim_names(kept)));
}

absl::StatusOr<std::shared_ptr<const runtime::Executable>> load_on_cpu(
    std::shared_ptr<const PlanFile> plan) {
  auto executable = runtime::Executable::load(std::move(plan), cpu::cpu_kernel_table());
  if (!executable.ok()) return as_unsupported(executable.status());
  return executable;
}

absl::StatusOr<CpuSession> start_on_cpu(std::shared_ptr<const PlanFile> plan,
                                        runtime::SessionOptions options) {
  CpuSession cpu;
  MODELLIB_ASSIGN_OR_RETURN(cpu.executable, load_on_cpu(std::move(plan)));
  MODELLIB_ASSIGN_OR_RETURN(
      std::shared_ptr<runtime::VariableStore> store,
      runtime::VariableStore::create(cpu.executable, {.seed = 0, .threads = options.threads}));
  MODELLIB_ASSIGN_OR_RETURN(
      cpu.session, runtime::Session::create(cpu.executable, std::move(store), std::move(options)));
  return cpu;
}

absl::StatusOr<CpuSession> start_on_cpu(std::shared_ptr<const PlanFile> plan, int threads) {
  runtime::SessionOptions options;
  options.threads = threads;
  return start_on_cpu(std::move(plan), std::move(options));
}

std::vector<std::string> entry_names(const runtime::Executable& executable) {
  std::vector<std::string> names;
  for (int i = 0; i < executable.entry_count(); ++i) {
    names.push_back(executable.info(runtime::EntryId(i)).name);
  }
  return names;
}

}  // namespace modellib::cli
