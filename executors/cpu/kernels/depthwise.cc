#include "modellib/executors/cpu/kernels/depthwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "executors/cpu/kernels/depthwise.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include <algorithm>
#include <cmath>

#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/grain.h"
#include "modellib/executors/cpu/kernels/math-inl.h"
#include "modellib/graph/status_macros.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(D()));

struct Taps {
  const float* x;  // the window's first element; may lie before the image
  int64_t first[2], last[2];
};

// What all pixels share. Distances are in floats.
struct Step {
  const float* filter;
  const float* bias;  // or null
  float low, high;
  int64_t channels;
  int64_t taps;         // kernel w
  int64_t row, column;  // of x, from one tap to the next
  int64_t next_x;       // of x, from one output pixel to the next
};

// V vectors of channels of P output pixels side by side, whose windows have the same taps.
template <int P, int V>
HWY_INLINE void pixels(const Step& s, const Taps& t, int64_t c, float* y) {
  const D d;
  hn::Vec<D> sum[P][V];
  for (int v = 0; v < V; ++v) {
    const auto bias = s.bias != nullptr ? hn::LoadU(d, s.bias + c + v * kLanes) : hn::Zero(d);
    for (int p = 0; p < P; ++p) sum[p][v] = bias;
  }
  for (int64_t h = t.first[0]; h < t.last[0]; ++h) {
    const float* x = t.x + h * s.row + t.first[1] * s.column + c;
    const float* f = s.filter + (h * s.taps + t.first[1]) * s.channels + c;
    for (int64_t w = t.first[1]; w < t.last[1]; ++w, x += s.column, f += s.channels) {
      for (int v = 0; v < V; ++v) {
        const auto weight = hn::LoadU(d, f + v * kLanes);
        for (int p = 0; p < P; ++p)
          sum[p][v] = hn::MulAdd(hn::LoadU(d, x + p * s.next_x + v * kLanes), weight, sum[p][v]);
      }
    }
  }
  const auto low = hn::Set(d, s.low), high = hn::Set(d, s.high);
  for (int p = 0; p < P; ++p) {
    for (int v = 0; v < V; ++v) {
      hn::StoreU(within(sum[p][v], low, high), d, y + p * s.channels + c + v * kLanes);
    }
  }
}

// The channels from `c` on that fill no vector, of one pixel.
HWY_INLINE void pixel_tail(const Step& s, const Taps& t, int64_t c, float* y) {
  for (; c < s.channels; ++c) {
    float sum = s.bias != nullptr ? s.bias[c] : 0.0f;
    for (int64_t h = t.first[0]; h < t.last[0]; ++h) {
      for (int64_t w = t.first[1]; w < t.last[1]; ++w) {
        sum = __builtin_fmaf(t.x[h * s.row + w * s.column + c],
                             s.filter[(h * s.taps + w) * s.channels + c], sum);
      }
    }
    y[c] = sum <= s.low ? s.low : sum > s.high ? s.high : sum;
  }
}

// All channels of P output pixels.
template <int P>
HWY_INLINE void all_channels(const Step& s, Taps t, float* y) {
  int64_t c = 0;
  constexpr int kWide = P == 1 ? 4 : 2;  // sums that do not wait for one another
  for (; c + kWide * kLanes <= s.channels; c += kWide * kLanes) pixels<P, kWide>(s, t, c, y);
  for (; c + kLanes <= s.channels; c += kLanes) pixels<P, 1>(s, t, c, y);
  if (c == s.channels) return;
  for (int p = 0; p < P; ++p, t.x += s.next_x) pixel_tail(s, t, c, y + p * s.channels);
}

// The taps of an axis that see the image, for a window that begins at `origin`.
HWY_INLINE void set_taps(const DepthwiseScalars& s, int d, int64_t origin, Taps& t) {
  t.first[d] = origin >= 0 ? 0 : std::min(s.kernel[d], ceil_div(-origin, s.dilation[d]));
  const int64_t room = s.in[d] - origin;
  t.last[d] = std::clamp(room <= 0 ? 0 : ceil_div(room, s.dilation[d]), t.first[d], s.kernel[d]);
}

}  // namespace

