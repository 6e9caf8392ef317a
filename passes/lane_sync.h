// Which steps must wait for which, when several lanes run at once.
//
// Steps are issued in one order; each lane runs its own in that order and knows nothing of the
// others. A step that needs what another lane did waits for a signal which the other step
// completes. Waits cost time, so only those are kept that nothing else implies:
//
//     lane 0:  a ----- b ----------- d           d reads what a, b and c wrote: a and b come before
//     it on
//               \       \           ^            its own lane, c needs a wait. c waits for b alone;
//               that a
//     lane 1:    (no)    +--> c ---/             is done then is implied.
//
// Three steps lead from a schedule to a plan whose lanes are safe:
//   1. synchronise() on the flow of data gives the waits that no plan can do without.
//   2. extend_lifetimes() holds a buffer until each lane is known, by these waits, to be behind its
//   users. The
//      memory planner, which thinks in one line of time, then reuses bytes only where no new wait
//      is needed. (Where memory is dearer than overlap, leave this out.)
//   3. memory_dependencies() on the planned offsets, with synchronise() again, gives the final
//   waits: it sees each
//      conflict through memory, intended or not, so the result is right whatever was done before.
#ifndef MODELLIB_PASSES_LANE_SYNC_H_
#define MODELLIB_PASSES_LANE_SYNC_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/passes/memory_planner.h"

namespace modellib {

// Positions in the order of issue: `second` must not start before `first` is complete.
using StepDependency = std::pair<int, int>;

// A use of bytes [begin, end) of an arena, or of whatever else steps share, by number.
struct MemoryAccess {
  int step = 0;  // position in the order of issue
  int arena = 0;
  int64_t begin = 0;
  int64_t end = 0;
  bool writes = false;
};

class LaneSync {
 public:
  int signals = 0;                      // they are numbered from 0
  std::vector<int> completes;           // by step: the signal that it completes, or -1
  std::vector<std::vector<int>> waits;  // by step: signals, ascending

  // Whether step a is surely complete when b starts. A step is not before itself.
  bool before(int a, int b) const;

  // The lane of a step, renumbered from 0 in the order of first use.
  int lane(int step) const { return lane_[static_cast<size_t>(step)]; }

 private:
  friend absl::StatusOr<LaneSync> synchronise(absl::Span<const int> lanes,
                                              absl::Span<const StepDependency> dependencies);
  size_t lane_count_ = 0;
  std::vector<int> lane_;     // by step, numbered densely
  std::vector<int> ordinal_;  // by step: its number among those of its lane, from 1
  std::vector<int> clock_;  // by step and lane: how many of the lane's steps are complete or itself
};

// The least set of waits with which all dependencies hold. `lanes` has the lane of each step in the
// order of issue. InvalidArgument for a negative lane, a step out of range, or a dependency on the
// same or a later step.
absl::StatusOr<LaneSync> synchronise(absl::Span<const int> lanes,
                                     absl::Span<const StepDependency> dependencies);

// The dependencies between steps of different lanes that touch the same bytes, one of them writing
// (read after write, write after read, write after write), less those that others imply.
// InvalidArgument for a step out of range or end < begin.
absl::StatusOr<std::vector<StepDependency>> memory_dependencies(
    absl::Span<const int> lanes, absl::Span<const MemoryAccess> accesses);

// Moves the `last` of each record (a position in the order of issue) to the last step that might
// run before all users of the record are complete and that takes memory of its arena. `users[i]`
// are the steps that touch record i; the first of them is the one that takes its memory. Lanes that
// take nothing from an arena don't matter to it: that is why copies and collectives have arenas of
// their own. InvalidArgument if sizes or steps don't fit.
absl::Status extend_lifetimes(const LaneSync& sync, absl::Span<const std::vector<int>> users,
                              absl::Span<MemoryRecord> records);

}  // namespace modellib

#endif  // MODELLIB_PASSES_LANE_SYNC_H_
