#include "modellib/executors/cpu/kernels/winograd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "executors/cpu/kernels/winograd.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include <algorithm>

#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/grain.h"
#include "modellib/executors/cpu/kernels/math-inl.h"
#include "modellib/executors/cpu/kernels/matmul.h"
#include "modellib/graph/status_macros.h"

#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_WINOGRAD_CC_TYPES_
#define MODELLIB_EXECUTORS_CPU_KERNELS_WINOGRAD_CC_TYPES_
namespace modellib::cpu {
namespace {

constexpr int kSide = 6;  // of the tile of x that 4x4 results see

// Where a tile lies: the image, and its first result.
struct TilePlace {
  int64_t image, at[2];
};
template <class S>
TilePlace place_of(const S& s, int64_t tile) {
  const int64_t across = winograd_tiles(s.out[1]), down = winograd_tiles(s.out[0]);
  return {tile / across / down,
          {tile / across % down * kWinogradTile, tile % across * kWinogradTile}};
}
template <class S>
int64_t tiles_of(const S& s) {
  return s.batch * winograd_tiles(s.out[0]) * winograd_tiles(s.out[1]);
}

}  // namespace
}  // namespace modellib::cpu
#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_WINOGRAD_CC_TYPES_

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, kWinogradLanes>;
using V = hn::Vec<D>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(D()));

// B' times six rows.
HWY_INLINE void transform_input(const V (&d)[kSide], V (&v)[kSide]) {
  const D tag;
  const V two = hn::Set(tag, 2.0f), four = hn::Set(tag, 4.0f), five = hn::Set(tag, 5.0f);
  const V even = hn::NegMulAdd(four, d[2], d[4]), odd = hn::NegMulAdd(four, d[1], d[3]);
  const V near = hn::Sub(d[4], d[2]), far = hn::Mul(two, hn::Sub(d[3], d[1]));
  v[0] = hn::NegMulAdd(five, d[2], hn::MulAdd(four, d[0], d[4]));
  v[1] = hn::Add(even, odd);
  v[2] = hn::Sub(even, odd);
  v[3] = hn::Add(near, far);
  v[4] = hn::Sub(near, far);
  v[5] = hn::NegMulAdd(five, d[3], hn::MulAdd(four, d[1], d[5]));
}

// A' times six rows.
HWY_INLINE void transform_output(const V (&m)[kSide], V (&y)[kWinogradTile]) {
  const D tag;
  const V two = hn::Set(tag, 2.0f), four = hn::Set(tag, 4.0f), eight = hn::Set(tag, 8.0f);
  const V sum1 = hn::Add(m[1], m[2]), difference1 = hn::Sub(m[1], m[2]);
  const V sum2 = hn::Add(m[3], m[4]), difference2 = hn::Sub(m[3], m[4]);
  y[0] = hn::Add(hn::Add(m[0], sum1), sum2);
  y[1] = hn::MulAdd(two, difference2, difference1);
  y[2] = hn::MulAdd(four, sum2, sum1);
  y[3] = hn::Add(hn::MulAdd(eight, difference2, difference1), m[5]);
}

}  // namespace

