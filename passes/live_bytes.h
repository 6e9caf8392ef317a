// The scheduler's view of a problem: which nodes touch which storage, and how the sum of live bytes
// moves as nodes run.
//
// Buffers that share bytes for certain (aliases) are one storage. A storage is live from the first
// node that touches it to the last, whatever they do with it, so the count of nodes that are still
// to come says when it dies; and run backwards, from the end of the graph, the rules are the same.
#ifndef MODELLIB_PASSES_LIVE_BYTES_H_
#define MODELLIB_PASSES_LIVE_BYTES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/passes/scheduler.h"

namespace modellib {

// An output storage that may take over the bytes of an input storage.
struct InPlace {
  int output;  // storage
  int input;   // storage
  int buffer;  // the output's buffer
};

// Immutable; made once for a problem.
struct TouchGraph {
  int nodes = 0;
  std::vector<std::vector<int>> successors, predecessors;  // by node, without repeats
  std::vector<std::vector<int>> touches;                   // by node: storages, without repeats
  std::vector<std::vector<int>> touched_by;                // by storage: nodes
  std::vector<std::vector<InPlace>> in_place;              // by node
  std::vector<int64_t> workspace;                          // by node
  std::vector<int64_t> size;            // by storage; persistent ones are left out
  std::vector<char> at_entry, at_exit;  // by storage: live before all, after all
  std::vector<int> storage;             // by buffer, or -1
  std::vector<int> topological;

  static absl::StatusOr<TouchGraph> make(const ScheduleProblem& problem);
  // The same problem with time turned round.
  TouchGraph reversed() const;
};

// What running a node next would do to the sum of live bytes.
struct Effect {
  int64_t peak = 0;  // rise while it runs
  int64_t net = 0;   // change that stays
};

// The state while nodes run one after another.
class LiveBytes {
 public:
  explicit LiveBytes(const TouchGraph& graph);

  Effect effect(int node) const;

  // Runs it; returns the sum of bytes live while it ran. With `undo` every change is noted there.
  struct Change {
    int storage;
    int pending;
    int64_t bytes;
    bool live;
  };
  int64_t run(int node, std::vector<Change>* undo = nullptr);
  void undo(std::vector<Change>* changes, int64_t live_bytes);

  int64_t live_bytes() const { return live_bytes_; }
  bool live(int storage) const { return live_[storage]; }
  int pending(int storage) const { return pending_[storage]; }  // nodes to come that touch it

  // Whether `node`, run next, puts this output into the bytes of its input. At most one of a node's
  // outputs takes an input.
  bool takes_over(int node, const InPlace& pair) const;

 private:
  const TouchGraph* graph_;
  std::vector<int> pending_;
  std::vector<int64_t> bytes_;  // that it holds: more than its size after taking over a larger one
  std::vector<char> live_;
  int64_t live_bytes_ = 0;
};

// Peak of an order, and the sum over the steps of the live bytes (a measure for ties).
struct OrderCost {
  int64_t peak = 0;
  double area = 0;
  int position = 0;  // first at which the peak is reached
  bool operator<(const OrderCost& other) const {
    return peak != other.peak ? peak < other.peak : area < other.area;
  }
};
OrderCost order_cost(const TouchGraph& graph, absl::Span<const int> order);

}  // namespace modellib

#endif  // MODELLIB_PASSES_LIVE_BYTES_H_
