// Lowering of one graph, an entry or the body of a loop or branch, to a sequence of steps: values
// to places in buffers, nodes to steps.
#ifndef MODELLIB_PASSES_SEQUENCE_LOWERING_H_
#define MODELLIB_PASSES_SEQUENCE_LOWERING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/graph/graph.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/lowering_context.h"
#include "modellib/passes/step_sequence.h"

namespace modellib {

// A memory that a value must lie in when the sequence ends.
struct Target {
  Place to;
  ValueId value = kNoValue;
  // It holds something that the sequence may read: a variable, or what a loop carries.
  bool holds_content = false;
  // The value must not be computed there: it is copied at the end.
  bool by_copy = false;
  std::string name;  // for people: "output logits"
};

class SequenceLowering {
 public:
  SequenceLowering(LoweringContext& context, const Graph& graph, int loop_depth)
      : context_(context),
        graph_(graph),
        places_(graph.values().size()),
        is_cut_(graph.values().size()) {
    sequence_.id = context.sequences++;
    sequence_.loop_depth = loop_depth;
  }

  LoweringContext& context() { return context_; }
  const Graph& graph() const { return graph_; }
  int loop_depth() const { return sequence_.loop_depth; }

  // First: where inputs and the contents of variables lie.
  void set_place(ValueId value, Place place) { at(value) = std::move(place); }
  // Then: the steps of all nodes that are needed. What the backend refuses is noted in the context.
  absl::Status lower_nodes();
  // At last: the values that must lie somewhere at the end.
  absl::Status reach(const std::vector<Target>& targets);
  StepSequence take();

  // For the lowering of control flow.

  // Where an operand of a node lies; a constant gets its place here.
  Place place_of(ValueId value);
  // A buffer that this sequence plans.
  int add_buffer(int64_t bytes, std::string name);
  // One for an output of a node.
  absl::StatusOr<int> add_output_buffer(const Graph::Node& node, int output);
  void add_step(LoweredStep step);
  void add_copy(const Place& from, const Place& to, const Dim& bytes, int64_t max_bytes,
                std::string name);
  std::string describe(const Graph::Node& node) const;

 private:
  // A view in a buffer, or another buffer there. Steps that come later may read it.
  struct Part {
    Place place;
    int64_t bytes;
  };

  Place& at(ValueId id) { return places_[static_cast<size_t>(id)]; }
  LoweredStep& step(int id) { return sequence_.steps[static_cast<size_t>(id)]; }

  absl::StatusOr<bool> make_view(const Graph::Node& node);
  absl::StatusOr<bool> make_parts(const Graph::Node& node);
  absl::Status lower_by_recipe(const Graph::Node& node, size_t number);
  absl::Status add_node(const Graph::Node& node, NodeRecipe recipe);

  LoweredStep copy_step(const Place& from, const Place& to, const Dim& bytes, int64_t max_bytes,
                        std::string name) const;
  // Whether all of the buffer, as its steps and views name it, can be named where it would lie.
  bool fits(int buffer, const Place& where);
  // Whether the value, which lies at `from`, at most so many bytes, is all of a buffer of this
  // sequence that can be put there.
  bool can_move(ValueId value, const Place& from, int64_t bytes, const Place& to);
  bool can_overwrite(const Place& content, int buffer);
  void put_inside(int buffer, const Place& where);

  LoweringContext& context_;
  const Graph& graph_;
  StepSequence sequence_;
  std::vector<LoweredStep> prologue_;  // copies of contents that are replaced later
  std::vector<Place> places_;          // by ValueId
  // By ValueId: a view that may have fewer bytes than what its buffer was made for, even where the
  // largest extents are the same.
  std::vector<bool> is_cut_;
  // By buffer that lies in no other: the steps that touch it, ascending.
  absl::flat_hash_map<int, std::vector<int>> users_;
  absl::flat_hash_map<int, std::vector<Part>> parts_;  // by buffer that lies in no other
  absl::flat_hash_map<int, int> first_writer_;         // by buffer
};

}  // namespace modellib

#endif  // MODELLIB_PASSES_SEQUENCE_LOWERING_H_
