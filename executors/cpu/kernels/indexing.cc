#include "modellib/executors/cpu/kernels/indexing.h"

#include <algorithm>
#include <cstring>

#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {
namespace {

constexpr int64_t kChunkElements = 65536;
constexpr int64_t kMaxChunks = int64_t{1} << 31;

absl::Status check_size(const char* kernel, const char* what, runtime::StepView::Range r,
                        bool index) {
  if (r.min == r.max && (r.min == 4 || r.min == 8 || (!index && (r.min == 1 || r.min == 2)))) {
    return absl::OkStatus();
  }
  return range_error(kernel, what, r, index ? 4 : 1, 8);
}

absl::Status check_chunks(const char* kernel, const runtime::StepView& step) {
  if (in_range(step.chunks, 0, kMaxChunks)) return absl::OkStatus();
  return range_error(kernel, "chunks", step.chunks, 0, kMaxChunks);
}

// Whether a scatter may add this type.
bool addable(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kI8:
    case DType::kU8:
    case DType::kI16:
    case DType::kU16:
    case DType::kI32:
    case DType::kU32:
    case DType::kI64:
    case DType::kU64:
      return true;
    default:
      return false;
  }
}

absl::Status check_dtype(const char* kernel, runtime::StepView::Range r, bool add) {
  if (r.min == r.max && r.min > 0 && r.min < kDTypeCount) {
    const auto dtype = static_cast<DType>(r.min);
    if (add ? addable(dtype) : bits_of(dtype) >= 8) return absl::OkStatus();
  }
  return range_error(kernel, "dtype", r, 1, kDTypeCount - 1);
}

// The index at `i`, or -1 after telling the fault.
int64_t index_at(const runtime::KernelArgs& args, const std::byte* indices, int64_t bytes,
                 int64_t i, int64_t extent) {
  const int64_t index = bytes == 8 ? reinterpret_cast<const int64_t*>(indices)[i]
                                   : reinterpret_cast<const int32_t*>(indices)[i];
  if (index >= -extent && index < extent) return index < 0 ? index + extent : index;
  args.fault->report(runtime::Fault::kIndexOutOfRange, index, extent);
  return -1;
}

template <class T>
void add_rows(std::byte* to, const std::byte* from, int64_t n) {
  T* y = reinterpret_cast<T*>(to);
  const T* x = reinterpret_cast<const T*>(from);
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(y[i] + x[i]);
}

// y += x on `n` elements; integers wrap, 16-bit floats round after each.
void add_elements(DType dtype, std::byte* to, const std::byte* from, int64_t n) {
  switch (dtype) {
    case DType::kF64:
      return add_rows<double>(to, from, n);
    case DType::kF32:
      return add_rows<float>(to, from, n);
    case DType::kI8:
    case DType::kU8:
      return add_rows<uint8_t>(to, from, n);
    case DType::kI16:
    case DType::kU16:
      return add_rows<uint16_t>(to, from, n);
    case DType::kI32:
    case DType::kU32:
      return add_rows<uint32_t>(to, from, n);
    case DType::kI64:
    case DType::kU64:
      return add_rows<uint64_t>(to, from, n);
    case DType::kF16: {
      auto* y = reinterpret_cast<Float16*>(to);
      const auto* x = reinterpret_cast<const Float16*>(from);
      for (int64_t i = 0; i < n; ++i) y[i] = to_f16(to_f32(y[i]) + to_f32(x[i]));
      return;
    }
    case DType::kBF16: {
      auto* y = reinterpret_cast<BFloat16*>(to);
      const auto* x = reinterpret_cast<const BFloat16*>(from);
      for (int64_t i = 0; i < n; ++i) y[i] = to_bf16(to_f32(y[i]) + to_f32(x[i]));
      return;
    }
    default:
      return;
  }
}

void copy_bytes(std::byte* to, const std::byte* from, int64_t bytes) {
  switch (bytes) {  // constant sizes are moves, not calls
    case 4:
      std::memcpy(to, from, 4);
      return;
    case 8:
      std::memcpy(to, from, 8);
      return;
    default:
      if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
  }
}

