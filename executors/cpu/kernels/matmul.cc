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
  const RowSource* source;  // in the place of `a`, or null
  const float* b;
  const float* bias;
  const float* residual;
  float* c;
  int64_t m0, rows, n0, columns;
  int64_t next_n0;  // the first column of the chunk that comes next
};

// The part of a block that one pass over a block of k needs.
struct Pass {
  int64_t k0, kc;
  bool first, last;
  const float* a;  // element (m0 of the pass, k0), rows `a_stride` apart
  int64_t a_stride;
  const float* const* runs;  // in the place of `a`, or null: see Tile, for row m0 of the pass
  int64_t first_run;
  int64_t m0, rows;                   // rows of C
  int64_t next_n0, next_k0, next_kc;  // where the next pass begins; the last one's: the next chunk
};

struct Columns {
  int64_t n0, count;
  int panels;
  bool narrow;  // one vector does
};

}  // namespace
}  // namespace modellib::cpu
#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_CC_TYPES_

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {

// Rows of C that take their turn at a panel of B before the next panel: their A stays in the second
// cache.
inline constexpr int64_t kRowsAtOnce = 96;
// Where A is transposed, its rows are copied to the stack, fewer at once. They lie so far apart
// there that they fall into different sets of the first cache.
inline constexpr int64_t kCopyRows = 36;
inline constexpr int64_t kCopyStride = kMaxKBlock + 16;
static_assert(kCopyRows % kMaxRows == 0);
// Rows of A that are gathered take more time to copy: more columns of B share them.
inline constexpr int64_t kGatheredRows = 48;
static_assert(kGatheredRows % kMaxRows == 0);
static_assert(kGatheredRows * kCopyStride * 4 + 4096 <= kGatheredStackBytes);
// Runs that a block of k can touch, in part or whole.
inline constexpr int64_t kMostRuns = kMaxKBlock / kLeastRun + 2;
static_assert(kGatheredRows * (kMostRuns * 8 + kMaxKBlock * 4) + 4096 <= kGatheredStackBytes);
// Columns of in-place B, times k, that are packed on the stack at a time.
inline constexpr int64_t kStackFloats = 16384;
static_assert((kCopyRows * kCopyStride + kStackFloats) * 4 + 4096 <= kMatmulStackBytes);
// Rows of in-place B that are asked for ahead.
inline constexpr int64_t kPrefetchRows = 8;
// Whether rows of in-place B are worth packing on the stack. For a few rows of C never; else where
// they are pages apart, so that they push each other out of the cache, or where there are many rows
// of C.
bool pays_to_pack(int64_t rows, int64_t ldb) { return rows >= (ldb % 1024 == 0 ? 36 : 256); }

// The tallest tile for a group of panels.
int64_t tile_rows(const Pass& pass, const Columns& columns) {
  if (columns.narrow) return kMaxNarrowRows;
  return pass.runs != nullptr ? kMaxRunRows : max_rows(columns.panels);
}

// Runs the tiles of one group of panels down the rows of a pass.
void run_rows(const MatmulScalars& s, const Block& block, const Pass& pass, const Columns& columns,
              const float* b, int64_t b_stride, int64_t b_panel, const float* next_b) {
  const int64_t most_rows = tile_rows(pass, columns);
  const int64_t micro_rows = (pass.rows + most_rows - 1) / most_rows;
  const int kernel_index = std::countr_zero(static_cast<unsigned>(columns.panels));
  const int64_t width = columns.narrow ? kNarrow : columns.panels * kPanel;
  const bool partial = columns.count < width;
  const bool in_place = b_panel == kPanel;
  const auto& kernels = in_place               ? kMicroKernels<false, AForm::kRows>
                        : pass.runs != nullptr ? kMicroKernels<true, AForm::kRuns>
                                               : kMicroKernels<true, AForm::kRows>;
  const auto kernel_for = [&](int64_t rows) {
    return columns.narrow ? kNarrowKernels[rows - 1] : kernels[rows - 1][kernel_index];
  };
  const Activation activation =
      pass.last ? static_cast<Activation>(s.activation) : Activation::kNone;
  const auto residual_at = static_cast<ResidualAt>(s.residual);
  const bool bias_n = pass.first && s.bias_axis == static_cast<int64_t>(BiasAxis::kN);
  const bool bias_m = pass.first && s.bias_axis == static_cast<int64_t>(BiasAxis::kM);

  Tile tile;
  tile.b = b;
  tile.b_stride = static_cast<size_t>(b_stride);
  tile.b_panel = static_cast<size_t>(b_panel);
  tile.k = static_cast<size_t>(pass.kc);
  tile.a_stride = static_cast<size_t>(pass.a_stride);
  if (pass.runs != nullptr) {
    tile.runs_stride = kGatheredRows;
    tile.run = static_cast<size_t>(block.source->run);
    tile.first_run = static_cast<size_t>(pass.first_run);
  }
  tile.alpha = static_cast<float>(std::bit_cast<double>(s.alpha));
  set_clamp(activation, tile);
  tile.bias_n = bias_n ? block.bias + columns.n0 : nullptr;

  // The last columns of a matrix whose width is no multiple of kPanel go by way of this tile.
  // They are always the only panel of their group.
  HWY_ALIGN float edge[kMaxNarrowRows * kPanel];
  HWY_ALIGN float edge_bias[kPanel];
  if (partial && bias_n) {
    std::fill(std::copy_n(tile.bias_n, columns.count, edge_bias), edge_bias + kPanel, 0.0f);
    tile.bias_n = edge_bias;
  }

  // B in place is asked for some rows ahead, packed B a group of panels ahead: the tiles of this
  // group share that out, in whole lines for each turn of their loops.
  const int64_t turns = std::max<int64_t>(1, pass.kc / static_cast<int64_t>(kSteps));
  int64_t lines_left = next_b != nullptr ? columns.panels * pass.kc : 0;
  const int64_t lines = lines_left / (micro_rows * turns) + 1;
  tile.prefetch = next_b;
  tile.prefetch_ahead = static_cast<size_t>(kPrefetchRows * b_stride);

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
    } else if (residual_at == ResidualAt::kBeforeActivation) {
      addend = block.residual + m * s.ld_residual + columns.n0;
      addend_stride = s.ld_residual;
    }
    if (pass.runs != nullptr) {
      tile.runs = pass.runs + row;
    } else {
      tile.a = pass.a + row * pass.a_stride;
    }
    tile.prefetch_lines = static_cast<size_t>(lines_left > 0 ? lines : 0);
    tile.bias_m = bias_m ? block.bias + m : nullptr;
    if (!partial) {
      tile.addend = addend;
      tile.addend_stride = static_cast<size_t>(addend_stride);
      tile.c = c;
      tile.c_stride = static_cast<size_t>(s.ldc);
      kernel_for(rows)(tile);
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
      kernel_for(rows)(tile);
      activate(activation, edge, tile.c_stride, static_cast<size_t>(rows),
               static_cast<size_t>(width));
      for (int64_t r = 0; r < rows; ++r) {
        std::copy_n(edge + r * kPanel, columns.count, c + r * s.ldc);
      }
    }
    if (pass.last && residual_at == ResidualAt::kAfterActivation) {
      const float* residual = block.residual + m * s.ld_residual + columns.n0;
      for (int64_t r = 0; r < rows; ++r)
        add_row(residual + r * s.ld_residual, c + r * s.ldc, columns.count);
    }
    if (lines_left > 0) {
      tile.prefetch += lines * turns * kPanel;
      lines_left -= lines * turns;
    }
    row = next;
  }
}

