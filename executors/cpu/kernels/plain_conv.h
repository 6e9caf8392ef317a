// "cpu.plain_conv": convolution and its two gradients over up to three spatial axes of any extents,
// of f64, f32, f16 and bf16, in the way that is easiest to read. For what no fast kernel takes;
// `inspect` marks it.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_PLAIN_CONV_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_PLAIN_CONV_H_

#include <cstdint>

#include "absl/status/status.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

enum class PlainConvKind : int64_t { kForward = 0, kInputGradient = 1, kFilterGradient = 2 };

// x is [batch, in_channels, in…], y [batch, out_channels, out…], or both with the channels last; w
// is [out_channels, in_channels / groups, kernel…]. Spatial axes that are not there come first and
// have extent 1. All operands have one type; sums are kept in f64.
//
//   kForward          output y, inputs x, w; chunks = batch * out_channels
//   kInputGradient    output x, inputs y, w; chunks = batch * in_channels
//   kFilterGradient   output w, inputs x, y; chunks = out_channels * in_channels / groups
struct PlainConvScalars {
  int64_t kind = 0;           // PlainConvKind; static
  int64_t dtype = 0;          // static
  int64_t channels_last = 0;  // static
  int64_t batch = 1;
  int64_t in_channels = 1;   // static
  int64_t out_channels = 1;  // static
  int64_t groups = 1;        // static
  int64_t in[3] = {1, 1, 1};
  int64_t out[3] = {1, 1, 1};
  int64_t kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1};
  int64_t dilation[3] = {1, 1, 1};
  int64_t pad_low[3] = {};
};

absl::Status validate_plain_conv(const runtime::StepView& step);
void run_plain_conv(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_PLAIN_CONV_H_
