#include "modellib/executors/cpu/kernels/strided.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/graph/status_macros.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace modellib::cpu {
namespace {

constexpr int64_t kChunkElements = 16384;

absl::Status check_element_bytes(const char* kernel, runtime::StepView::Range range) {
  if (range.min == range.max &&
      (range.min == 1 || range.min == 2 || range.min == 4 || range.min == 8)) {
    return absl::OkStatus();
  }
  return range_error(kernel, "element_bytes (1, 2, 4 or 8)", range, 1, 8);
}

// Calls f with a value of the unsigned type of that size.
template <class F>
void with_type(int64_t element_bytes, F f) {
  switch (element_bytes) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}

// dst[3 r + c] = src[r + c * src_col] for three columns: images of three channels.
template <class T>
void interleave_three(const T* src, int64_t src_col, T* dst, int64_t rows) {
  int64_t r = 0;
#if defined(__SSE2__)
  if constexpr (sizeof(T) == 4) {
    // Each store writes an element too many, which the next one puts right: the last row goes
    // alone.
    for (; r + 4 < rows; r += 4) {
      const auto* s = reinterpret_cast<const float*>(src + r);
      auto* d = reinterpret_cast<float*>(dst + 3 * r);
      __m128 a = _mm_loadu_ps(s), b = _mm_loadu_ps(s + src_col);
      __m128 e = _mm_loadu_ps(s + 2 * src_col), f = _mm_setzero_ps();
      _MM_TRANSPOSE4_PS(a, b, e, f);
      _mm_storeu_ps(d, a);
      _mm_storeu_ps(d + 3, b);
      _mm_storeu_ps(d + 6, e);
      _mm_storeu_ps(d + 9, f);
    }
  }
#endif
  for (; r < rows; ++r) {
    for (int64_t c = 0; c < 3; ++c) dst[3 * r + c] = src[r + c * src_col];
  }
}

// dst[r * dst_row + c] = src[r + c * src_col]: blocks of 16 x 16, so that both sides stay in the
// first-level cache.
template <class T>
void transpose_plane(const T* src, int64_t src_col, T* dst, int64_t dst_row, int64_t rows,
                     int64_t cols) {
  if (cols == 3 && dst_row == 3) return interleave_three(src, src_col, dst, rows);
  constexpr int64_t kBlock = 16;
  for (int64_t c0 = 0; c0 < cols; c0 += kBlock) {
    const int64_t c1 = std::min(cols, c0 + kBlock);
    for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
      const int64_t r1 = std::min(rows, r0 + kBlock);
#if defined(__SSE2__)
      if constexpr (sizeof(T) == 4) {
        if (r1 - r0 == kBlock && c1 - c0 == kBlock) {
          for (int64_t r = r0; r < r1; r += 4) {
            for (int64_t c = c0; c < c1; c += 4) {
              const auto* s = reinterpret_cast<const float*>(src + r + c * src_col);
              auto* d = reinterpret_cast<float*>(dst + r * dst_row + c);
              __m128 a = _mm_loadu_ps(s), b = _mm_loadu_ps(s + src_col);
              __m128 e = _mm_loadu_ps(s + 2 * src_col), f = _mm_loadu_ps(s + 3 * src_col);
              _MM_TRANSPOSE4_PS(a, b, e, f);
              _mm_storeu_ps(d, a);
              _mm_storeu_ps(d + dst_row, b);
              _mm_storeu_ps(d + 2 * dst_row, e);
              _mm_storeu_ps(d + 3 * dst_row, f);
            }
          }
          continue;
        }
      }
#endif
      for (int64_t r = r0; r < r1; ++r) {
        for (int64_t c = c0; c < c1; ++c) dst[r * dst_row + c] = src[r + c * src_col];
      }
    }
  }
}

// dst[times * r + t] = src[r] for t < times.
template <int64_t times, class T>
void repeat_each(const T* __restrict src, T* __restrict dst, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    const T value = src[r];
    for (int64_t t = 0; t < times; ++t) dst[times * r + t] = value;
  }
}
template <class T>
void repeat_each(const T* src, T* dst, int64_t rows, int64_t times) {
  switch (times) {
    case 2:
      return repeat_each<2>(src, dst, rows);
    case 3:
      return repeat_each<3>(src, dst, rows);
    case 4:
      return repeat_each<4>(src, dst, rows);
    case 8:
      return repeat_each<8>(src, dst, rows);
    default:
      for (int64_t r = 0; r < rows; ++r) std::fill_n(dst + r * times, times, src[r]);
  }
}

