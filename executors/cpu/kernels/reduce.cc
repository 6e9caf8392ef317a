// The reductions of reduce.h, made of the pieces of tile programs: loads with conversion, row
// reductions, pointwise operations on whole registers.
#include "modellib/executors/cpu/kernels/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "executors/cpu/kernels/reduce.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/tile_memory-inl.h"
#include "modellib/executors/cpu/kernels/tile_ops-inl.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {
namespace {

TileType accumulation_type(DType dtype) { return tile_type_of(dtype); }
int64_t element_bytes(DType dtype) { return bits_of(dtype) / 8; }
int64_t register_bytes(TileType type) {
  return type == TileType::kF64 || type == TileType::kI64 ? 8 : 4;
}

constexpr TileOp kRowOps[] = {TileOp::kSum, TileOp::kProd, TileOp::kReduceMax, TileOp::kReduceMin};
constexpr TileOp kPairOps[] = {TileOp::kAdd, TileOp::kMul, TileOp::kMax, TileOp::kMin};

// A buffer of one register.
struct alignas(64) Register {
  std::byte bytes[kReduceColumns * 8];
};

// Whether elements of this type in memory differ from the accumulated ones in their top bit: u64
// that are compared, by the signed numbers that have their order.
bool is_turned(const ReduceScalars& s, DType dtype) {
  const auto op = static_cast<ReduceOp>(s.op);
  return dtype == DType::kU64 && (op == ReduceOp::kMax || op == ReduceOp::kMin);
}

void turn(Register& values, int64_t n) {
  auto* v = reinterpret_cast<uint64_t*>(values.bytes);
  for (int64_t i = 0; i < n; ++i) v[i] ^= uint64_t{1} << 63;
}

// Whether the largest or smallest of nothing, a bound of the accumulation type, may not be one of
// this type.
bool is_narrowed(const ReduceScalars& s, DType dtype) {
  const auto op = static_cast<ReduceOp>(s.op);
  return is_signed_integer(dtype) && bits_of(dtype) <= 32 &&
         (op == ReduceOp::kMax || op == ReduceOp::kMin);
}

// `n` elements of memory in the accumulation type: in place where they already are, else converted
// into `buffer`.
const void* load_run(const ReduceScalars& s, TileType acc, const std::byte* from, int64_t n,
                     Register& buffer, Register& other) {
  const auto dtype = static_cast<DType>(s.dtype_in);
  const TileType natural = tile_type_of(dtype);
  if (dtype == DType::kF32 && acc == TileType::kF32) return from;
  load_elements(dtype, from, 1, buffer.bytes, n);
  if (is_turned(s, dtype)) turn(buffer, n);
  if (natural == acc) return buffer.bytes;
  OpArgs o = {};
  o.src[0] = buffer.bytes;
  o.step[0] = 1;
  o.dst = other.bytes;
  o.n = static_cast<size_t>((n + 15) / 16 * 16);
  o.rows = 1;
  run_cast(natural, acc, o);
  return other.bytes;
}

// n accumulated values, divided and rounded, to memory.
void store_run(const ReduceScalars& s, TileType acc, Register& values, Register& other,
               std::byte* to, int64_t n) {
  const auto dtype = static_cast<DType>(s.dtype_out);
  if (s.divisor != 1 && acc == TileType::kF32) {
    auto* v = reinterpret_cast<float*>(values.bytes);
    for (int64_t i = 0; i < n; ++i) v[i] /= static_cast<float>(s.divisor);
  } else if (s.divisor != 1 && acc == TileType::kF64) {
    auto* v = reinterpret_cast<double*>(values.bytes);
    for (int64_t i = 0; i < n; ++i) v[i] /= static_cast<double>(s.divisor);
  } else if (is_turned(s, dtype)) {
    turn(values, n);
  }
  const TileType natural = tile_type_of(dtype);
  const std::byte* from = values.bytes;
  if (s.reduce == 0 && is_narrowed(s, dtype)) {
    const int32_t low = std::numeric_limits<int32_t>::min() >> (32 - bits_of(dtype));
    const bool largest = static_cast<ReduceOp>(s.op) == ReduceOp::kMax;
    std::fill_n(reinterpret_cast<int32_t*>(other.bytes), n, largest ? low : ~low);
    from = other.bytes;
  } else if (natural != acc) {
    OpArgs o = {};
    o.src[0] = values.bytes;
    o.step[0] = 1;
    o.dst = other.bytes;
    o.n = static_cast<size_t>((n + 15) / 16 * 16);
    o.rows = 1;
    run_cast(acc, natural, o);
    from = other.bytes;
  }
  store_elements(dtype, from, to, 1, n);
}

// A flat axis: the reduction of a tile program's row.
void reduce_flat(const ReduceScalars& s, TileType acc, const std::byte* from, int64_t n,
                 std::byte* to) {
  const auto in = static_cast<DType>(s.dtype_in);
  const TileOp op = kRowOps[s.op];
  Register buffer, other, result;
  Reduction r;
  reduce(op, acc, ReduceStep::kInit, r, nullptr, 0, 0, nullptr);
  for (int64_t i = 0; i < n; i += kReduceColumns) {
    const int64_t count = std::min(kReduceColumns, n - i);
    reduce(op, acc, ReduceStep::kAdd, r,
           load_run(s, acc, from + i * element_bytes(in), count, buffer, other), i, count, nullptr);
  }
  std::memset(result.bytes, 0, kTileLanes * 8);
  reduce(op, acc, ReduceStep::kFinish, r, nullptr, 0, 0, result.bytes);
  store_run(s, acc, result, other, to, 1);
}

// The identity of an operation, in `n` lanes.
void fill_identity(const ReduceScalars& s, TileType acc, Register& to, int64_t n) {
  Reduction r;
  alignas(8) std::byte value[8];
  reduce(kRowOps[s.op], acc, ReduceStep::kInit, r, nullptr, 0, 0, nullptr);
  reduce(kRowOps[s.op], acc, ReduceStep::kFinish, r, nullptr, 0, 0, value);
  const int64_t size = register_bytes(acc);
  for (int64_t i = 0; i < n; ++i)
    std::memcpy(to.bytes + i * size, value, static_cast<size_t>(size));
}

// Up to 1,024 columns of `rows` rows, `row_bytes` apart: blocks of 32 rows, then the sum of the
// blocks.
void reduce_columns(const ReduceScalars& s, TileType acc, const std::byte* from, int64_t row_bytes,
                    int64_t rows, int64_t columns, std::byte* to) {
  Register buffer, other, block, total;
  const int64_t padded = (columns + 15) / 16 * 16;
  // Bool lanes are masks: any is their minimum as numbers (-1), and run_op's bool path takes
  // and/or.
  const TileOp op =
      acc == TileType::kBool
          ? (static_cast<ReduceOp>(s.op) == ReduceOp::kMax ? TileOp::kOr : TileOp::kAnd)
          : kPairOps[s.op];
  const auto combine = [&](Register& sum, const void* x) {
    OpArgs o = {};
    o.src[0] = sum.bytes;
    o.src[1] = x;
    o.step[0] = o.step[1] = 1;
    o.dst = sum.bytes;
    o.n = static_cast<size_t>(padded);
    o.rows = 1;
    run_op(op, acc, acc, o);
  };
  fill_identity(s, acc, total, padded);
  for (int64_t r0 = 0; r0 < rows; r0 += 32) {
    fill_identity(s, acc, block, padded);
    for (int64_t r = r0; r < std::min(rows, r0 + 32); ++r) {
      const void* x = load_run(s, acc, from + r * row_bytes, columns, buffer, other);
      // Operations run over multiples of 16 elements: what lies in place must have that many.
      if (columns != padded && x == from + r * row_bytes) {
        std::memcpy(buffer.bytes, x, static_cast<size_t>(columns * register_bytes(acc)));
        x = buffer.bytes;
      }
      combine(block, x);
    }
    combine(total, block.bytes);
  }
  store_run(s, acc, total, other, to, columns);
}

}  // namespace