// Where the elements of extents `extent` (C order, from a given one) lie in data, less the axis.
class ElementWalk {
 public:
  ElementWalk(const int64_t* extent, const int64_t* stride, int64_t first)
      : extent_(extent), stride_(stride) {
    for (int d = kIndexDims - 1; d >= 0; --d) {
      at_[d] = first % extent[d];
      first /= extent[d];
      offset_ += at_[d] * stride[d];
    }
  }
  int64_t offset() const { return offset_; }
  void next() {
    for (int d = kIndexDims - 1; d >= 0; --d) {
      offset_ += stride_[d];
      if (++at_[d] < extent_[d]) return;
      offset_ -= extent_[d] * stride_[d];
      at_[d] = 0;
    }
  }

 private:
  const int64_t* extent_;
  const int64_t* stride_;
  int64_t at_[kIndexDims];
  int64_t offset_ = 0;
};

// The parts that gather_elements and scatter_elements share. Gives the largest count of indices.
absl::StatusOr<int64_t> check_elements(const char* kernel, const runtime::StepView& step,
                                       size_t extent_at, size_t stride_at, size_t axis_extent_at,
                                       size_t axis_stride_at, int64_t element_bytes,
                                       uint64_t data_bytes) {
  Reach reach({0, 0});
  int64_t count = 1;
  int64_t walk = 1;
  for (size_t d = 0; d < kIndexDims; ++d) {
    const auto extent = step.scalars[extent_at + d];
    if (!in_range(extent, 0, kMaxElements))
      return range_error(kernel, "extent", extent, 0, kMaxElements);
    count = checked_product(count, extent.max);
    walk = checked_product(walk, std::max<int64_t>(1, extent.max));
    reach.add(extent, step.scalars[stride_at + d]);
  }
  const auto axis = step.scalars[axis_extent_at];
  if (!in_range(axis, 0, kMaxElements))
    return range_error(kernel, "axis_extent", axis, 0, kMaxElements);
  reach.add(axis, step.scalars[axis_stride_at]);
  if (walk > kMaxElements)
    return absl::InvalidArgumentError(absl::StrCat(kernel, ": too many elements"));
  if (!reach.fits(data_bytes, element_bytes)) return operand_error(kernel, "data", data_bytes);
  return count;
}

}  // namespace

void choose_gather_grain(GatherScalars& s) {
  s.per_chunk = std::max<int64_t>(1, kChunkElements / std::max<int64_t>(1, s.inner));
}
int64_t gather_chunks(const GatherScalars& s) { return ceil_div(s.outer * s.indices, s.per_chunk); }

absl::Status validate_gather(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.gather";
  using S = GatherScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 2));
  const auto element = step.scalars[MODELLIB_SCALAR(S, element_bytes)];
  const auto index = step.scalars[MODELLIB_SCALAR(S, index_bytes)];
  MODELLIB_RETURN_IF_ERROR(check_size(kName, "element_bytes", element, false));
  MODELLIB_RETURN_IF_ERROR(check_size(kName, "index_bytes", index, true));
  MODELLIB_CHECK_SCALAR(kName, step, S, outer, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, axis, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, indices, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, inner, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, per_chunk, 1, kMaxEmptyGrain);
  MODELLIB_RETURN_IF_ERROR(check_chunks(kName, step));
  const auto max = [&](size_t i) { return step.scalars[i].max; };
  const int64_t outer = max(MODELLIB_SCALAR(S, outer)), axis = max(MODELLIB_SCALAR(S, axis));
  const int64_t indices = max(MODELLIB_SCALAR(S, indices)), inner = max(MODELLIB_SCALAR(S, inner));
  if (checked_product(outer, indices) > kMaxElements)
    return operand_error(kName, "the output", step.output_bytes[0]);
  if (!dense_fits({outer, indices, inner}, element.min, step.output_bytes[0])) {
    return operand_error(kName, "the output", step.output_bytes[0]);
  }
  if (!dense_fits({outer, axis, inner}, element.min, step.input_bytes[0])) {
    return operand_error(kName, "data", step.input_bytes[0]);
  }
  if (!dense_fits({indices}, index.min, step.input_bytes[1])) {
    return operand_error(kName, "indices", step.input_bytes[1]);
  }
  return absl::OkStatus();
}

