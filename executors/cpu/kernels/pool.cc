#include "modellib/executors/cpu/kernels/pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "executors/cpu/kernels/pool.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include <algorithm>
#include <limits>

#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/status_macros.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kChannels = 64;

// The taps of one window that fall on elements: [first, last) of each dimension.
struct Window {
  int64_t origin[3];
  int64_t first[3];
  int64_t last[3];
  int64_t size = 1;  // what an average divides by

  Window(const PoolScalars& s, const int64_t* place) {
    int64_t inside = 1;
    for (int d = 0; d < 3; ++d) {
      origin[d] = place[d] * s.stride[d] - s.pad_low[d];
      first[d] = origin[d] >= 0 ? 0 : std::min(s.kernel[d], ceil_div(-origin[d], s.dilation[d]));
      const int64_t room = s.in[d] - origin[d];
      last[d] = std::clamp(room <= 0 ? 0 : ceil_div(room, s.dilation[d]), first[d], s.kernel[d]);
      inside *= last[d] - first[d];
      const int64_t padded = s.in[d] + s.pad_high[d] - origin[d];
      size *=
          std::clamp<int64_t>(padded <= 0 ? 0 : ceil_div(padded, s.dilation[d]), 1, s.kernel[d]);
    }
    if (s.count_include_pad == 0) size = std::max<int64_t>(1, inside);
  }

  // Calls f with the place (of a plane without channels) of each tap, in C order.
  template <class F>
  HWY_INLINE void each(const PoolScalars& s, F f) const {
    for (int64_t a = first[0]; a < last[0]; ++a) {
      for (int64_t b = first[1]; b < last[1]; ++b) {
        const int64_t row =
            ((origin[0] + a * s.dilation[0]) * s.in[1] + origin[1] + b * s.dilation[1]) * s.in[2];
        for (int64_t c = first[2]; c < last[2]; ++c) f(row + origin[2] + c * s.dilation[2]);
      }
    }
  }
};

template <class T>
HWY_INLINE bool larger(T a, T best) {
  return a > best || (a != a && best == best);
}

// Where x is largest in each of `n` channels: places in the plane, -1 where the window is empty.
template <class T>
HWY_INLINE void find_maxima(const PoolScalars& s, const Window& w, const T* x, int64_t n,
                            int64_t* where) {
  T best[kChannels];
  std::fill_n(where, n, -1);
  w.each(s, [&](int64_t at) {
    const T* row = x + at * s.inner;
    for (int64_t c = 0; c < n; ++c) {
      if (where[c] < 0 || larger(row[c], best[c])) {
        best[c] = row[c];
        where[c] = at;
      }
    }
  });
}

template <class T>
void pool_forward(const PoolScalars& s, const runtime::KernelArgs& args, int64_t unit) {
  const auto kind = static_cast<PoolKind>(s.kind);
  const int64_t in_plane = s.in[0] * s.in[1] * s.in[2];
  int64_t place[3] = {unit / s.out[1] % s.out[0], unit % s.out[1], 0};
  const int64_t outer = unit / s.out[1] / s.out[0];
  const T* x = reinterpret_cast<const T*>(args.buffers[1]) + outer * in_plane * s.inner;
  T* y = reinterpret_cast<T*>(args.buffers[0]) + unit * s.out[2] * s.inner;
  for (; place[2] < s.out[2]; ++place[2]) {
    const Window w(s, place);
    int64_t n = 0;
    for (int64_t c0 = 0; c0 < s.inner; c0 += n, y += n) {
      n = std::min(kChannels, s.inner - c0);
      if (kind == PoolKind::kMax) {
        const T none = -std::numeric_limits<T>::infinity();
        for (int64_t c = 0; c < n; ++c) y[c] = none;
        w.each(s, [&](int64_t at) {
          const T* row = x + at * s.inner + c0;
          for (int64_t c = 0; c < n; ++c) y[c] = y[c] >= row[c] || y[c] != y[c] ? y[c] : row[c];
        });
      } else if (kind == PoolKind::kAverage) {
        for (int64_t c = 0; c < n; ++c) y[c] = 0;
        w.each(s, [&](int64_t at) {
          const T* row = x + at * s.inner + c0;
          for (int64_t c = 0; c < n; ++c) y[c] += row[c];
        });
        for (int64_t c = 0; c < n; ++c) y[c] /= static_cast<T>(w.size);
      } else {
        const T* v = reinterpret_cast<const T*>(args.buffers[2]) + outer * in_plane * s.inner + c0;
        int64_t where[kChannels];
        find_maxima(s, w, x + c0, n, where);
        for (int64_t c = 0; c < n; ++c) y[c] = where[c] < 0 ? T{0} : v[where[c] * s.inner + c];
      }
    }
  }
}

