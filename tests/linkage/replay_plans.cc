// Runs the plans of a folder, with the runtime and the CPU's kernels and nothing else of the
// library, and expects what record_plans wrote beside them, to the last bit: replay_plans FOLDER.
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/distributed/local/local_group.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/variable_store.h"
#include "modellib/formats/plan_file.h"
#include "modellib/graph/status_macros.h"
#include "modellib/tests/linkage/recorded_runs.h"

namespace modellib {
namespace {

absl::Status same(absl::string_view what, const Tensor& got, const Tensor& expected) {
  if (got.identical(expected)) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, " has other bits than when it was recorded"));
}

absl::Status replay(const std::string& plan, const std::string& runs_path,
                    const runtime::KernelTable& kernels) {
  MODELLIB_ASSIGN_OR_RETURN(const RecordedRuns recorded, load_runs(runs_path));
  MODELLIB_ASSIGN_OR_RETURN(const auto file, PlanFile::open(plan));
  MODELLIB_ASSIGN_OR_RETURN(const auto executable, runtime::Executable::load(file, kernels));
  MODELLIB_ASSIGN_OR_RETURN(const auto store, runtime::VariableStore::create(executable));
  for (const auto& [name, value] : recorded.before) {
    MODELLIB_RETURN_IF_ERROR(store->set(name, value));
  }
  runtime::SessionOptions options;
  const auto alone = distributed::make_local_group(1);
  options.communicator = alone[0].get();
  MODELLIB_ASSIGN_OR_RETURN(const auto session,
                            runtime::Session::create(executable, store, std::move(options)));
  for (const RecordedRuns::Run& run : recorded.runs) {
    MODELLIB_ASSIGN_OR_RETURN(const runtime::EntryId entry, executable->entry(run.entry));
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs,
                              session->run_tensors(entry, run.inputs));
    for (size_t i = 0; i < outputs.size(); ++i) {
      MODELLIB_RETURN_IF_ERROR(
          same(absl::StrCat(run.entry, "'s output ", i), outputs[i], run.outputs.at(i)));
    }
  }
  for (const auto& [name, value] : recorded.after) {
    MODELLIB_ASSIGN_OR_RETURN(const Tensor got, store->get(name));
    MODELLIB_RETURN_IF_ERROR(same(absl::StrCat("variable ", name), got, value));
  }
  return absl::OkStatus();
}

int replay_all(const std::string& folder) {
  const auto kernels = runtime::KernelTable::create({cpu::cpu_kernels()});
  if (!kernels.ok()) return 1;
  int plans = 0, failed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::filesystem::path& path = entry.path();
    if (path.extension() != ".mlplan") continue;
    ++plans;
    std::filesystem::path runs = path;
    runs.replace_extension(".runs");
    const absl::Status status = replay(path.string(), runs.string(), *kernels);
    if (status.ok()) continue;
    ++failed;
    std::fprintf(stderr, "%s: %s\n", path.filename().c_str(), status.ToString().c_str());
  }
  std::printf("%d plans replayed, %d failed\n", plans, failed);
  return failed == 0 && plans > 0 ? 0 : 1;
}

}  // namespace
}  // namespace modellib

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: replay_plans FOLDER\n");
    return 2;
  }
  return modellib::replay_all(argv[1]);
}
