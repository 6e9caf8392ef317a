// Multi-head attention beyond the goldens: blind queries, masks that add, dropout, lengths first.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/match.h"
#include "modellib/frontends/nn/nn.h"
#include "modellib/frontends/nn/random_state.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib::nn {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Every parameter a constant drawn from its name, the biases too.
void fill(GraphBuilder& b, Module& module) {
  module.to(DType::kF64);
  module.name_parameters();
  for (const auto& [name, p] : module.named_parameters()) {
    p.assign(random_constant(b, DType::kF64, p.shape(), name));
  }
}

TEST(MultiHeadAttention, AQueryThatSeesNothingGetsTheBiasAndWeightsOfZero) {
  GraphBuilder b(builtin_ops());
  MultiHeadAttention attention(4, 2, 0.0, true, /*batch_first=*/true);
  fill(b, attention);
  const Value x = random_constant(b, DType::kF64, {1, 2, 4}, "x");
  const Value hidden = constant(b, DType::kBool, {1, 2}, {1, 1});
  const auto all = attention.forward(x, x, x, {.key_padding_mask = hidden});
  const auto results = evaluate(b, {all.output, all.weights, attention.out_proj.bias.read(b)});
  ASSERT_EQ(results.size(), 3u);
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(results[0].at(i), results[2].at(i % 4));
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(results[1].at(i), 0.0);
}

// As many heads as keys: a mask without a batch would hide heads.
TEST(MultiHeadAttention, TakesAPaddingMaskOfAllKeysAlone) {
  for (const Shape& shape : {Shape{2}, Shape{1, 2}, Shape{2, 3}}) {
    GraphBuilder b(builtin_ops());
    MultiHeadAttention attention(4, 2, 0.0, true, /*batch_first=*/true);
    attention.name_parameters();
    const Value x = b.input("x", {DType::kF32, {3, 2, 4}});
    attention.forward(x, x, x, {.key_padding_mask = b.input("mask", {DType::kBool, shape})});
    EXPECT_TRUE(absl::StrContains(b.status().message(), "key_padding_mask must have shape [3,2]"))
        << b.status();
  }
}

TEST(MultiHeadAttention, AMaskThatAddsMinusInfinityHidesAsABoolDoes) {
  GraphBuilder b(builtin_ops());
  MultiHeadAttention attention(4, 2, 0.0, true, true);
  fill(b, attention);
  const Value x = random_constant(b, DType::kF64, {2, 3, 4}, "x");
  const Value hidden = constant(b, DType::kBool, {3, 3}, {0, 1, 0, 0, 0, 1, 1, 0, 0});
  const Value added =
      constant(b, DType::kF64, {3, 3}, {0, -kInfinity, 0, 0, 0, -kInfinity, -kInfinity, 0, 0});
  const Value padding = constant(b, DType::kBool, {2, 3}, {0, 0, 0, 1, 0, 0});
  const auto one = attention.forward(x, x, x, {.key_padding_mask = padding, .attn_mask = hidden});
  const auto other = attention.forward(x, x, x, {.key_padding_mask = padding, .attn_mask = added});
  const auto results = evaluate(b, {one.output, other.output, one.weights, other.weights});
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(difference(results[0], results[1], 1e-12), "");
  EXPECT_EQ(difference(results[2], results[3], 1e-12), "");
  EXPECT_EQ(results[2].at(1), 0.0);
}

TEST(MultiHeadAttention, AMaskMayDifferByHead) {
  GraphBuilder b(builtin_ops());
  MultiHeadAttention attention(4, 2, 0.0, true, true);
  fill(b, attention);
  const Value x = random_constant(b, DType::kF64, {2, 2, 4}, "x");
  // Of sample 1 head 0 hides key 1, nothing else is hidden.
  std::vector<double> mask(2 * 2 * 2 * 2, 0.0);
  mask[2 * 4 + 1] = mask[2 * 4 + 3] = 1;
  const auto all = attention.forward(
      x, x, x,
      {.attn_mask = constant(b, DType::kBool, {4, 2, 2}, mask), .average_attn_weights = false});
  const auto results = evaluate(b, {all.weights});
  ASSERT_EQ(results.size(), 1u);
  for (int64_t i = 0; i < 16; ++i) {
    EXPECT_EQ(results[0].at(i) == 0.0, mask[static_cast<size_t>(i)] == 1.0) << i;
  }
}

TEST(MultiHeadAttention, LengthFirstIsTheSameTransposed) {
  GraphBuilder b(builtin_ops());
  MultiHeadAttention attention(4, 2, 0.0, true, true);
  fill(b, attention);
  MultiHeadAttention turned = attention;
  turned.batch_first = false;
  const Value x = random_constant(b, DType::kF64, {2, 3, 4}, "x");
  const Value y = random_constant(b, DType::kF64, {2, 5, 4}, "y");
  const Value xt = x.transpose(0, 1), yt = y.transpose(0, 1);
  const auto one = attention.forward(x, y, y), other = turned.forward(xt, yt, yt);
  const auto results =
      evaluate(b, {one.output, other.output.transpose(0, 1), one.weights, other.weights});
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(difference(results[0], results[1], 1e-12), "");
  EXPECT_EQ(difference(results[2], results[3], 1e-12), "");
}

TEST(MultiHeadAttention, DroppedWeightsAreThoseThatWereUsed) {
  GraphBuilder b(builtin_ops());
  MultiHeadAttention attention(4, 1, 0.5, false, true);
  fill(b, attention);
  b.assign(random_seed(), b.scalar(7, DType::kI64));
  b.assign(step_count(), b.scalar(3, DType::kI64));
  const Value x = random_constant(b, DType::kF64, {2, 6, 4}, "x");
  const auto all = attention.forward(x, x, x);
  // One head: the output is that of the weights, computed by hand.
  Linear& v = attention.v_proj;
  Value by_hand;
  {
    const Value values = v.forward(x);
    std::vector<Value> rows;
    for (int64_t i = 0; i < 6; ++i) {
      const Value w = all.weights.transpose(1, 2);  // [batch, keys, queries]
      rows.push_back((slice_axis(w, 2, i, i + 1) * values).sum(1));
    }
    by_hand = attention.out_proj.forward(stack(rows, 1));
  }
  const auto results = evaluate(b, {all.output, by_hand, all.weights});
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(difference(results[0], results[1], 1e-12), "");
  int64_t zeros = 0;
  for (int64_t i = 0; i < results[2].elements(); ++i) zeros += results[2].at(i) == 0.0;
  EXPECT_GT(zeros, 15);
  EXPECT_LT(zeros, 57);  // of 72, each with probability 1/2
}

TEST(MultiHeadAttention, EvaluationDropsNothing) {
  GraphBuilder b(builtin_ops());
  MultiHeadAttention attention(4, 2, 0.5, true, true);
  fill(b, attention);
  attention.eval();
  const Value x = random_constant(b, DType::kF64, {2, 3, 4}, "x");
  const auto all = attention.forward(x, x, x);
  for (double sum : numbers_of(b, all.weights.sum(2))) EXPECT_NEAR(sum, 1.0, 1e-12);
}

}  // namespace
}  // namespace modellib::nn
