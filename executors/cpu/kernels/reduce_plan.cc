#include <algorithm>

#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/reduce.h"
#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {
namespace {

constexpr int64_t kMaxChunks = int64_t{1} << 31;
constexpr DType kAccumulate[] = {DType::kF32, DType::kF64, DType::kI32, DType::kI64, DType::kBool};

DType default_accumulate(DType dtype) { return kAccumulate[static_cast<int>(tile_type_of(dtype))]; }

bool known(DType dtype) { return tile_loadable(dtype); }

absl::Status check_type(const char* kernel, const char* what, runtime::StepView::Range r) {
  if (r.min == r.max && r.min > 0 && r.min < kDTypeCount && known(static_cast<DType>(r.min))) {
    return absl::OkStatus();
  }
  return range_error(kernel, what, r, 1, kDTypeCount - 1);
}

// The extents that the three kernels share, and that the walk over them cannot overflow.
absl::Status check_extents(const char* kernel, const runtime::StepView& step, size_t outer,
                           size_t axis, size_t inner, size_t units_per_chunk) {
  for (const size_t i : {outer, axis, inner}) {
    if (!in_range(step.scalars[i], 0, kMaxElements)) {
      return range_error(kernel, "extent", step.scalars[i], 0, kMaxElements);
    }
  }
  const auto at_least_1 = [&](size_t i) { return std::max<int64_t>(1, step.scalars[i].max); };
  if (checked_product(checked_product(at_least_1(outer), at_least_1(axis)), at_least_1(inner)) >
      kMaxElements) {
    return absl::InvalidArgumentError(absl::StrCat(kernel, ": too many elements"));
  }
  // Units of a running sum may be empty.
  if (!in_range(step.scalars[units_per_chunk], 1, kMaxEmptyGrain)) {
    return range_error(kernel, "units_per_chunk", step.scalars[units_per_chunk], 1, kMaxEmptyGrain);
  }
  if (!in_range(step.chunks, 0, kMaxChunks)) {
    return range_error(kernel, "chunks", step.chunks, 0, kMaxChunks);
  }
  return absl::OkStatus();
}

}  // namespace

int64_t reduce_parts(const ReduceScalars& s) {
  return std::max<int64_t>(1, ceil_div(s.reduce, s.rows_per_part));
}

int64_t reduce_chunks(const ReduceScalars& s) {
  return ceil_div(s.outer * reduce_parts(s) * ceil_div(s.inner, kReduceColumns), s.units_per_chunk);
}

ReducePlan plan_reduce(ReduceOp op, DType dtype, int64_t outer, int64_t reduce, int64_t inner,
                       bool mean, DType accumulate) {
  constexpr int64_t kChunkElements = 65536;
  if (accumulate == DType::kInvalid || dtype == DType::kF64 || !is_floating(accumulate) ||
      bits_of(accumulate) < 32) {
    accumulate = default_accumulate(dtype);
  }
  ReducePlan plan;
  ReduceScalars& s = plan.first;
  s.op = static_cast<int64_t>(op);
  s.dtype_in = static_cast<int64_t>(dtype);
  s.dtype_accumulate = static_cast<int64_t>(accumulate);
  s.dtype_out = s.dtype_in;
  s.outer = outer;
  s.reduce = reduce;
  s.inner = inner;
  s.rows_per_part = std::max<int64_t>(1, reduce);
  s.divisor = mean ? reduce : 1;
  // Too few columns and rows for the workers: cut the axis.
  const int64_t columns = std::min(std::max<int64_t>(1, inner), kReduceColumns);
  const int64_t units =
      std::max<int64_t>(1, outer) * ceil_div(std::max<int64_t>(1, inner), kReduceColumns);
  if (units < 16 && reduce * columns > 2 * kChunkElements) {
    const int64_t parts = std::min<int64_t>(64, ceil_div(reduce * columns, kChunkElements));
    // Whole blocks of 1,024, so that partial sums of a flat axis fall where the lanes restart.
    const int64_t grain = inner == 1 ? 1024 : 32;
    s.rows_per_part = ceil_div(ceil_div(reduce, parts), grain) * grain;
    plan.combines = reduce_parts(s) > 1;
  }
  const int64_t unit =
      std::max<int64_t>(1, std::min(std::max<int64_t>(1, reduce), s.rows_per_part) * columns);
  s.units_per_chunk = std::max<int64_t>(1, kChunkElements / unit);
  if (plan.combines) {
    plan.combine = s;
    plan.combine.dtype_in = s.dtype_accumulate;
    plan.combine.reduce = reduce_parts(s);
    plan.combine.rows_per_part = plan.combine.reduce;
    plan.combine.units_per_chunk = 1;
    s.dtype_out = s.dtype_accumulate;
    s.divisor = 1;
    plan.temporary_bytes = bytes_of(accumulate, outer * reduce_parts(s) * inner);
  }
  return plan;
}