void winograd_in_chunk(const runtime::KernelArgs& args, int64_t chunk) {
  const D tag;
  const auto& s = scalars_of<WinogradInScalars>(args);
  const auto* x = reinterpret_cast<const float*>(args.buffers[1]);
  auto* out = reinterpret_cast<float*>(args.buffers[0]);
  const int64_t tiles = tiles_of(s), place_floats = tiles * s.channels;
  const int64_t last = std::min(tiles, (chunk + 1) * s.tiles_per_chunk);
  for (int64_t tile = chunk * s.tiles_per_chunk; tile < last; ++tile) {
    const TilePlace place = place_of(s, tile);
    const float* image = x + place.image * s.in[0] * s.in[1] * s.channels;
    const int64_t top = place.at[0] - s.pad_low[0], left = place.at[1] - s.pad_low[1];
    for (int64_t c = 0; c < s.channels; c += kLanes) {
      V columns[kSide][kSide];  // B' d, by column of d
      for (int64_t w = 0; w < kSide; ++w) {
        V d[kSide];
        for (int64_t h = 0; h < kSide; ++h) {
          const int64_t i = top + h, j = left + w;
          const bool inside = i >= 0 && i < s.in[0] && j >= 0 && j < s.in[1];
          d[h] =
              inside ? hn::LoadU(tag, image + (i * s.in[1] + j) * s.channels + c) : hn::Zero(tag);
        }
        transform_input(d, columns[w]);
      }
      float* to = out + tile * s.channels + c;
      for (int h = 0; h < kSide; ++h) {
        V row[kSide], v[kSide];
        for (int w = 0; w < kSide; ++w) row[w] = columns[w][h];
        transform_input(row, v);
        for (int w = 0; w < kSide; ++w) hn::StoreU(v[w], tag, to + (h * kSide + w) * place_floats);
      }
    }
  }
}

