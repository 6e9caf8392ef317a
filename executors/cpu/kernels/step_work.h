// How much work a step is, from its kernel and its scalars: what a profile sets its time against.
// Kernels know extents by no other way, so what is computed here holds for the extents of each run.
//
// Operations are those of the mathematics, not those that a kernel happens to make: a product of
// m x k by k x n is 2 m n k, whatever is padded or computed twice; exp, a division or a comparison
// counts as one, moving and converting as none. Bytes are those of the operands, each once, as far
// as the step needs them: of a table, the rows that are looked up.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_STEP_WORK_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_STEP_WORK_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace modellib::cpu {

struct StepWork {
  double flops = 0;
  double bytes = 0;
};

// A step that was loaded, so that its scalars fit its kernel, as a run calls it: with the extents
// of that run, not the largest.
struct StepCall {
  absl::string_view kernel;
  absl::Span<const int64_t> scalars;
  const std::byte* data = nullptr;
  int64_t chunks = 1;
  // Outputs, then inputs: null where absent, the same where they share their memory.
  absl::Span<std::byte* const> operands = {};
};

// Nothing for a kernel that is none of the CPU's.
std::optional<StepWork> work_of_step(const StepCall& step);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_STEP_WORK_H_