void reduce_chunk(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<ReduceScalars>(args);
  const auto in = static_cast<DType>(s.dtype_in);
  const auto out = static_cast<DType>(s.dtype_out);
  const TileType acc = accumulation_type(static_cast<DType>(s.dtype_accumulate));
  const int64_t parts = std::max<int64_t>(1, ceil_div(s.reduce, s.rows_per_part));
  const int64_t column_blocks = ceil_div(s.inner, kReduceColumns);
  const int64_t units = s.outer * parts * column_blocks;
  const int64_t end = std::min(units, (chunk + 1) * s.units_per_chunk);
  for (int64_t unit = chunk * s.units_per_chunk; unit < end; ++unit) {
    const int64_t column = unit % column_blocks * kReduceColumns;
    const int64_t part = unit / column_blocks % parts;
    const int64_t outer = unit / column_blocks / parts;
    const int64_t row = part * s.rows_per_part;
    const int64_t rows = std::min(s.rows_per_part, s.reduce - row);
    const std::byte* from =
        args.buffers[1] + ((outer * s.reduce + row) * s.inner + column) * element_bytes(in);
    std::byte* to =
        args.buffers[0] + ((outer * parts + part) * s.inner + column) * element_bytes(out);
    if (s.inner == 1) {
      reduce_flat(s, acc, from, rows, to);
    } else {
      reduce_columns(s, acc, from, s.inner * element_bytes(in), rows,
                     std::min(kReduceColumns, s.inner - column), to);
    }
  }
}

