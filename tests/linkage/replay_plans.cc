// Runs the plans of a folder, with the runtime and the CPU's kernels and nothing else of the
// library, and expects what record_plans wrote beside them (with two workers), to the last bit,
// with one worker and with four: replay_plans FOLDER.
#include <cstdio>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/formats/plan_file.h"
#include "modellib/graph/status_macros.h"
#include "modellib/tests/linkage/recorded_runs.h"
#include "modellib/tests/support/program_run.h"

namespace modellib {
namespace {

absl::Status replay(const std::string& plan, const std::string& runs_path) {
  MODELLIB_ASSIGN_OR_RETURN(const RecordedRuns recorded, load_runs(runs_path));
  MODELLIB_ASSIGN_OR_RETURN(const auto file, PlanFile::open(plan));
  MODELLIB_ASSIGN_OR_RETURN(const auto executable,
                            runtime::Executable::load(file, cpu::cpu_kernel_table()));
  for (const int threads : {1, 4}) {
    MODELLIB_ASSIGN_OR_RETURN(const auto run,
                              ProgramRun::create(executable, recorded.calls, {.threads = threads}));
    for (size_t i = 0; i < recorded.calls.calls.size(); ++i) {
      MODELLIB_RETURN_IF_ERROR(run->call(i));
      if (run->digest(i) == recorded.digests.at(i)) continue;
      return absl::InternalError(absl::StrCat("call ", i, " of '", recorded.calls.calls[i].entry,
                                              "' has other bits than when it was recorded"));
    }
    MODELLIB_ASSIGN_OR_RETURN(const uint64_t variables, run->variables_digest());
    if (variables != recorded.variables) {
      return absl::InternalError("the variables have other bits than when it was recorded");
    }
  }
  return absl::OkStatus();
}

int replay_all(const std::string& folder) {
  int plans = 0, failed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::filesystem::path& path = entry.path();
    if (path.extension() != ".mlplan") continue;
    ++plans;
    std::filesystem::path runs = path;
    runs.replace_extension(".runs");
    const absl::Status status = replay(path.string(), runs.string());
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
