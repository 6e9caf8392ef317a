#include "modellib/executors/cpu/kernels/matmul.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "executors/cpu/kernels/matmul.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// clang-format on
#include "modellib/executors/cpu/kernels/matmul_micro-inl.h"

// Seen once, not once per target: the dispatch table names these types.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_CC_TYPES_
#define MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_CC_TYPES_
namespace modellib::cpu {
namespace {

// One chunk: rows [m0, m0 + rows) and columns [n0, n0 + columns) of one matrix of the batch.
struct Block {
  const float* a;
  const float* b;
  const float* bias;
  const float* residual;
  float* c;
  int64_t m0, rows, n0, columns;
};

// The part of a block that one pass over a block of k needs.
struct Pass {
  int64_t k0, kc;
  bool first, last;
  const float* a;  // element (m0 of the pass, k0)
  int64_t a_stride;
  int64_t m0, rows;  // rows of C
};

struct Columns {
  int64_t n0, count;
  int panels;
};

}  // namespace
}  // namespace modellib::cpu
#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_CC_TYPES_

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {

// Copied rows of A lie this far apart: 17 cache lines, so that rows fall into different sets.
inline constexpr int64_t kCopyStride = kMaxKBlock + 16;
inline constexpr int64_t kCopyRows = 56 / kMaxRows * kMaxRows;
// Panels of in-place B that are packed on the stack at a time.
inline constexpr int64_t kStackPanels = 2;
// From so many rows of C on, packing an in-place panel on the stack pays.
inline constexpr int64_t kRowsToPack = 3 * kMaxRows;

// Runs the tiles of one group of panels down the rows of a pass.
void run_rows(const MatmulScalars& s, const Block& block, const Pass& pass, const Columns& columns,
              const float* b, int64_t b_stride, int64_t b_panel) {
  const int64_t micro_rows = (pass.rows + kMaxRows - 1) / kMaxRows;
  const int kernel_index = std::countr_zero(static_cast<unsigned>(columns.panels));
  const bool partial = columns.count < columns.panels * kPanel;
  const Activation activation =
      pass.last ? static_cast<Activation>(s.activation) : Activation::kNone;
  const bool bias_n = pass.first && s.bias_axis == static_cast<int64_t>(BiasAxis::kN);
  const bool bias_m = pass.first && s.bias_axis == static_cast<int64_t>(BiasAxis::kM);

  Tile tile;
  tile.a_stride = static_cast<size_t>(pass.a_stride);
  tile.b = b;
  tile.b_stride = static_cast<size_t>(b_stride);
  tile.b_panel = static_cast<size_t>(b_panel);
  tile.k = static_cast<size_t>(pass.kc);
  tile.alpha = static_cast<float>(std::bit_cast<double>(s.alpha));
  tile.bias_n = bias_n ? block.bias + columns.n0 : nullptr;

  // The last columns of a matrix whose width is no multiple of kPanel go by way of this tile.
  // They are always the only panel of their group.
  HWY_ALIGN float edge[kMaxRows * kPanel];
  HWY_ALIGN float edge_bias[kPanel];
  if (partial && bias_n) {
    std::fill(std::copy_n(tile.bias_n, columns.count, edge_bias), edge_bias + kPanel, 0.0f);
    tile.bias_n = edge_bias;
  }

  int64_t row = 0;
  for (int64_t i = 0; i < micro_rows; ++i) {
    const int64_t next = pass.rows * (i + 1) / micro_rows;
    const int64_t rows = next - row;
    const int64_t m = pass.m0 + row;
    float* c = block.c + m * s.ldc + columns.n0;
    const float* addend = nullptr;
    int64_t addend_stride = 0;
    if (!pass.first) {
      addend = c;
      addend_stride = s.ldc;
    } else if (s.has_residual != 0) {
      addend = block.residual + m * s.ld_residual + columns.n0;
      addend_stride = s.ld_residual;
    }
    tile.a = pass.a + row * pass.a_stride;
    tile.bias_m = bias_m ? block.bias + m : nullptr;
    if (!partial) {
      tile.addend = addend;
      tile.addend_stride = static_cast<size_t>(addend_stride);
      tile.c = c;
      tile.c_stride = static_cast<size_t>(s.ldc);
      kMicroKernels[rows - 1][kernel_index](tile);
      activate(activation, c, tile.c_stride, static_cast<size_t>(rows),
               static_cast<size_t>(columns.count));
    } else {
      if (addend != nullptr) {
        for (int64_t r = 0; r < rows; ++r) {
          float* to = edge + r * kPanel;
          std::fill(std::copy_n(addend + r * addend_stride, columns.count, to), to + kPanel, 0.0f);
        }
      }
      tile.addend = addend != nullptr ? edge : nullptr;
      tile.addend_stride = kPanel;
      tile.c = edge;
      tile.c_stride = kPanel;
      kMicroKernels[rows - 1][kernel_index](tile);
      activate(activation, edge, tile.c_stride, static_cast<size_t>(rows), kPanel);
      for (int64_t r = 0; r < rows; ++r) {
        std::copy_n(edge + r * kPanel, columns.count, c + r * s.ldc);
      }
    }
    row = next;
  }
}

// All columns of a block, for one pass.
void run_columns(const MatmulScalars& s, const Block& block, const Pass& pass, float* stack_b) {
  const int64_t micro_rows = (pass.rows + kMaxRows - 1) / kMaxRows;
  const int tallest = static_cast<int>((pass.rows + micro_rows - 1) / micro_rows);
  const BLayout layout = static_cast<BLayout>(s.b_layout);
  const bool pack =
      layout == BLayout::kTransposed || (layout == BLayout::kRows && pass.rows >= kRowsToPack);
  const int widest = panels_for(tallest);
  const int64_t end = block.n0 + block.columns;
  const int64_t packed_columns = padded_columns(s.n);

  for (int64_t n = block.n0; n < end;) {
    Columns columns;
    columns.n0 = n;
    columns.panels = pack ? std::min<int>(widest, kStackPanels) : widest;
    // A matrix's last, partial panel goes alone: its tile takes the slow way out.
    const int64_t left = end - n;
    while (columns.panels > 1 && columns.panels * kPanel > left) columns.panels /= 2;
    columns.count = std::min(left, columns.panels * kPanel);

    if (layout == BLayout::kPacked) {
      run_rows(s, block, pass, columns, block.b + pass.k0 * packed_columns + n * pass.kc, kPanel,
               kPanel * pass.kc);
    } else {
      const bool transposed = layout == BLayout::kTransposed;
      const float* from =
          transposed ? block.b + n * s.ldb + pass.k0 : block.b + pass.k0 * s.ldb + n;
      if (pack || columns.count < kPanel) {
        for (int p = 0; p < columns.panels; ++p) {
          pack_panel(from + p * kPanel * (transposed ? s.ldb : 1), static_cast<size_t>(s.ldb),
                     transposed, static_cast<size_t>(pass.kc),
                     static_cast<size_t>(std::min(kPanel, columns.count - p * kPanel)),
                     stack_b + p * kPanel * pass.kc);
        }
        run_rows(s, block, pass, columns, stack_b, kPanel, kPanel * pass.kc);
      } else {
        run_rows(s, block, pass, columns, from, s.ldb, kPanel);
      }
    }
    n += columns.panels * kPanel;
  }
}

void run_block(const MatmulScalars& s, const Block& block) {
  HWY_ALIGN float stack_b[kStackPanels * kPanel * kMaxKBlock];
  const int64_t kc = std::max<int64_t>(1, k_block(s.k));
  Pass pass;
  // Where k is 0 there is one empty block, which still writes bias and residual.
  for (pass.k0 = 0; pass.k0 < std::max<int64_t>(1, s.k); pass.k0 += kc) {
    pass.kc = std::min(kc, s.k - pass.k0);
    pass.first = pass.k0 == 0;
    pass.last = pass.k0 + kc >= s.k;
    if (s.copy_a == 0 && s.transpose_a == 0) {
      pass.a = block.a + block.m0 * s.lda + pass.k0;
      pass.a_stride = s.lda;
      pass.m0 = block.m0;
      pass.rows = block.rows;
      run_columns(s, block, pass, stack_b);
      continue;
    }
    HWY_ALIGN float stack_a[kCopyRows * kCopyStride];
    const int64_t copies = (block.rows + kCopyRows - 1) / kCopyRows;
    int64_t row = 0;
    for (int64_t i = 0; i < copies; ++i) {
      const int64_t next = block.rows * (i + 1) / copies;
      pass.m0 = block.m0 + row;
      pass.rows = next - row;
      if (s.transpose_a != 0) {
        transpose(block.a + pass.k0 * s.lda + pass.m0, static_cast<size_t>(s.lda),
                  static_cast<size_t>(pass.kc), static_cast<size_t>(pass.rows), stack_a,
                  kCopyStride);
      } else {
        const float* from = block.a + pass.m0 * s.lda + pass.k0;
        for (int64_t r = 0; r < pass.rows; ++r) {
          std::copy_n(from + r * s.lda, pass.kc, stack_a + r * kCopyStride);
        }
      }
      pass.a = stack_a;
      pass.a_stride = kCopyStride;
      run_columns(s, block, pass, stack_b);
      row = next;
    }
  }
}

// Packs columns [n0, n0 + columns) of one matrix.
void pack_columns(const PackBScalars& s, const float* b, float* packed, int64_t n0,
                  int64_t columns) {
  const int64_t kc = std::max<int64_t>(1, k_block(s.k));
  const bool transposed = s.transposed != 0;
  for (int64_t k0 = 0; k0 < s.k; k0 += kc) {
    const int64_t rows = std::min(kc, s.k - k0);
    for (int64_t n = n0; n < n0 + columns; n += kPanel) {
      pack_panel(transposed ? b + n * s.ldb + k0 : b + k0 * s.ldb + n, static_cast<size_t>(s.ldb),
                 transposed, static_cast<size_t>(rows),
                 static_cast<size_t>(std::min(kPanel, n0 + columns - n)),
                 packed + k0 * padded_columns(s.n) + n * rows);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace modellib::cpu {

HWY_EXPORT(run_block);
HWY_EXPORT(pack_columns);

constexpr float kNothing = 0;

void matmul_chunk(const MatmulScalars& s, const float* a, const float* b, const float* bias,
                  const float* residual, float* c, int64_t chunk) {
  if (chunk < 0 || chunk >= matmul_chunks(s)) return;
  const int64_t m_chunks = (s.m + s.m_grain - 1) / s.m_grain;
  const int64_t n_chunks = (s.n + s.n_grain - 1) / s.n_grain;
  const int64_t m_index = chunk % m_chunks;
  const int64_t n_index = chunk / m_chunks % n_chunks;
  const int64_t batch = chunk / m_chunks / n_chunks;
  const int64_t batch0 = batch / s.batch1;
  const int64_t batch1 = batch % s.batch1;
  Block block;
  // Where k is 0, A and B have no element to point to.
  block.a = s.k == 0 ? &kNothing : a + batch0 * s.a_batch0 + batch1 * s.a_batch1;
  block.b = s.k == 0 ? &kNothing : b + batch0 * s.b_batch0 + batch1 * s.b_batch1;
  block.bias = bias;
  block.residual = residual == nullptr
                       ? nullptr
                       : residual + batch0 * s.residual_batch0 + batch1 * s.residual_batch1;
  block.c = c + batch0 * s.c_batch0 + batch1 * s.c_batch1;
  block.m0 = m_index * s.m_grain;
  block.rows = std::min(s.m_grain, s.m - block.m0);
  block.n0 = n_index * s.n_grain;
  block.columns = std::min(s.n_grain, s.n - block.n0);
  if (s.k == 0) {
    MatmulScalars empty = s;
    empty.lda = 0;
    empty.ldb = 0;
    HWY_DYNAMIC_DISPATCH(run_block)(empty, block);
    return;
  }
  HWY_DYNAMIC_DISPATCH(run_block)(s, block);
}

void pack_b_chunk(const PackBScalars& s, const float* b, float* packed, int64_t chunk) {
  if (chunk < 0 || chunk >= pack_b_chunks(s)) return;
  const int64_t n_chunks = (s.n + s.n_grain - 1) / s.n_grain;
  const int64_t n0 = chunk % n_chunks * s.n_grain;
  const int64_t batch0 = chunk / n_chunks / s.batch1;
  const int64_t batch1 = chunk / n_chunks % s.batch1;
  HWY_DYNAMIC_DISPATCH(pack_columns)
  (s, b + batch0 * s.b_batch0 + batch1 * s.b_batch1,
   packed + batch0 * s.packed_batch0 + batch1 * s.packed_batch1, n0, std::min(s.n_grain, s.n - n0));
}

void pack_b(int64_t k, int64_t n, bool transposed, const float* b, int64_t ldb, float* packed) {
  PackBScalars s;
  s.n = n;
  s.k = k;
  s.ldb = ldb;
  s.transposed = transposed ? 1 : 0;
  s.n_grain = std::max(kPanel, padded_columns(n));
  if (n > 0) pack_b_chunk(s, b, packed, 0);
}

}  // namespace modellib::cpu

#endif  // HWY_ONCE
