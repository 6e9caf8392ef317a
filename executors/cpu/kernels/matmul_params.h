// Matmul of float32 on the CPU, as the backend (plan time) and the kernels (run time) both see it:
// the scalars of `cpu.matmul_f32` and `cpu.pack_b_f32`, and the pure functions that choose them.
//
//   C[b0, b1, m, n] = act(alpha * sum_k A[b0, b1, m, k] * B[b0, b1, k, n] + bias + residual[b0, b1,
//   m, n])
//
// or with the residual behind the activation (ResidualAt).
//
// A plan is made so: fill a MatmulShape, call `plan_matmul`; if it says `pack_step`, emit
// `cpu.pack_b_f32` with `pack_b_scalars` before; if `pack_offline`, pack the constant at plan time
// with `pack_b` (matmul.h); then emit `cpu.matmul_f32` with the scalars that `matmul_scalars`
// fills, strides and batch strides set by the caller, and `matmul_chunks` (or the same formula as a
// slot) as its chunk count.
//
// Bits. Every element of C is summed in one order that depends on k alone, whatever the path, the
// packing, the blocking, the number of workers and m, n and batch: so a row of a batch has the same
// bits as that row computed alone, and in-place B gives the bits of packed B. Only the instruction
// set counts: targets without FMA round each product.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_PARAMS_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_PARAMS_H_

#include <cstdint>
#include <limits>

namespace modellib::cpu {

// Applied last, or last but for the residual. The formulas are those of math-inl.h.
enum class Activation : int64_t {
  kNone = 0,
  kRelu = 1,  // NaN stays NaN
  kGeluErf = 2,
  kGeluTanh = 3,
  kSilu = 4,
  kSigmoid = 5,
  kTanh = 6,
  kRelu6 = 7,        // min(max(x, 0), 6); NaN stays NaN
  kHardSwish = 8,    // x relu6(x + 3) / 6
  kHardSigmoid = 9,  // relu6(x + 3) / 6
};
inline constexpr int64_t kActivationCount = 10;

// How B lies in memory.
enum class BLayout : int64_t {
  kRows = 0,        // [k, n], rows `ldb` apart, columns adjacent
  kTransposed = 1,  // [n, k], as Linear keeps its weight: rows (of n) `ldb` apart
  kPacked = 2,      // as `pack_b` writes it; `ldb` is ignored and must be 0
};
inline constexpr int64_t kBLayoutCount = 3;

// Where the residual comes in.
enum class ResidualAt : int64_t {
  kNone = 0,
  kBeforeActivation = 1,  // act(… + residual)
  kAfterActivation = 2,   // act(…) + residual
};
inline constexpr int64_t kResidualAtCount = 3;

enum class BiasAxis : int64_t {
  kNone = 0,
  kN = 1,  // bias[n]: one for each column (Linear)
  kM = 2,  // bias[m]: one for each row (a 1x1 convolution over channels-first images)
};
inline constexpr int64_t kBiasAxisCount = 3;

// The scalars of `cpu.matmul_f32`, in this order: a step carries the struct as an array of int64.
// Extents and strides count floats; all are >= 0. Every field may vary from run to run, except
// those under "static". A batch stride of 0 broadcasts.
//
// Operands: output C; inputs A, B, bias, residual (always four; the last two empty where unused);
// no workspace. C may share its first byte with a residual before the activation if their strides
// are the same (then the matmul accumulates into C), and with nothing else. C's elements must not
// overlap one another.
struct MatmulScalars {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t batch0 = 1;
  int64_t batch1 = 1;

  int64_t lda = 0;  // distance of A's rows: of m, or of k where transpose_a
  int64_t a_batch0 = 0;
  int64_t a_batch1 = 0;
  int64_t ldb = 0;
  int64_t b_batch0 = 0;
  int64_t b_batch1 = 0;
  int64_t ldc = 0;
  int64_t c_batch0 = 0;
  int64_t c_batch1 = 0;
  int64_t ld_residual = 0;
  int64_t residual_batch0 = 0;
  int64_t residual_batch1 = 0;

  // Static.
  int64_t transpose_a = 0;             // 0: A is [m, k]; 1: A is [k, m]
  int64_t b_layout = 0;                // BLayout
  int64_t bias_axis = 0;               // BiasAxis
  int64_t residual = 0;                // ResidualAt
  int64_t activation = 0;              // Activation
  int64_t alpha = 0x3ff0000000000000;  // the bits of a double, as floats travel in plans; 1.0
  int64_t m_grain = 1;                 // rows of C in a chunk, >= 1
  int64_t n_grain = 16;                // columns of C in a chunk, a positive multiple of kPanel
};
inline constexpr int kMatmulScalarCount = sizeof(MatmulScalars) / sizeof(int64_t);
inline constexpr int kMatmulOutputs = 1;
inline constexpr int kMatmulInputs = 4;

// The scalars of `cpu.pack_b_f32`. Operands: output: the packed B; input: B. No workspace.
struct PackBScalars {
  int64_t n = 0;
  int64_t k = 0;
  int64_t batch0 = 1;
  int64_t batch1 = 1;
  int64_t ldb = 0;
  int64_t b_batch0 = 0;
  int64_t b_batch1 = 0;
  int64_t packed_batch0 = 0;  // floats between the packed matrices
  int64_t packed_batch1 = 0;

