// From a scheduling problem to all that a plan says about time and memory, in one call: the order
// of the steps, the place of each buffer, and the waits between lanes.
//
// With one lane this is schedule(), live_records() and plan_memory(). With several, each lane gets
// an arena of its own: a buffer lies in the arena of the lane whose step takes its memory first, so
// that copies and collectives don't compete with computing for bytes. Lifetimes are extended so
// that reuse needs no wait that the data does not need already, and the final waits come from the
// offsets (see lane_sync.h).
#ifndef MODELLIB_PASSES_STEP_PLAN_H_
#define MODELLIB_PASSES_STEP_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/passes/lane_sync.h"
#include "modellib/passes/memory_planner.h"
#include "modellib/passes/scheduler.h"

namespace modellib {

struct BufferPlace {
  int arena = -1;  // index into StepPlan::memory.arenas; -1: persistent, or nobody uses it
  int64_t offset = 0;
};

struct StepPlan {
  ScheduleResult schedule;
  std::vector<MemoryRecord> records;  // `arena` is the lane
  MemoryPlan memory;
  LaneSync sync;                       // by position in schedule.order
  std::vector<BufferPlace> buffers;    // by buffer of the problem
  std::vector<BufferPlace> workspace;  // by node of the problem
};

struct StepPlanOptions {
  int64_t alignment = 64;
  // Lets lanes overlap rather than save the memory that this takes.
  bool extend_lifetimes = true;
  ScheduleOptions schedule;
  MemoryPlannerOptions memory;
};

// Errors are those of the functions that it calls. A persistent buffer is memory of its own (with
// its aliases), and steps on different lanes that use it are ordered if one is its producer; other
// writers need edges.
absl::StatusOr<StepPlan> plan_steps(const ScheduleProblem& problem,
                                    const StepPlanOptions& options = {});

}  // namespace modellib

#endif  // MODELLIB_PASSES_STEP_PLAN_H_