// The columns [n0, n1) of a block, for one pass. `stack_b` holds them packed, or is null: then B is
// read where it is.
void run_columns(const MatmulScalars& s, const Block& block, const Pass& pass, int64_t n0,
                 int64_t n1, const float* stack_b) {
  const int64_t micro_rows = (pass.rows + kUsualRows - 1) / kUsualRows;
  const int widest = panels_for(static_cast<int>((pass.rows + micro_rows - 1) / micro_rows));
  const bool packed = s.b_layout == static_cast<int64_t>(BLayout::kPacked);
  const int64_t packed_columns = padded_columns(s.n);

  for (int64_t n = n0; n < n1;) {
    // A matrix's last, partial panel goes alone: its tile takes the slow way out.
    Columns columns = {n, 0, widest, false};
    while (columns.panels > 1 && columns.panels * kPanel > n1 - n) columns.panels /= 2;
    const int64_t next = n + columns.panels * kPanel;
    columns.count = std::min(n1 - n, columns.panels * kPanel);
    columns.narrow = kHasNarrow && packed && pass.runs == nullptr && columns.count <= kNarrow;
    if (packed) {
      const float* next_b =
          next < n1 ? block.b + pass.k0 * packed_columns + next * pass.kc
                    : block.b + pass.next_k0 * packed_columns + pass.next_n0 * pass.next_kc;
      run_rows(s, block, pass, columns, block.b + pass.k0 * packed_columns + n * pass.kc, kPanel,
               kPanel * pass.kc, next_b);
    } else if (stack_b != nullptr) {
      run_rows(s, block, pass, columns, stack_b + (n - n0) * pass.kc, kPanel, kPanel * pass.kc,
               nullptr);
    } else {
      run_rows(s, block, pass, columns, block.b + pass.k0 * s.ldb + n, s.ldb, kPanel, nullptr);
    }
    n = next;
  }
}