  // Static.
  int64_t transposed = 0;  // 0: B is [k, n]; 1: [n, k]
  int64_t n_grain = 16;    // columns in a chunk, a positive multiple of kPanel
};
inline constexpr int kPackBScalarCount = sizeof(PackBScalars) / sizeof(int64_t);

// Where a field stands among the scalars: field_index(&MatmulScalars::m) is 0.
template <typename Scalars>
int field_index(int64_t Scalars::*field) {
  const Scalars scalars;
  return static_cast<int>(&(scalars.*field) - reinterpret_cast<const int64_t*>(&scalars));
}

// --- The packed layout, the same for every instruction set
// -------------------------------------------
//
// n is cut into panels of kPanel columns, the last one filled up with zeros; k into equal blocks of
// at most kMaxKBlock. Packed B is [block of k][panel][k within the block][kPanel]: what one block
// needs lies together.
inline constexpr int64_t kPanel = 16;
// Longer blocks would leave the second cache; shorter ones have tiles read and write C more often.
inline constexpr int64_t kMaxKBlock = 768;

// The rows of each block of k but the last, which may be shorter. Also the order of summation: a
// block's products are summed by a chain of FMAs from 0, the blocks in order onto bias plus
// residual.
constexpr int64_t k_block(int64_t k) {
  const int64_t blocks = (k + kMaxKBlock - 1) / kMaxKBlock;
  if (blocks <= 1) return k;
  return ((k + blocks - 1) / blocks + 7) / 8 * 8;
}
constexpr int64_t padded_columns(int64_t n) { return (n + kPanel - 1) / kPanel * kPanel; }

// Of numbers >= 0. Extents that vary have maxima whose product may be beyond any buffer, and int64:
// then it is the largest number, which no plan takes for bytes.
constexpr int64_t saturating_product(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<int64_t>::max() : product;
}
constexpr int64_t packed_b_floats(int64_t k, int64_t n) {
  return saturating_product(k, padded_columns(n));
}
constexpr int64_t packed_b_bytes(int64_t k, int64_t n) {
  return saturating_product(packed_b_floats(k, n), 4);
}

// --- Plan time
// ---------------------------------------------------------------------------------------

struct MatmulShape {
  int64_t m = 1;  // the largest, where it varies
  int64_t n = 1;
  int64_t k = 1;
  int64_t batch =
      1;  // batch0 * batch1. Where B is one for all and A's batch is dense, fold it into m
  int64_t lda = 0;  // 0: dense
  bool transpose_a = false;
  bool transpose_b = false;
  bool b_constant = false;
  bool b_shared = true;  // one B for all of the batch
};

struct MatmulPlan {
  BLayout b_layout = BLayout::kRows;
  bool pack_offline = false;  // pack the constant B ahead
  bool pack_step = false;     // pack B by a `cpu.pack_b_f32` step
  int64_t packed_bytes = 0;   // of one packed matrix; 0: B is read in place
  int64_t m_grain = 1;
  int64_t n_grain = kPanel;
  int64_t pack_n_grain = kPanel;
  int64_t workspace_bytes =
      0;  // none is needed: a chunk's scratch is on its stack, kMatmulStackBytes
};

// At most what a chunk takes of its worker's stack.
inline constexpr int64_t kMatmulStackBytes = 192 * 1024;

// Chooses layout and grains by shape alone. Grains depend on no worker count: chunks are some 0.1
// ms long.
MatmulPlan plan_matmul(const MatmulShape& shape);

// The scalars for dense operands without bias, residual or activation; the caller changes what
// differs. With batch > 1, batch1 = batch and the strides of dense [batch, ...] operands (B's 0
// where shared).
MatmulScalars matmul_scalars(const MatmulShape& shape, const MatmulPlan& plan);
PackBScalars pack_b_scalars(const MatmulShape& shape, const MatmulPlan& plan);

// batch0 * batch1 * ceil(m / m_grain) * ceil(n / n_grain). Chunks are numbered with m innermost,
// then n, then batch.
int64_t matmul_chunks(const MatmulScalars& scalars);
// batch0 * batch1 * ceil(n / n_grain).
int64_t pack_b_chunks(const PackBScalars& scalars);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_PARAMS_H_
