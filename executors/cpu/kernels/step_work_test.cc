#include "modellib/executors/cpu/kernels/step_work.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/attention.h"
#include "modellib/executors/cpu/kernels/conv.h"
#include "modellib/executors/cpu/kernels/conv_gemm.h"
#include "modellib/executors/cpu/kernels/indexing.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/executors/cpu/kernels/tile_builder.h"

namespace modellib::cpu {
namespace {

template <class S>
std::vector<int64_t> numbers(const S& s) {
  std::vector<int64_t> out(sizeof(S) / sizeof(int64_t));
  std::memcpy(out.data(), &s, sizeof(S));
  return out;
}

TEST(StepWork, MatmulReadsSharedWeightsOnce) {
  MatmulScalars s;
  s.m = 2, s.n = 3, s.k = 4, s.batch1 = 5, s.a_batch1 = 8, s.c_batch1 = 6;
  const auto scalars = numbers(s);
  const StepWork work = work_of_step({"cpu.matmul_f32", scalars});
  EXPECT_EQ(work.flops, 2 * 5 * 2 * 3 * 4);
  EXPECT_EQ(work.bytes, 4 * (5 * 2 * 3 + 5 * 2 * 4 + 4 * 3));
}

TEST(StepWork, ConvolutionsCountWindows) {
  ConvGemmScalars gemm;
  gemm.batch = 2, gemm.in_channels = 8, gemm.out_channels = 6, gemm.groups = 2;
  gemm.in[1] = gemm.in[2] = 5, gemm.out[1] = gemm.out[2] = 3, gemm.kernel[1] = gemm.kernel[2] = 3;
  const auto scalars = numbers(gemm);
  const double flops = 2.0 * (2 * 6 * 9) * (4 * 9);
  EXPECT_EQ(work_of_step({"cpu.conv_f32", scalars}).flops, flops);

  ConvScalars conv;
  conv.in_channels = 8, conv.out_channels = 6, conv.groups = 2;
  conv.in[0] = conv.in[1] = 5, conv.out[0] = conv.out[1] = 3, conv.kernel[0] = conv.kernel[1] = 3;
  const std::vector<uint64_t> images = {2 * 8 * 25 * 4}, results = {2 * 6 * 9 * 4};
  for (const ConvKind kind :
       {ConvKind::kForward, ConvKind::kInputGradient, ConvKind::kFilterGradient}) {
    conv.kind = static_cast<int64_t>(kind);
    const auto more = numbers(conv);
    const bool from_result = kind == ConvKind::kInputGradient;
    const StepWork work =
        work_of_step({"cpu.conv2d", more, nullptr, {}, from_result ? results : images});
    EXPECT_EQ(work.flops, flops) << conv.kind;
  }
}

TEST(StepWork, CausalAttentionCountsThePairsThatAreSeen) {
  AttentionScalars s;
  s.batch = 2, s.heads = 3, s.kv_heads = 3, s.queries = 4, s.keys = 4, s.size = 5, s.value_size = 6;
  auto scalars = numbers(s);
  EXPECT_EQ(work_of_step({"cpu.attention_f32", scalars}).flops, 2 * (2 * 3 * 16) * 11);
  s.causal = 1;
  scalars = numbers(s);
  EXPECT_EQ(work_of_step({"cpu.attention_f32", scalars}).flops, 2 * (2 * 3 * 10) * 11);
}

TEST(StepWork, OfATableTheRowsThatAreLookedUp) {
  GatherScalars s;
  s.axis = 30000, s.indices = 7, s.inner = 16;
  const auto scalars = numbers(s);
  const StepWork work = work_of_step({"cpu.gather", scalars});
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
  const StepWork work = work_of_step({kTileKernelName, scalars, bytes->data()});
  EXPECT_EQ(work.flops, 3 * 10 * 32);
  EXPECT_EQ(work.bytes, 10 * 32 * 4 + 32 * 4 + 10 * 32 * 2);
}

TEST(StepWork, OthersMoveTheirOperands) {
  const std::vector<uint64_t> out = {100}, in = {20, 3};
  const StepWork work = work_of_step({"cpu.cumsum", {}, nullptr, out, in});
  EXPECT_EQ(work.flops, 0);
  EXPECT_EQ(work.bytes, 123);
}

}  // namespace
}  // namespace modellib::cpu
