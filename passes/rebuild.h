// The frame of most passes: copy a graph node by node, and put something else in place of some.
//
// Only nodes that an output or an assignment needs are copied, and the builder merges equal ones,
// so dead code and common subexpressions vanish with any rebuild.
#ifndef MODELLIB_PASSES_REBUILD_H_
#define MODELLIB_PASSES_REBUILD_H_

#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/graph.h"

namespace modellib {

// A node of the old graph, with its operands in the new one.
struct RebuildSite {
  GraphBuilder& builder;
  const Graph& graph;
  NodeId id;
  const Graph::Node& node;
  std::vector<Value> inputs;  // null: absent
  // What stands for each value of the old graph, by ValueId; null: not reached yet, or dead.
  absl::Span<const Value> values;
  const Value& in(int i) const { return inputs[static_cast<size_t>(i)]; }
};
// The values that stand for the node's outputs, or nothing to copy the node as it is.
using RebuildHook = std::function<std::optional<std::vector<Value>>(RebuildSite&)>;

// The names, order and types of inputs, outputs and variables stay. The scope of a node is current
// while the hook runs on it.
absl::StatusOr<GraphRef> rebuild(const Graph& graph, const OpRegistry& registry,
                                 const RebuildHook& hook);

// Which nodes some output or assignment depends on, or that have an effect; index by NodeId.
std::vector<bool> live_nodes(const Graph& graph);

}  // namespace modellib

#endif  // MODELLIB_PASSES_REBUILD_H_