// Copies the rows of A that a pass needs, where A is transposed or gathered.
void copy_a(const MatmulScalars& s, const Block& block, const Pass& pass, float* to) {
  if (block.source != nullptr) {
    block.source->copy(block.source->context, pass.m0, pass.rows, pass.k0, pass.kc, to,
                       kCopyStride);
    return;
  }
  transpose(block.a + pass.k0 * s.lda + pass.m0, static_cast<size_t>(s.lda),
            static_cast<size_t>(pass.kc), static_cast<size_t>(pass.rows), to, kCopyStride);
}

// Calls f for the pass over so many rows of the block at once, from the first to the last.
template <class F>
void for_each_part(const Block& block, Pass pass, int64_t at_once, F f) {
  const int64_t parts = (block.rows + at_once - 1) / at_once;
  const Pass whole = pass;
  int64_t row = 0;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t next = block.rows * (i + 1) / parts;
    pass.m0 = block.m0 + row;
    pass.rows = next - row;
    const bool is_last = i + 1 == parts;
    pass.next_n0 = is_last ? whole.next_n0 : block.n0;
    pass.next_k0 = is_last ? whole.next_k0 : pass.k0;
    pass.next_kc = is_last ? whole.next_kc : pass.kc;
    f(pass);
    row = next;
  }
}

// All rows of a block for one block of k and the columns [n0, n1).
void run_stripe(const MatmulScalars& s, const Block& block, Pass pass, int64_t n0, int64_t n1,
                const float* stack_b, float* stack_a) {
  const bool copies = block.source != nullptr || s.transpose_a != 0;
  const int64_t at_once = block.source != nullptr ? kGatheredRows
                          : copies                ? kCopyRows
                                                  : kRowsAtOnce;
  pass.runs = nullptr;
  for_each_part(block, pass, at_once, [&](Pass part) {
    if (!copies) {
      part.a = block.a + part.m0 * s.lda + part.k0;
      part.a_stride = s.lda;
    } else {
      // With one copy, the stripe before left it there.
      if (part.rows < block.rows || n0 == block.n0) copy_a(s, block, part, stack_a);
      part.a = stack_a;
      part.a_stride = kCopyStride;
    }
    run_columns(s, block, part, n0, n1, stack_b);
  });
}