// The plane of one outer and up to 64 channels, window by window in C order.
template <class T>
void pool_gradient(const PoolScalars& s, const runtime::KernelArgs& args, int64_t unit) {
  const bool is_max = static_cast<PoolKind>(s.kind) == PoolKind::kMaxGradient;
  const int64_t blocks = ceil_div(s.inner, kChannels);
  const int64_t outer = unit / blocks, c0 = unit % blocks * kChannels;
  const int64_t n = std::min(kChannels, s.inner - c0);
  const int64_t in_plane = s.in[0] * s.in[1] * s.in[2];
  const int64_t out_plane = s.out[0] * s.out[1] * s.out[2];
  T* dx = reinterpret_cast<T*>(args.buffers[0]) + outer * in_plane * s.inner + c0;
  const T* x = is_max
                   ? reinterpret_cast<const T*>(args.buffers[1]) + outer * in_plane * s.inner + c0
                   : nullptr;
  const T* g =
      reinterpret_cast<const T*>(args.buffers[is_max ? 2 : 1]) + outer * out_plane * s.inner + c0;
  for (int64_t i = 0; i < in_plane; ++i) std::fill_n(dx + i * s.inner, n, T{0});
  int64_t place[3];
  for (place[0] = 0; place[0] < s.out[0]; ++place[0]) {
    for (place[1] = 0; place[1] < s.out[1]; ++place[1]) {
      for (place[2] = 0; place[2] < s.out[2]; ++place[2], g += s.inner) {
        const Window w(s, place);
        if (is_max) {
          int64_t where[kChannels];
          find_maxima(s, w, x, n, where);
          for (int64_t c = 0; c < n; ++c) {
            if (where[c] >= 0) dx[where[c] * s.inner + c] += g[c];
          }
        } else {
          const T size = static_cast<T>(w.size);
          w.each(s, [&](int64_t at) {
            T* row = dx + at * s.inner;
            for (int64_t c = 0; c < n; ++c) row[c] += g[c] / size;
          });
        }
      }
    }
  }
}

}  // namespace

