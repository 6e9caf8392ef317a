// "cpu.pool": max and average pooling and their gradients, over up to three spatial dimensions, f32
// or f64, for both layouts: x is [outer, in0, in1, in2, inner], where channels-first images have
// outer = batch * channels and inner = 1, and channels-last ones outer = batch and inner =
// channels. Unused spatial dimensions come first, with extents 1.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_POOL_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_POOL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

// One output; inputs as listed. In max pooling a NaN counts as largest, and of equals the first in
// C order stands.
enum class PoolKind : int64_t {
  kMax = 0,              // x -> y
  kAverage = 1,          // x -> y
  kMaxSelect = 2,        // x, v (as x) -> the element of v where x is largest, as y
  kMaxGradient = 3,      // x, g (as y) -> as x
  kAverageGradient = 4,  // g (as y) -> as x
};

// chunks = ceil(units / units_per_chunk). Units of the first three: outer * out0 * out1; of the
// gradients: outer * ceil(inner / 64).
struct PoolScalars {
  int64_t kind = 0;   // PoolKind; static
  int64_t dtype = 0;  // f32 or f64; static
  int64_t outer = 1;
  int64_t inner = 1;
  int64_t in[3] = {1, 1, 1};
  int64_t out[3] = {1, 1, 1};
  int64_t kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1};
  int64_t dilation[3] = {1, 1, 1};
  int64_t pad_low[3] = {};
  int64_t pad_high[3] = {};
  int64_t count_include_pad = 1;  // average: padding counts as zeros, up to in + pad_high
  int64_t units_per_chunk = 1;
};
int64_t pool_units(const PoolScalars& scalars);
void choose_pool_grain(PoolScalars& scalars);
int64_t pool_chunks(const PoolScalars& scalars);

absl::Status validate_pool(const runtime::StepView& step);
void run_pool(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_POOL_H_
