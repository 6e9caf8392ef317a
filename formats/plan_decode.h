// A plan's entry as the verifier sees it: its steps in flat arrays, each operand with the bytes
// that it can reach. Whoever holds one knows that all indices and ranges in it are sound.
#ifndef MODELLIB_FORMATS_PLAN_DECODE_H_
#define MODELLIB_FORMATS_PLAN_DECODE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/formats/plan_operands.h"
#include "modellib/formats/plan_tables.h"

namespace modellib {

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

}  // namespace modellib

#endif  // MODELLIB_FORMATS_PLAN_DECODE_H_
