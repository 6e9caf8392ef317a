// "cpu.winograd_in_f32" and "cpu.winograd_out_f32": what stands before and behind the products of a
// 3x3 convolution of stride 1 that computes 4x4 results at a time, F(4x4, 3x3) of Lavin and Gray,
// "Fast Algorithms for Convolutional Neural Networks" (2016), with the points 0, ±1, ±2 and ∞:
//
//   Y = A'[(G g G') ∘ (B' d B)]A     d: 6x6 of x, g: 3x3 of the filter, Y: 4x4 of y
//
// summed over input channels before A is applied, so that of each of the 36 places there is one
// product of matrices, [tiles, in channels] x [in channels, out channels], which "cpu.matmul_f32"
// computes: a quarter of the multiplications. Images are channels-last.
//
// Rounding: of sums of normal numbers the result is off by 2e-5 of their deviation at most, and by
// 2e-6 usually, ten times as much as the direct sum. An infinity, or a number near the largest,
// makes NaN of all results of the tiles that see it, where the direct sum has it in nine results.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_WINOGRAD_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_WINOGRAD_H_

#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

inline constexpr int64_t kWinogradTile = 4;     // results of a tile, along an axis
inline constexpr int64_t kWinogradPlaces = 36;  // products
inline constexpr int64_t kWinogradLanes = 16;   // channels are a multiple of this

// Tiles lie over the results, from the first on; the last ones may reach beyond.
inline constexpr int64_t winograd_tiles(int64_t extent) {
  return (extent + kWinogradTile - 1) / kWinogradTile;
}

// Input x [batch, in h, in w, channels], output [36, tiles, channels], tiles = batch *
// winograd_tiles(out h) * winograd_tiles(out w). chunks = ceil(tiles / tiles_per_chunk).
struct WinogradInScalars {
  int64_t batch = 1;
  int64_t in[2] = {1, 1};
  int64_t out[2] = {1, 1};
  int64_t pad_low[2] = {};
  int64_t channels = kWinogradLanes;  // static
  int64_t tiles_per_chunk = 1;        // static
};

// Inputs [36, tiles, channels], bias [channels] and residual (like y), which may be absent; output
// y [batch, out h, out w, channels] = clamp(Y + bias + residual, low, high), or clamp(Y + bias,
// low, high) + residual, which may share its memory with the residual. The same chunks.
struct WinogradOutScalars {
  int64_t batch = 1;
  int64_t out[2] = {1, 1};
  int64_t channels = kWinogradLanes;  // static
  int64_t tiles_per_chunk = 1;        // static
  // Bits of doubles: 0 and inf make a relu, 0 and 6 a relu6. NaN stays NaN. Static.
  int64_t low = std::bit_cast<int64_t>(-std::numeric_limits<double>::infinity());
  int64_t high = std::bit_cast<int64_t>(std::numeric_limits<double>::infinity());
  int64_t residual_after = 0;  // 1: it is added to what is within the limits; static
};

// Tiles of a chunk, where there are so many (the most) of so many channels.
int64_t winograd_tiles_per_chunk(int64_t tiles, int64_t channels);

// Whether this way is faster than the direct one, by far enough, and the tiles of an image take no
// more than 16 MiB. The batch does not count: a row has the same bits whatever the batch.
bool winograd_pays(const int64_t (&out)[2], int64_t in_channels, int64_t out_channels);

// The right-hand matrices [36][in channels, out channels], each as pack_b lays it out, from a
// filter [out channels, in channels, 3, 3].
int64_t winograd_filter_floats(int64_t in_channels, int64_t out_channels);
std::vector<float> pack_winograd_filter(int64_t in_channels, int64_t out_channels,
                                        absl::Span<const float> filter);

absl::Status validate_winograd_in(const runtime::StepView& step);
void run_winograd_in(const runtime::KernelArgs& args, int64_t chunk);
absl::Status validate_winograd_out(const runtime::StepView& step);
void run_winograd_out(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_WINOGRAD_H_
