#include "modellib/executors/cpu/kernels/plain.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/philox.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {
namespace {

constexpr int64_t kMaxChunks = int64_t{1} << 31;

absl::Status check_chunks(const char* kernel, const runtime::StepView& step) {
  if (in_range(step.chunks, 0, kMaxChunks)) return absl::OkStatus();
  return range_error(kernel, "chunks", step.chunks, 0, kMaxChunks);
}

bool is_static(runtime::StepView::Range r) { return r.min == r.max; }

absl::StatusOr<DType> check_dtype(const char* kernel, runtime::StepView::Range r) {
  if (is_static(r) && r.min > 0 && r.min < kDTypeCount) {
    const auto dtype = static_cast<DType>(r.min);
    if (bits_of(dtype) >= 8 && dtype != DType::kF8E4M3 && dtype != DType::kF8E5M2) return dtype;
  }
  return range_error(kernel, "dtype", r, 1, kDTypeCount - 1);
}

// Calls f with the memory type of a dtype.
template <class F>
void with_dtype(DType dtype, F f) {
  switch (dtype) {
    case DType::kF64:
      return f(double{});
    case DType::kF32:
      return f(float{});
    case DType::kF16:
      return f(Float16{});
    case DType::kBF16:
      return f(BFloat16{});
    case DType::kI8:
      return f(int8_t{});
    case DType::kU8:
    case DType::kBool:
      return f(uint8_t{});
    case DType::kI16:
      return f(int16_t{});
    case DType::kU16:
      return f(uint16_t{});
    case DType::kI32:
      return f(int32_t{});
    case DType::kU32:
      return f(uint32_t{});
    case DType::kI64:
      return f(int64_t{});
    case DType::kU64:
      return f(uint64_t{});
    default:
      return;
  }
}

// What a type adds up in: floats in at least f32, integers in unsigned ones, whose overflow wraps.
template <class T>
auto widened(T v) {
  if constexpr (std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>) {
    return to_f32(v);
  } else if constexpr (std::is_floating_point_v<T>) {
    return v;
  } else {
    return static_cast<uint64_t>(v);
  }
}
template <class T, class A>
T narrowed(A v) {
  if constexpr (std::is_same_v<T, Float16>)
    return to_f16(v);
  else if constexpr (std::is_same_v<T, BFloat16>)
    return to_bf16(v);
  else
    return static_cast<T>(v);
}

// Before: as torch.sort and numpy's stable sort order them.
template <class T>
bool before(T a, T b, bool descending) {
  if constexpr (std::is_integral_v<T>) {
    return descending ? a > b : a < b;
  } else {
    const auto x = widened(a), y = widened(b);
    if (x != x || y != y) return descending ? x != x && y == y : x == x && y != y;
    return descending ? x > y : x < y;
  }
}

// A bottom-up merge sort of positions: stable, and it allocates nothing.
template <class T>
const int64_t* sort_line(const T* x, int64_t stride, int64_t n, bool descending, int64_t* a,
                         int64_t* b) {
  for (int64_t i = 0; i < n; ++i) a[i] = i;
  for (int64_t width = 1; width < n; width *= 2) {
    for (int64_t low = 0; low < n; low += 2 * width) {
      const int64_t middle = std::min(n, low + width), high = std::min(n, low + 2 * width);
      int64_t left = low, right = middle;
      for (int64_t to = low; to < high; ++to) {
        const bool take_right =
            left == middle ||
            (right < high && before(x[a[right] * stride], x[a[left] * stride], descending));
        b[to] = a[take_right ? right++ : left++];
      }
    }
    std::swap(a, b);
  }
  return a;
}

}  // namespace

