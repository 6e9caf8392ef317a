// The order of a plan's steps, chosen so that little memory is live at once.
//
// Any topological order is right, but they differ much in what they keep alive: in a training step,
// a weight's gradient may be used at once by its update, or wait with all the others for the end.
// The scheduler sees nodes, the buffers that they write and read, and extra edges; it looks for an
// order with a low peak of live bytes. That peak is the lower bound which the memory planner then
// tries to reach with actual offsets (memory_planner.h); `live_records` hands the buffers over to
// it.
//
// To find the best order is NP-hard. Several heuristics run and the best result wins:
//  - the plain topological order, by index, which is also the baseline that the result is judged
//  by;
//  - list scheduling: of the nodes that are ready, the one that frees most or allocates least, with
//    variants of tie-breaking, with look-ahead along the chain that a node opens, and run backwards
//    from the end of the graph;
//  - depth-first orders from the outputs;
//  - at last a local search that moves work across the moment of the peak.
// All is deterministic, with ties broken by index, and bounded by counts, never by a clock. So that
// equal graphs give equal plans however their nodes were numbered, number them canonically here:
// depth-first from the outputs.
//
// A node with bodies (a loop, a branch) is one node: schedule and plan each body for itself first,
// and give the node the bodies' planned bytes as workspace. In the plan its control step has no
// workspace; the bodies' steps name bytes in that place.
#ifndef MODELLIB_PASSES_SCHEDULER_H_
#define MODELLIB_PASSES_SCHEDULER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/passes/memory_planner.h"

namespace modellib {

struct ScheduleBuffer {
  int64_t size = 0;  // bytes
  // Node that writes it; -1: it is there at entry, or its aliases' producers write it.
  int producer = -1;
  std::vector<int> consumers;  // nodes that read it; repeats do no harm

  // Buffer in whose bytes this one lies for certain: a view, or the slot of a concatenation,
  // `alias_offset` bytes after its start. They live as one. -1: none.
  int alias_of = -1;
  int64_t alias_offset = 0;

  // Buffer, read by `producer`, whose bytes this one takes over if no later node needs them: a
  // permission, which holds or not depending on the order. Ignored if this buffer is an alias, if
  // it is larger, or if the producer reads the same bytes through another buffer too. -1: none.
  int in_place_of = -1;

  bool persistent =
      false;            // a weight, a constant, the caller's: not counted, never overwritten here
  bool output = false;  // must survive to the end

  std::string name;  // for people
};

struct ScheduleNode {
  int64_t workspace = 0;  // bytes live while it runs, no longer
  // Queue that runs it; 0 computes. Nodes on other lanes (copies, collectives) are issued as early
  // as they can be without a higher peak, so that they overlap with what follows;
  // nodes that depend on one of them are issued after the next of them, which costs the memory of
  // one more in flight.
  int lane = 0;
};

struct ScheduleProblem {
  std::vector<ScheduleNode> nodes;
  std::vector<ScheduleBuffer> buffers;
  // (before, after), beside what the buffers imply: control dependencies, a reader of a variable
  // before its update, each collective before the next.
  std::vector<std::pair<int, int>> edges;
};

struct ScheduleResult {
  std::vector<int> order;  // node at each position
  int64_t peak = 0;        // largest sum of live bytes over this order: its lower bound
  int64_t baseline = 0;    // the same for the plain topological order by index
  std::string strategy;    // that won
};

struct ScheduleOptions {
  // Bound on the local search, in visits of a node's buffer. 0 leaves it out.
  int64_t work = 40'000'000;
};

// InvalidArgument, with the node or buffer, for an index out of range, a negative size, sizes that
// sum to more than 2^62, a cycle of aliases or a cycle of dependencies.
absl::StatusOr<ScheduleResult> schedule(const ScheduleProblem& problem,
                                        const ScheduleOptions& options = {});

// Peak of live bytes over a given order. InvalidArgument as above, or if `order` isn't topological.
absl::StatusOr<int64_t> schedule_peak(const ScheduleProblem& problem, absl::Span<const int> order);

// The records for the memory planner: one for each buffer that is not persistent, with the buffer's
// index as id, and one for each workspace, with id = number of buffers + node. In-place permissions
// that hold in this order become aliases. With an alignment of 1 the planner's lower bound equals
// `schedule_peak`. All lie in arena 0; callers assign others (see lane_sync.h).
absl::StatusOr<std::vector<MemoryRecord>> live_records(const ScheduleProblem& problem,
                                                       absl::Span<const int> order,
                                                       int64_t alignment = 64);

}  // namespace modellib

#endif  // MODELLIB_PASSES_SCHEDULER_H_
