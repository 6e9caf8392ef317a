#include "modellib/executors/cpu/kernels/step_work.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "modellib/executors/cpu/kernels/attention.h"
#include "modellib/executors/cpu/kernels/conv.h"
#include "modellib/executors/cpu/kernels/conv_gemm.h"
#include "modellib/executors/cpu/kernels/copy_bytes.h"
#include "modellib/executors/cpu/kernels/depthwise.h"
#include "modellib/executors/cpu/kernels/indexing.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/executors/cpu/kernels/plain.h"
#include "modellib/executors/cpu/kernels/plain_conv.h"
#include "modellib/executors/cpu/kernels/pool.h"
#include "modellib/executors/cpu/kernels/reduce.h"
#include "modellib/executors/cpu/kernels/strided.h"
#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/executors/cpu/kernels/winograd.h"
#include "modellib/graph/dtype.h"

namespace modellib::cpu {
namespace {

constexpr double kF32 = sizeof(float);
constexpr double kI64 = sizeof(int64_t);

// The product of extents, as a double: it may pass an int64 where nothing was ever run.
template <class... Extents>
double times(Extents... extents) {
  return (static_cast<double>(extents) * ...);
}
template <size_t N>
double volume(const int64_t (&extents)[N]) {
  double product = 1;
  for (const int64_t e : extents) product *= static_cast<double>(e);
  return product;
}

// Of one element; `dtype` is a scalar.
double size_of(int64_t dtype) { return bits_of(static_cast<DType>(dtype)) / 8.0; }

// Of outputs, then inputs.
bool is_there(const StepCall& step, size_t operand) {
  return operand < step.operands.size() && step.operands[operand] != nullptr;
}
bool share_memory(const StepCall& step, size_t a, size_t b) {
  return is_there(step, a) && is_there(step, b) && step.operands[a] == step.operands[b];
}

template <class S>
S scalars_as(const StepCall& step) {
  S scalars;
  std::memcpy(&scalars, step.scalars.data(),
              std::min(sizeof(S), step.scalars.size() * sizeof(int64_t)));
  return scalars;
}

// A batch axis that an operand does not move along is there once.
template <class S>
double batches(const S& s, int64_t stride0, int64_t stride1) {
  return times(stride0 == 0 ? 1 : s.batch0, stride1 == 0 ? 1 : s.batch1);
}
// So is any other axis.
double moved_along(const int64_t (&extents)[4], const int64_t (&strides)[4]) {
  double product = 1;
  for (int d = 0; d < 4; ++d) product *= strides[d] == 0 ? 1 : static_cast<double>(extents[d]);
  return product;
}

StepWork matmul(const StepCall& step) {
  const auto s = scalars_as<MatmulScalars>(step);
  const double results = times(s.batch0, s.batch1, s.m, s.n);
  const double bias = s.bias_axis == 0 ? 0 : times(s.bias_axis == 1 ? s.n : s.m);
  const double floats = results * (s.residual != 0 ? 2 : 1) + bias +
                        times(s.m, s.k) * batches(s, s.a_batch0, s.a_batch1) +
                        times(s.k, s.n) * batches(s, s.b_batch0, s.b_batch1);
  return {2 * results * static_cast<double>(s.k), kF32 * floats};
}

StepWork pack_b(const StepCall& step) {
  const auto s = scalars_as<PackBScalars>(step);
  const double floats =
      times(s.k, s.n) * batches(s, s.b_batch0, s.b_batch1) +
      times(s.k, padded_columns(s.n)) * batches(s, s.packed_batch0, s.packed_batch1);
  return {0, kF32 * floats};
}

StepWork plain_matmul(const StepCall& step) {
  const auto s = scalars_as<PlainMatmulScalars>(step);
  const double elements = moved_along({s.batch0, s.batch1, s.m, s.k}, s.a_stride) +
                          moved_along({s.batch0, s.batch1, s.k, s.n}, s.b_stride) +
                          times(s.batch0, s.batch1, s.m, s.n);
  return {2 * times(s.batch0, s.batch1, s.m, s.n, s.k), elements * size_of(s.dtype)};
}

StepWork conv_gemm(const StepCall& step) {
  const auto s = scalars_as<ConvGemmScalars>(step);
  const double results = times(s.batch, s.out_channels) * volume(s.out);
  const double depth = times(s.in_channels) / times(s.groups) * volume(s.kernel);
  const double floats = results * (s.residual != 0 ? 2 : 1) +
                        times(s.batch, s.in_channels) * volume(s.in) +
                        depth * static_cast<double>(s.out_channels);
  return {2 * results * depth, kF32 * floats};
}

StepWork depthwise(const StepCall& step) {
  const auto s = scalars_as<DepthwiseScalars>(step);
  const double results = times(s.batch, s.channels) * volume(s.out);
  const double floats = results + times(s.batch, s.channels) * volume(s.in) +
                        static_cast<double>(s.channels) * volume(s.kernel);
  return {2 * results * volume(s.kernel), kF32 * floats};
}

// How many images there are follows from the chunks, but for the gradient of the filter, which is
// there once for each chunk.
StepWork conv2d(const StepCall& step) {
  const auto s = scalars_as<ConvScalars>(step);
  const bool to_filter = s.kind == static_cast<int64_t>(ConvKind::kFilterGradient);
  const double batch = to_filter ? times(s.batch) : times(step.chunks) / times(s.pieces);
  const double x = batch * times(s.in_channels) * volume(s.in);
  const double y = batch * times(s.out_channels) * volume(s.out);
  const double depth = times(s.in_channels) / times(s.groups) * volume(s.kernel);
  const double filter =
      s.filter_bytes != 0 ? times(s.filter_bytes) : kF32 * times(s.out_channels) * depth;
  const double floats =
      x + y * (s.accumulates != 0 ? 2 : 1) + times(s.has_bias != 0 ? s.out_channels : 0);
  return {2 * y * depth, kF32 * floats + filter * times(to_filter ? step.chunks : 1)};
}

StepWork plain_conv(const StepCall& step) {
  const auto s = scalars_as<PlainConvScalars>(step);
  const double x = times(s.batch, s.in_channels) * volume(s.in);
  const double y = times(s.batch, s.out_channels) * volume(s.out);
  const double depth = times(s.in_channels) / times(s.groups) * volume(s.kernel);
  return {2 * y * depth, (x + y + times(s.out_channels) * depth) * size_of(s.dtype)};
}

double winograd_places(int64_t batch, const int64_t (&out)[2], int64_t channels) {
  return times(kWinogradPlaces, batch, winograd_tiles(out[0]), winograd_tiles(out[1]), channels);
}

StepWork winograd_in(const StepCall& step) {
  const auto s = scalars_as<WinogradInScalars>(step);
  const double image = times(s.batch, s.channels) * volume(s.in);
  return {0, kF32 * (image + winograd_places(s.batch, s.out, s.channels))};
}

StepWork winograd_out(const StepCall& step) {
  const auto s = scalars_as<WinogradOutScalars>(step);
  const double image = times(s.batch, s.channels) * volume(s.out);
  const double bias = is_there(step, 2) ? times(s.channels) : 0;
  const double images = is_there(step, 3) ? 2 : 1;
  return {0, kF32 * (image * images + bias + winograd_places(s.batch, s.out, s.channels))};
}

// Pairs of a query and a key that it may see. Lengths are data, not known here.
double attention_pairs(const AttentionScalars& s) {
  double pairs = times(s.queries, s.keys);
  if (s.causal != 0 && s.has_lengths == 0) {
    pairs = 0;
    for (int64_t i = 0; i < s.queries; ++i) {
      pairs += static_cast<double>(std::clamp<int64_t>(i + s.causal_offset + 1, 0, s.keys));
    }
  }
  return times(s.batch, s.heads) * pairs;
}

StepWork attention(const StepCall& step) {
  const auto s = scalars_as<AttentionScalars>(step);
  const double floats = times(s.batch, s.heads, s.queries, s.size + s.value_size) +
                        times(s.batch, s.kv_heads, s.keys, s.size + s.value_size);
  return {2 * attention_pairs(s) * times(s.size + s.value_size), kF32 * floats};
}

// Scores again, then the gradients of probabilities, values, queries and keys.
StepWork attention_gradient(const StepCall& step) {
  const auto s = scalars_as<AttentionScalars>(step);
  const double q = times(s.batch, s.heads, s.queries, s.size);
  const double o = times(s.batch, s.heads, s.queries, s.value_size);
  const double kv = times(s.batch, s.kv_heads, s.keys, s.size + s.value_size);
  const double log_sums = times(s.batch, s.heads, s.queries);
  double mask = 0;
  if (s.mask != 0) mask = moved_along({s.batch, s.heads, s.queries, s.keys}, s.mask_stride);
  if (s.mask == static_cast<int64_t>(AttentionMask::kAdd)) mask *= kF32;
  const double numbers = times(s.has_lengths != 0 ? s.batch : 0) + (s.has_dropout != 0 ? 1 : 0);
  return {2 * attention_pairs(s) * times(3 * s.size + 2 * s.value_size),
          kF32 * (2 * (q + kv + o) + log_sums) + mask + kI64 * numbers};
}

StepWork pool(const StepCall& step) {
  const auto s = scalars_as<PoolScalars>(step);
  const double x = times(s.outer, s.inner) * volume(s.in);
  const double y = times(s.outer, s.inner) * volume(s.out);
  const auto kind = static_cast<PoolKind>(s.kind);
  const bool two = kind == PoolKind::kMaxSelect || kind == PoolKind::kMaxGradient;
  return {y * volume(s.kernel), (x * (two ? 2 : 1) + y) * size_of(s.dtype)};
}

StepWork gather(const StepCall& step) {
  const auto s = scalars_as<GatherScalars>(step);
  return {
      0, 2 * times(s.outer, s.indices, s.inner, s.element_bytes) + times(s.indices, s.index_bytes)};
}

// Where the result lies elsewhere than the data, all of it is written; else the places that an
// index names are, at most all.
StepWork scatter_add(const StepCall& step) {
  const auto s = scalars_as<ScatterAddScalars>(step);
  const double updates = times(s.outer, s.indices, s.inner);
  const int64_t places = share_memory(step, 0, 1) ? std::min(s.indices, s.axis) : s.axis;
  const double moved = times(s.outer, places, s.inner) * (is_there(step, 1) ? 2 : 1);
  return {updates, (updates + moved) * size_of(s.dtype) + times(s.indices, s.index_bytes)};
}

StepWork gather_elements(const StepCall& step) {
  const auto s = scalars_as<GatherElementsScalars>(step);
  return {0, volume(s.extent) * times(2 * s.element_bytes + s.index_bytes)};
}

StepWork scatter_elements(const StepCall& step) {
  const auto s = scalars_as<ScatterElementsScalars>(step);
  const double updates = volume(s.extent);
  const double places =
      share_memory(step, 0, 1) ? std::min(updates, times(s.data_count)) : times(s.data_count);
  return {s.add != 0 ? updates : 0,
          (updates + 2 * places) * size_of(s.dtype) + updates * static_cast<double>(s.index_bytes)};
}

StepWork update_slice(const StepCall& step) {
  const auto s = scalars_as<UpdateSliceScalars>(step);
  return {0, 2 * times(s.outer, s.slice, s.inner, s.element_bytes)};
}

StepWork copy(const StepCall& step) {
  const auto s = scalars_as<CopyScalars>(step);
  return {0, 2 * volume(s.extent) * static_cast<double>(s.element_bytes)};
}

StepWork copy_bytes(const StepCall& step) {
  if (share_memory(step, 0, 1)) return {};
  return {0, 2 * times(scalars_as<CopyBytesScalars>(step).bytes)};
}

StepWork pad(const StepCall& step) {
  const auto s = scalars_as<PadScalars>(step);
  double out = 1;
  for (int d = 0; d < kCopyDims; ++d) out *= times(s.low[d] + s.extent[d] + s.high[d]);
  return {0, (volume(s.extent) + out) * static_cast<double>(s.element_bytes)};
}

StepWork dim_values(const StepCall& step) { return {0, kI64 * times(step.scalars[0])}; }

StepWork fold_in(const StepCall&) { return {0, 3 * kI64}; }

double flops_of(const TileInstruction& instruction) {
  switch (tile_op_class(instruction.op)) {
    case TileClass::kMemory:
    case TileClass::kScalar:
    case TileClass::kRound:
    case TileClass::kCast:
      return 0;
    case TileClass::kFma:
    case TileClass::kClamp:
      return 2;
    default:
      return 1;
  }
}

StepWork tile(const StepCall& step) {
  const TileView program = view_tile_program(step.data);
  const TileLayout layout = program.layout();
  const auto scalar = [&](int i) { return step.scalars[static_cast<size_t>(i)]; };
  double rows = 1;
  for (int d = 0; d < layout.row_dims; ++d) rows *= static_cast<double>(scalar(layout.row(d)));
  const auto columns = static_cast<double>(scalar(layout.cols()));
  const auto elements = [&](TileShape shape) {
    return shape == TileShape::kUniform ? 1 : shape == TileShape::kRow ? rows : rows * columns;
  };

  StepWork work;
  // What a map shows is moved once, though several passes may load it again from the cache.
  std::vector<double> shown(program.maps.size(), 0);
  for (const TileInstruction& i : program.instructions) {
    const bool stores = i.op == TileOp::kStore;
    const bool reduces = tile_op_class(i.op) == TileClass::kReduce;
    const TileShape shape = program.registers[stores || reduces ? i.src[0] : i.dst].shape;
    work.flops += flops_of(i) * elements(shape);
    if (!stores && i.op != TileOp::kLoad && i.op != TileOp::kGather) continue;
    double distinct = elements(shape);
    if (i.op == TileOp::kLoad && shape != TileShape::kUniform) {
      for (int d = 0; d < layout.row_dims; ++d) {
        const bool repeats = scalar(layout.row_stride(i.map, d)) == 0;
        if (repeats) distinct /= std::max<double>(1, static_cast<double>(scalar(layout.row(d))));
      }
      if (shape == TileShape::kFull && scalar(layout.col_stride(i.map)) == 0) {
        distinct /= std::max(1.0, columns);
      }
    }
    double& most = shown[i.map];
    most = std::max(most, distinct);
  }
  for (size_t m = 0; m < shown.size(); ++m) {
    work.bytes += shown[m] * static_cast<double>(bits_of(program.maps[m].dtype)) / 8;
  }
  return work;
}

StepWork reduce(const StepCall& step) {
  const auto s = scalars_as<ReduceScalars>(step);
  const double elements = times(s.outer, s.reduce, s.inner);
  const double results = times(s.outer, reduce_parts(s), s.inner);
  return {elements, elements * size_of(s.dtype_in) + results * size_of(s.dtype_out)};
}

StepWork arg_reduce(const StepCall& step) {
  const auto s = scalars_as<ArgReduceScalars>(step);
  const double elements = times(s.outer, s.reduce, s.inner);
  return {elements, elements * size_of(s.dtype) + kI64 * times(s.outer, s.inner)};
}

StepWork cumsum(const StepCall& step) {
  const auto s = scalars_as<CumsumScalars>(step);
  const double elements = times(s.outer, s.axis, s.inner);
  return {elements, 2 * elements * size_of(s.dtype)};
}

StepWork plain_sort(const StepCall& step) {
  const auto s = scalars_as<PlainSortScalars>(step);
  return {0, times(s.outer, s.axis, s.inner) * size_of(s.dtype) +
                 times(s.outer, s.k, s.inner) * (size_of(s.dtype) + kI64)};
}

struct Rule {
  absl::string_view kernel;
  StepWork (*work)(const StepCall&);
};

constexpr Rule kRules[] = {
    {"cpu.matmul_f32", matmul},
    {"cpu.pack_b_f32", pack_b},
    {kTileKernelName, tile},
    {"cpu.conv_f32", conv_gemm},
    {"cpu.depthwise_f32", depthwise},
    {"cpu.winograd_in_f32", winograd_in},
    {"cpu.winograd_out_f32", winograd_out},
    {"cpu.conv2d", conv2d},
    {"cpu.attention_f32", attention},
    {"cpu.attention_grad_f32", attention_gradient},
    {"cpu.pool", pool},
    {"cpu.reduce", reduce},
    {"cpu.arg_reduce", arg_reduce},
    {"cpu.cumsum", cumsum},
    {"cpu.gather", gather},
    {"cpu.scatter_add", scatter_add},
    {"cpu.gather_elements", gather_elements},
    {"cpu.scatter_elements", scatter_elements},
    {"cpu.update_slice", update_slice},
    {"cpu.copy", copy},
    {"cpu.copy_bytes", copy_bytes},
    {"cpu.pad", pad},
    {"cpu.dim_values", dim_values},
    {"cpu.fold_in", fold_in},
    {"cpu.plain_matmul", plain_matmul},
    {"cpu.plain_sort", plain_sort},
    {"cpu.plain_conv", plain_conv},
};

}  // namespace

std::optional<StepWork> work_of_step(const StepCall& step) {
  for (const Rule& rule : kRules) {
    if (rule.kernel == step.kernel) return rule.work(step);
  }
  return std::nullopt;
}

}  // namespace modellib::cpu
