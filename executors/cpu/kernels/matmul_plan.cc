#include <algorithm>
#include <cstdint>

#include "modellib/executors/cpu/kernels/matmul_params.h"

namespace modellib::cpu {
namespace {

// Work of a chunk, in floating-point operations. A sixteenth of the whole keeps a few workers busy
// to the end; below the least, handing out a chunk costs more than it brings, and above the most
// nothing is won.
constexpr double kChunksWanted = 16;
constexpr double kLeastChunk = 1.5e6;
constexpr double kMostChunk = 48e6;

// A chunk lower than this many rows would stream B too often, one narrower than this copy A too
// often.
constexpr int64_t kLeastRows = 64;
constexpr int64_t kLeastColumns = 256;
constexpr int64_t kLeastColumnsOfLowChunk =
    128;  // in a chunk with few rows, where there is less to copy

// B that is not constant is packed by the chunks themselves, on their stacks, where few would do so
// again: up to so many rows, or where each matrix of a batch has its own B and k is small enough
// for wide stripes.
constexpr int64_t kMostRowsInPlace = 128;
constexpr int64_t kMostKInPlace = 128;
constexpr int64_t kRowsPerPacking = 384;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t dense_lda(const MatmulShape& shape) { return shape.transpose_a ? shape.m : shape.k; }

}  // namespace

MatmulPlan plan_matmul(const MatmulShape& shape) {
  MatmulPlan plan;
  const int64_t m = std::max<int64_t>(1, shape.m);
  const int64_t n = std::max<int64_t>(1, shape.n);
  const int64_t k = std::max<int64_t>(1, shape.k);

  const bool in_place = m <= kMostRowsInPlace || (!shape.b_shared && k <= kMostKInPlace);
  if (shape.b_constant || !in_place) {
    plan.b_layout = BLayout::kPacked;
    plan.pack_offline = shape.b_constant;
    plan.pack_step = !shape.b_constant;
    plan.packed_bytes = packed_b_bytes(shape.k, shape.n);
  } else {
    plan.b_layout = shape.transpose_b ? BLayout::kTransposed : BLayout::kRows;
  }

  const double flops =
      2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const double chunk =
      std::clamp(flops * static_cast<double>(std::max<int64_t>(1, shape.batch)) / kChunksWanted,
                 kLeastChunk, kMostChunk);
  const int64_t pieces = std::max<int64_t>(1, static_cast<int64_t>(std::min(flops / chunk, 1e6)));
  int64_t m_pieces = std::min(pieces, std::max<int64_t>(1, m / kLeastRows));
  if (plan.b_layout != BLayout::kPacked)
    m_pieces = std::min(m_pieces, ceil_div(m, kRowsPerPacking));
  int64_t n_pieces = ceil_div(pieces, m_pieces);
  plan.m_grain = ceil_div(m, m_pieces);
  const int64_t least_columns = m <= kLeastRows ? kLeastColumnsOfLowChunk : kLeastColumns;
  n_pieces = std::clamp<int64_t>(n_pieces, 1, std::max<int64_t>(1, n / least_columns));
  plan.n_grain = ceil_div(ceil_div(n, n_pieces), 2 * kPanel) * 2 * kPanel;

  // Packing moves some bytes for each element: a quarter of a million of them take about 0.1 ms.
  plan.pack_n_grain = padded_columns(std::clamp<int64_t>(262144 / k, kPanel, std::max(n, kPanel)));
  return plan;
}

MatmulScalars matmul_scalars(const MatmulShape& shape, const MatmulPlan& plan) {
  MatmulScalars s;
  s.m = shape.m;
  s.n = shape.n;
  s.k = shape.k;
  s.batch1 = shape.batch;
  s.lda = dense_lda(shape);
  s.ldc = shape.n;
  s.ld_residual = shape.n;
  const bool packed = plan.b_layout == BLayout::kPacked;
  s.ldb = packed ? 0 : shape.transpose_b ? shape.k : shape.n;
  if (shape.batch > 1) {
    s.a_batch1 = shape.m * shape.k;
    s.b_batch1 = shape.b_shared ? 0
                 : packed       ? packed_b_floats(shape.k, shape.n)
                                : shape.k * shape.n;
    s.c_batch1 = shape.m * shape.n;
    s.residual_batch1 = shape.m * shape.n;
  }
  s.transpose_a = shape.transpose_a ? 1 : 0;
  s.b_layout = static_cast<int64_t>(plan.b_layout);
  s.m_grain = plan.m_grain;
  s.n_grain = plan.n_grain;
  return s;
}

PackBScalars pack_b_scalars(const MatmulShape& shape, const MatmulPlan& plan) {
  PackBScalars s;
  s.n = shape.n;
  s.k = shape.k;
  s.ldb = shape.transpose_b ? shape.k : shape.n;
  if (shape.batch > 1 && !shape.b_shared) {
    s.batch1 = shape.batch;
    s.b_batch1 = shape.k * shape.n;
    s.packed_batch1 = packed_b_floats(shape.k, shape.n);
  }
  s.transposed = shape.transpose_b ? 1 : 0;
  s.n_grain = plan.pack_n_grain;
  return s;
}

int64_t matmul_chunks(const MatmulScalars& s) {
  if (s.batch0 == 0 || s.batch1 == 0 || s.m == 0 || s.n == 0) return 0;
  return s.batch0 * s.batch1 * ceil_div(s.m, s.m_grain) * ceil_div(s.n, s.n_grain);
}

int64_t pack_b_chunks(const PackBScalars& s) {
  if (s.batch0 == 0 || s.batch1 == 0 || s.n == 0) return 0;
  return s.batch0 * s.batch1 * ceil_div(s.n, s.n_grain);
}

}  // namespace modellib::cpu
