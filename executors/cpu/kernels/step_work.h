// How much work a step is, from its kernel and its scalars: what a profile sets its time against.
//
// Operations are those of the mathematics, not those that a kernel happens to make: a product of
// m x k by k x n is 2 m n k, whatever is padded or computed twice; exp, a division or a comparison
// counts as one, moving and converting as none. Bytes are those of the operands, each once, as far
// as the step needs them: of a table, the rows that are looked up.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_STEP_WORK_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_STEP_WORK_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace modellib::cpu {

struct StepWork {
  double flops = 0;
  double bytes = 0;
};

// A step that was loaded, so that its scalars fit its kernel.
struct StepCall {
  absl::string_view kernel;
  absl::Span<const int64_t> scalars;
  const std::byte* data = nullptr;
  // Bytes at the largest extents; of a kernel that is not known here, they are what it moves.
  absl::Span<const uint64_t> output_bytes = {};
  absl::Span<const uint64_t> input_bytes = {};
};

StepWork work_of_step(const StepCall& step);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_STEP_WORK_H_
