// Steps and the buffers that they touch, while an entry is being lowered: after the backend said
// how each node is carried out, before anything has an order or an offset.
//
// Steps stand in sequences. The main one is the entry; a control step (cond, scan, while) has a
// sequence for each of its bodies. Buffers have numbers that hold for the whole entry. A buffer may
// lie inside another: a value that is computed in the memory of a variable or output, a part of a
// concatenation, the slice that a trip of a loop writes. Then nothing that names it changes: its
// final place is found by resolve().
#ifndef MODELLIB_PASSES_STEP_SEQUENCE_H_
#define MODELLIB_PASSES_STEP_SEQUENCE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/passes/backend.h"

namespace modellib {

inline constexpr int kNoBuffer = -1;

// Where a value lies: in a buffer, `offset` bytes from its start, moved in each trip of the loops
// around.
struct Place {
  int buffer = kNoBuffer;
  int64_t offset = 0;
  // Bytes that each loop around moves it in a trip, outermost loop first; loops that are missing
  // here don't move it.
  std::vector<int64_t> strides;

  bool operator==(const Place&) const = default;
};

struct StepBuffer {
  // The table that it stands in at last, and its index there. Arena: it is planned.
  fb::Space space = fb::Space::Arena;
  uint32_t index = 0;
  int64_t bytes = 0;  // at the largest extents
  std::string name;   // for people
  // The sequence that plans it; below all others: what is there at entry.
  int home = -1;
  // The place of its first byte, if it lies inside another buffer.
  Place inside;
};

struct LoweredStep;

// Steps in an order that is right: where two touch the same bytes and one writes, the later one
// stands later. The scheduler may choose another that keeps this.
struct StepSequence {
  int id = 0;          // a body's is above that of the sequence around it
  int loop_depth = 0;  // loops around it
  std::vector<LoweredStep> steps;
};

struct LoweredStep {
  StepRecipe recipe;  // its operands are replaced by the places below
  std::vector<Place> outputs, inputs;
  std::vector<int64_t> output_bytes, input_bytes;
  int64_t workspace = 0;  // of a control step: what its bodies need
  std::string name;
  // By output: the graph's value that is complete there when the step is done; without a name:
  // none.
  struct NamedValue {
    std::string name;
    TensorType type;
  };
  std::vector<NamedValue> values;
  std::vector<StepSequence> bodies;
};

class StepBuffers {
 public:
  int add(StepBuffer buffer) {
    buffers_.push_back(std::move(buffer));
    return size() - 1;
  }
  int size() const { return static_cast<int>(buffers_.size()); }
  StepBuffer& operator[](int id) { return buffers_[static_cast<size_t>(id)]; }
  const StepBuffer& operator[](int id) const { return buffers_[static_cast<size_t>(id)]; }

  // The place in a buffer that lies inside no other.
  Place resolve(Place place) const;

 private:
  std::vector<StepBuffer> buffers_;
};

// Calls `visit(place, bytes, writes)` for each operand of the step that is there, those of the
// steps in its bodies included.
void for_each_operand(const LoweredStep& step,
                      const std::function<void(const Place&, int64_t, bool)>& visit);

// What an operand's offset and strides must be multiples of (formats/plan.fbs).
int64_t operand_alignment(int64_t bytes);
// Whether an operand of so many bytes can be named there.
bool is_addressable(const Place& resolved, int64_t bytes);

}  // namespace modellib

#endif  // MODELLIB_PASSES_STEP_SEQUENCE_H_