void pool_chunk(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<PoolScalars>(args);
  const bool is_float = static_cast<DType>(s.dtype) == DType::kF32;
  const bool gradient = s.kind >= static_cast<int64_t>(PoolKind::kMaxGradient);
  const int64_t end = std::min(pool_units(s), (chunk + 1) * s.units_per_chunk);
  for (int64_t unit = chunk * s.units_per_chunk; unit < end; ++unit) {
    if (gradient) {
      is_float ? pool_gradient<float>(s, args, unit) : pool_gradient<double>(s, args, unit);
    } else {
      is_float ? pool_forward<float>(s, args, unit) : pool_forward<double>(s, args, unit);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace modellib::cpu {

HWY_EXPORT(pool_chunk);

void run_pool(const runtime::KernelArgs& args, int64_t chunk) {
  HWY_DYNAMIC_DISPATCH(pool_chunk)(args, chunk);
}

int64_t pool_units(const PoolScalars& s) {
  if (s.kind >= static_cast<int64_t>(PoolKind::kMaxGradient))
    return s.outer * ceil_div(s.inner, 64);
  return s.outer * s.out[0] * s.out[1];
}

void choose_pool_grain(PoolScalars& s) {
  const int64_t units = std::max<int64_t>(1, pool_units(s));
  int64_t work = checked_product(s.outer, s.inner);
  for (int d = 0; d < 3; ++d) work = checked_product(checked_product(work, s.out[d]), s.kernel[d]);
  s.units_per_chunk = std::clamp<int64_t>(65536 / std::max<int64_t>(1, work / units), 1, units);
}

int64_t pool_chunks(const PoolScalars& s) { return ceil_div(pool_units(s), s.units_per_chunk); }

absl::Status validate_pool(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.pool";
  using S = PoolScalars;
  const auto kind_at = MODELLIB_SCALAR(S, kind);
  if (step.scalars.size() <= kind_at || !in_range(step.scalars[kind_at], 0, 4) ||
      step.scalars[kind_at].min != step.scalars[kind_at].max) {
    return absl::InvalidArgumentError("cpu.pool: unknown kind");
  }
  const auto kind = static_cast<PoolKind>(step.scalars[kind_at].min);
  const bool two = kind == PoolKind::kMaxSelect || kind == PoolKind::kMaxGradient;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, two ? 2 : 1));
  const auto at = [&](size_t i) { return step.scalars[i]; };
  const auto dtype = at(MODELLIB_SCALAR(S, dtype));
  const auto f32 = static_cast<int64_t>(DType::kF32), f64 = static_cast<int64_t>(DType::kF64);
  if (dtype.min != dtype.max || (dtype.min != f32 && dtype.min != f64)) {
    return range_error(kName, "dtype (f32 or f64)", dtype, f64, f32);
  }
  constexpr int64_t kSmall = int64_t{1} << 24;
  MODELLIB_CHECK_SCALAR(kName, step, S, outer, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, inner, 1, kSmall);
  MODELLIB_CHECK_SCALAR(kName, step, S, count_include_pad, 0, 1);
  MODELLIB_CHECK_SCALAR(kName, step, S, units_per_chunk, 1, int64_t{1} << 31);
  if (!in_range(step.chunks, 0, int64_t{1} << 31)) {
    return range_error(kName, "chunks", step.chunks, 0, int64_t{1} << 31);
  }
  int64_t x = checked_product(at(MODELLIB_SCALAR(S, outer)).max, at(MODELLIB_SCALAR(S, inner)).max);
  int64_t y = x;
  int64_t taps = 1;
  for (size_t d = 0; d < 3; ++d) {
    for (const size_t field :
         {MODELLIB_SCALAR(S, in), MODELLIB_SCALAR(S, out), MODELLIB_SCALAR(S, kernel),
          MODELLIB_SCALAR(S, stride), MODELLIB_SCALAR(S, dilation)}) {
      if (!in_range(at(field + d), 1, kSmall))
        return range_error(kName, "spatial extent", at(field + d), 1, kSmall);
    }
    for (const size_t field : {MODELLIB_SCALAR(S, pad_low), MODELLIB_SCALAR(S, pad_high)}) {
      if (!in_range(at(field + d), 0, kSmall))
        return range_error(kName, "padding", at(field + d), 0, kSmall);
    }
    x = checked_product(x, at(MODELLIB_SCALAR(S, in) + d).max);
    y = checked_product(y, at(MODELLIB_SCALAR(S, out) + d).max);
    taps = checked_product(taps, at(MODELLIB_SCALAR(S, kernel) + d).max);
  }
  if (checked_product(taps, std::max<int64_t>(1, y)) > kMaxElements) {
    return absl::InvalidArgumentError("cpu.pool: too much work");
  }
  const int64_t bytes = dtype.min == f32 ? 4 : 8;
  const bool from_x = kind != PoolKind::kAverageGradient;
  const bool to_x = kind == PoolKind::kMaxGradient || kind == PoolKind::kAverageGradient;
  if (!dense_fits({from_x ? x : y}, bytes, step.input_bytes[0])) {
    return operand_error(kName, "the first input", step.input_bytes[0]);
  }
  if (two && !dense_fits({kind == PoolKind::kMaxSelect ? x : y}, bytes, step.input_bytes[1])) {
    return operand_error(kName, "the second input", step.input_bytes[1]);
  }
  if (!dense_fits({to_x ? x : y}, bytes, step.output_bytes[0])) {
    return operand_error(kName, "the output", step.output_bytes[0]);
  }
  if (step.aliases[0] >= 0) return absl::InvalidArgumentError("cpu.pool: cannot run in place");
  return absl::OkStatus();
}

}  // namespace modellib::cpu
#endif
