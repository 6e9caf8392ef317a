// Arithmetic for checking untrusted plans: ranges of integers that saturate instead of overflowing,
// and what every kernel's validate() says when a number does not fit.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_CHECKED_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_CHECKED_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

// Wide enough that a few sums and one product of int64 never overflow.
__extension__ using Int128 = __int128;

// Largest extent or product of extents that a kernel takes: byte counts stay far inside int64.
inline constexpr int64_t kMaxElements = int64_t{1} << 48;

// Largest extent, stride, dilation or padding of convolutions: products of two and sums stay small.
inline constexpr int64_t kMaxImageExtent = int64_t{1} << 24;

// Rounded up, for b > 0.
inline constexpr int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b > 0 ? 1 : 0); }

// The largest number of rows, lines or units that a chunk may have: times a number of chunks, which
// are fewer than 2^31, it stays inside int64.
inline constexpr int64_t kMaxGrain = int64_t{1} << 31;
// The same where they may be empty, so that no operand's size bounds how long a chunk runs.
inline constexpr int64_t kMaxEmptyGrain = int64_t{1} << 20;

// The product of extents >= 0, or kMaxElements + 1 when it is larger than kMaxElements.
inline int64_t checked_product(int64_t a, int64_t b) {
  const Int128 product = Int128{a} * b;
  return product > kMaxElements ? kMaxElements + 1 : static_cast<int64_t>(product);
}

// The elements that an affine walk touches: base + sum of i_d * stride_d, 0 <= i_d < extent_d.
class Reach {
 public:
  using Range = runtime::StepView::Range;

  explicit Reach(Range base) : low_(base.min), high_(base.max) {}

  // Extents must have been checked to lie in [0, kMaxElements].
  void add(Range extent, Range stride) {
    if (extent.max <= 0) empty_ = true;
    // Walks add a stride before they see that its axis has ended.
    if (stride.min < -kMaxElements || stride.max > kMaxElements) absurd_ = true;
    const Int128 steps = extent.max - 1;
    low_ = clamp(low_ + std::min<Int128>(0, clamp(steps * stride.min)));
    high_ = clamp(high_ + std::max<Int128>(0, clamp(steps * stride.max)));
  }

  // Whether all elements lie in a buffer of `bytes`.
  bool fits(uint64_t bytes, int64_t element_bytes) const {
    if (absurd_) return false;
    return empty_ || (low_ >= 0 && (high_ + 1) * element_bytes <= Int128{bytes});
  }
  bool empty() const { return empty_; }
  // For messages: the first element if that lies before the operand, else the last.
  int64_t extreme() const {
    return static_cast<int64_t>(std::clamp<Int128>(low_ < 0 ? low_ : high_,
                                                   std::numeric_limits<int64_t>::min(),
                                                   std::numeric_limits<int64_t>::max()));
  }

 private:
  static Int128 clamp(Int128 v) {
    constexpr Int128 kLimit = Int128{1} << 100;
    return std::clamp(v, -kLimit, kLimit);
  }
  Int128 low_;
  Int128 high_;
  bool empty_ = false;
  bool absurd_ = false;
};

// Kernels describe their scalars by a struct of int64 fields ("XScalars"), which the backend fills
// at plan time and a step carries as it is. These read it back.
template <class S>
const S& scalars_of(const runtime::KernelArgs& args) {
  static_assert(sizeof(S) % sizeof(int64_t) == 0);
  return *reinterpret_cast<const S*>(args.scalars);
}
// The range of a field, by its place: MODELLIB_SCALAR(CopyScalars, extent[2]).
#define MODELLIB_SCALAR(S, field) (offsetof(S, field) / sizeof(int64_t))

// The checks that every step needs: how many operands and scalars it has, and that each scalar is
// some number.
template <class S>
absl::Status check_counts(const char* kernel, const runtime::StepView& step, size_t outputs,
                          size_t inputs) {
  constexpr size_t kScalars = sizeof(S) / sizeof(int64_t);
  if (step.scalars.size() != kScalars || step.output_bytes.size() != outputs ||
      step.input_bytes.size() != inputs) {
    return absl::InvalidArgumentError(
        absl::StrCat(kernel, ": ", step.output_bytes.size(), " outputs, ", step.input_bytes.size(),
                     " inputs and ", step.scalars.size(), " scalars, expected ", outputs, ", ",
                     inputs, " and ", kScalars));
  }
  for (const auto& range : step.scalars) {
    if (range.min > range.max) {
      return absl::InvalidArgumentError(absl::StrCat(kernel, ": an empty range of a scalar"));
    }
  }
  return absl::OkStatus();
}

inline bool in_range(runtime::StepView::Range range, int64_t low, int64_t high) {
  return range.min <= range.max && range.min >= low && range.max <= high;
}

// "cpu.fill: extent 3 is [-1, 5], expected within [0, 9]".
template <class Name>
absl::Status range_error(const char* kernel, const Name& what, runtime::StepView::Range got,
                         int64_t low, int64_t high) {
  return absl::InvalidArgumentError(absl::StrCat(kernel, ": ", what, " is [", got.min, ", ",
                                                 got.max, "], expected within [", low, ", ", high,
                                                 "]"));
}

// One of the extents of a step: within [low, kMaxElements].
#define MODELLIB_CHECK_SCALAR(kernel, step, S, field, low, high)              \
  do {                                                                        \
    const auto range_ = (step).scalars[MODELLIB_SCALAR(S, field)];            \
    if (!::modellib::cpu::in_range(range_, low, high)) {                      \
      return ::modellib::cpu::range_error(kernel, #field, range_, low, high); \
    }                                                                         \
  } while (false)

// Whether a dense operand of these extents (at their largest) lies in `bytes`. The others of an
// extent of 0 may not be huge either: kernels multiply them.
inline bool dense_fits(std::initializer_list<int64_t> extents, int64_t element_bytes,
                       uint64_t bytes) {
  int64_t count = 1, walk = 1;
  for (const int64_t e : extents) {
    count = checked_product(count, e);
    walk = checked_product(walk, std::max<int64_t>(1, e));
  }
  return walk <= kMaxElements && Int128{count} * element_bytes <= Int128{bytes};
}

inline absl::Status operand_error(const char* kernel, const char* what, uint64_t bytes) {
  return absl::InvalidArgumentError(
      absl::StrCat(kernel, ": ", what, " of ", bytes, " bytes is too small for the extents"));
}

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_CHECKED_H_
