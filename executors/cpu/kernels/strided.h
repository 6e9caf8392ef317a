// Kernels that move elements and compute nothing: strided copies (transpose, slice, expand, flip, a
// part of a concat, the interior of a pad) and padding.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_STRIDED_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_STRIDED_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

inline constexpr int kCopyDims = 8;

// "cpu.copy": one output, one input. Element (i0 … i7) of the output, at dst_base + sum i_d *
// dst_stride[d], is that of the input at src_base + sum i_d * src_stride[d]. Strides count elements
// and may be 0 (in the source) or negative. The kernel runs any order of dimensions; it is fast
// when plan_copy made it. chunks = ceil(outer * ceil(extent[6] / tile_rows) / units_per_chunk),
// outer = product of extent[0…5].
//
// Base, extents and strides that vary may only together stay inside an operand: a flip of n
// elements starts at n - 1 and steps by -1. With src_elements or dst_elements, which lie in the
// operand, each run checks them, and reports an index out of range; without, the plan is refused
// unless they stay inside at all their values.
struct CopyScalars {
  int64_t element_bytes = 4;  // 1, 2, 4 or 8; static
  int64_t tile_rows = 32;     // rows of dimension 6 that make a unit of work
  int64_t units_per_chunk = 1;
  int64_t extent[kCopyDims] = {1, 1, 1, 1, 1, 1, 1, 1};
  int64_t src_base = 0;
  int64_t src_stride[kCopyDims] = {};
  int64_t dst_base = 0;
  int64_t dst_stride[kCopyDims] = {};
  int64_t src_elements = 0;  // static
  int64_t dst_elements = 0;
};

// A copy of `extents` (any rank up to 8) with these strides, its dimensions merged and put in the
// order that suits the kernel: the output's fastest dimension last, the source's fastest before it.
// All static.
CopyScalars plan_copy(int64_t element_bytes, const std::vector<int64_t>& extents,
                      const std::vector<int64_t>& src_strides,
                      const std::vector<int64_t>& dst_strides, int64_t src_base = 0,
                      int64_t dst_base = 0);
// The same order for extents and strides that vary at run time: they are kept as they are,
// right-aligned, and only tile_rows and units_per_chunk are chosen, from the largest extents.
void choose_copy_grain(CopyScalars& scalars);
int64_t copy_chunks(const CopyScalars& scalars);

// "cpu.pad": one output, one input, both dense. Output extent d is low[d] + extent[d] + high[d], >=
// 0; low and high may be negative. chunks = ceil(product of the output's extents but the last /
// rows_per_chunk).
enum class PadMode : int64_t { kConstant = 0, kReflect = 1, kEdge = 2, kWrap = 3 };
struct PadScalars {
  int64_t element_bytes = 4;
  int64_t mode = 0;   // PadMode; static
  int64_t value = 0;  // the bits of a constant pad's element
  int64_t rows_per_chunk = 1;
  int64_t extent[kCopyDims] = {1, 1, 1, 1, 1, 1, 1, 1};  // of the input
  int64_t low[kCopyDims] = {};
  int64_t high[kCopyDims] = {};
};
int64_t pad_rows(const PadScalars& scalars);  // of the output
void choose_pad_grain(PadScalars& scalars);
int64_t pad_chunks(const PadScalars& scalars);

absl::Status validate_copy(const runtime::StepView& step);
void run_copy(const runtime::KernelArgs& args, int64_t chunk);
absl::Status validate_pad(const runtime::StepView& step);
void run_pad(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_STRIDED_H_
