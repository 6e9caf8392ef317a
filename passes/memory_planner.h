// Where each buffer of a plan lies: the memory planner.
//
// A buffer is needed from the step that writes it first to the step that reads it last. Two buffers
// that are never needed at the same step may share bytes. So a buffer is a rectangle in time x
// memory: its width (the steps) and height (the bytes) are given, and the planner chooses how high
// it sits, so that no two overlap and the pile stays low:
//
//     bytes
//       ^        +-----------+
//   384 |        |     c     |                    c is placed above a and b: it lives beside both.
//       |  +-----+--+--------+---+
//   256 |  |   b    |      d     |                d takes the bytes of b, which died at step 3.
//       |  |        +------------+
//   128 |  +--------+--+------------+
//       |  |     a     |     e      |             e takes the bytes of a.
//     0 +--+-----------+------------+---> steps
//          0     2  3  4    6       8
//
// At each step the sizes of the live buffers add up; the largest of these sums is a lower bound
// that no placement can beat. The problem is NP-hard (dynamic storage allocation), so several
// greedy strategies run, then a search over the order in which buffers are placed; the best result
// wins and all stop when the lower bound is reached. Work is bounded by a count, never by a clock:
// the same records give the same plan on every machine.
//
// The planner knows nothing of graphs or devices. It serves every device, and traces in text files.
#ifndef MODELLIB_PASSES_MEMORY_PLANNER_H_
#define MODELLIB_PASSES_MEMORY_PLANNER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace modellib {

struct MemoryRecord {
  int64_t id = 0;          // unique among the records of a call, else free
  int64_t size = 0;        // bytes; 0 is allowed and takes no memory
  int64_t alignment = 64;  // of the offset: a power of two
  int64_t first = 0;       // position in the schedule at which it is first written
  int64_t last = 0;        // and last used, inclusive; not before `first`

  // Id of the record in whose bytes this one lies, `alias_offset` bytes after its start: a view of
  // it, a slot of a concatenation, an update in place. -1: none. It must lie inside. A record that
  // is no alias is a root; its memory is held from the earliest `first` to the latest `last` of the
  // root and all that lies in it.
  int64_t alias_of = -1;
  int64_t alias_offset = 0;

  int arena = 0;     // memory that it lies in: one for each device and copy or compute lane
  std::string name;  // for people
};

struct MemoryPlannerOptions {
  // Bound on the work: placed buffers looked at, some 5e8 in a second. A tenth of it is for the
  // search over orders, which no problem that reaches its lower bound needs.
  int64_t work = 1'500'000'000;
  // Contributors to report for each arena.
  int contributors = 10;
};

struct MemoryPlan {
  // A buffer that is live at the moment when its arena needs most.
  struct Contributor {
    int record = 0;     // index of a root
    int64_t bytes = 0;  // its size
  };
  struct Arena {
    int arena = 0;
    int64_t bytes = 0;  // planned: the arena's size
    int64_t lower_bound =
        0;  // largest sum of live bytes, sizes rounded up to the arena's least alignment
    int64_t alignment = 1;  // that the arena's start must have: the largest of its records
    int64_t peak = 0;       // first position at which the lower bound is reached
    std::string strategy;   // that won
    std::vector<Contributor> contributors;  // largest first
  };

  std::vector<int64_t>
      offsets;                // by index of record, from the start of its arena; zero-size roots: 0
  std::vector<int> roots;     // by index of record: index of the root, itself for a root
  std::vector<Arena> arenas;  // ascending by arena; those that no record names are absent
  int64_t bytes = 0;          // sum over the arenas
  int64_t lower_bound = 0;    // sum over the arenas
  double ratio() const {
    return lower_bound > 0 ? static_cast<double>(bytes) / static_cast<double>(lower_bound) : 1.0;
  }
};

// Offsets for all records; neither their order nor their ids matter, except among records that are
// alike in all else. InvalidArgument, with the record's id and name, for: a repeated id, a negative
// size, an alignment that is no power of two or above 2^30, last < first, an alias of an unknown
// record, of itself in a cycle, of another arena's record, outside its target, or whose place can't
// meet its alignment; and for sizes whose sum passes 2^62.
absl::StatusOr<MemoryPlan> plan_memory(absl::Span<const MemoryRecord> records,
                                       const MemoryPlannerOptions& options = {});

// Whether two live records overlap where neither is the other's alias, or lie outside their arena.
// It shares no code with the planner; tests and debug builds call it. `Internal` names the two
// records.
absl::Status check_memory_plan(absl::Span<const MemoryRecord> records, const MemoryPlan& plan);

}  // namespace modellib

#endif  // MODELLIB_PASSES_MEMORY_PLANNER_H_