// The same for A in runs.
void run_stripe_of_runs(const MatmulScalars& s, const Block& block, Pass pass) {
  const RowSource& source = *block.source;
  const float* runs[kMostRuns * kGatheredRows];
  float scratch[kGatheredRows * kMaxKBlock];
  pass.runs = runs;
  pass.a = nullptr;
  pass.a_stride = 0;
  pass.first_run = source.run - pass.k0 % source.run;
  for_each_part(block, pass, kGatheredRows, [&](const Pass& part) {
    source.find(source.context, part.m0, part.rows, part.k0, part.kc, runs, kGatheredRows, scratch);
    run_columns(s, block, part, block.n0, block.n0 + block.columns, nullptr);
  });
}

void pack_stripe(const MatmulScalars& s, const float* b, const Pass& pass, int64_t n0, int64_t n1,
                 float* to) {
  const bool transposed = s.b_layout == static_cast<int64_t>(BLayout::kTransposed);
  for (int64_t n = n0; n < n1; n += kPanel) {
    pack_panel(transposed ? b + n * s.ldb + pass.k0 : b + pass.k0 * s.ldb + n,
               static_cast<size_t>(s.ldb), transposed, static_cast<size_t>(pass.kc),
               static_cast<size_t>(std::min(kPanel, n1 - n)), to + (n - n0) * pass.kc);
  }
}

// Calls f for each block of k. Where k is 0 there is one empty block, which still writes bias and
// residual.
template <class F>
void for_each_pass(const MatmulScalars& s, const Block& block, F f) {
  const int64_t kc = std::max<int64_t>(1, k_block(s.k));
  Pass pass;
  for (pass.k0 = 0; pass.k0 < std::max<int64_t>(1, s.k); pass.k0 += kc) {
    pass.kc = std::min(kc, s.k - pass.k0);
    pass.first = pass.k0 == 0;
    pass.last = pass.k0 + kc >= s.k;
    pass.next_n0 = pass.last ? block.next_n0 : block.n0;
    pass.next_k0 = pass.last ? 0 : pass.k0 + kc;
    pass.next_kc = std::min(kc, s.k - pass.next_k0);
    f(pass);
  }
}

// Each of the two has its own stack frame.
HWY_NOINLINE void run_block_of_runs(const MatmulScalars& s, const Block& block) {
  for_each_pass(s, block, [&](const Pass& pass) { run_stripe_of_runs(s, block, pass); });
}

HWY_NOINLINE void run_block_of_copies(const MatmulScalars& s, const Block& block) {
  HWY_ALIGN float stack_a[kGatheredRows * kCopyStride];
  for_each_pass(s, block, [&](const Pass& pass) {
    run_stripe(s, block, pass, block.n0, block.n0 + block.columns, nullptr, stack_a);
  });
}

void run_gathered_block(const MatmulScalars& s, const Block& block) {
  block.source->run >= kLeastRun ? run_block_of_runs(s, block) : run_block_of_copies(s, block);
}

void run_block(const MatmulScalars& s, const Block& block) {
  HWY_ALIGN float stack_a[kCopyRows * kCopyStride];
  HWY_ALIGN float stack_b[kStackFloats];
  const BLayout layout = static_cast<BLayout>(s.b_layout);
  const int64_t end = block.n0 + block.columns;
  for_each_pass(s, block, [&](const Pass& pass) {
    if (layout == BLayout::kPacked) {
      run_stripe(s, block, pass, block.n0, end, nullptr, stack_a);
      return;
    }
    int64_t packed_from = block.n0;
    if (layout == BLayout::kRows && !pays_to_pack(block.rows, s.ldb)) {
      // Read in place, but for a last panel that would reach beyond the row.
      packed_from = end - block.columns % kPanel;
      if (packed_from > block.n0)
        run_stripe(s, block, pass, block.n0, packed_from, nullptr, stack_a);
    }
    const int64_t stripe =
        std::max(kPanel, kStackFloats / std::max<int64_t>(1, pass.kc) / kPanel * kPanel);
    for (int64_t n = packed_from; n < end; n += stripe) {
      const int64_t next = std::min(n + stripe, end);
      pack_stripe(s, block.b, pass, n, next, stack_b);
      run_stripe(s, block, pass, n, next, stack_b, stack_a);
    }
  });
}

