#include "modellib/executors/cpu/kernels/step_work.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "modellib/executors/cpu/kernels/attention.h"
#include "modellib/executors/cpu/kernels/conv.h"
#include "modellib/executors/cpu/kernels/conv_gemm.h"
#include "modellib/executors/cpu/kernels/depthwise.h"
#include "modellib/executors/cpu/kernels/indexing.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/executors/cpu/kernels/plain.h"
#include "modellib/executors/cpu/kernels/plain_conv.h"
#include "modellib/executors/cpu/kernels/pool.h"
#include "modellib/executors/cpu/kernels/reduce.h"
#include "modellib/executors/cpu/kernels/strided.h"
#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/graph/dtype.h"

namespace modellib::cpu {
namespace {

constexpr double kF32 = sizeof(float);

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

double operand_bytes(const StepCall& step) {
  double bytes = 0;
  for (const uint64_t b : step.output_bytes) bytes += static_cast<double>(b);
  for (const uint64_t b : step.input_bytes) bytes += static_cast<double>(b);
  return bytes;
}

template <class S>
S scalars_as(const StepCall& step) {
  S scalars;
  std::memcpy(&scalars, step.scalars.data(),
              std::min(sizeof(S), step.scalars.size() * sizeof(int64_t)));
  return scalars;
}

// A batch axis that an operand does not move along is there once.
double batches(const MatmulScalars& s, int64_t stride0, int64_t stride1) {
  return times(stride0 == 0 ? 1 : s.batch0, stride1 == 0 ? 1 : s.batch1);
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

StepWork plain_matmul(const StepCall& step) {
  const auto s = scalars_as<PlainMatmulScalars>(step);
  return {2 * times(s.batch0, s.batch1, s.m, s.n, s.k), operand_bytes(step)};
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

// The batch is no scalar: it follows from the operand that holds images.
StepWork conv2d(const StepCall& step) {
  const auto s = scalars_as<ConvScalars>(step);
  const bool from_result = s.kind == static_cast<int64_t>(ConvKind::kInputGradient);
  const double image = kF32 * (from_result ? times(s.out_channels) * volume(s.out)
                                           : times(s.in_channels) * volume(s.in));
  const double held = step.input_bytes.empty() ? 0 : static_cast<double>(step.input_bytes[0]);
  const double batch = image > 0 ? held / image : 0;
  const double depth = times(s.in_channels) / times(s.groups) * volume(s.kernel);
  return {2 * batch * times(s.out_channels) * volume(s.out) * depth, operand_bytes(step)};
}

StepWork plain_conv(const StepCall& step) {
  const auto s = scalars_as<PlainConvScalars>(step);
  const double depth = times(s.in_channels) / times(s.groups) * volume(s.kernel);
  return {2 * times(s.batch, s.out_channels) * volume(s.out) * depth, operand_bytes(step)};
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
  return {2 * attention_pairs(s) * times(3 * s.size + 2 * s.value_size), operand_bytes(step)};
}

StepWork pool(const StepCall& step) {
  const auto s = scalars_as<PoolScalars>(step);
  return {times(s.outer, s.inner) * volume(s.out) * volume(s.kernel), operand_bytes(step)};
}

StepWork gather(const StepCall& step) {
  const auto s = scalars_as<GatherScalars>(step);
  return {
      0, 2 * times(s.outer, s.indices, s.inner, s.element_bytes) + times(s.indices, s.index_bytes)};
}

StepWork update_slice(const StepCall& step) {
  const auto s = scalars_as<UpdateSliceScalars>(step);
  return {0, 2 * times(s.outer, s.slice, s.inner, s.element_bytes)};
}

StepWork copy(const StepCall& step) {
  const auto s = scalars_as<CopyScalars>(step);
  return {0, 2 * volume(s.extent) * static_cast<double>(s.element_bytes)};
}

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

struct Rule {
  absl::string_view kernel;
  StepWork (*work)(const StepCall&);
};

template <class S>
StepWork reduction(const StepCall& step) {
  const auto s = scalars_as<S>(step);
  return {times(s.outer, s.reduce, s.inner), operand_bytes(step)};
}

constexpr Rule kRules[] = {
    {"cpu.matmul_f32", matmul},
    {kTileKernelName, tile},
    {"cpu.conv_f32", conv_gemm},
    {"cpu.depthwise_f32", depthwise},
    {"cpu.conv2d", conv2d},
    {"cpu.attention_f32", attention},
    {"cpu.attention_grad_f32", attention_gradient},
    {"cpu.pool", pool},
    {"cpu.reduce", reduction<ReduceScalars>},
    {"cpu.arg_reduce", reduction<ArgReduceScalars>},
    {"cpu.gather", gather},
    {"cpu.update_slice", update_slice},
    {"cpu.copy", copy},
    {"cpu.plain_matmul", plain_matmul},
    {"cpu.plain_conv", plain_conv},
};

}  // namespace

StepWork work_of_step(const StepCall& step) {
  for (const Rule& rule : kRules) {
    if (rule.kernel == step.kernel) return rule.work(step);
  }
  return {0, operand_bytes(step)};
}

}  // namespace modellib::cpu
