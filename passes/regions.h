// Passes inside control flow: what a pass does to a graph it does to the branches and bodies in it.
#ifndef MODELLIB_PASSES_REGIONS_H_
#define MODELLIB_PASSES_REGIONS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "modellib/graph/graph.h"
#include "modellib/passes/pass.h"

namespace modellib {

// The graphs of the bodies and branches of a cond, scan or while; empty for all other nodes (a
// fused region is a backend's business).
std::vector<GraphRef> control_regions(const Graph::Node& node);

// Runs the pass on the regions of control flow, innermost first, then on the graph itself. Where it
// rewrites nothing the same graph comes back.
absl::StatusOr<GraphRef> run_with_regions(const Pass& pass, const GraphRef& graph,
                                          PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_REGIONS_H_