// A plane [rows, cols] with any strides.
template <class T>
void copy_plane(const T* src, int64_t src_row, int64_t src_col, T* dst, int64_t dst_row,
                int64_t dst_col, int64_t rows, int64_t cols) {
  if (src_col == 1 && dst_col == 1) {
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(dst + r * dst_row, src + r * src_row, static_cast<size_t>(cols) * sizeof(T));
    }
  } else if (src_col == 0 && src_row == 1 && dst_col == 1 && dst_row == cols) {
    repeat_each(src, dst, rows, cols);
  } else if (src_row == 1 && dst_col == 1) {
    transpose_plane(src, src_col, dst, dst_row, rows, cols);
  } else if (src_col == 0) {
    for (int64_t r = 0; r < rows; ++r) {
      const T value = src[r * src_row];
      for (int64_t c = 0; c < cols; ++c) dst[r * dst_row + c * dst_col] = value;
    }
  } else {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c)
        dst[r * dst_row + c * dst_col] = src[r * src_row + c * src_col];
    }
  }
}

// Goes through the units of a copy in their order, from one to the next without a division: a unit
// may be as small as a few elements.
class CopyUnits {
 public:
  CopyUnits(const CopyScalars& s, int64_t unit) : s_(s), src_(s.src_base), dst_(s.dst_base) {
    const int64_t tiles = ceil_div(s.extent[6], s.tile_rows);
    row_ = unit % tiles * s.tile_rows;
    int64_t outer = unit / tiles;
    for (size_t d = 6; d-- > 0;) {
      index_[d] = outer % s.extent[d];
      outer /= s.extent[d];
      src_ += index_[d] * s.src_stride[d];
      dst_ += index_[d] * s.dst_stride[d];
    }
  }

  int64_t src() const { return src_ + row_ * s_.src_stride[6]; }
  int64_t dst() const { return dst_ + row_ * s_.dst_stride[6]; }
  int64_t rows() const { return std::min(s_.tile_rows, s_.extent[6] - row_); }

  void next() {
    row_ += s_.tile_rows;
    if (row_ < s_.extent[6]) return;
    row_ = 0;
    for (size_t d = 6; d-- > 0;) {
      src_ += s_.src_stride[d];
      dst_ += s_.dst_stride[d];
      if (++index_[d] < s_.extent[d]) return;
      src_ -= index_[d] * s_.src_stride[d];
      dst_ -= index_[d] * s_.dst_stride[d];
      index_[d] = 0;
    }
  }

 private:
  const CopyScalars& s_;
  int64_t index_[6];
  int64_t src_, dst_, row_;
};

int64_t copy_units(const CopyScalars& s) {
  int64_t outer = 1;
  for (int d = 0; d < 6; ++d) outer *= s.extent[d];
  return outer * ceil_div(s.extent[6], s.tile_rows);
}

// How a copy steps through one of its operands, as a plan says it.
struct WalkRange {
  Reach reach;
  bool varies;
};

WalkRange walk_range(const runtime::StepView& step, size_t base, size_t stride) {
  const auto varies = [](runtime::StepView::Range range) { return range.min != range.max; };
  WalkRange walk{Reach(step.scalars[base]), varies(step.scalars[base])};
  for (size_t d = 0; d < kCopyDims; ++d) {
    const auto extent = step.scalars[MODELLIB_SCALAR(CopyScalars, extent) + d];
    walk.reach.add(extent, step.scalars[stride + d]);
    walk.varies |= varies(extent) || varies(step.scalars[stride + d]);
  }
  return walk;
}

// Whether it stays inside the operand, or each run sees to that.
bool is_safe(const WalkRange& walk, int64_t elements, int64_t element_bytes, uint64_t bytes) {
  if (walk.reach.fits(bytes, element_bytes)) return true;
  return walk.varies && elements != 0 && Int128{elements} * element_bytes <= Int128{bytes};
}