absl::Status validate_plain_matmul(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.plain_matmul";
  using S = PlainMatmulScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 2));
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype,
                            check_dtype(kName, step.scalars[MODELLIB_SCALAR(S, dtype)]));
  if (dtype == DType::kBool)
    return absl::InvalidArgumentError("cpu.plain_matmul: takes numbers, not bool");
  MODELLIB_CHECK_SCALAR(kName, step, S, batch0, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, batch1, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, m, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, n, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, k, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, rows_per_chunk, 1, kMaxChunks);
  MODELLIB_RETURN_IF_ERROR(check_chunks(kName, step));
  const auto at = [&](size_t i) { return step.scalars[i]; };
  const auto b0 = at(MODELLIB_SCALAR(S, batch0)), b1 = at(MODELLIB_SCALAR(S, batch1));
  const auto m = at(MODELLIB_SCALAR(S, m)), n = at(MODELLIB_SCALAR(S, n)),
             k = at(MODELLIB_SCALAR(S, k));
  int64_t work = 1;
  for (const auto r : {b0, b1, m, n, k}) work = checked_product(work, std::max<int64_t>(1, r.max));
  if (work > kMaxElements) return absl::InvalidArgumentError("cpu.plain_matmul: too much work");
  const auto reaches = [&](size_t strides, std::initializer_list<runtime::StepView::Range> extents,
                           uint64_t bytes) {
    Reach reach({0, 0});
    for (const auto extent : extents) reach.add(extent, at(strides++));
    return reach.fits(bytes, bits_of(dtype) / 8);
  };
  if (!reaches(MODELLIB_SCALAR(S, a_stride), {b0, b1, m, k}, step.input_bytes[0])) {
    return operand_error(kName, "A", step.input_bytes[0]);
  }
  if (!reaches(MODELLIB_SCALAR(S, b_stride), {b0, b1, k, n}, step.input_bytes[1])) {
    return operand_error(kName, "B", step.input_bytes[1]);
  }
  const int64_t bytes = bits_of(dtype) / 8;
  if (!reaches(MODELLIB_SCALAR(S, c_stride), {b0, b1, m, n}, step.output_bytes[0]) ||
      !dense_fits({b0.max, b1.max, m.max, n.max}, bytes, step.output_bytes[0])) {
    return operand_error(kName, "C", step.output_bytes[0]);
  }
  if (!dense_fits({k.max}, bytes, std::max(step.input_bytes[0], step.input_bytes[1])))
    return operand_error(kName, "A or B", step.input_bytes[0]);
  return absl::OkStatus();
}

void run_plain_matmul(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<PlainMatmulScalars>(args);
  const int64_t rows = s.batch0 * s.batch1 * s.m;
  const int64_t end = std::min(rows, (chunk + 1) * s.rows_per_chunk);
  with_dtype(static_cast<DType>(s.dtype), [&](auto t) {
    using T = decltype(t);
    const T* a = reinterpret_cast<const T*>(args.buffers[1]);
    const T* b = reinterpret_cast<const T*>(args.buffers[2]);
    T* c = reinterpret_cast<T*>(args.buffers[0]);
    for (int64_t row = chunk * s.rows_per_chunk; row < end; ++row) {
      const int64_t i = row % s.m, b1 = row / s.m % s.batch1, b0 = row / s.m / s.batch1;
      const int64_t at = b0 * s.a_stride[0] + b1 * s.a_stride[1] + i * s.a_stride[2];
      const int64_t bt = b0 * s.b_stride[0] + b1 * s.b_stride[1];
      const int64_t ct = b0 * s.c_stride[0] + b1 * s.c_stride[1] + i * s.c_stride[2];
      for (int64_t j = 0; j < s.n; ++j) {
        decltype(widened(t)) sum{};
        for (int64_t p = 0; p < s.k; ++p) {
          sum += widened(a[at + p * s.a_stride[3]]) *
                 widened(b[bt + p * s.b_stride[2] + j * s.b_stride[3]]);
        }
        c[ct + j * s.c_stride[3]] = narrowed<T>(sum);
      }
    }
  });
}