void run_gather(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<GatherScalars>(args);
  const int64_t bytes = s.inner * s.element_bytes;
  const int64_t end = std::min(s.outer * s.indices, (chunk + 1) * s.per_chunk);
  for (int64_t at = chunk * s.per_chunk; at < end; ++at) {
    const int64_t index = index_at(args, args.buffers[2], s.index_bytes, at % s.indices, s.axis);
    std::byte* to = args.buffers[0] + at * bytes;
    if (index < 0) {
      std::fill_n(to, bytes, std::byte{0});
    } else {
      copy_bytes(to, args.buffers[1] + (at / s.indices * s.axis + index) * bytes, bytes);
    }
  }
}

void choose_scatter_grain(ScatterAddScalars& s) {
  // Each chunk reads all indices: few chunks, each with much to copy and add.
  const int64_t by_size = kChunkElements / std::max<int64_t>(1, s.inner);
  s.rows_per_chunk =
      std::clamp<int64_t>(std::max(by_size, ceil_div(s.axis, 32)), 1, std::max<int64_t>(1, s.axis));
}
int64_t scatter_chunks(const ScatterAddScalars& s) {
  return s.outer * ceil_div(s.axis, s.rows_per_chunk);
}

absl::Status validate_scatter_add(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.scatter_add";
  using S = ScatterAddScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 3));
  const auto dtype = step.scalars[MODELLIB_SCALAR(S, dtype)];
  const auto index = step.scalars[MODELLIB_SCALAR(S, index_bytes)];
  MODELLIB_RETURN_IF_ERROR(check_dtype(kName, dtype, true));
  MODELLIB_RETURN_IF_ERROR(check_size(kName, "index_bytes", index, true));
  MODELLIB_CHECK_SCALAR(kName, step, S, outer, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, axis, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, indices, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, inner, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, rows_per_chunk, 1, kMaxElements);
  MODELLIB_RETURN_IF_ERROR(check_chunks(kName, step));
  const auto max = [&](size_t i) { return step.scalars[i].max; };
  const int64_t outer = max(MODELLIB_SCALAR(S, outer)), axis = max(MODELLIB_SCALAR(S, axis));
  const int64_t indices = max(MODELLIB_SCALAR(S, indices)), inner = max(MODELLIB_SCALAR(S, inner));
  const int64_t bytes = bits_of(static_cast<DType>(dtype.min)) / 8;
  if (!dense_fits({outer, axis, inner}, bytes, step.output_bytes[0])) {
    return operand_error(kName, "the output", step.output_bytes[0]);
  }
  if (step.input_bytes[0] != 0 && !dense_fits({outer, axis, inner}, bytes, step.input_bytes[0])) {
    return operand_error(kName, "data", step.input_bytes[0]);
  }
  if (!dense_fits({indices}, index.min, step.input_bytes[1])) {
    return operand_error(kName, "indices", step.input_bytes[1]);
  }
  if (!dense_fits({outer, indices, inner}, bytes, step.input_bytes[2])) {
    return operand_error(kName, "updates", step.input_bytes[2]);
  }
  return absl::OkStatus();
}

void run_scatter_add(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<ScatterAddScalars>(args);
  const auto dtype = static_cast<DType>(s.dtype);
  const int64_t bytes = bits_of(dtype) / 8 * s.inner;
  const int64_t pieces = ceil_div(s.axis, s.rows_per_chunk);
  if (pieces == 0) return;
  const int64_t outer = chunk / pieces;
  if (outer >= s.outer) return;
  const int64_t begin = chunk % pieces * s.rows_per_chunk;
  const int64_t end = std::min(s.axis, begin + s.rows_per_chunk);
  std::byte* to = args.buffers[0] + outer * s.axis * bytes;
  const std::byte* data = args.buffers[1];
  if (data == nullptr) {
    std::fill(to + begin * bytes, to + end * bytes, std::byte{0});
  } else if (data != args.buffers[0]) {
    copy_bytes(to + begin * bytes, data + (outer * s.axis + begin) * bytes, (end - begin) * bytes);
  }
  const std::byte* updates = args.buffers[3] + outer * s.indices * bytes;
  for (int64_t i = 0; i < s.indices; ++i) {
    const int64_t index = index_at(args, args.buffers[2], s.index_bytes, i, s.axis);
    if (index < begin || index >= end) continue;
    add_elements(dtype, to + index * bytes, updates + i * bytes, s.inner);
  }
}

