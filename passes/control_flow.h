// Passes over control flow itself: the forms that lowering and the passes inside regions want.
#ifndef MODELLIB_PASSES_CONTROL_FLOW_H_
#define MODELLIB_PASSES_CONTROL_FLOW_H_

#include "modellib/passes/pass.h"

namespace modellib {

// Constants that a region captures move into it, where kernels can pack them and passes see them;
// what it captures without a use, or twice, goes.
absl::StatusOr<GraphRef> sink_constants(const GraphRef& graph, PassContext& context);

// Every scan gets a form in which fixed strides lead from slice to slice: one whose slices have
// free extents, or that runs backwards over a free number of trips, finds and writes them by index;
// a reverse scan that reads its index counts down for itself; one without trips vanishes.
absl::StatusOr<GraphRef> stride_scans(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_CONTROL_FLOW_H_