// Whether this run's walk stays inside an operand of so many elements; else it is reported. 0: it
// was seen to when the plan was loaded.
bool stays_inside(int64_t base, const int64_t* extent, const int64_t* stride, int64_t elements,
                  runtime::Fault& fault) {
  if (elements == 0) return true;
  Reach reach({base, base});
  for (int d = 0; d < kCopyDims; ++d) {
    reach.add({extent[d], extent[d]}, {stride[d], stride[d]});
  }
  if (reach.fits(static_cast<uint64_t>(elements), 1)) return true;
  fault.report(runtime::Fault::kIndexOutOfRange, reach.extreme(), elements);
  return false;
}

int64_t pad_index(PadMode mode, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  if (mode == PadMode::kConstant || n == 0) return -1;
  if (mode == PadMode::kEdge) return i < 0 ? 0 : n - 1;
  if (mode == PadMode::kWrap) return ((i % n) + n) % n;
  if (n == 1) return 0;
  const int64_t period = 2 * (n - 1);
  const int64_t at = ((i % period) + period) % period;
  return at < n ? at : period - at;
}

template <class T>
void pad_row(PadMode mode, const T* src, int64_t low, int64_t n, int64_t out, T value, T* dst) {
  const int64_t begin = std::clamp<int64_t>(low, 0, out);
  const int64_t end = std::clamp<int64_t>(low + n, begin, out);
  for (int64_t i = 0; i < begin; ++i) {
    const int64_t at = pad_index(mode, i - low, n);
    dst[i] = at < 0 ? value : src[at];
  }
  if (end > begin)
    std::memcpy(dst + begin, src + (begin - low), static_cast<size_t>(end - begin) * sizeof(T));
  for (int64_t i = end; i < out; ++i) {
    const int64_t at = pad_index(mode, i - low, n);
    dst[i] = at < 0 ? value : src[at];
  }
}

}  // namespace

CopyScalars plan_copy(int64_t element_bytes, const std::vector<int64_t>& extents,
                      const std::vector<int64_t>& src_strides,
                      const std::vector<int64_t>& dst_strides, int64_t src_base, int64_t dst_base) {
  struct Dimension {
    int64_t extent, src, dst;
  };
  std::vector<Dimension> dims;
  for (size_t d = 0; d < extents.size(); ++d) {
    if (extents[d] != 1) dims.push_back({extents[d], src_strides[d], dst_strides[d]});
  }
  std::stable_sort(dims.begin(), dims.end(), [](const Dimension& a, const Dimension& b) {
    return std::abs(a.dst) > std::abs(b.dst);
  });
  // Neighbours that walk on without a gap are one dimension.
  for (size_t d = dims.size(); d-- > 1;) {
    Dimension& outer = dims[d - 1];
    const Dimension& inner = dims[d];
    if (outer.src == inner.src * inner.extent && outer.dst == inner.dst * inner.extent) {
      outer = {outer.extent * inner.extent, inner.src, inner.dst};
      dims.erase(dims.begin() + static_cast<ptrdiff_t>(d));
    }
  }
  if (dims.size() > 2 && dims.back().src != 1) {
    const auto fastest =
        std::find_if(dims.begin(), dims.end() - 1, [](const Dimension& d) { return d.src == 1; });
    if (fastest != dims.end() - 1) std::rotate(fastest, fastest + 1, dims.end() - 1);
  }
  CopyScalars s;
  s.element_bytes = element_bytes;
  s.src_base = src_base;
  s.dst_base = dst_base;
  for (size_t d = 0; d < dims.size(); ++d) {
    const size_t at = kCopyDims - dims.size() + d;
    s.extent[at] = dims[d].extent;
    s.src_stride[at] = dims[d].src;
    s.dst_stride[at] = dims[d].dst;
  }
  if (dims.size() == 1 && s.extent[7] > kChunkElements) {
    // One long run: cut it, so that workers can share it.
    const int64_t piece = kChunkElements;
    if (s.extent[7] % piece == 0) {
      s.extent[6] = s.extent[7] / piece;
      s.src_stride[6] = s.src_stride[7] * piece;
      s.dst_stride[6] = s.dst_stride[7] * piece;
      s.extent[7] = piece;
    }
  }
  choose_copy_grain(s);
  return s;
}

