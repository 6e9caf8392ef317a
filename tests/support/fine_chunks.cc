#include "modellib/tests/support/fine_chunks.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/conv_gemm.h"
#include "modellib/executors/cpu/kernels/copy_bytes.h"
#include "modellib/executors/cpu/kernels/depthwise.h"
#include "modellib/executors/cpu/kernels/indexing.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/executors/cpu/kernels/plain.h"
#include "modellib/executors/cpu/kernels/pool.h"
#include "modellib/executors/cpu/kernels/reduce.h"
#include "modellib/executors/cpu/kernels/strided.h"
#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/executors/cpu/kernels/winograd.h"

namespace modellib::cpu {
namespace {

constexpr int64_t kPieces = 4;

// Sets the grain of a step of so many units of work. Returns its chunks.
int64_t cut_units(int64_t units, int64_t& grain) {
  grain = std::max<int64_t>(1, ceil_div(units, kPieces));
  return ceil_div(units, grain);
}

// For each kernel: sets the grains among its scalars and returns the chunks, by the formula that
// stands beside the scalars.

int64_t cut(ArgReduceScalars& s) {
  return cut_units(s.outer * ceil_div(s.inner, kArgColumns), s.units_per_chunk);
}

int64_t cut(ConvGemmScalars& s) {
  const int64_t rows = s.batch * s.out[0] * s.out[1] * s.out[2];
  s.n_grain = kPanel;
  return s.groups * cut_units(rows, s.m_grain) * ceil_div(conv_gemm_width(s), s.n_grain);
}

int64_t cut(CopyBytesScalars& s) { return cut_units(s.bytes, s.per_chunk); }

int64_t cut(CopyScalars& s) {
  s.tile_rows = 1;
  s.units_per_chunk = 1;
  return cut_units(copy_chunks(s), s.units_per_chunk);
}

int64_t cut(CumsumScalars& s) {
  return cut_units(s.outer * ceil_div(s.inner, kArgColumns), s.units_per_chunk);
}

int64_t cut(DepthwiseScalars& s) { return cut_units(s.batch * s.out[0], s.rows_per_chunk); }

int64_t cut(GatherElementsScalars& s) {
  int64_t elements = 1;
  for (const int64_t extent : s.extent) elements *= extent;
  return cut_units(elements, s.per_chunk);
}

int64_t cut(GatherScalars& s) { return cut_units(s.outer * s.indices, s.per_chunk); }

int64_t cut(MatmulScalars& s) {
  cut_units(s.m, s.m_grain);
  s.n_grain = kPanel;
  return matmul_chunks(s);
}

int64_t cut(PackBScalars& s) {
  s.n_grain = kPanel;
  return pack_b_chunks(s);
}

int64_t cut(PadScalars& s) { return cut_units(pad_rows(s), s.rows_per_chunk); }

int64_t cut(PlainMatmulScalars& s) {
  return cut_units(s.batch0 * s.batch1 * s.m, s.rows_per_chunk);
}

int64_t cut(PoolScalars& s) { return cut_units(pool_units(s), s.units_per_chunk); }

int64_t cut(ReduceScalars& s) {
  s.units_per_chunk = 1;
  return cut_units(reduce_chunks(s), s.units_per_chunk);
}

int64_t cut(ScatterAddScalars& s) { return s.outer * cut_units(s.axis, s.rows_per_chunk); }

int64_t cut(UpdateSliceScalars& s) { return cut_units(s.outer, s.per_chunk); }

int64_t cut(WinogradInScalars& s) {
  return cut_units(s.batch * winograd_tiles(s.out[0]) * winograd_tiles(s.out[1]),
                   s.tiles_per_chunk);
}

int64_t cut(WinogradOutScalars& s) {
  return cut_units(s.batch * winograd_tiles(s.out[0]) * winograd_tiles(s.out[1]),
                   s.tiles_per_chunk);
}

// Where extents vary, the scalars hold the largest. There are as many chunks as these ask for,
// whatever the extents of a run: superfluous ones do nothing.
void set_chunks(fb::StepT& step, int64_t chunks) {
  step.chunks = std::make_unique<fb::Scalar>(chunks, -1);
}

template <class S>
void recut(fb::StepT& step) {
  constexpr size_t kCount = sizeof(S) / sizeof(int64_t);
  if (step.scalars.size() != kCount) return;  // the kernel will say so
  int64_t before[kCount], after[kCount];
  for (size_t i = 0; i < kCount; ++i) before[i] = step.scalars[i].value();
  S scalars;
  std::memcpy(&scalars, before, sizeof(scalars));
  const int64_t chunks = cut(scalars);
  std::memcpy(after, &scalars, sizeof(scalars));
  for (size_t i = 0; i < kCount; ++i) {
    if (after[i] != before[i]) step.scalars[i] = fb::Scalar(after[i], -1);
  }
  set_chunks(step, chunks);
}

// Rows first; columns as well where rows are too few, if the program lets them be split.
void recut_tile(fb::StepT& step) {
  const TileView program = view_tile_program(reinterpret_cast<const std::byte*>(step.data.data()));
  const TileLayout at = program.layout();
  const auto scalar = [&](int i) -> fb::Scalar& { return step.scalars[static_cast<size_t>(i)]; };
  int64_t rows = 1;
  for (int d = 0; d < at.row_dims; ++d) rows *= scalar(at.row(d)).value();
  int64_t rows_per_chunk = 1;
  int64_t chunks = cut_units(rows, rows_per_chunk);
  scalar(TileLayout::rows_per_chunk()) = fb::Scalar(rows_per_chunk, -1);
  if (!tile_needs_whole_rows(program)) {
    const int64_t cols = scalar(at.cols()).value();
    const int64_t pieces = std::max<int64_t>(1, kPieces / std::max<int64_t>(1, chunks));
    const int64_t cols_per_chunk = std::max<int64_t>(1, ceil_div(cols, pieces));
    scalar(TileLayout::cols_per_chunk()) = fb::Scalar(cols_per_chunk, -1);
    chunks *= ceil_div(cols, cols_per_chunk);
  }
  set_chunks(step, chunks);
}

struct KernelCut {
  const char* kernel;
  void (*recut)(fb::StepT&);
};

constexpr KernelCut kCuts[] = {
    {"cpu.arg_reduce", recut<ArgReduceScalars>},
    {"cpu.conv_f32", recut<ConvGemmScalars>},
    {"cpu.copy", recut<CopyScalars>},
    {"cpu.copy_bytes", recut<CopyBytesScalars>},
    {"cpu.cumsum", recut<CumsumScalars>},
    {"cpu.depthwise_f32", recut<DepthwiseScalars>},
    {"cpu.gather", recut<GatherScalars>},
    {"cpu.gather_elements", recut<GatherElementsScalars>},
    {"cpu.matmul_f32", recut<MatmulScalars>},
    {"cpu.pack_b_f32", recut<PackBScalars>},
    {"cpu.pad", recut<PadScalars>},
    {"cpu.plain_matmul", recut<PlainMatmulScalars>},
    {"cpu.pool", recut<PoolScalars>},
    {"cpu.reduce", recut<ReduceScalars>},
    {"cpu.scatter_add", recut<ScatterAddScalars>},
    {"cpu.update_slice", recut<UpdateSliceScalars>},
    {"cpu.winograd_in_f32", recut<WinogradInScalars>},
    {"cpu.winograd_out_f32", recut<WinogradOutScalars>},
    {kTileKernelName, recut_tile},
};

}  // namespace

void cut_finely(fb::PlanT& plan) {
  for (const auto& entry : plan.entries) {
    for (const auto& sequence : entry->sequences) {
      for (const auto& step : sequence->steps) {
        const std::string& kernel = plan.kernels[step->kernel];
        for (const KernelCut& known : kCuts) {
          if (kernel == known.kernel) known.recut(*step);
        }
      }
    }
  }
}

}  // namespace modellib::cpu
