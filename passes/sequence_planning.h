// Order and memory of the steps of an entry: each sequence is a scheduling problem, bodies first,
// so that a control step stands in the sequence around it as one step with its bodies' bytes as
// workspace.
#ifndef MODELLIB_PASSES_SEQUENCE_PLANNING_H_
#define MODELLIB_PASSES_SEQUENCE_PLANNING_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/passes/step_plan.h"
#include "modellib/passes/step_sequence.h"

namespace modellib {

struct SequencePlan {
  StepPlan plan;  // by index of the problem
  // Largest sum of live bytes in plain topological order with the updates of variables last: the
  // smaller of those in the order of the nodes and in that of readiness. What the schedule is
  // judged by.
  int64_t plain_peak = 0;
  // Index in the problem of a buffer that the sequence plans.
  absl::flat_hash_map<int, int> buffers;
  // By step of the sequence, then by body.
  std::vector<std::vector<SequencePlan>> bodies;
};

// Drops the copies of a place to itself (`copy` is the kernel that copies), gives control steps
// their workspace, and plans.
absl::StatusOr<SequencePlan> plan_sequence(StepSequence& sequence, const StepBuffers& buffers,
                                           absl::string_view copy);

}  // namespace modellib

#endif  // MODELLIB_PASSES_SEQUENCE_PLANNING_H_
