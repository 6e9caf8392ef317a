// "cpu.conv2d": convolution of f32 images and its two gradients, through oneDNN. Primitives are
// made when the plan is loaded, for one chunk's work each, and run single-threaded: the split into
// chunks is the plan's.
//
// * forward: y = activation(conv(x, w) + bias + y0). Inputs x, w, bias, y0; the last two may be
//   absent. The activation is our own: the library's lose NaN.
// * input gradient: dx from inputs dy and w.
// * filter gradient: dw of each part of the images, from inputs x and dy. Output [parts, ...w]: sum
//   it with cpu.reduce.
//
// The filter is [out channels, in channels / groups, kernel h, kernel w], or what pack_conv_filter
// made of it. chunks = batch * pieces (filter gradient: parts = ceil(batch / images_per_part)). The
// batch may vary at run time.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_CONV_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_CONV_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

enum class ConvKind : int64_t { kForward = 0, kInputGradient = 1, kFilterGradient = 2 };
enum class ImageLayout : int64_t { kChannelsFirst = 0, kChannelsLast = 1 };

// All static but `batch`.
struct ConvScalars {
  int64_t kind = 0;    // ConvKind
  int64_t layout = 0;  // ImageLayout
  int64_t in_channels = 1;
  int64_t out_channels = 1;
  int64_t groups = 1;
  int64_t in[2] = {1, 1};
  int64_t out[2] = {1, 1};
  int64_t kernel[2] = {1, 1};
  int64_t stride[2] = {1, 1};
  int64_t dilation[2] = {1, 1};
  int64_t pad_low[2] = {};
  int64_t pad_high[2] = {};
  int64_t has_bias = 0;
  int64_t activation = 0;   // Activation
  int64_t accumulates = 0;  // y0 is there and shares its memory with y

  // Chosen by plan_conv.
  int64_t pieces =
      1;  // of an image: bands of rows (channels last) or of output channels (channels first)
  int64_t images_per_part = 1;  // filter gradient
  int64_t scratch_bytes = 0;    // workspace of a chunk, a multiple of 64
  int64_t filter_bytes = 0;     // of a packed filter; 0: it lies plain
  int64_t filter_layout = 0;    // which packing; the loading machine must choose the same

  int64_t batch = 0;  // filter gradient: how many images there are; else not looked at
};

// Whether a step is for one batch or for any up to the largest.
enum class ConvBatch { kKnown, kFree };

// Whether plan_conv takes these extents: they fit one another, and none is huge.
bool conv_takes(const ConvScalars& scalars);
// Fills what it chooses. batch: the largest; pack: the filter is constant and may be packed
// (forward only). InvalidArgument for extents that do not fit one another.
absl::Status plan_conv(int64_t batch, bool pack, ConvScalars& scalars,
                       ConvBatch known = ConvBatch::kKnown);
int64_t conv_chunks(const ConvScalars& scalars, int64_t batch);
// The bytes of a packed filter (filter_bytes of them) from a plain one.
absl::StatusOr<std::vector<std::byte>> pack_conv_filter(const ConvScalars& scalars,
                                                        absl::Span<const float> filter);

absl::Status validate_conv(const runtime::StepView& step);
absl::StatusOr<std::unique_ptr<runtime::KernelState>> initialise_conv(
    const runtime::StepView& step);
void run_conv(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_CONV_H_
