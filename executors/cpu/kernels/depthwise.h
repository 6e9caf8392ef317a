// "cpu.depthwise_f32": convolution of channels-last images in which each channel has a filter of
// its own:
//
//   y[b, h, w, c] = clamp(bias[c] + sum x[b, h * stride + kh * dilation - pad, ..., c] * filter[kh,
//   kw, c], low, high)
//
// x [batch, in h, in w, channels], filter [kernel h, kernel w, channels] (transposed once from
// [channels, 1, kh, kw]), y [batch, out h, out w, channels]. Inputs x, filter, bias (may be
// absent). Extents may vary at run time. chunks = ceil(batch * out[0] / rows_per_chunk).
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_DEPTHWISE_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_DEPTHWISE_H_

#include <bit>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

struct DepthwiseScalars {
  int64_t batch = 1;
  int64_t channels = 1;
  int64_t in[2] = {1, 1};
  int64_t out[2] = {1, 1};
  int64_t kernel[2] = {1, 1};
  int64_t stride[2] = {1, 1};
  int64_t dilation[2] = {1, 1};
  int64_t pad_low[2] = {};
  // Bits of doubles: 0 and inf make a relu, 0 and 6 a relu6. NaN stays NaN.
  int64_t low = std::bit_cast<int64_t>(-std::numeric_limits<double>::infinity());
  int64_t high = std::bit_cast<int64_t>(std::numeric_limits<double>::infinity());
  int64_t rows_per_chunk = 1;
};
void choose_depthwise_grain(DepthwiseScalars& scalars);
int64_t depthwise_chunks(const DepthwiseScalars& scalars);

absl::Status validate_depthwise(const runtime::StepView& step);
void run_depthwise(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_DEPTHWISE_H_
