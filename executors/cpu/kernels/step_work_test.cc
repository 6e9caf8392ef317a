#include "modellib/executors/cpu/kernels/step_work.h"

#include <cstring>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/attention.h"
#include "modellib/executors/cpu/kernels/conv.h"
#include "modellib/executors/cpu/kernels/conv_gemm.h"
#include "modellib/executors/cpu/kernels/indexing.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/executors/cpu/kernels/pool.h"
#include "modellib/executors/cpu/kernels/reduce.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/cpu/kernels/tile_builder.h"
#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/graph/dtype.h"

namespace modellib::cpu {
namespace {

template <class S>
std::vector<int64_t> numbers(const S& s) {
  std::vector<int64_t> out(sizeof(S) / sizeof(int64_t));
  std::memcpy(out.data(), &s, sizeof(S));
  return out;
}

// Of a step that has a rule.
StepWork work_of(const StepCall& step) {
  const std::optional<StepWork> work = work_of_step(step);
  EXPECT_TRUE(work.has_value()) << step.kernel;
  return work.value_or(StepWork());
}

TEST(StepWork, MatmulReadsSharedWeightsOnce) {
  MatmulScalars s;
  s.m = 2, s.n = 3, s.k = 4, s.batch1 = 5, s.a_batch1 = 8, s.c_batch1 = 6;
  const auto scalars = numbers(s);
  const StepWork work = work_of({"cpu.matmul_f32", scalars});
  EXPECT_EQ(work.flops, 2 * 5 * 2 * 3 * 4);
  EXPECT_EQ(work.bytes, 4 * (5 * 2 * 3 + 5 * 2 * 4 + 4 * 3));
}

TEST(StepWork, ConvolutionsCountWindows) {
  ConvGemmScalars gemm;
  gemm.batch = 2, gemm.in_channels = 8, gemm.out_channels = 6, gemm.groups = 2;
  gemm.in[1] = gemm.in[2] = 5, gemm.out[1] = gemm.out[2] = 3, gemm.kernel[1] = gemm.kernel[2] = 3;
  const auto scalars = numbers(gemm);
  const double flops = 2.0 * (2 * 6 * 9) * (4 * 9);
  EXPECT_EQ(work_of({"cpu.conv_f32", scalars}).flops, flops);

  ConvScalars conv;
  conv.in_channels = 8, conv.out_channels = 6, conv.groups = 2;
  conv.in[0] = conv.in[1] = 5, conv.out[0] = conv.out[1] = 3, conv.kernel[0] = conv.kernel[1] = 3;
  const double x = 2 * 8 * 25, y = 2 * 6 * 9, w = 6 * 4 * 9;
  for (const ConvKind kind :
       {ConvKind::kForward, ConvKind::kInputGradient, ConvKind::kFilterGradient}) {
    conv.kind = static_cast<int64_t>(kind);
    // Of the gradient of the filter there is a part for each chunk.
    const bool to_filter = kind == ConvKind::kFilterGradient;
    conv.batch = to_filter ? 2 : 0;
    const auto more = numbers(conv);
    const StepWork work = work_of({"cpu.conv2d", more, nullptr, to_filter ? 1 : 2});
    EXPECT_EQ(work.flops, flops) << conv.kind;
    EXPECT_EQ(work.bytes, 4 * (x + y + w)) << conv.kind;
  }
}

TEST(StepWork, CausalAttentionCountsThePairsThatAreSeen) {
  AttentionScalars s;
  s.batch = 2, s.heads = 3, s.kv_heads = 3, s.queries = 4, s.keys = 4, s.size = 5, s.value_size = 6;
  auto scalars = numbers(s);
  EXPECT_EQ(work_of({"cpu.attention_f32", scalars}).flops, 2 * (2 * 3 * 16) * 11);
  s.causal = 1;
  scalars = numbers(s);
  EXPECT_EQ(work_of({"cpu.attention_f32", scalars}).flops, 2 * (2 * 3 * 10) * 11);
}

TEST(StepWork, OfATableTheRowsThatAreLookedUp) {
  GatherScalars s;
  s.axis = 30000, s.indices = 7, s.inner = 16;
  const auto scalars = numbers(s);
  const StepWork work = work_of({"cpu.gather", scalars});
  EXPECT_EQ(work.flops, 0);
  EXPECT_EQ(work.bytes, 2 * 7 * 16 * 4 + 7 * 8);
}

// y = (x + bias) * sum(x), kept as f16: three operations for each element.
TEST(StepWork, TileProgramsCountInstructionsByShape) {
  TileProgramBuilder b(1);
  const int x = b.input(0, DType::kF32), bias = b.input(1, DType::kF32);
  const int y = b.output(0, DType::kF16);
  const TileValue loaded = b.load(x);
  const TileValue sum = b.binary(TileOp::kAdd, loaded, b.load(bias));
  const TileValue product = b.binary(TileOp::kMul, sum, b.full(b.reduce(TileOp::kSum, loaded)));
  b.store(y, b.round_to(product, DType::kF16));
  const auto bytes = b.encode(1);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  TileScalars s;
  s.rows = {10};
  s.cols = 32;
  s.maps = {{0, {32}, 1}, {0, {0}, 1}, {0, {32}, 1}};
  const auto scalars = s.flatten();
  const StepWork work = work_of({kTileKernelName, scalars, bytes->data()});
  EXPECT_EQ(work.flops, 3 * 10 * 32);
  EXPECT_EQ(work.bytes, 10 * 32 * 4 + 32 * 4 + 10 * 32 * 2);
}

TEST(StepWork, ReductionsMoveWhatTheirExtentsSay) {
  ReduceScalars s;
  s.dtype_in = static_cast<int64_t>(DType::kF16), s.dtype_out = static_cast<int64_t>(DType::kF32);
  s.outer = 2, s.reduce = 10, s.inner = 3, s.rows_per_part = 4;
  const auto scalars = numbers(s);
  const StepWork work = work_of({"cpu.reduce", scalars});
  EXPECT_EQ(work.flops, 2 * 10 * 3);
  EXPECT_EQ(work.bytes, 2 * 10 * 3 * 2 + 2 * 3 * 3 * 4);
}

TEST(StepWork, PoolsMoveImages) {
  PoolScalars s;
  s.dtype = static_cast<int64_t>(DType::kF32);
  s.outer = 6, s.in[1] = s.in[2] = 8, s.out[1] = s.out[2] = 4, s.kernel[1] = s.kernel[2] = 2;
  auto scalars = numbers(s);
  EXPECT_EQ(work_of({"cpu.pool", scalars}).flops, 6 * 16 * 4);
  EXPECT_EQ(work_of({"cpu.pool", scalars}).bytes, 4 * 6 * (64 + 16));
  s.kind = static_cast<int64_t>(PoolKind::kMaxGradient);
  scalars = numbers(s);
  EXPECT_EQ(work_of({"cpu.pool", scalars}).bytes, 4 * 6 * (64 + 64 + 16));
}

TEST(StepWork, ScattersInPlaceTouchThePlacesThatAreNamed) {
  ScatterAddScalars s;
  s.dtype = static_cast<int64_t>(DType::kF32);
  s.axis = 1000, s.indices = 7, s.inner = 16;
  const auto scalars = numbers(s);
  std::byte memory[2] = {};
  std::byte* const in_place[] = {memory, memory, memory, memory};
  std::byte* const apart[] = {memory, memory + 1, memory, memory};
  std::byte* const onto_zeros[] = {memory, nullptr, memory, memory};
  const double updates = 7 * 16 * 4 + 7 * 8;
  const auto bytes = [&](absl::Span<std::byte* const> operands) {
    return work_of({"cpu.scatter_add", scalars, nullptr, 1, operands}).bytes;
  };
  EXPECT_EQ(bytes(in_place), updates + 2 * 7 * 16 * 4);
  EXPECT_EQ(bytes(apart), updates + 2 * 1000 * 16 * 4);
  EXPECT_EQ(bytes(onto_zeros), updates + 1000 * 16 * 4);
}

// Operands are as large as the largest extents: work that followed from them would be that of
// another run.
TEST(StepWork, OfEachKernelFollowsFromItsScalars) {
  const std::vector<int64_t> ones(64, 1);
  for (const runtime::Kernel& kernel : cpu_kernels()) {
    if (kernel.name == absl::string_view(kTileKernelName)) continue;  // has a program beside
    EXPECT_GT(work_of({kernel.name, ones}).bytes, 0) << kernel.name;
  }
  EXPECT_FALSE(work_of_step({"gpu.matmul", ones}).has_value());
}

}  // namespace
}  // namespace modellib::cpu
