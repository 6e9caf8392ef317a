#include "modellib/executors/cpu/kernels/depthwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "executors/cpu/kernels/depthwise.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include <algorithm>

#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/checked.h"
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

// V vectors of channels of one output pixel.
template <int V>
HWY_INLINE void pixel(const DepthwiseScalars& s, const Taps& t, const float* filter,
                      const float* bias, float low, float high, int64_t c, float* y) {
  const D d;
  hn::Vec<D> sum[V];
  for (int v = 0; v < V; ++v)
    sum[v] = bias != nullptr ? hn::LoadU(d, bias + c + v * kLanes) : hn::Zero(d);
  for (int64_t h = t.first[0]; h < t.last[0]; ++h) {
    for (int64_t w = t.first[1]; w < t.last[1]; ++w) {
      const float* x = t.x + (h * s.dilation[0] * s.in[1] + w * s.dilation[1]) * s.channels + c;
      const float* f = filter + (h * s.kernel[1] + w) * s.channels + c;
      for (int v = 0; v < V; ++v) {
        sum[v] = hn::MulAdd(hn::LoadU(d, x + v * kLanes), hn::LoadU(d, f + v * kLanes), sum[v]);
      }
    }
  }
  for (int v = 0; v < V; ++v) {
    const auto kept = sum[v];
    const auto clamped = hn::Min(hn::Max(kept, hn::Set(d, low)), hn::Set(d, high));
    hn::StoreU(hn::IfThenElse(hn::IsNaN(kept), kept, clamped), d, y + c + v * kLanes);
  }
}

HWY_INLINE void pixel_tail(const DepthwiseScalars& s, const Taps& t, const float* filter,
                           const float* bias, float low, float high, int64_t c, float* y) {
  for (; c < s.channels; ++c) {
    float sum = bias != nullptr ? bias[c] : 0.0f;
    for (int64_t h = t.first[0]; h < t.last[0]; ++h) {
      for (int64_t w = t.first[1]; w < t.last[1]; ++w) {
        const float* x = t.x + (h * s.dilation[0] * s.in[1] + w * s.dilation[1]) * s.channels + c;
        sum = __builtin_fmaf(*x, filter[(h * s.kernel[1] + w) * s.channels + c], sum);
      }
    }
    y[c] = sum < low ? low : sum > high ? high : sum;
  }
}

}  // namespace

void depthwise_chunk(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<DepthwiseScalars>(args);
  const float* filter = reinterpret_cast<const float*>(args.buffers[2]);
  const float* bias = reinterpret_cast<const float*>(args.buffers[3]);
  const float low = static_cast<float>(std::bit_cast<double>(s.low));
  const float high = static_cast<float>(std::bit_cast<double>(s.high));
  const int64_t end = std::min(s.batch * s.out[0], (chunk + 1) * s.rows_per_chunk);
  for (int64_t row = chunk * s.rows_per_chunk; row < end; ++row) {
    const float* image = reinterpret_cast<const float*>(args.buffers[1]) +
                         row / s.out[0] * s.in[0] * s.in[1] * s.channels;
    float* y = reinterpret_cast<float*>(args.buffers[0]) + row * s.out[1] * s.channels;
    for (int64_t w = 0; w < s.out[1]; ++w, y += s.channels) {
      const int64_t place[2] = {row % s.out[0], w};
      Taps t;
      int64_t origin[2];
      for (int d = 0; d < 2; ++d) {
        origin[d] = place[d] * s.stride[d] - s.pad_low[d];
        t.first[d] =
            origin[d] >= 0 ? 0 : std::min(s.kernel[d], ceil_div(-origin[d], s.dilation[d]));
        const int64_t room = s.in[d] - origin[d];
        t.last[d] =
            std::clamp(room <= 0 ? 0 : ceil_div(room, s.dilation[d]), t.first[d], s.kernel[d]);
      }
      t.x = image + (origin[0] * s.in[1] + origin[1]) * s.channels;
      int64_t c = 0;
      for (; c + 4 * kLanes <= s.channels; c += 4 * kLanes)
        pixel<4>(s, t, filter, bias, low, high, c, y);
      for (; c + kLanes <= s.channels; c += kLanes) pixel<1>(s, t, filter, bias, low, high, c, y);
      pixel_tail(s, t, filter, bias, low, high, c, y);
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
  const int64_t work = s.out[1] * s.channels * s.kernel[0] * s.kernel[1];
  s.rows_per_chunk = std::max<int64_t>(1, (int64_t{1} << 19) / std::max<int64_t>(1, work));
}
int64_t depthwise_chunks(const DepthwiseScalars& s) {
  return ceil_div(s.batch * s.out[0], s.rows_per_chunk);
}

absl::Status validate_depthwise(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.depthwise_f32";
  using S = DepthwiseScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 3));
  constexpr int64_t kSmall = int64_t{1} << 24;
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