void depthwise_chunk(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<DepthwiseScalars>(args);
  Step step;
  step.filter = reinterpret_cast<const float*>(args.buffers[2]);
  step.bias = reinterpret_cast<const float*>(args.buffers[3]);
  step.low = static_cast<float>(std::bit_cast<double>(s.low));
  step.high = static_cast<float>(std::bit_cast<double>(s.high));
  step.channels = s.channels;
  step.taps = s.kernel[1];
  step.column = s.dilation[1] * s.channels;
  step.row = s.dilation[0] * s.in[1] * s.channels;
  step.next_x = s.stride[1] * s.channels;
  // Windows [begin, end) of a row see only what is inside, from left to right.
  const int64_t width = (s.kernel[1] - 1) * s.dilation[1] + 1;
  const int64_t begin = std::min(s.out[1], ceil_div(s.pad_low[1], s.stride[1]));
  const int64_t room = s.in[1] + s.pad_low[1] - width;
  const int64_t end = room < 0 ? begin : std::clamp(room / s.stride[1] + 1, begin, s.out[1]);
  constexpr int64_t kPixels = 4;
  const int64_t last_row = std::min(s.batch * s.out[0], (chunk + 1) * s.rows_per_chunk);
  for (int64_t row = chunk * s.rows_per_chunk; row < last_row; ++row) {
    const float* image = reinterpret_cast<const float*>(args.buffers[1]) +
                         row / s.out[0] * s.in[0] * s.in[1] * s.channels;
    float* y = reinterpret_cast<float*>(args.buffers[0]) + row * s.out[1] * s.channels;
    Taps t;
    const int64_t top = row % s.out[0] * s.stride[0] - s.pad_low[0];
    set_taps(s, 0, top, t);
    const auto start = [&](int64_t w) {
      const int64_t left = w * s.stride[1] - s.pad_low[1];
      set_taps(s, 1, left, t);
      t.x = image + (top * s.in[1] + left) * s.channels;
    };
    int64_t w = 0;
    while (w < s.out[1]) {
      start(w);
      if (w >= begin && w + kPixels <= end) {
        all_channels<kPixels>(step, t, y + w * s.channels);
        w += kPixels;
      } else {
        all_channels<1>(step, t, y + w * s.channels);
        ++w;
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

HWY_EXPORT(depthwise_chunk);

void run_depthwise(const runtime::KernelArgs& args, int64_t chunk) {
  HWY_DYNAMIC_DISPATCH(depthwise_chunk)(args, chunk);
}

void choose_depthwise_grain(DepthwiseScalars& s) {
  // About a vector of eight taps in a cycle; no chunk takes more than 0.1 ms.
  constexpr double kMostCycles = 3e5;
  // Extents that vary may have maxima whose products are beyond int64.
  const int64_t all_rows = checked_product(s.batch, s.out[0]);
  const auto rows = static_cast<double>(all_rows);
  double row = 1.0 / 8;
  for (const int64_t extent : {s.out[1], s.channels, s.kernel[0], s.kernel[1]}) {
    row *= static_cast<double>(extent);
  }
  const double least = std::min(rows, std::ceil(row * rows / kMostCycles));
  s.rows_per_chunk = cheapest_grain(all_rows, row, static_cast<int64_t>(least));
}
int64_t depthwise_chunks(const DepthwiseScalars& s) {
  return ceil_div(s.batch * s.out[0], s.rows_per_chunk);
}

absl::Status validate_depthwise(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.depthwise_f32";
  using S = DepthwiseScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 3));
  constexpr int64_t kSmall = kMaxImageExtent;
  MODELLIB_CHECK_SCALAR(kName, step, S, batch, 0, kSmall);
  MODELLIB_CHECK_SCALAR(kName, step, S, channels, 1, kSmall);
  MODELLIB_CHECK_SCALAR(kName, step, S, rows_per_chunk, 1, int64_t{1} << 31);
  if (!in_range(step.chunks, 0, int64_t{1} << 31)) {
    return range_error(kName, "chunks", step.chunks, 0, int64_t{1} << 31);
  }
  const auto at = [&](size_t i) { return step.scalars[i]; };
  const int64_t batch = at(MODELLIB_SCALAR(S, batch)).max,
                channels = at(MODELLIB_SCALAR(S, channels)).max;
  int64_t x = checked_product(batch, channels), y = x, filter = channels, image = channels;
  for (size_t d = 0; d < 2; ++d) {
    for (const size_t field :
         {MODELLIB_SCALAR(S, in), MODELLIB_SCALAR(S, out), MODELLIB_SCALAR(S, kernel),
          MODELLIB_SCALAR(S, stride), MODELLIB_SCALAR(S, dilation)}) {
      if (!in_range(at(field + d), 1, kSmall))
        return range_error(kName, "spatial extent", at(field + d), 1, kSmall);
    }
    if (!in_range(at(MODELLIB_SCALAR(S, pad_low) + d), 0, kSmall)) {
      return range_error(kName, "pad_low", at(MODELLIB_SCALAR(S, pad_low) + d), 0, kSmall);
    }
    x = checked_product(x, at(MODELLIB_SCALAR(S, in) + d).max);
    image = checked_product(image, at(MODELLIB_SCALAR(S, in) + d).max);
    y = checked_product(y, at(MODELLIB_SCALAR(S, out) + d).max);
    filter = checked_product(filter, at(MODELLIB_SCALAR(S, kernel) + d).max);
  }
  // Windows may begin before the image and beyond it: where they do, and how far apart their rows
  // of taps lie, are products that no operand bounds.
  const auto most = [&](size_t field, size_t d) { return at(field + d).max; };
  const auto reach = [&](size_t d) {
    return std::max(
        checked_product(most(MODELLIB_SCALAR(S, out), d), most(MODELLIB_SCALAR(S, stride), d)),
        most(MODELLIB_SCALAR(S, pad_low), d));
  };
  const int64_t line = checked_product(most(MODELLIB_SCALAR(S, in), 1), channels);
  if (checked_product(most(MODELLIB_SCALAR(S, dilation), 0), line) > kMaxElements ||
      checked_product(reach(0), line) > kMaxElements ||
      checked_product(reach(1), channels) > kMaxElements) {
    return absl::InvalidArgumentError("cpu.depthwise_f32: windows lie too far from the image");
  }
  if (!dense_fits({image}, 1, kMaxElements) || !dense_fits({x}, 4, step.input_bytes[0])) {
    return operand_error(kName, "x", step.input_bytes[0]);
  }
  if (!dense_fits({filter}, 4, step.input_bytes[1]))
    return operand_error(kName, "the filter", step.input_bytes[1]);
  if (step.input_bytes[2] != 0 && !dense_fits({channels}, 4, step.input_bytes[2])) {
    return operand_error(kName, "the bias", step.input_bytes[2]);
  }
  if (!dense_fits({y}, 4, step.output_bytes[0]))
    return operand_error(kName, "y", step.output_bytes[0]);
  if (step.aliases[0] >= 0)
    return absl::InvalidArgumentError("cpu.depthwise_f32: cannot run in place");
  return absl::OkStatus();
}

}  // namespace modellib::cpu
#endif
