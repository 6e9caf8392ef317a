// What a kernel is to the runtime: a name, a check and a function.
//
// A plan's step names a kernel and gives it operands (addresses) and scalars (extents, strides,
// options as 64-bit numbers). The work of a step is cut into chunks when the plan is made; chunks
// are independent, run in any order on any worker, and their boundaries depend on scalars alone, so
// the bits of the result do not depend on the number of workers. Partial results of chunks are
// combined by a later step, in a fixed order.
//
// Kernels never allocate, lock or fail by exception. What a user can get wrong in the data (an
// index out of range) is told to `KernelArgs::fault`.
#ifndef MODELLIB_EXECUTORS_RUNTIME_KERNEL_H_
#define MODELLIB_EXECUTORS_RUNTIME_KERNEL_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace modellib::runtime {

// The first mistake found in the data of a lane's steps. Kernels set it, the session turns it into
// a Status.
class Fault {
 public:
  enum Code : int { kNone = 0, kIndexOutOfRange = 1, kLibrary = 2, kCommunication = 3 };

  // Keeps the first report of a step; later ones are dropped. Wait-free.
  void report(Code code, int64_t value, int64_t limit) {
    int none = kNone;
    if (!code_.compare_exchange_strong(none, kClaimed, std::memory_order_relaxed)) return;
    value_.store(value, std::memory_order_relaxed);
    limit_.store(limit, std::memory_order_relaxed);
    code_.store(code, std::memory_order_release);
  }
  void clear() { code_.store(kNone, std::memory_order_relaxed); }
  // Once the step is done.
  Code code() const { return static_cast<Code>(code_.load(std::memory_order_acquire)); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }
  int64_t limit() const { return limit_.load(std::memory_order_relaxed); }

 private:
  static constexpr int kClaimed = -1;  // the number is being written down
  std::atomic<int> code_{kNone};
  std::atomic<int64_t> value_{0};
  std::atomic<int64_t> limit_{0};
};

// What a kernel made once for its step at initialisation (a oneDNN primitive, say). Immutable
// after.
class KernelState {
 public:
  virtual ~KernelState() = default;
};

struct KernelArgs {
  std::byte* const* buffers;  // outputs, inputs, workspace, in the order of the step; absent: null
  const int64_t* scalars;     // floats travel as the bits of a double
  const std::byte* data;      // the step's bytes, 8-byte aligned, or null
  const KernelState* state;   // from `initialise`, or null
  Fault* fault;

  float f32(int i) const { return static_cast<float>(std::bit_cast<double>(scalars[i])); }
  double f64(int i) const { return std::bit_cast<double>(scalars[i]); }
};

// A step as the loader sees it, for checks. Scalars that vary at run time show their range.
struct StepView {
  struct Range {
    int64_t min, max;
  };
  absl::string_view name;
  absl::Span<const uint64_t> output_bytes;  // at the largest extents; 0: absent
  absl::Span<const uint64_t> input_bytes;
  uint64_t workspace_bytes;
  absl::Span<const Range> scalars;
  Range chunks;
  absl::Span<const std::byte> data;
  // aliases[i]: the input that shares its first byte with output i, or -1. Any other overlap
  // between an output and an input was refused before.
  absl::Span<const int> aliases;
};

// At most what a chunk takes of its worker's stack, which may be the host's (docs/embedding.md).
inline constexpr size_t kKernelStackBytes = 384 * 1024;

struct Kernel {
  const char* name;

  // Whether a step, whatever its origin, can be run without touching a byte outside its operands,
  // for every value of the scalars in their ranges. Called once, when a plan is loaded.
  absl::Status (*validate)(const StepView& step);

  // Runs one chunk, 0 <= chunk < chunks.
  void (*run)(const KernelArgs& args, int64_t chunk);

  // Optional: makes what `run` needs in `args.state`, of a step that was validated. It serves all
  // values of scalars that `validate` let vary.
  absl::StatusOr<std::unique_ptr<KernelState>> (*initialise)(const StepView& step) = nullptr;

  // A library below may allocate in `run`; `inspect` says so.
  bool may_allocate = false;

  // A plain kernel: right, not fast. `inspect` marks it.
  bool plain = false;
};

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_KERNEL_H_