absl::Status validate_plain_sort(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.plain_sort";
  using S = PlainSortScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 2, 1));
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype,
                            check_dtype(kName, step.scalars[MODELLIB_SCALAR(S, dtype)]));
  MODELLIB_CHECK_SCALAR(kName, step, S, descending, 0, 1);
  MODELLIB_CHECK_SCALAR(kName, step, S, outer, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, axis, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, inner, 0, kMaxElements);
  const auto axis = step.scalars[MODELLIB_SCALAR(S, axis)];
  const auto k = step.scalars[MODELLIB_SCALAR(S, k)];
  if (!in_range(k, 0, kMaxElements) || k.max > axis.max)
    return range_error(kName, "k", k, 0, axis.max);
  MODELLIB_CHECK_SCALAR(kName, step, S, lines_per_chunk, 1, kMaxEmptyGrain);
  MODELLIB_RETURN_IF_ERROR(check_chunks(kName, step));
  const auto max = [&](size_t i) { return step.scalars[i].max; };
  const int64_t outer = max(MODELLIB_SCALAR(S, outer)), inner = max(MODELLIB_SCALAR(S, inner));
  const int64_t bytes = bits_of(dtype) / 8;
  if (!dense_fits({std::max<int64_t>(1, outer), std::max<int64_t>(1, inner)}, 1, kMaxElements)) {
    return absl::InvalidArgumentError("cpu.plain_sort: too many lines");
  }
  if (!dense_fits({outer, axis.max, inner}, bytes, step.input_bytes[0])) {
    return operand_error(kName, "x", step.input_bytes[0]);
  }
  if (!dense_fits({outer, k.max, inner}, bytes, step.output_bytes[0])) {
    return operand_error(kName, "the values", step.output_bytes[0]);
  }
  if (!dense_fits({outer, k.max, inner}, 8, step.output_bytes[1])) {
    return operand_error(kName, "the indices", step.output_bytes[1]);
  }
  if (!dense_fits({step.chunks.max, axis.max}, 16, step.workspace_bytes)) {
    return operand_error(kName, "the workspace", step.workspace_bytes);
  }
  if (step.aliases[0] >= 0 || step.aliases[1] >= 0) {
    return absl::InvalidArgumentError("cpu.plain_sort: cannot run in place");
  }
  return absl::OkStatus();
}

void run_plain_sort(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<PlainSortScalars>(args);
  auto* space = reinterpret_cast<int64_t*>(args.buffers[3]) + chunk * 2 * s.axis;
  const int64_t k = std::min(s.k, s.axis);
  const int64_t end = std::min(s.outer * s.inner, (chunk + 1) * s.lines_per_chunk);
  auto* indices = reinterpret_cast<int64_t*>(args.buffers[1]);
  with_dtype(static_cast<DType>(s.dtype), [&](auto t) {
    using T = decltype(t);
    for (int64_t line = chunk * s.lines_per_chunk; line < end; ++line) {
      const int64_t outer = line / s.inner, inner = line % s.inner;
      const T* x = reinterpret_cast<const T*>(args.buffers[2]) + outer * s.axis * s.inner + inner;
      T* values = reinterpret_cast<T*>(args.buffers[0]);
      const int64_t* order =
          sort_line(x, s.inner, s.axis, s.descending != 0, space, space + s.axis);
      for (int64_t i = 0; i < k; ++i) {
        const int64_t at = (outer * s.k + i) * s.inner + inner;
        values[at] = x[order[i] * s.inner];
        indices[at] = order[i];
      }
    }
  });
}

absl::Status validate_fold_in(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.fold_in";
  MODELLIB_RETURN_IF_ERROR(check_counts<FoldInScalars>(kName, step, 1, 2));
  for (const uint64_t bytes : {step.output_bytes[0], step.input_bytes[0], step.input_bytes[1]}) {
    if (bytes < 8) return operand_error(kName, "an operand", bytes);
  }
  return absl::OkStatus();
}

void run_fold_in(const runtime::KernelArgs& args, int64_t chunk) {
  if (chunk != 0) return;
  const auto word = [&](int i) { return *reinterpret_cast<const uint64_t*>(args.buffers[i]); };
  const auto block = philox_block(word(1), static_cast<uint64_t>(args.scalars[0]), word(2));
  *reinterpret_cast<uint64_t*>(args.buffers[0]) = block[0] | static_cast<uint64_t>(block[1]) << 32;
}

}  // namespace modellib::cpu
