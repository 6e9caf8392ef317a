// The scheduler's heuristics. Each returns a topological order of the graph; scheduler.h says what
// they do.
#ifndef MODELLIB_PASSES_LIST_SCHEDULING_H_
#define MODELLIB_PASSES_LIST_SCHEDULING_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "modellib/passes/live_bytes.h"

namespace modellib {

enum class ListRule {
  kLeastNet,    // smallest change of the live bytes, then the node that became ready last
  kDepthFirst,  // what frees memory first, by least rise; then the node that became ready last
  kLeastRise,   // what frees memory first; else the smallest rise while it runs
  kLookAhead,   // as kLeastNet, but an allocation is judged by the chain of nodes that it opens
};

// One pass of list scheduling.
std::vector<int> list_order(const TouchGraph& graph, ListRule rule);

// Depth-first from the outputs: a node right after its last predecessor. The order in which a
// node's predecessors are visited, and that of the outputs, are by index, ascending or not; with
// `large_first` the predecessors with the largest results first.
std::vector<int> depth_first_order(const TouchGraph& graph, bool descending, bool large_first);

// Moves nodes across the peak as long as that helps, within `work` (visits of touched storages).
void improve_order(const TouchGraph& graph, int64_t work, std::vector<int>* order);

// Issues the marked nodes as early as their predecessors allow, where the peak doesn't rise.
void hoist(const TouchGraph& graph, const std::vector<char>& marked, int64_t work,
           std::vector<int>* order);

// Puts off each node that depends on a marked one until the next marked one is issued, so that
// there is other work while the first is under way.
void stagger(const TouchGraph& graph, const std::vector<char>& marked, std::vector<int>* order);

}  // namespace modellib

#endif  // MODELLIB_PASSES_LIST_SCHEDULING_H_