void activate_floats(Activation activation, float* y, int64_t count) {
  const int64_t rest = count % kPanel;
  activate_panels(activation, y, static_cast<size_t>(count - rest));
  if (rest == 0) return;
  HWY_ALIGN float panel[kPanel] = {};
  std::copy_n(y + count - rest, rest, panel);
  activate_panels(activation, panel, static_cast<size_t>(kPanel));
  std::copy_n(panel, rest, y + count - rest);
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
HWY_EXPORT(run_gathered_block);
HWY_EXPORT(activate_floats);
HWY_EXPORT(pack_columns);

constexpr float kNothing = 0;

// Rows and columns of a chunk: m goes round fastest, then n; what is left is the number in the
// batch.
int64_t set_extents(const MatmulScalars& s, int64_t chunk, Block& block) {
  const int64_t m_chunks = (s.m + s.m_grain - 1) / s.m_grain;
  const int64_t n_chunks = (s.n + s.n_grain - 1) / s.n_grain;
  block.m0 = chunk % m_chunks * s.m_grain;
  block.rows = std::min(s.m_grain, s.m - block.m0);
  block.n0 = chunk / m_chunks % n_chunks * s.n_grain;
  block.columns = std::min(s.n_grain, s.n - block.n0);
  const int64_t next = chunk / m_chunks + (block.m0 + block.rows < s.m ? 0 : 1);
  block.next_n0 = next % n_chunks * s.n_grain;
  return chunk / m_chunks / n_chunks;
}

void matmul_gathered_chunk(const MatmulScalars& s, const RowSource& a, const float* b,
                           const float* bias, const float* residual, float* c, int64_t chunk) {
  if (chunk < 0 || chunk >= matmul_chunks(s)) return;
  Block block;
  set_extents(s, chunk, block);
  block.a = nullptr;
  block.source = &a;
  block.b = b;
  block.bias = bias;
  block.residual = residual;
  block.c = c;
  HWY_DYNAMIC_DISPATCH(run_gathered_block)(s, block);
}

void matmul_chunk(const MatmulScalars& s, const float* a, const float* b, const float* bias,
                  const float* residual, float* c, int64_t chunk) {
  if (chunk < 0 || chunk >= matmul_chunks(s)) return;
  Block block;
  const int64_t batch = set_extents(s, chunk, block);
  const int64_t batch0 = batch / s.batch1;
  const int64_t batch1 = batch % s.batch1;
  block.source = nullptr;
  // Where k is 0, A and B have no element to point to.
  block.a = s.k == 0 ? &kNothing : a + batch0 * s.a_batch0 + batch1 * s.a_batch1;
  block.b = s.k == 0 ? &kNothing : b + batch0 * s.b_batch0 + batch1 * s.b_batch1;
  block.bias = bias;
  block.residual = residual == nullptr
                       ? nullptr
                       : residual + batch0 * s.residual_batch0 + batch1 * s.residual_batch1;
  block.c = c + batch0 * s.c_batch0 + batch1 * s.c_batch1;
  if (s.k == 0) {
    MatmulScalars empty = s;
    empty.lda = 0;
    empty.ldb = 0;
    HWY_DYNAMIC_DISPATCH(run_block)(empty, block);
    return;
  }
  HWY_DYNAMIC_DISPATCH(run_block)(s, block);
}

void apply_activation(Activation activation, float* y, int64_t count) {
  if (activation == Activation::kNone) return;
  HWY_DYNAMIC_DISPATCH(activate_floats)(activation, y, count);
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
