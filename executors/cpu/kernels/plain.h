// Plain kernels: right, not fast, for primitives that have no better one. `inspect` marks them.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_PLAIN_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_PLAIN_H_

#include <cstdint>

#include "absl/status/status.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

// "cpu.plain_matmul": C[b0, b1, m, n] = sum_k A[b0, b1, m, k] * B[b0, b1, k, n] with any strides
// (elements; 0 broadcasts). Output C; inputs A, B, all of one type. f16 and bf16 add up in f32, f64
// in f64, integers wrap. chunks = ceil(batch0 * batch1 * m / rows_per_chunk).
struct PlainMatmulScalars {
  int64_t dtype = 0;  // any float or integer; static
  int64_t batch0 = 1;
  int64_t batch1 = 1;
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t a_stride[4] = {};  // of b0, b1, m, k
  int64_t b_stride[4] = {};  // of b0, b1, k, n
  int64_t c_stride[4] = {};  // of b0, b1, m, n
  int64_t rows_per_chunk = 1;
};

// "cpu.plain_sort": values and indices (i64) of the first `k` elements along the axis of x [outer,
// axis, inner], in order; the order of equal elements is kept, a NaN is larger than all. Outputs
// values, indices [outer, k, inner]; input x; workspace: sort_workspace(axis) bytes for each chunk.
// chunks = ceil(outer * inner / lines_per_chunk).
struct PlainSortScalars {
  int64_t dtype = 0;       // any number type or bool; static
  int64_t descending = 0;  // static
  int64_t outer = 1;
  int64_t axis = 1;
  int64_t inner = 1;
  int64_t k = 1;  // k <= axis
  int64_t lines_per_chunk = 1;
};
constexpr int64_t sort_workspace(int64_t axis) { return axis * 16; }

// "cpu.fold_in": another random key: output i64; inputs key and data, i64 scalars. The first two
// words of philox_block(key, stream, data), low word first.
struct FoldInScalars {
  int64_t stream = 0;
};

absl::Status validate_plain_matmul(const runtime::StepView& step);
void run_plain_matmul(const runtime::KernelArgs& args, int64_t chunk);
absl::Status validate_plain_sort(const runtime::StepView& step);
void run_plain_sort(const runtime::KernelArgs& args, int64_t chunk);
absl::Status validate_fold_in(const runtime::StepView& step);
void run_fold_in(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_PLAIN_H_