namespace {

// The best value so far of each column and where it was.
template <class T>
void arg_columns(const ArgReduceScalars& s, const std::byte* from, int64_t columns, int64_t* to) {
  const auto dtype = static_cast<DType>(s.dtype);
  const int64_t row_bytes = s.inner * element_bytes(dtype);
  alignas(64) T best[kArgColumns];
  alignas(64) T row[kArgColumns];
  const auto better = [&](T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      if (a != a || b != b) return b == b;
    }
    return s.smallest != 0 ? a < b : a > b;
  };
  if (s.inner == 1) {
    // Along the axis, a run at a time.
    T top{};
    int64_t where = 0;
    for (int64_t i = 0; i < s.reduce; i += kArgColumns) {
      const int64_t n = std::min(kArgColumns, s.reduce - i);
      load_elements(dtype, from + i * row_bytes, 1, row, n);
      if (i == 0) top = row[0];
      for (int64_t c = 0; c < n; ++c) {
        if (better(row[c], top)) {
          top = row[c];
          where = i + c;
        }
      }
    }
    *to = where;
    return;
  }
  std::fill_n(to, columns, 0);
  if (s.reduce == 0) return;
  load_elements(dtype, from, 1, best, columns);
  for (int64_t r = 1; r < s.reduce; ++r) {
    load_elements(dtype, from + r * row_bytes, 1, row, columns);
    for (int64_t c = 0; c < columns; ++c) {
      if (better(row[c], best[c])) {
        best[c] = row[c];
        to[c] = r;
      }
    }
  }
}

template <class T, class Sum>
void cumsum_columns(const CumsumScalars& s, const std::byte* from, std::byte* to, int64_t columns) {
  const auto dtype = static_cast<DType>(s.dtype);
  const int64_t row_bytes = s.inner * element_bytes(dtype);
  alignas(64) Sum sum[kArgColumns] = {};
  alignas(64) T row[kArgColumns];
  alignas(64) T out[kArgColumns];
  for (int64_t i = 0; i < s.axis; ++i) {
    const int64_t r = s.reverse != 0 ? s.axis - 1 - i : i;
    load_elements(dtype, from + r * row_bytes, 1, row, columns);
    for (int64_t c = 0; c < columns; ++c) {
      const Sum before = sum[c];
      sum[c] = add<Sum>(sum[c], static_cast<Sum>(row[c]));
      out[c] = static_cast<T>(s.exclusive != 0 ? before : sum[c]);
    }
    store_elements(dtype, out, to + r * row_bytes, 1, columns);
  }
}

}  // namespace