void choose_copy_grain(CopyScalars& s) {
  const int64_t cols = std::max<int64_t>(1, s.extent[7]);
  // Transposed planes run in strips of 64 rows, narrow ones of more; others in strips of a chunk.
  s.tile_rows = s.src_stride[7] == 1 ? std::max<int64_t>(1, kChunkElements / cols)
                                     : std::max<int64_t>(64, 2048 / cols);
  s.tile_rows = std::clamp<int64_t>(s.tile_rows, 1, std::max<int64_t>(1, s.extent[6]));
  s.units_per_chunk = std::max<int64_t>(1, kChunkElements / (s.tile_rows * cols));
}

int64_t copy_chunks(const CopyScalars& s) { return ceil_div(copy_units(s), s.units_per_chunk); }

absl::Status validate_copy(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.copy";
  using S = CopyScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 1));
  MODELLIB_RETURN_IF_ERROR(
      check_element_bytes(kName, step.scalars[MODELLIB_SCALAR(S, element_bytes)]));
  MODELLIB_CHECK_SCALAR(kName, step, S, tile_rows, 1, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, units_per_chunk, 1, int64_t{1} << 31);
  const int64_t bytes = step.scalars[MODELLIB_SCALAR(S, element_bytes)].min;
  for (const size_t at : {MODELLIB_SCALAR(S, src_elements), MODELLIB_SCALAR(S, dst_elements)}) {
    const auto elements = step.scalars[at];
    if (elements.min != elements.max || !in_range(elements, 0, kMaxElements)) {
      return range_error(kName, "elements (static)", elements, 0, kMaxElements);
    }
  }
  int64_t count = 1, walk = 1;
  for (size_t d = 0; d < kCopyDims; ++d) {
    const auto extent = step.scalars[MODELLIB_SCALAR(S, extent) + d];
    if (!in_range(extent, 0, kMaxElements))
      return range_error(kName, "extent", extent, 0, kMaxElements);
    count = checked_product(count, extent.max);
    walk = checked_product(walk, std::max<int64_t>(1, extent.max));
  }
  if (walk > kMaxElements) return absl::InvalidArgumentError("cpu.copy: too many elements");
  const WalkRange src =
      walk_range(step, MODELLIB_SCALAR(S, src_base), MODELLIB_SCALAR(S, src_stride));
  const WalkRange dst =
      walk_range(step, MODELLIB_SCALAR(S, dst_base), MODELLIB_SCALAR(S, dst_stride));
  if (!is_safe(src, step.scalars[MODELLIB_SCALAR(S, src_elements)].max, bytes,
               step.input_bytes[0])) {
    return operand_error(kName, "the input", step.input_bytes[0]);
  }
  // Each element is written once.
  if (!is_safe(dst, step.scalars[MODELLIB_SCALAR(S, dst_elements)].max, bytes,
               step.output_bytes[0]) ||
      !dense_fits({count}, bytes, step.output_bytes[0])) {
    return operand_error(kName, "the output", step.output_bytes[0]);
  }
  if (!in_range(step.chunks, 0, int64_t{1} << 31)) {
    return range_error(kName, "chunks", step.chunks, 0, int64_t{1} << 31);
  }
  return absl::OkStatus();
}

void run_copy(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<CopyScalars>(args);
  for (const int64_t e : s.extent) {
    if (e == 0) return;
  }
  const int64_t begin = chunk * s.units_per_chunk;
  const int64_t end = std::min(copy_units(s), begin + s.units_per_chunk);
  if (begin >= end) return;
  if (!stays_inside(s.src_base, s.extent, s.src_stride, s.src_elements, *args.fault) ||
      !stays_inside(s.dst_base, s.extent, s.dst_stride, s.dst_elements, *args.fault)) {
    return;
  }
  with_type(s.element_bytes, [&](auto t) {
    using T = decltype(t);
    const T* src = reinterpret_cast<const T*>(args.buffers[1]);
    T* dst = reinterpret_cast<T*>(args.buffers[0]);
    CopyUnits at(s, begin);
    for (int64_t unit = begin; unit < end; ++unit, at.next()) {
      copy_plane(src + at.src(), s.src_stride[6], s.src_stride[7], dst + at.dst(), s.dst_stride[6],
                 s.dst_stride[7], at.rows(), s.extent[7]);
    }
  });
}

int64_t pad_rows(const PadScalars& s) {
  int64_t rows = 1;
  for (int d = 0; d < kCopyDims - 1; ++d) rows *= s.low[d] + s.extent[d] + s.high[d];
  return rows;
}

