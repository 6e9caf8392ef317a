// Embedding and positions: first values, frozen tables, paddings.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "modellib/frontends/nn/nn.h"
#include "modellib/ops/embedding.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib::nn {
namespace {

TEST(Embedding, ThePaddingStartsAsZeros) {
  GraphBuilder b(builtin_ops());
  const Embedding layer(6, 5, {.padding_idx = -2});
  EXPECT_EQ(layer.options.padding_idx, 4);
  const Value key = b.scalar(3, DType::kI64);
  const auto first = numbers_of(b, layer.weight.initializer()(b, key, {DType::kF32, {6, 5}}));
  ASSERT_EQ(first.size(), 30u);
  for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i] == 0.0, i / 5 == 4) << i;
}

TEST(Embedding, FromPretrainedIsFrozenUnlessToldOtherwise) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const Tensor table = *Tensor::of<float>({3, 2}, values);
  const Embedding frozen = Embedding::from_pretrained(table);
  EXPECT_EQ(frozen.num_embeddings, 3);
  EXPECT_EQ(frozen.embedding_dim, 2);
  EXPECT_FALSE(frozen.weight.requires_grad());
  EXPECT_TRUE(Embedding::from_pretrained(table, false).weight.requires_grad());
  GraphBuilder b(builtin_ops());
  const Value first =
      frozen.weight.initializer()(b, b.scalar(0, DType::kI64), {DType::kF32, {3, 2}});
  EXPECT_EQ(numbers_of(b, first), (std::vector<double>{1, 2, 3, 4, 5, 6}));
}

// What the look-up, or its gradient alone, comes to for an id of a table of five rows.
absl::StatusCode code_for(int64_t id, DType dtype, bool is_constant, bool of_gradient) {
  GraphBuilder b(builtin_ops());
  Tensor ids = *Tensor::zeros(dtype, {2});
  ids.set_int(1, id);
  const Value given = is_constant ? b.constant(ids) : b.input("ids", {dtype, {2}});
  const Value table = random_constant(b, DType::kF32, {5, 3}, "table");
  const Value rows = modellib::embedding(table, given);
  b.output("y", of_gradient ? vjp(b, {rows}, {ones_like(rows)}, {table})[0] : rows);
  const auto graph = b.build();
  EXPECT_TRUE(graph.ok()) << graph.status();
  std::vector<Tensor> inputs;
  if (!is_constant) inputs.push_back(ids);
  return run_reference(*graph, inputs).status().code();
}

TEST(Embedding, AnIdOutOfRangeIsAnError) {
  for (const DType dtype : {DType::kI64, DType::kI32}) {
    for (const bool is_constant : {false, true}) {
      for (const bool of_gradient : {false, true}) {
        const auto code = [&](int64_t id) { return code_for(id, dtype, is_constant, of_gradient); };
        for (const int64_t id : {0, 4}) EXPECT_EQ(code(id), absl::StatusCode::kOk) << id;
        for (const int64_t id : {-1, -5, -6, 5}) {
          EXPECT_EQ(code(id), absl::StatusCode::kOutOfRange) << id;
        }
      }
    }
  }
}

TEST(PositionalEncoding, AddsSinesAndCosines) {
  GraphBuilder b(builtin_ops());
  PositionalEncoding encoding(4, 0.0);
  const std::vector<double> y =
      numbers_of(b, encoding.forward(constant(b, DType::kF64, {3, 1, 4}, std::vector<double>(12))));
  ASSERT_EQ(y.size(), 12u);
  for (int t = 0; t < 3; ++t) {
    const auto at = [&](int i) { return y[static_cast<size_t>(4 * t + i)]; };
    EXPECT_NEAR(at(0), std::sin(t), 1e-12);
    EXPECT_NEAR(at(1), std::cos(t), 1e-12);
    EXPECT_NEAR(at(2), std::sin(t / 100.0), 1e-12);
    EXPECT_NEAR(at(3), std::cos(t / 100.0), 1e-12);
  }
}

TEST(LearnedPositionalEncoding, GivesARowForEachPosition) {
  GraphBuilder b(builtin_ops());
  LearnedPositionalEncoding positions(5, 2);
  positions.name_parameters();
  positions.embeddings.weight.assign(
      constant(b, DType::kF32, {5, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  const Value ids = constant(b, DType::kI64, {2, 3}, std::vector<double>(6));
  EXPECT_EQ(numbers_of(b, positions.forward(ids)), (std::vector<double>{0, 1, 2, 3, 4, 5}));
}

TEST(RotaryPositionalEncoding, KeepsLengthsAndThePositionZero) {
  GraphBuilder b(builtin_ops());
  RotaryPositionalEncoding rotary(4);
  const Value x = random_constant(b, DType::kF64, {1, 2, 3, 4}, "x");
  const Value y = rotary.forward(x);
  const auto results = evaluate(b, {x, y, (x * x).sum(3), (y * y).sum(3)});
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(difference(results[3], results[2], 1e-12), "");
  EXPECT_EQ(results[1].at(0), results[0].at(0));
  EXPECT_NE(results[1].at(4), results[0].at(4));
}

}  // namespace
}  // namespace modellib::nn