void arg_reduce_chunk(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<ArgReduceScalars>(args);
  const auto dtype = static_cast<DType>(s.dtype);
  const int64_t blocks = ceil_div(s.inner, kArgColumns);
  const int64_t end = std::min(s.outer * blocks, (chunk + 1) * s.units_per_chunk);
  for (int64_t unit = chunk * s.units_per_chunk; unit < end; ++unit) {
    const int64_t outer = unit / blocks;
    const int64_t column = unit % blocks * kArgColumns;
    const int64_t columns = std::min(kArgColumns, s.inner - column);
    const std::byte* from =
        args.buffers[1] + (outer * s.reduce * s.inner + column) * element_bytes(dtype);
    int64_t* to = reinterpret_cast<int64_t*>(args.buffers[0]) + outer * s.inner + column;
    switch (tile_type_of(dtype)) {
      case TileType::kF32:
        arg_columns<float>(s, from, columns, to);
        break;
      case TileType::kF64:
        arg_columns<double>(s, from, columns, to);
        break;
      case TileType::kI64:
        dtype == DType::kU64 ? arg_columns<uint64_t>(s, from, columns, to)
                             : arg_columns<int64_t>(s, from, columns, to);
        break;
      default:
        arg_columns<int32_t>(s, from, columns, to);
    }
  }
}

void cumsum_chunk(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<CumsumScalars>(args);
  const auto dtype = static_cast<DType>(s.dtype);
  const int64_t blocks = ceil_div(s.inner, kArgColumns);
  const int64_t end = std::min(s.outer * blocks, (chunk + 1) * s.units_per_chunk);
  for (int64_t unit = chunk * s.units_per_chunk; unit < end; ++unit) {
    const int64_t at =
        (unit / blocks * s.axis * s.inner + unit % blocks * kArgColumns) * element_bytes(dtype);
    const int64_t columns = std::min(kArgColumns, s.inner - unit % blocks * kArgColumns);
    const std::byte* from = args.buffers[1] + at;
    std::byte* to = args.buffers[0] + at;
    switch (tile_type_of(dtype)) {
      case TileType::kF32:
        cumsum_columns<float, double>(s, from, to, columns);
        break;
      case TileType::kF64:
        cumsum_columns<double, double>(s, from, to, columns);
        break;
      case TileType::kI64:
        cumsum_columns<int64_t, int64_t>(s, from, to, columns);
        break;
      default:
        cumsum_columns<int32_t, int64_t>(s, from, to, columns);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace modellib::cpu {

HWY_EXPORT(reduce_chunk);
HWY_EXPORT(arg_reduce_chunk);
HWY_EXPORT(cumsum_chunk);

void run_reduce(const runtime::KernelArgs& args, int64_t chunk) {
  HWY_DYNAMIC_DISPATCH(reduce_chunk)(args, chunk);
}
void run_arg_reduce(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<ArgReduceScalars>(args);
  if (s.reduce == 0) {
    // Nothing among nothing.
    if (s.outer * s.inner > 0) args.fault->report(runtime::Fault::kIndexOutOfRange, 0, 0);
    return;
  }
  HWY_DYNAMIC_DISPATCH(arg_reduce_chunk)(args, chunk);
}
void run_cumsum(const runtime::KernelArgs& args, int64_t chunk) {
  HWY_DYNAMIC_DISPATCH(cumsum_chunk)(args, chunk);
}

}  // namespace modellib::cpu
#endif
