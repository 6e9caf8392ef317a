#include "modellib/executors/cpu/kernels/dim_values.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace modellib::cpu {

absl::Status validate_dim_values(const runtime::StepView& step) {
  const size_t count = step.scalars.empty() ? 0 : step.scalars.size() - 1;
  if (step.output_bytes.size() != 1 || !step.input_bytes.empty() || step.scalars.empty() ||
      step.scalars[0].min != static_cast<int64_t>(count) ||
      step.scalars[0].max != step.scalars[0].min ||
      step.output_bytes[0] / sizeof(int64_t) < count) {
    return absl::InvalidArgumentError(
        absl::StrCat("step '", step.name, "': dim_values takes an output with 8 bytes a scalar"));
  }
  return absl::OkStatus();
}

void run_dim_values(const runtime::KernelArgs& args, int64_t chunk) {
  if (chunk != 0) return;
  std::memcpy(args.buffers[0], args.scalars + 1,
              static_cast<size_t>(args.scalars[0]) * sizeof(int64_t));
}

}  // namespace modellib::cpu
