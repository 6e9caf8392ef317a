// The operands of a plan's steps, with the bytes that each can reach.
#ifndef MODELLIB_FORMATS_PLAN_OPERANDS_H_
#define MODELLIB_FORMATS_PLAN_OPERANDS_H_

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "modellib/formats/plan_generated.h"

namespace modellib {

// Bytes [begin, end) of one memory.
struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool overlaps(const ByteRange& other) const { return begin < other.end && other.begin < end; }
  bool contains(const ByteRange& other) const { return begin <= other.begin && other.end <= end; }
};

enum class OperandRole : uint8_t { kInput, kWorkspace, kOutput };

struct PlanOperand {
  OperandRole role = OperandRole::kInput;
  uint32_t ordinal = 0;  // among the step's inputs or outputs
  fb::Space space = fb::Space::None;
  uint32_t index = 0;  // within the space
  int32_t memory =
      -1;           // number of what it lies in among all that can be written; -1: input, constant
  ByteRange first;  // in the first trip of the loops around it
  int64_t stride = 0;        // in each trip of the innermost loop
  int64_t outer_stride = 0;  // and of the next
  uint64_t trips = 1;        // of the innermost loop, at most
  uint64_t outer_trips = 1;

  // All that it can reach. With `inner_first` only in the first trip of the innermost loop, and so
  // on. In range: checked when decoded.
  ByteRange reach(bool inner_first = false, bool outer_first = false) const;

  bool writes() const { return role != OperandRole::kInput; }
  std::string name() const;  // "input 1"
};

// Two operands of a step that must not overlap and do, or two nulls. An output may begin where an
// input does (in place); else nothing overlaps what a step writes. Operands with the same strides
// keep their distance, so their first trip decides; with different strides all that they reach must
// be apart. `work` is lowered by the pairs compared; below zero the search was not finished.
struct OperandClash {
  const PlanOperand* a = nullptr;
  const PlanOperand* b = nullptr;
};
OperandClash find_clash(absl::Span<const PlanOperand> operands, int64_t* work);

}  // namespace modellib

#endif  // MODELLIB_FORMATS_PLAN_OPERANDS_H_
