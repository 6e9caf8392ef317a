// What a plan did in the process that compiled it, in a file beside the plan, so that a process
// without a compiler can be held to it. Only this test writes and reads these files.
#ifndef MODELLIB_TESTS_LINKAGE_RECORDED_RUNS_H_
#define MODELLIB_TESTS_LINKAGE_RECORDED_RUNS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/graph/tensor.h"

namespace modellib {

struct RecordedRuns {
  using Variables = std::vector<std::pair<std::string, Tensor>>;
  struct Run {
    std::string entry;
    std::vector<Tensor> inputs, outputs;
  };
  Variables before;  // set in the store before the first run
  std::vector<Run> runs;
  Variables after;  // all of the store's
};

absl::Status save_runs(const std::string& path, const RecordedRuns& runs);
absl::StatusOr<RecordedRuns> load_runs(const std::string& path);

}  // namespace modellib

#endif  // MODELLIB_TESTS_LINKAGE_RECORDED_RUNS_H_
