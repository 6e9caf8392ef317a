// Lowering of control flow: a cond, scan or while becomes one control step with a sequence for each
// of its bodies (formats/plan.fbs says how they run).
//
// What a loop carries lies in one buffer for each carry, that of the node's output: a copy puts the
// first value there, the body replaces it. The slices that a trip reads and writes are places that
// move with the trips. What a body uses of the graph around it is read where it lies.
#ifndef MODELLIB_PASSES_CONTROL_LOWERING_H_
#define MODELLIB_PASSES_CONTROL_LOWERING_H_

#include "absl/status/statusor.h"
#include "modellib/graph/graph.h"

namespace modellib {

class SequenceLowering;

// False if the node is not control flow. Internal for a scan whose slices move by no fixed number
// of bytes: the pass "loops" (passes/loops.h) leaves none.
absl::StatusOr<bool> lower_control(SequenceLowering& sequence, const Graph::Node& node);

}  // namespace modellib

#endif  // MODELLIB_PASSES_CONTROL_LOWERING_H_