absl::Status validate_gather_elements(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.gather_elements";
  using S = GatherElementsScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 2));
  const auto element = step.scalars[MODELLIB_SCALAR(S, element_bytes)];
  const auto index = step.scalars[MODELLIB_SCALAR(S, index_bytes)];
  MODELLIB_RETURN_IF_ERROR(check_size(kName, "element_bytes", element, false));
  MODELLIB_RETURN_IF_ERROR(check_size(kName, "index_bytes", index, true));
  MODELLIB_CHECK_SCALAR(kName, step, S, per_chunk, 1, kMaxChunks);
  MODELLIB_RETURN_IF_ERROR(check_chunks(kName, step));
  MODELLIB_ASSIGN_OR_RETURN(
      const int64_t count,
      check_elements(kName, step, MODELLIB_SCALAR(S, extent), MODELLIB_SCALAR(S, data_stride),
                     MODELLIB_SCALAR(S, axis_extent), MODELLIB_SCALAR(S, axis_stride), element.min,
                     step.input_bytes[0]));
  if (!dense_fits({count}, index.min, step.input_bytes[1])) {
    return operand_error(kName, "indices", step.input_bytes[1]);
  }
  if (!dense_fits({count}, element.min, step.output_bytes[0])) {
    return operand_error(kName, "the output", step.output_bytes[0]);
  }
  return absl::OkStatus();
}

void run_gather_elements(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<GatherElementsScalars>(args);
  int64_t count = 1;
  for (const int64_t e : s.extent) count *= e;
  const int64_t begin = chunk * s.per_chunk;
  const int64_t end = std::min(count, begin + s.per_chunk);
  if (begin >= end) return;
  ElementWalk walk(s.extent, s.data_stride, begin);
  for (int64_t i = begin; i < end; ++i, walk.next()) {
    const int64_t index = index_at(args, args.buffers[2], s.index_bytes, i, s.axis_extent);
    std::byte* to = args.buffers[0] + i * s.element_bytes;
    if (index < 0) {
      std::fill_n(to, s.element_bytes, std::byte{0});
    } else {
      copy_bytes(to, args.buffers[1] + (walk.offset() + index * s.axis_stride) * s.element_bytes,
                 s.element_bytes);
    }
  }
}

absl::Status validate_scatter_elements(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.scatter_elements";
  using S = ScatterElementsScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 3));
  const auto dtype = step.scalars[MODELLIB_SCALAR(S, dtype)];
  const auto index = step.scalars[MODELLIB_SCALAR(S, index_bytes)];
  MODELLIB_CHECK_SCALAR(kName, step, S, add, 0, 1);
  MODELLIB_RETURN_IF_ERROR(
      check_dtype(kName, dtype, step.scalars[MODELLIB_SCALAR(S, add)].max == 1));
  MODELLIB_RETURN_IF_ERROR(check_size(kName, "index_bytes", index, true));
  MODELLIB_CHECK_SCALAR(kName, step, S, data_count, 0, kMaxElements);
  MODELLIB_RETURN_IF_ERROR(check_chunks(kName, step));
  const int64_t bytes = bits_of(static_cast<DType>(dtype.min)) / 8;
  const int64_t data = step.scalars[MODELLIB_SCALAR(S, data_count)].max;
  if (!dense_fits({data}, bytes, step.output_bytes[0])) {
    return operand_error(kName, "the output", step.output_bytes[0]);
  }
  if (!dense_fits({data}, bytes, step.input_bytes[0]))
    return operand_error(kName, "data", step.input_bytes[0]);
  // What the strides reach must lie within data_count at its smallest, or at least within the
  // output.
  MODELLIB_ASSIGN_OR_RETURN(
      const int64_t count,
      check_elements(kName, step, MODELLIB_SCALAR(S, extent), MODELLIB_SCALAR(S, data_stride),
                     MODELLIB_SCALAR(S, axis_extent), MODELLIB_SCALAR(S, axis_stride), bytes,
                     step.output_bytes[0]));
  if (!dense_fits({count}, index.min, step.input_bytes[1])) {
    return operand_error(kName, "indices", step.input_bytes[1]);
  }
  if (!dense_fits({count}, bytes, step.input_bytes[2])) {
    return operand_error(kName, "updates", step.input_bytes[2]);
  }
  return absl::OkStatus();
}

