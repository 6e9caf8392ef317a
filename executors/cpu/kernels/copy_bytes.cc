#include "modellib/executors/cpu/kernels/copy_bytes.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace modellib::cpu {
namespace {

using runtime::KernelArgs;
using runtime::StepView;

absl::Status wrong(const StepView& step, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("step '", step.name, "': ", what));
}

absl::Status validate_copy_bytes(const StepView& step) {
  if (step.output_bytes.size() != 1 || step.input_bytes.size() != 1 || step.scalars.size() != 2) {
    return wrong(step, "a copy takes one output, one input and two scalars");
  }
  const StepView::Range bytes = step.scalars[0], per_chunk = step.scalars[1];
  if (bytes.min < 0 || static_cast<uint64_t>(bytes.max) > step.output_bytes[0] ||
      static_cast<uint64_t>(bytes.max) > step.input_bytes[0]) {
    return wrong(step, "a copy leaves its operands");
  }
  if (per_chunk.min < 1 || per_chunk.min != per_chunk.max)
    return wrong(step, "a chunk of no bytes");
  // So that chunk * per_chunk cannot overflow.
  if (step.chunks.max > (int64_t{1} << 62) / per_chunk.max) return wrong(step, "too many chunks");
  return absl::OkStatus();
}

void run_copy_bytes(const KernelArgs& args, int64_t chunk) {
  const int64_t begin = chunk * args.scalars[1];
  const int64_t count = std::min(args.scalars[1], args.scalars[0] - begin);
  if (count <= 0 || args.buffers[0] == args.buffers[1]) return;
  std::memcpy(args.buffers[0] + begin, args.buffers[1] + begin, static_cast<size_t>(count));
}

}  // namespace

const runtime::Kernel kCopyBytes = {"cpu.copy_bytes", validate_copy_bytes, run_copy_bytes};

}  // namespace modellib::cpu
