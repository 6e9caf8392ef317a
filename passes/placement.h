// The core of the memory planner: piles blocks, one after another in a given order, onto the
// time x memory plane, each where there is room beside the ones already placed.
//
// All the intelligence is in the order. Placing a block needs the placed blocks whose lifetimes
// meet its own, by offset; two indices give them: a tree over the start times when they are few, a
// list sorted by offset when they are many. Neither looks at all pairs.
#ifndef MODELLIB_PASSES_PLACEMENT_H_
#define MODELLIB_PASSES_PLACEMENT_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace modellib {

// A rectangle to be placed. Sizes are positive, times inclusive.
struct PlacementBlock {
  int64_t size = 0;
  int64_t alignment = 1;
  int first = 0;
  int last = 0;
};

enum class PlacementFit {
  kLowest,    // the lowest offset with room
  kTightest,  // the gap that leaves least; above the pile only if there is no gap
};

class Placer {
 public:
  // Blocks are sorted by `first`. The span outlives the placer.
  explicit Placer(absl::Span<const PlacementBlock> blocks);

  struct Result {
    int64_t height = 0;      // of the pile
    int failed = -1;         // position in the order of the block that passed the limit, or -1
    bool exhausted = false;  // gave up: the work was spent
    bool ok() const { return failed < 0 && !exhausted; }
  };

  // Places all blocks in `order` (a permutation of indices). Stops at the first block that would
  // end above `limit`. `offsets` has an element for each block.
  Result place(absl::Span<const int> order, PlacementFit fit, int64_t limit,
               absl::Span<int64_t> offsets);

  // Work left, in placed blocks looked at; `place` takes from it and gives up below zero.
  void set_work(int64_t work) { work_ = work; }
  int64_t work() const { return work_; }

 private:
  struct Entry {
    int64_t offset;
    int64_t end;
    int first;
    int last;
  };
  // A run of the list by offset, with the hull of its lifetimes.
  struct Run {
    std::vector<Entry> entries;
    int first;
    int last;
  };
  class Gap;

  void collect(int block, int node, int begin, int end, absl::Span<const int64_t> offsets);
  int64_t find_among_few(int block, PlacementFit fit, absl::Span<const int64_t> offsets);
  int64_t find_among_many(int block, PlacementFit fit);
  void insert(int block, int64_t offset);
  void clear();

  absl::Span<const PlacementBlock> blocks_;
  std::vector<int> begun_;        // by block: how many blocks start no later than it ends
  std::vector<int> meeting_;      // by block: how many blocks live beside it
  std::vector<int> placed_last_;  // by block: its last time, or -1 while it is not placed
  std::vector<int> tree_;  // largest placed_last_ below each node; leaves are groups of blocks
  int leaves_ = 1;
  std::vector<Run> runs_;  // never empty runs, ascending by offset
  std::vector<Entry> scratch_;
  int placed_ = 0;
  int64_t work_ = 0;
};

}  // namespace modellib

#endif  // MODELLIB_PASSES_PLACEMENT_H_
