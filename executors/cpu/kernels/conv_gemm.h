// "cpu.conv_f32": convolution of channels-last images as a product of matrices. A row of A holds
// what one window sees, and the matrix of all windows is never there: a row is runs of floats that
// lie together in the image (the channels of a place, or a line of places where there are few
// channels), which the micro-kernel reads there by way of pointers (Dukhan, "The Indirect
// Convolution Algorithm", 2019). What is beyond the image is a run of zeros. Runs that would be
// too short are copied, a block of rows at a time, on the stack. B is the packed filter. Up to
// three spatial axes, whose extents may vary at run time.
//
//   y[b, o…, oc] = act(bias[oc] + residual[b, o…, oc] +
//                      sum x[b, o * stride + k * dilation - pad_low …, c] * filter[oc, c, k…])
//
// A row has the same bits whatever the batch and the number of workers (matmul_params.h).
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_CONV_GEMM_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_CONV_GEMM_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

// Spatial axes that are not there come first and have extent 1. Output y [batch, out…,
// out_channels]; inputs x [batch, in…, in_channels], the packed filter, bias [out_channels] and
// residual (like y); the last two may be absent. y may share its memory with a residual that comes
// before the activation.
// chunks = groups * ceil(batch * out… / m_grain) * ceil(out_channels / groups / n_grain).
struct ConvGemmScalars {
  int64_t batch = 1;
  int64_t in[3] = {1, 1, 1};
  int64_t out[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1};
  int64_t dilation[3] = {1, 1, 1};
  int64_t pad_low[3] = {};
  // Static.
  int64_t kernel[3] = {1, 1, 1};
  int64_t in_channels = 1;
  int64_t out_channels = 1;
  int64_t groups = 1;
  int64_t has_bias = 0;
  int64_t residual = 0;    // ResidualAt
  int64_t activation = 0;  // Activation
  int64_t m_grain = 1;
  int64_t n_grain = kPanel;
};

// Columns of A and of the result of one group.
int64_t conv_gemm_depth(const ConvGemmScalars& scalars);
int64_t conv_gemm_width(const ConvGemmScalars& scalars);
// Fills the grains, for the extents as they are (the largest).
void choose_conv_gemm_grain(ConvGemmScalars& scalars);

// The packed filter: for each group, the matrix [kernel…, in_channels / groups] x [out_channels /
// groups] as pack_b lays it out.
int64_t conv_gemm_filter_floats(const ConvGemmScalars& scalars);
// From a filter [out_channels, in_channels / groups, kernel…].
std::vector<float> pack_conv_gemm_filter(const ConvGemmScalars& scalars,
                                         absl::Span<const float> filter);

absl::Status validate_conv_gemm(const runtime::StepView& step);
void run_conv_gemm(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_CONV_GEMM_H_
