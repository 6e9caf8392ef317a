// The CPU as the command line uses it: from a model to a plan, from a plan to what runs.
#ifndef MODELLIB_FRONTENDS_CLI_CPU_DEVICE_H_
#define MODELLIB_FRONTENDS_CLI_CPU_DEVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/formats/plan_file.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/passes/compile.h"

namespace modellib::cli {

// The plan of a model, with what its variables hold. All its values have names (value_names.h).
struct CompiledModel {
  std::shared_ptr<const PlanFile> plan;
  // What each pass did and, if that was asked for, what it remarked.
  struct Entry {
    std::string name;
    std::vector<PassRun> runs;
  };
  std::vector<Entry> entries;
};
absl::StatusOr<CompiledModel> compile_for_cpu(const Model& model, const CompileOptions& options);
// The plan in the file, or that of the model in it.
absl::StatusOr<std::shared_ptr<const PlanFile>> plan_for_cpu(const LoadedFile& file,
                                                             const DimRanges& dims);
// Of the model, for runs of this entry alone (see keep_entry); `dims` may be those of others too.
absl::StatusOr<std::shared_ptr<const PlanFile>> plan_for_cpu(const LoadedFile& file,
                                                             const std::string& entry,
                                                             const DimRanges& dims);

// Whether the plan will run here, found out by loading it. Unimplemented, listing them, for kernels
// or features that are missing; InvalidArgument for steps that no kernel could run, at some of the
// sizes that were planned for.
absl::StatusOr<std::shared_ptr<const runtime::Executable>> load_on_cpu(
    std::shared_ptr<const PlanFile> plan);

// A session over the plan. Errors are also those of load_on_cpu.
struct CpuSession {
  std::shared_ptr<const runtime::Executable> executable;
  std::unique_ptr<runtime::Session> session;
};
absl::StatusOr<CpuSession> start_on_cpu(std::shared_ptr<const PlanFile> plan,
                                        runtime::SessionOptions options);
absl::StatusOr<CpuSession> start_on_cpu(std::shared_ptr<const PlanFile> plan, int threads);

std::vector<std::string> entry_names(const runtime::Executable& executable);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_CPU_DEVICE_H_