void run_scatter_elements(const runtime::KernelArgs& args, int64_t chunk) {
  if (chunk != 0) return;
  const auto& s = scalars_of<ScatterElementsScalars>(args);
  const auto dtype = static_cast<DType>(s.dtype);
  const int64_t bytes = bits_of(dtype) / 8;
  std::byte* out = args.buffers[0];
  if (out != args.buffers[1]) copy_bytes(out, args.buffers[1], s.data_count * bytes);
  int64_t count = 1;
  for (const int64_t e : s.extent) count *= e;
  if (count == 0) return;
  ElementWalk walk(s.extent, s.data_stride, 0);
  for (int64_t i = 0; i < count; ++i, walk.next()) {
    const int64_t index = index_at(args, args.buffers[2], s.index_bytes, i, s.axis_extent);
    if (index < 0) continue;
    std::byte* to = out + (walk.offset() + index * s.axis_stride) * bytes;
    const std::byte* from = args.buffers[3] + i * bytes;
    if (s.add != 0) {
      add_elements(dtype, to, from, 1);
    } else {
      copy_bytes(to, from, bytes);
    }
  }
}

absl::Status validate_update_slice(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.update_slice";
  using S = UpdateSliceScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 3));
  const auto element = step.scalars[MODELLIB_SCALAR(S, element_bytes)];
  MODELLIB_RETURN_IF_ERROR(check_size(kName, "element_bytes", element, false));
  MODELLIB_CHECK_SCALAR(kName, step, S, outer, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, axis, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, slice, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, inner, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, starts, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, outer_per_start, 0, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, per_chunk, 1, kMaxEmptyGrain);
  MODELLIB_RETURN_IF_ERROR(check_chunks(kName, step));
  const auto max = [&](size_t i) { return step.scalars[i].max; };
  const int64_t outer = max(MODELLIB_SCALAR(S, outer)), inner = max(MODELLIB_SCALAR(S, inner));
  const int64_t axis = max(MODELLIB_SCALAR(S, axis)), slice = max(MODELLIB_SCALAR(S, slice));
  if (!dense_fits({outer, axis, inner}, element.min, step.output_bytes[0])) {
    return operand_error(kName, "the output", step.output_bytes[0]);
  }
  if (!dense_fits({outer, axis, inner}, element.min, step.input_bytes[0])) {
    return operand_error(kName, "x", step.input_bytes[0]);
  }
  if (!dense_fits({outer, slice, inner}, element.min, step.input_bytes[1])) {
    return operand_error(kName, "the update", step.input_bytes[1]);
  }
  if (!dense_fits({max(MODELLIB_SCALAR(S, starts))}, 8, step.input_bytes[2])) {
    return operand_error(kName, "start", step.input_bytes[2]);
  }
  return absl::OkStatus();
}

void run_update_slice(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<UpdateSliceScalars>(args);
  const int64_t bytes = s.inner * s.element_bytes;
  if (s.starts == 0) return;  // there are no rows
  const int64_t rows_per_start = std::max<int64_t>(1, s.outer_per_start);
  const int64_t end = std::min(s.outer, (chunk + 1) * s.per_chunk);
  for (int64_t o = chunk * s.per_chunk; o < end; ++o) {
    std::byte* to = args.buffers[0] + o * s.axis * bytes;
    if (args.buffers[0] != args.buffers[1])
      copy_bytes(to, args.buffers[1] + o * s.axis * bytes, s.axis * bytes);
    const int64_t group = std::min(o / rows_per_start, s.starts - 1);
    const int64_t start = reinterpret_cast<const int64_t*>(args.buffers[3])[group];
    if (start < 0 || s.slice > s.axis || start > s.axis - s.slice) {
      args.fault->report(runtime::Fault::kIndexOutOfRange, start,
                         std::max<int64_t>(0, s.axis - s.slice + 1));
      continue;
    }
    copy_bytes(to + start * bytes, args.buffers[2] + o * s.slice * bytes, s.slice * bytes);
  }
}

}  // namespace modellib::cpu