void choose_pad_grain(PadScalars& s) {
  const int64_t cols = std::max<int64_t>(1, s.low[7] + s.extent[7] + s.high[7]);
  s.rows_per_chunk = std::max<int64_t>(1, kChunkElements / cols);
}

int64_t pad_chunks(const PadScalars& s) { return ceil_div(pad_rows(s), s.rows_per_chunk); }

absl::Status validate_pad(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.pad";
  using S = PadScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 1));
  MODELLIB_RETURN_IF_ERROR(
      check_element_bytes(kName, step.scalars[MODELLIB_SCALAR(S, element_bytes)]));
  MODELLIB_CHECK_SCALAR(kName, step, S, mode, 0, static_cast<int64_t>(PadMode::kWrap));
  MODELLIB_CHECK_SCALAR(kName, step, S, rows_per_chunk, 1, int64_t{1} << 31);
  if (!in_range(step.chunks, 0, int64_t{1} << 31)) {
    return range_error(kName, "chunks", step.chunks, 0, int64_t{1} << 31);
  }
  int64_t in = 1;
  int64_t out = 1;
  int64_t walk = 1;
  for (size_t d = 0; d < kCopyDims; ++d) {
    const auto extent = step.scalars[MODELLIB_SCALAR(S, extent) + d];
    const auto low = step.scalars[MODELLIB_SCALAR(S, low) + d];
    const auto high = step.scalars[MODELLIB_SCALAR(S, high) + d];
    if (!in_range(extent, 0, kMaxElements))
      return range_error(kName, "extent", extent, 0, kMaxElements);
    if (!in_range(low, -kMaxElements, kMaxElements))
      return range_error(kName, "low", low, -kMaxElements, kMaxElements);
    if (!in_range(high, -kMaxElements, kMaxElements))
      return range_error(kName, "high", high, -kMaxElements, kMaxElements);
    if (low.min + extent.min + high.min < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("cpu.pad: the output's extent ", d, " is negative"));
    }
    in = checked_product(in, extent.max);
    out = checked_product(out, low.max + extent.max + high.max);
    walk = checked_product(
        walk, std::max<int64_t>(1, std::max(extent.max, low.max + extent.max + high.max)));
  }
  if (walk > kMaxElements) return absl::InvalidArgumentError("cpu.pad: too many elements");
  const int64_t bytes = step.scalars[MODELLIB_SCALAR(S, element_bytes)].min;
  if (!dense_fits({in}, bytes, step.input_bytes[0]))
    return operand_error(kName, "the input", step.input_bytes[0]);
  if (!dense_fits({out}, bytes, step.output_bytes[0]))
    return operand_error(kName, "the output", step.output_bytes[0]);
  return absl::OkStatus();
}

void run_pad(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<PadScalars>(args);
  const auto mode = static_cast<PadMode>(s.mode);
  const int64_t out_cols = s.low[7] + s.extent[7] + s.high[7];
  if (out_cols == 0) return;
  int64_t rows = 1;
  for (int d = 0; d < kCopyDims - 1; ++d) rows *= s.low[d] + s.extent[d] + s.high[d];
  const int64_t end = std::min(rows, (chunk + 1) * s.rows_per_chunk);
  for (int64_t row = chunk * s.rows_per_chunk; row < end; ++row) {
    int64_t rest = row;
    int64_t src = 0;
    int64_t stride = s.extent[7];
    bool inside = true;
    for (int d = kCopyDims - 2; d >= 0; --d) {
      const int64_t extent = s.low[d] + s.extent[d] + s.high[d];
      const int64_t i = pad_index(mode, rest % extent - s.low[d], s.extent[d]);
      rest /= extent;
      inside &= i >= 0;
      src += i * stride;
      stride *= s.extent[d];
    }
    with_type(s.element_bytes, [&](auto t) {
      using T = decltype(t);
      T* dst = reinterpret_cast<T*>(args.buffers[0]) + row * out_cols;
      const T value = static_cast<T>(s.value);
      if (inside) {
        pad_row(mode, reinterpret_cast<const T*>(args.buffers[1]) + src, s.low[7], s.extent[7],
                out_cols, value, dst);
      } else {
        std::fill_n(dst, out_cols, value);
      }
    });
  }
}

}  // namespace modellib::cpu
