// Lowering: from legal graphs to a plan.
//
// For each entry: the backend gives the steps of every node; views, slots of concatenations,
// outputs and variables become places in buffers; the scheduler orders the steps for a low peak of
// live bytes; the memory planner gives every buffer its offset. What comes out is data
// (formats/plan.fbs) and the constants that it names.
#ifndef MODELLIB_PASSES_LOWER_H_
#define MODELLIB_PASSES_LOWER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "modellib/formats/plan_file.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/graph/program.h"
#include "modellib/graph/tensor.h"
#include "modellib/passes/backend.h"

namespace modellib {

struct LoweredPlan {
  fb::PlanT plan;
  // The bytes that plan.constants name: segment 0 holds the small ones side by side, each large one
  // is a segment of its own, still in the memory of the tensor it came from.
  std::vector<Tensor> segments;
  // How much the schedule helped, by entry: peak of live bytes in plain topological order with the
  // updates of variables last, and in the order chosen.
  struct ScheduleReport {
    int64_t topological_peak = 0;
    int64_t peak = 0;
  };
  std::vector<ScheduleReport> schedules;
};

// Every graph of the program must be legal for the backend. InvalidArgument for a free dimension
// without a maximum; Unimplemented, listing every node at once, for what the backend has no kernel
// for.
absl::StatusOr<LoweredPlan> lower(const Program& program, const Backend& backend);

// Puts first values of variables, by name, into the plan; a variable that is not there has what the
// program's "initialize" entry gives it. The bytes stay in the tensors' memory.
void add_variable_contents(const absl::btree_map<std::string, Tensor>& contents,
                           LoweredPlan& lowered);

// The plan as a runtime loads it, in this process (nothing large is copied) or to write it to a
// file.
absl::StatusOr<std::shared_ptr<const PlanFile>> make_plan_file(const LoweredPlan& lowered);

}  // namespace modellib

#endif  // MODELLIB_PASSES_LOWER_H_
