// A plan's entry as the verifier sees it: its steps in flat arrays, each operand with the bytes
// that it can reach. Whoever holds one knows that all indices and ranges in it are sound.
#ifndef MODELLIB_FORMATS_PLAN_DECODE_H_
#define MODELLIB_FORMATS_PLAN_DECODE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "modellib/formats/plan_generated.h"

namespace modellib {

// Null where a vector is absent.
template <typename Vector>
uint32_t count_of(const Vector* v) {
  return v == nullptr ? 0 : v->size();
}

inline absl::string_view text_of(const flatbuffers::String* s) {
  return s == nullptr ? absl::string_view() : absl::string_view(s->c_str(), s->size());
}

// Bytes [begin, end) of one memory.
struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool overlaps(const ByteRange& other) const { return begin < other.end && other.begin < end; }
  bool contains(const ByteRange& other) const { return begin <= other.begin && other.end <= end; }
};

enum class OperandRole : uint8_t { kInput, kWorkspace, kOutput };

struct PlanOperand {
  OperandRole role;
  uint32_t ordinal;  // among the step's inputs or outputs
  fb::Space space;
  uint32_t index;   // within the space
  int32_t memory;   // number of what it lies in among all that can be written; -1: input, constant
  ByteRange first;  // in the first trip of the loops around it
  int64_t stride = 0;        // in each trip of the innermost loop
  int64_t outer_stride = 0;  // and of the next
  uint64_t trips = 1;        // of the innermost loop, at most
  uint64_t outer_trips = 1;

  // All that it can reach. With `inner_first` only in the first trip of the innermost loop, and so
  // on. In range: checked when decoded.
  ByteRange reach(bool inner_first = false, bool outer_first = false) const;
};

enum class ControlKind : uint8_t { kNone, kCond, kScan, kWhile };

struct PlanStep {
  const fb::Step* step;
  uint32_t sequence;
  uint32_t position;  // in the sequence
  ControlKind control;
  uint64_t trips;                       // of a loop, at most
  size_t operands_begin, operands_end;  // workspace, inputs, outputs
};

struct PlanSequence {
  size_t steps_begin = 0, steps_end = 0;
};

struct DecodedEntry {
  const fb::Entry* entry;
  std::vector<PlanStep> steps;
  std::vector<PlanSequence> sequences;
  std::vector<PlanOperand> operands;
  // Memories: the arenas, then the entry's outputs, then the plan's variables.
  std::vector<uint64_t> memory_bytes;
  size_t outputs_begin = 0;    // memory of output 0
  size_t variables_begin = 0;  // memory of variable 0

  // "entry 'train', step 12 'fc1.matmul'"
  std::string where(const PlanStep& step) const;
  // "arena 0", "variable 3 'fc1.weight'"
  std::string memory_name(const fb::Plan& plan, int32_t memory) const;
};

// Checks all about an entry that can be seen in one step at a time, and decodes it.
absl::StatusOr<DecodedEntry> decode_entry(const fb::Plan& plan, const fb::Entry& entry);

// Checks the plan's own tables: kernels, variables, constants.
absl::Status check_tables(const fb::Plan& plan);

template <typename... Args>
absl::Status refuse(const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat("plan: ", args...));
}

}  // namespace modellib

#endif  // MODELLIB_FORMATS_PLAN_DECODE_H_
