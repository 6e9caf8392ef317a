// What a plan did in the process that compiled it, in a file beside the plan, so that a process
// without a compiler can be held to it. Only this test writes and reads these files.
#ifndef MODELLIB_TESTS_LINKAGE_RECORDED_RUNS_H_
#define MODELLIB_TESTS_LINKAGE_RECORDED_RUNS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/tests/support/program_run.h"

namespace modellib {

struct RecordedRuns {
  ProgramCalls calls;
  std::vector<uint64_t> digests;  // by call
  uint64_t variables = 0;         // after the last
};

absl::Status save_runs(const std::string& path, const RecordedRuns& runs);
absl::StatusOr<RecordedRuns> load_runs(const std::string& path);

}  // namespace modellib

#endif  // MODELLIB_TESTS_LINKAGE_RECORDED_RUNS_H_
