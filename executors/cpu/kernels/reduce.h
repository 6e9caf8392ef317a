// Reductions of dense operands along one axis (or several adjacent ones taken as one): [outer,
// reduce, inner]. Rows that other work fuses with are reduced in tile programs; these kernels serve
// what has no such place: column sums (bias gradients), whole tensors (losses, gradient norms),
// argmax, running sums.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_REDUCE_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_REDUCE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "modellib/executors/runtime/kernel.h"
#include "modellib/graph/dtype.h"

namespace modellib::cpu {

// kMax and kMin of bools are any and all. NaN wins in kMax and kMin; integers wrap.
enum class ReduceOp : int64_t { kSum = 0, kProd = 1, kMax = 2, kMin = 3 };

// "cpu.reduce": input [outer, reduce, inner] of dtype_in, output [outer, parts, inner] of
// dtype_out, with parts = ceil(reduce / rows_per_part). More than one part makes partial results,
// for a second step that reduces them (the combine step: the same kernel). The order of the sum
// depends on the extents and rows_per_part alone. chunks = ceil(units / units_per_chunk), units =
// outer * parts * ceil(inner / 1024). reduce = 0 gives one part of the identity: 0, 1, -inf or the
// smallest integer, inf or the largest.
struct ReduceScalars {
  int64_t op = 0;  // ReduceOp; static, as the types are
  // f16 and bf16 are accumulated in f32 or f64, f32 too, f64 in f64; integers up to 32 signed bits
  // in i32, others in i64; bool in bool (max and min). u64 is there as its bits, and for max and
  // min less 2^63, so that i64 has its order: such are partial results, too.
  int64_t dtype_in = 0;
  int64_t dtype_accumulate = 0;  // f32, f64, i32, i64 or bool
  int64_t dtype_out = 0;         // stored from the accumulation type: f32 as f32, f16 or bf16, ...
  int64_t outer = 1;
  int64_t reduce = 1;
  int64_t inner = 1;
  int64_t rows_per_part = 1;
  int64_t divisor =
      1;  // floats are divided by it at the end: a mean where it is the number of elements
  int64_t units_per_chunk = 1;
};
inline constexpr int64_t kReduceColumns = 1024;

struct ReducePlan {
  ReduceScalars first;
  // Whether a second step combines `first`'s output, which then goes to a temporary of these bytes.
  bool combines = false;
  ReduceScalars combine;
  int64_t temporary_bytes = 0;
};
// How to reduce; `accumulate`: kInvalid for the default. mean: divide by `reduce`. All from the
// largest extents; where they vary, set outer, reduce, inner and divisor to slots after (reduce of
// the combine step is parts).
ReducePlan plan_reduce(ReduceOp op, DType dtype, int64_t outer, int64_t reduce, int64_t inner,
                       bool mean, DType accumulate = DType::kInvalid);
int64_t reduce_parts(const ReduceScalars& scalars);
int64_t reduce_chunks(const ReduceScalars& scalars);

// "cpu.arg_reduce": input [outer, reduce, inner], output i64 [outer, inner]: the index of the first
// largest (smallest) element; a NaN counts as both. reduce >= 1. chunks = ceil(outer * ceil(inner /
// 256) / units_per_chunk).
struct ArgReduceScalars {
  int64_t smallest = 0;  // static
  int64_t dtype = 0;     // any number type; static
  int64_t outer = 1;
  int64_t reduce = 1;
  int64_t inner = 1;
  int64_t units_per_chunk = 1;
};
inline constexpr int64_t kArgColumns = 256;

// "cpu.cumsum": input and output [outer, axis, inner] of one type; sums in f64 (i64 for integers),
// rounded when stored. chunks as for arg_reduce. The output may share its memory with the input.
struct CumsumScalars {
  int64_t dtype = 0;      // static
  int64_t exclusive = 0;  // static
  int64_t reverse = 0;    // static
  int64_t outer = 1;
  int64_t axis = 1;
  int64_t inner = 1;
  int64_t units_per_chunk = 1;
};

absl::Status validate_reduce(const runtime::StepView& step);
void run_reduce(const runtime::KernelArgs& args, int64_t chunk);
absl::Status validate_arg_reduce(const runtime::StepView& step);
void run_arg_reduce(const runtime::KernelArgs& args, int64_t chunk);
absl::Status validate_cumsum(const runtime::StepView& step);
void run_cumsum(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_REDUCE_H_
