// Numbers the nodes of a graph canonically, so that what is made of it does not depend on the order
// in which its independent parts were written.
//
// Depth first from the outputs, in their order, then from the assignments, sorted by variable, and
// last what is there for its effect; operands in their order. Nodes with an effect keep their order
// among each other. Heuristics of later passes and of the scheduler break ties by index, so two
// graphs that differ in numbering and in names of values give plans that differ in names alone.
#ifndef MODELLIB_PASSES_CANONICAL_ORDER_H_
#define MODELLIB_PASSES_CANONICAL_ORDER_H_

#include "absl/status/statusor.h"
#include "modellib/passes/pass.h"

namespace modellib {

absl::StatusOr<GraphRef> canonical_order(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_CANONICAL_ORDER_H_