void winograd_out_chunk(const runtime::KernelArgs& args, int64_t chunk) {
  const D tag;
  const auto& s = scalars_of<WinogradOutScalars>(args);
  auto* y = reinterpret_cast<float*>(args.buffers[0]);
  const auto* in = reinterpret_cast<const float*>(args.buffers[1]);
  const auto* bias = reinterpret_cast<const float*>(args.buffers[2]);
  const auto* residual = reinterpret_cast<const float*>(args.buffers[3]);
  const float* before = s.residual_after == 0 ? residual : nullptr;
  const float* behind = s.residual_after == 0 ? nullptr : residual;
  const V low = hn::Set(tag, static_cast<float>(std::bit_cast<double>(s.low)));
  const V high = hn::Set(tag, static_cast<float>(std::bit_cast<double>(s.high)));
  const int64_t tiles = tiles_of(s), place_floats = tiles * s.channels;
  const int64_t last = std::min(tiles, (chunk + 1) * s.tiles_per_chunk);
  for (int64_t tile = chunk * s.tiles_per_chunk; tile < last; ++tile) {
    const TilePlace place = place_of(s, tile);
    const int64_t rows = std::min(kWinogradTile, s.out[0] - place.at[0]);
    const int64_t columns = std::min(kWinogradTile, s.out[1] - place.at[1]);
    const int64_t origin =
        ((place.image * s.out[0] + place.at[0]) * s.out[1] + place.at[1]) * s.channels;
    for (int64_t c = 0; c < s.channels; c += kLanes) {
      const float* from = in + tile * s.channels + c;
      V half[kSide][kWinogradTile];  // A' m, by column of m
      for (int w = 0; w < kSide; ++w) {
        V m[kSide];
        for (int h = 0; h < kSide; ++h)
          m[h] = hn::LoadU(tag, from + (h * kSide + w) * place_floats);
        transform_output(m, half[w]);
      }
      const V b = bias != nullptr ? hn::LoadU(tag, bias + c) : hn::Zero(tag);
      for (int64_t h = 0; h < rows; ++h) {
        V row[kSide], v[kWinogradTile];
        for (int w = 0; w < kSide; ++w) row[w] = half[w][h];
        transform_output(row, v);
        for (int64_t w = 0; w < columns; ++w) {
          const int64_t at = origin + (h * s.out[1] + w) * s.channels + c;
          V sum = hn::Add(v[w], b);
          if (before != nullptr) sum = hn::Add(sum, hn::LoadU(tag, before + at));
          sum = within(sum, low, high);
          if (behind != nullptr) sum = hn::Add(sum, hn::LoadU(tag, behind + at));
          hn::StoreU(sum, tag, y + at);
        }
      }
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace modellib::cpu {

HWY_EXPORT(winograd_in_chunk);
HWY_EXPORT(winograd_out_chunk);

void run_winograd_in(const runtime::KernelArgs& args, int64_t chunk) {
  HWY_DYNAMIC_DISPATCH(winograd_in_chunk)(args, chunk);
}
void run_winograd_out(const runtime::KernelArgs& args, int64_t chunk) {
  HWY_DYNAMIC_DISPATCH(winograd_out_chunk)(args, chunk);
}

int64_t winograd_tiles_per_chunk(int64_t tiles, int64_t channels) {
  // Each of 36 places of a channel takes about a cycle, memory included.
  return cheapest_grain(tiles, static_cast<double>(kWinogradPlaces * channels));
}

bool winograd_pays(const int64_t (&out)[2], int64_t in_channels, int64_t out_channels) {
  if (in_channels % kWinogradLanes != 0 || out_channels % kWinogradLanes != 0) return false;
  const auto c = static_cast<double>(in_channels), n = static_cast<double>(out_channels);
  const auto results = static_cast<double>(out[0] * out[1]);
  const auto tiles = static_cast<double>(winograd_tiles(out[0]) * winograd_tiles(out[1]));
  // Memory for the tiles of an image, on both sides of the products.
  constexpr double kMostFloats = 4 << 20;
  if (kWinogradPlaces * tiles * (c + n) > kMostFloats) return false;
  // In cycles of 16 products. Each element of a matrix of filters comes from memory once, which
  // takes as long as so many products with it; each element of the images of tiles moves several
  // times, which takes a cycle.
  constexpr double kProducts = 16, kFromMemory = 16, kGain = 0.7;
  const double direct = 9 * results * c * n / kProducts;
  const double tiled =
      kWinogradPlaces * ((tiles + kFromMemory) * c * n / kProducts + tiles * (c + n));
  return tiled < kGain * direct;
}

int64_t winograd_filter_floats(int64_t in_channels, int64_t out_channels) {
  return kWinogradPlaces * packed_b_floats(in_channels, out_channels);
}

std::vector<float> pack_winograd_filter(int64_t in_channels, int64_t out_channels,
                                        absl::Span<const float> filter) {
  constexpr double kG[kSide][3] = {{1.0 / 4, 0, 0},
                                   {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                   {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                   {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                   {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                   {0, 0, 1}};
  const int64_t pairs = in_channels * out_channels;
  std::vector<float> matrices(static_cast<size_t>(kWinogradPlaces * pairs));
  for (int64_t pair = 0; pair < pairs; ++pair) {  // [out channels, in channels]
    const float* g = filter.data() + pair * 9;
    double half[kSide][3];
    for (int i = 0; i < kSide; ++i) {
      for (int j = 0; j < 3; ++j) {
        half[i][j] = kG[i][0] * g[j] + kG[i][1] * g[3 + j] + kG[i][2] * g[6 + j];
      }
    }
    for (int i = 0; i < kSide; ++i) {
      for (int j = 0; j < kSide; ++j) {
        const double u = half[i][0] * kG[j][0] + half[i][1] * kG[j][1] + half[i][2] * kG[j][2];
        matrices[static_cast<size_t>((i * kSide + j) * pairs + pair)] = static_cast<float>(u);
      }
    }
  }
  const int64_t each = packed_b_floats(in_channels, out_channels);
  std::vector<float> packed(static_cast<size_t>(kWinogradPlaces * each));
  for (int64_t p = 0; p < kWinogradPlaces; ++p) {
    pack_b(in_channels, out_channels, /*transposed=*/true, matrices.data() + p * pairs, in_channels,
           packed.data() + p * each);
  }
  return packed;
}

namespace {

constexpr int64_t kSmall = kMaxImageExtent;

// What both kinds of step have: their scalars but pad_low and the limits.
template <class S>
absl::Status check_tiles(const char* name, const runtime::StepView& step) {
  MODELLIB_CHECK_SCALAR(name, step, S, batch, 0, kSmall);
  MODELLIB_CHECK_SCALAR(name, step, S, channels, 1, kSmall);
  MODELLIB_CHECK_SCALAR(name, step, S, tiles_per_chunk, 1, int64_t{1} << 31);
  const auto channels = step.scalars[MODELLIB_SCALAR(S, channels)];
  if (channels.min != channels.max || channels.min % kWinogradLanes != 0)
    return absl::InvalidArgumentError(absl::StrCat(name, ": channels vary or fill no vectors"));
  for (size_t d = 0; d < 2; ++d) {
    if (!in_range(step.scalars[MODELLIB_SCALAR(S, out) + d], 1, kSmall))
      return range_error(name, "out", step.scalars[MODELLIB_SCALAR(S, out) + d], 1, kSmall);
  }
  if (!in_range(step.chunks, 0, int64_t{1} << 31))
    return range_error(name, "chunks", step.chunks, 0, int64_t{1} << 31);
  return absl::OkStatus();
}

// Floats of an operand at the largest extents.
template <class S>
int64_t transformed_floats(const runtime::StepView& step) {
  const auto most = [&](size_t field) { return step.scalars[field].max; };
  int64_t floats = checked_product(kWinogradPlaces, most(MODELLIB_SCALAR(S, channels)));
  floats = checked_product(floats, most(MODELLIB_SCALAR(S, batch)));
  for (size_t d = 0; d < 2; ++d)
    floats = checked_product(floats, winograd_tiles(most(MODELLIB_SCALAR(S, out) + d)));
  return floats;
}
template <class S>
int64_t image_floats(const runtime::StepView& step, size_t extents) {
  int64_t floats = checked_product(step.scalars[MODELLIB_SCALAR(S, batch)].max,
                                   step.scalars[MODELLIB_SCALAR(S, channels)].max);
  for (size_t d = 0; d < 2; ++d) floats = checked_product(floats, step.scalars[extents + d].max);
  return floats;
}

}  // namespace

absl::Status validate_winograd_in(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.winograd_in_f32";
  using S = WinogradInScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 1));
  MODELLIB_RETURN_IF_ERROR(check_tiles<S>(kName, step));
  for (size_t d = 0; d < 2; ++d) {
    const auto in = step.scalars[MODELLIB_SCALAR(S, in) + d];
    if (!in_range(in, 1, kSmall)) return range_error(kName, "in", in, 1, kSmall);
    const auto pad = step.scalars[MODELLIB_SCALAR(S, pad_low) + d];
    if (!in_range(pad, 0, kSmall)) return range_error(kName, "pad_low", pad, 0, kSmall);
  }
  if (!dense_fits({image_floats<S>(step, MODELLIB_SCALAR(S, in))}, 4, step.input_bytes[0]))
    return operand_error(kName, "x", step.input_bytes[0]);
  if (!dense_fits({transformed_floats<S>(step)}, 4, step.output_bytes[0]))
    return operand_error(kName, "the tiles", step.output_bytes[0]);
  if (step.aliases[0] >= 0)
    return absl::InvalidArgumentError(absl::StrCat(kName, ": cannot run in place"));
  return absl::OkStatus();
}

absl::Status validate_winograd_out(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.winograd_out_f32";
  using S = WinogradOutScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 3));
  MODELLIB_CHECK_SCALAR(kName, step, S, residual_after, 0, 1);
  MODELLIB_RETURN_IF_ERROR(check_tiles<S>(kName, step));
  const int64_t y = image_floats<S>(step, MODELLIB_SCALAR(S, out));
  if (!dense_fits({transformed_floats<S>(step)}, 4, step.input_bytes[0]))
    return operand_error(kName, "the tiles", step.input_bytes[0]);
  if (step.input_bytes[1] != 0 &&
      !dense_fits({step.scalars[MODELLIB_SCALAR(S, channels)].max}, 4, step.input_bytes[1]))
    return operand_error(kName, "the bias", step.input_bytes[1]);
  if (step.input_bytes[2] != 0 && !dense_fits({y}, 4, step.input_bytes[2]))
    return operand_error(kName, "the residual", step.input_bytes[2]);
  if (!dense_fits({y}, 4, step.output_bytes[0]))
    return operand_error(kName, "y", step.output_bytes[0]);
  if (step.aliases[0] >= 0 && step.aliases[0] != 2)
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": can share memory with the residual only"));
  return absl::OkStatus();
}

}  // namespace modellib::cpu
#endif
