// Where the time of an entry goes, step by step, and how near each step comes to what the machine
// can do.
#ifndef MODELLIB_FRONTENDS_CLI_PROFILE_H_
#define MODELLIB_FRONTENDS_CLI_PROFILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/executors/cpu/kernels/step_work.h"
#include "modellib/executors/cpu/machine/limits.h"
#include "modellib/formats/plan_file.h"
#include "modellib/frontends/cli/describe.h"
#include "modellib/graph/dim.h"

namespace modellib::cli {

struct ProfileOptions {
  std::string entry;  // "": the only one
  DimRanges dims;
  int threads = 0;
  int runs = 20;
  bool trace = false;
};

struct StepProfile {
  int step = 0;  // in the order of the plan
  std::string name, kernel;
  int64_t calls = 0;        // in a run: those of a loop's body are several
  double milliseconds = 0;  // of all calls of a run: the median over runs
  cpu::StepWork work;       // of all calls of a run

  // Its time is that of the steps in its bodies, which are listed too.
  bool holds_others() const { return kernel.rfind("control.", 0) == 0; }
};

// One call of a step in the run that was traced. Microseconds from the start of the run.
struct TracedCall {
  int step;
  int lane;
  double start, duration;
};

struct Profile {
  std::string entry;
  int runs = 0;
  double median_ms = 0;  // of a whole run
  cpu::MachineLimits limits;
  std::vector<StepProfile> steps;
  std::vector<TracedCall> trace;
};

// Runs the entry on made-up inputs. Errors are those of choosing the entry, binding and running.
absl::StatusOr<Profile> profile_plan(std::shared_ptr<const PlanFile> plan,
                                     const ProfileOptions& options);

// Steps in the order of the plan, and sums by kernel. Fractions are of 1.
Json describe_profile(const Profile& profile);
// In the format of Chrome's tracing ("Trace Event Format"), as Perfetto and chrome://tracing read
// it.
Json chrome_trace(const Profile& profile);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_PROFILE_H_
