#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "modellib/executors/cpu/kernels/grain.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"

namespace modellib::cpu {
namespace {

// What a chunk costs is counted in cycles of a core that does 16 FMAs of floats in each. The rows
// of B have to come from the last cache for each chunk anew, and A's columns from the second one:
// as much as so many more rows and columns of C would take.
constexpr double kFmas = 16;
constexpr double kRowsForB = 8;
constexpr double kColumnsForA = 4;

// What is left of a chunk's columns beside whole tiles goes by narrower ones, which cost as much as
// so many more columns. For a few rows a tile is wider: it walks through more of B at once.
constexpr double kColumnsForRest = 8;
int64_t tile_columns(int64_t m) { return (m <= 3 ? 8 : 4) * kPanel; }

// Above the most work (in floating-point operations) nothing is won by larger chunks.
constexpr double kMostChunk = 48e6;

// A chunk lower or narrower than this is never worth it.
constexpr int64_t kLeastRows = 24;
constexpr int64_t kLeastColumns = 2 * kPanel;
// What is tried beyond the least number of pieces.
constexpr int64_t kMostPieces = 48;

// B that is not constant is packed by the chunks themselves, on their stacks, where few would do so
// again: up to so many rows, or where each matrix of a batch has its own B and k is small enough
// for wide stripes.
constexpr int64_t kMostRowsInPlace = 128;
constexpr int64_t kMostKInPlace = 128;
constexpr int64_t kRowsPerPacking = 384;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t dense_lda(const MatmulShape& shape) { return shape.transpose_a ? shape.m : shape.k; }

void choose_grains(const MatmulShape& shape, MatmulPlan& plan) {
  // As large as no operand is; the products of so many pieces stay inside int64.
  constexpr int64_t kMostExtent = int64_t{1} << 48, kMostBatch = int64_t{1} << 32;
  const int64_t m = std::clamp<int64_t>(shape.m, 1, kMostExtent);
  const int64_t n = std::clamp<int64_t>(shape.n, 1, kMostExtent);
  const int64_t batch = std::clamp<int64_t>(shape.batch, 1, kMostBatch);
  const double k = static_cast<double>(std::max<int64_t>(1, shape.k));
  const double flops = 2 * static_cast<double>(m) * static_cast<double>(n) * k;
  const auto least_pieces = static_cast<int64_t>(std::min(1e6, std::ceil(flops / kMostChunk)));
  const int64_t most_n = std::max<int64_t>(1, n / kLeastColumns);
  int64_t most_m = std::max<int64_t>(1, m / kLeastRows);
  if (plan.b_layout != BLayout::kPacked) most_m = std::min(most_m, ceil_div(m, kRowsPerPacking));
  double best = std::numeric_limits<double>::infinity();
  for (int64_t n_pieces = 1; n_pieces <= std::min(most_n, kMostPieces); ++n_pieces) {
    const int64_t n_grain = ceil_div(ceil_div(n, n_pieces), 2 * kPanel) * 2 * kPanel;
    const int64_t n_chunks = ceil_div(n, n_grain);
    const double columns = static_cast<double>(std::min(n, n_grain)) + kColumnsForA +
                           (n_grain % tile_columns(m) != 0 ? kColumnsForRest : 0);
    const int64_t least_m = std::min(most_m, ceil_div(least_pieces, n_chunks));
    for (int64_t m_pieces = least_m; m_pieces <= std::min(most_m, least_m + kMostPieces);
         ++m_pieces) {
      const int64_t m_grain = ceil_div(m, m_pieces);
      const double cycles = (static_cast<double>(m_grain) + kRowsForB) * columns * k / kFmas;
      const double cost = cost_of_chunks(batch * n_chunks * ceil_div(m, m_grain), cycles);
      if (cost >= best) continue;
      best = cost;
      plan.m_grain = m_grain;
      plan.n_grain = n_grain;
    }
  }
}

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

  choose_grains(shape, plan);

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
    s.a_batch1 = saturating_product(shape.m, shape.k);
    s.b_batch1 = shape.b_shared ? 0
                 : packed       ? packed_b_floats(shape.k, shape.n)
                                : saturating_product(shape.k, shape.n);
    s.c_batch1 = s.residual_batch1 = saturating_product(shape.m, shape.n);
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
    s.b_batch1 = saturating_product(shape.k, shape.n);
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