absl::Status validate_reduce(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.reduce";
  using S = ReduceScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 1));
  const auto at = [&](size_t i) { return step.scalars[i]; };
  MODELLIB_CHECK_SCALAR(kName, step, S, op, 0, 3);
  MODELLIB_RETURN_IF_ERROR(check_type(kName, "dtype_in", at(MODELLIB_SCALAR(S, dtype_in))));
  MODELLIB_RETURN_IF_ERROR(
      check_type(kName, "dtype_accumulate", at(MODELLIB_SCALAR(S, dtype_accumulate))));
  MODELLIB_RETURN_IF_ERROR(check_type(kName, "dtype_out", at(MODELLIB_SCALAR(S, dtype_out))));
  if (at(MODELLIB_SCALAR(S, op)).min != at(MODELLIB_SCALAR(S, op)).max) {
    return range_error(kName, "op (static)", at(MODELLIB_SCALAR(S, op)), 0, 3);
  }
  const auto op = static_cast<ReduceOp>(at(MODELLIB_SCALAR(S, op)).min);
  const auto in = static_cast<DType>(at(MODELLIB_SCALAR(S, dtype_in)).min);
  const auto acc = static_cast<DType>(at(MODELLIB_SCALAR(S, dtype_accumulate)).min);
  const auto out = static_cast<DType>(at(MODELLIB_SCALAR(S, dtype_out)).min);
  const bool widened = acc == DType::kF64 && is_floating(in);
  if ((acc != default_accumulate(in) && !widened) ||
      (default_accumulate(out) != acc && !(acc == DType::kF64 && is_floating(out))) ||
      (acc == DType::kBool && op != ReduceOp::kMax && op != ReduceOp::kMin)) {
    return absl::InvalidArgumentError(absl::StrCat("cpu.reduce: cannot reduce ", to_string(in),
                                                   " in ", to_string(acc), " to ", to_string(out)));
  }
  MODELLIB_RETURN_IF_ERROR(check_extents(kName, step, MODELLIB_SCALAR(S, outer),
                                         MODELLIB_SCALAR(S, reduce), MODELLIB_SCALAR(S, inner),
                                         MODELLIB_SCALAR(S, units_per_chunk)));
  MODELLIB_CHECK_SCALAR(kName, step, S, rows_per_part, 1, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, divisor, 0, kMaxElements);
  const int64_t outer = at(MODELLIB_SCALAR(S, outer)).max,
                inner = at(MODELLIB_SCALAR(S, inner)).max;
  const int64_t reduce = at(MODELLIB_SCALAR(S, reduce)).max;
  const int64_t parts =
      std::max<int64_t>(1, ceil_div(reduce, at(MODELLIB_SCALAR(S, rows_per_part)).min));
  if (!dense_fits({outer, reduce, inner}, bits_of(in) / 8, step.input_bytes[0])) {
    return operand_error(kName, "the input", step.input_bytes[0]);
  }
  if (!dense_fits({outer, parts, inner}, bits_of(out) / 8, step.output_bytes[0])) {
    return operand_error(kName, "the output", step.output_bytes[0]);
  }
  if (step.aliases[0] >= 0) return absl::InvalidArgumentError("cpu.reduce: cannot run in place");
  return absl::OkStatus();
}

absl::Status validate_arg_reduce(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.arg_reduce";
  using S = ArgReduceScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 1));
  MODELLIB_CHECK_SCALAR(kName, step, S, smallest, 0, 1);
  const auto dtype = step.scalars[MODELLIB_SCALAR(S, dtype)];
  MODELLIB_RETURN_IF_ERROR(check_type(kName, "dtype", dtype));
  if (static_cast<DType>(dtype.min) == DType::kBool) {
    return absl::InvalidArgumentError("cpu.arg_reduce: takes numbers, not bool");
  }
  MODELLIB_RETURN_IF_ERROR(check_extents(kName, step, MODELLIB_SCALAR(S, outer),
                                         MODELLIB_SCALAR(S, reduce), MODELLIB_SCALAR(S, inner),
                                         MODELLIB_SCALAR(S, units_per_chunk)));
  const auto max = [&](size_t i) { return step.scalars[i].max; };
  const int64_t outer = max(MODELLIB_SCALAR(S, outer)), inner = max(MODELLIB_SCALAR(S, inner));
  if (!dense_fits({outer, max(MODELLIB_SCALAR(S, reduce)), inner},
                  bits_of(static_cast<DType>(dtype.min)) / 8, step.input_bytes[0])) {
    return operand_error(kName, "the input", step.input_bytes[0]);
  }
  if (!dense_fits({outer, inner}, 8, step.output_bytes[0])) {
    return operand_error(kName, "the output", step.output_bytes[0]);
  }
  if (step.aliases[0] >= 0)
    return absl::InvalidArgumentError("cpu.arg_reduce: cannot run in place");
  return absl::OkStatus();
}

absl::Status validate_cumsum(const runtime::StepView& step) {
  constexpr char kName[] = "cpu.cumsum";
  using S = CumsumScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 1));
  MODELLIB_CHECK_SCALAR(kName, step, S, exclusive, 0, 1);
  MODELLIB_CHECK_SCALAR(kName, step, S, reverse, 0, 1);
  const auto dtype = step.scalars[MODELLIB_SCALAR(S, dtype)];
  MODELLIB_RETURN_IF_ERROR(check_type(kName, "dtype", dtype));
  if (static_cast<DType>(dtype.min) == DType::kBool) {
    return absl::InvalidArgumentError("cpu.cumsum: takes numbers, not bool");
  }
  MODELLIB_RETURN_IF_ERROR(check_extents(kName, step, MODELLIB_SCALAR(S, outer),
                                         MODELLIB_SCALAR(S, axis), MODELLIB_SCALAR(S, inner),
                                         MODELLIB_SCALAR(S, units_per_chunk)));
  const auto max = [&](size_t i) { return step.scalars[i].max; };
  for (const uint64_t bytes : {step.input_bytes[0], step.output_bytes[0]}) {
    if (!dense_fits({max(MODELLIB_SCALAR(S, outer)), max(MODELLIB_SCALAR(S, axis)),
                     max(MODELLIB_SCALAR(S, inner))},
                    bits_of(static_cast<DType>(dtype.min)) / 8, bytes)) {
      return operand_error(kName, "an operand", bytes);
    }
  }
  return absl::OkStatus();
}

}  // namespace modellib::cpu
