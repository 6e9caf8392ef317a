#include "modellib/ops/attention.h"

#include <gmock/gmock.h>

#include <cmath>

#include "modellib/ops/gradients.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib {
namespace {

using testing::Each;
using testing::HasSubstr;

constexpr DType kF64 = DType::kF64;

Value row_of(Value x, int64_t row) { return slice_axis(x, 0, row, row + 1); }

// One graph decodes rows of different age: each row must get what causal attention over its own
// keys gives its last queries.
TEST(Attention, LengthsPlaceTheQueriesAtTheEndOfEachRow) {
  constexpr int64_t kHeads = 2, kQueries = 2, kCapacity = 7, kSize = 4;
  const std::vector<double> ages = {2, 5, 7};
  GraphBuilder b(builtin_ops());
  const auto batch = static_cast<int64_t>(ages.size());
  const Value q = random_constant(b, kF64, {batch, kHeads, kCapacity, kSize}, "q");
  const Value k = random_constant(b, kF64, {batch, kHeads, kCapacity, kSize}, "k");
  const Value v = random_constant(b, kF64, {batch, kHeads, kCapacity, kSize}, "v");
  const Value lengths = constant(b, DType::kI64, {batch}, ages);
  std::vector<Value> last_queries, expected;
  for (int64_t row = 0; row < batch; ++row) {
    const auto age = static_cast<int64_t>(ages[static_cast<size_t>(row)]);
    const auto own = [&](Value x) { return slice_axis(row_of(x, row), 2, 0, age); };
    last_queries.push_back(slice_axis(row_of(q, row), 2, age - kQueries, age));
    const Value all = attention(own(q), own(k), own(v), {.is_causal = true});
    expected.push_back(slice_axis(all, 2, age - kQueries, age));
  }
  const Value decoded = attention(concat(last_queries, 0), k, v, {.is_causal = true},
                                  {.mask = {}, .lengths = lengths, .key = {}});
  const std::vector<Tensor> out = evaluate(b, {decoded, concat(expected, 0)});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(difference(out[0], out[1], 1e-12), "");
}

TEST(Attention, LengthsHideTheKeysBehindThem) {
  const std::vector<double> lengths = {1, 3};
  GraphBuilder b(builtin_ops());
  const Value q = random_constant(b, kF64, {2, 1, 2, 3}, "q");
  const Value k = random_constant(b, kF64, {2, 1, 4, 3}, "k");
  const Value v = random_constant(b, kF64, {2, 1, 4, 3}, "v");
  const Value all = attention(
      q, k, v, {}, {.mask = {}, .lengths = constant(b, DType::kI64, {2}, lengths), .key = {}});
  std::vector<Value> rows;
  for (int64_t row = 0; row < 2; ++row) {
    const auto seen = [&](Value x) {
      return slice_axis(row_of(x, row), 2, 0,
                        static_cast<int64_t>(lengths[static_cast<size_t>(row)]));
    };
    rows.push_back(attention(row_of(q, row), seen(k), seen(v)));
  }
  const std::vector<Tensor> out = evaluate(b, {all, concat(rows, 0)});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(difference(out[0], out[1], 1e-12), "");
}

// The second operand is what stands in for the first one where that comes again.
TEST(Attention, OperandsThatAreReshapesOfOneAnotherHaveGradientsOfTheirOwn) {
  GraphBuilder b(builtin_ops());
  const OpDef* const op = builtin_ops().find("attention");
  ASSERT_NE(op, nullptr);
  const Attributes attributes = Attributes::of(AttentionAttributes{});
  const Value x = random_constant(b, kF64, {1, 1, 3, 2}, "x");
  const Value upstream = random_constant(b, kF64, {1, 1, 3, 2}, "upstream");
  const auto gradients_of = [&](const std::vector<Value>& operands) {
    OpCall call{b, *op, attributes, operands, {}};
    call.outputs = b.emit(*op, operands, attributes);
    return decomposition_gradient(call, std::vector<Value>{upstream, Value()});
  };
  const Value y = neg(neg(x)), z = neg(neg(y));  // the same numbers
  const std::vector<Value> want = gradients_of({x, y, z});
  const Value same = reshape(reshape(x, {1, 1, 1, 3, 2}), {1, 1, 3, 2});
  const std::vector<Value> got = gradients_of({x, same, x});
  ASSERT_EQ(want.size(), 3u);
  ASSERT_EQ(got.size(), 3u);
  for (size_t i = 0; i < 3; ++i) ASSERT_FALSE(want[i].is_null() || got[i].is_null()) << i;
  const std::vector<Tensor> out = evaluate(b, {got[0], got[1], got[2], want[0], want[1], want[2]});
  ASSERT_EQ(out.size(), 6u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(difference(out[i], out[3 + i], 1e-12), "") << i;
}

TEST(Attention, AQueryThatSeesNothingGivesZerosAndNoGradient) {
  GraphBuilder b(builtin_ops());
  const Value q = random_constant(b, kF64, {1, 1, 2, 3}, "q");
  const Value k = random_constant(b, kF64, {1, 1, 3, 3}, "k");
  const Value v = random_constant(b, kF64, {1, 1, 3, 3}, "v");
  const Value mask = constant(b, DType::kBool, {2, 3}, {0, 0, 0, 1, 0, 1});
  const Value out = attention(q, k, v, {}, {.mask = mask, .lengths = {}, .key = {}});
  const Value dq = gradients(b, reduce_sum(square(out)), {q})[0];
  const std::vector<Tensor> got =
      evaluate(b, {slice_axis(out, 2, 0, 1), slice_axis(dq, 2, 0, 1), slice_axis(dq, 2, 1, 2)});
  ASSERT_EQ(got.size(), 3u);
  EXPECT_THAT(numbers(got[0]), Each(0.0));
  EXPECT_THAT(numbers(got[1]), Each(0.0));
  EXPECT_THAT(numbers(got[2]), Each(testing::Ne(0.0)));
}

TEST(Attention, AQueryThatSeesNothingGivesNanWhereAskedFor) {
  GraphBuilder b(builtin_ops());
  const Value q = random_constant(b, kF64, {1, 1, 2, 3}, "q");
  const Value k = random_constant(b, kF64, {1, 1, 3, 3}, "k");
  const Value v = random_constant(b, kF64, {1, 1, 3, 3}, "v");
  const Value mask = constant(b, DType::kBool, {2, 3}, {0, 0, 0, 1, 0, 1});
  const AttentionOperands operands{.mask = mask, .lengths = {}, .key = {}};
  const Value asked = attention(q, k, v, {.nan_where_blind = true}, operands);
  const Value zeros = attention(q, k, v, {}, operands);
  const std::vector<Tensor> got = evaluate(
      b, {slice_axis(asked, 2, 0, 1), slice_axis(asked, 2, 1, 2), slice_axis(zeros, 2, 1, 2)});
  ASSERT_EQ(got.size(), 3u);
  for (const double x : numbers(got[0])) EXPECT_TRUE(std::isnan(x)) << x;
  EXPECT_EQ(difference(got[1], got[2], 0), "");
}

TEST(Attention, CausalIsAlignedTopLeft) {
  GraphBuilder b(builtin_ops());
  const Value q = random_constant(b, kF64, {1, 1, 2, 3}, "q");
  const Value k = random_constant(b, kF64, {1, 1, 5, 3}, "k");
  const Value v = random_constant(b, kF64, {1, 1, 5, 3}, "v");
  const Value out = attention(q, k, v, {.is_causal = true});
  const auto got = evaluate(b, {slice_axis(out, 2, 0, 1), slice_axis(v, 2, 0, 1)});
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(difference(got[0], got[1], 1e-15), "") << "the first query sees the first key alone";
}

TEST(Attention, HeadsOfAGroupShareTheirKeys) {
  GraphBuilder b(builtin_ops());
  const Value q = random_constant(b, kF64, {2, 6, 3, 4}, "q");
  const Value k = random_constant(b, kF64, {2, 2, 5, 4}, "k");
  const Value v = random_constant(b, kF64, {2, 2, 5, 4}, "v");
  const auto repeated = [&](Value x) {
    return reshape(broadcast_to(reshape(x, {2, 2, 1, 5, 4}), {2, 2, 3, 5, 4}), {2, 6, 5, 4});
  };
  const auto got = evaluate(b, {attention(q, k, v), attention(q, repeated(k), repeated(v))});
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(difference(got[0], got[1], 1e-12), "");
}

TEST(Attention, DropoutKeepsTheMeanAndItsGradientDropsTheSame) {
  GraphBuilder b(builtin_ops());
  const Value x = random_constant(b, kF64, {1, 1, 40, 2}, "x");
  const Value v = constant(b, kF64, {1, 1, 40, 1}, std::vector<double>(40, 1.0));
  const Value key = b.scalar(5, DType::kI64);
  const Value out =
      attention(x, x, v, {.dropout_p = 0.25, .stream = 1}, {.mask = {}, .lengths = {}, .key = key});
  // Σ out is linear in v, so that its gradient times v is Σ out itself if the same are dropped.
  const Value sum = reduce_sum(out);
  const Value dv = gradients(b, sum, {v})[0];
  const auto got = evaluate(b, {sum, reduce_sum(dv * v), out});
  ASSERT_EQ(got.size(), 3u);
  EXPECT_NEAR(got[0].at(0), got[1].at(0), 1e-9);
  EXPECT_NEAR(got[0].at(0) / 40, 1.0, 0.05);
  EXPECT_GT(std::fabs(got[2].at(0) - got[2].at(1)), 1e-3) << "rows drop different keys";
}

TEST(Attention, WhatDropsAllIsZeroAndHasNoGradient) {
  GraphBuilder b(builtin_ops());
  const Value x = random_constant(b, kF64, {1, 2, 5, 4}, "x");
  const Value v = random_constant(b, kF64, {1, 2, 5, 3}, "v");
  const Value key = b.scalar(5, DType::kI64);
  const Value out = attention(x, x, v, {.dropout_p = 1.0}, {.mask = {}, .lengths = {}, .key = key});
  std::vector<Value> all = gradients(b, reduce_sum(out), {x, v});
  all.push_back(out);
  for (const Tensor& t : evaluate(b, all)) EXPECT_THAT(numbers(t), testing::Each(0.0));
}

TEST(Attention, MistakesAreNamed) {
  const auto status = [](Shape q, Shape k, AttentionAttributes attributes, TensorType mask = {}) {
    GraphBuilder b(builtin_ops());
    const Value queries = b.input("q", {kF64, std::move(q)});
    const Value keys = b.input("k", {kF64, std::move(k)});
    AttentionOperands operands;
    if (mask.dtype != DType::kInvalid) operands.mask = b.input("mask", mask);
    attention(queries, keys, keys, attributes, operands);
    return std::string(b.status().message());
  };
  EXPECT_THAT(status({1, 3, 4, 2}, {1, 2, 4, 2}, {}), HasSubstr("a multiple of those of keys"));
  EXPECT_THAT(status({1, 2, 4, 2}, {1, 2, 4, 3}, {}), HasSubstr("sizes of queries and keys"));
  EXPECT_THAT(status({1, 2, 4, 2}, {1, 2, 4, 2}, {.dropout_p = 0.5, .stream = 0}),
              HasSubstr("needs a random key"));
  EXPECT_THAT(status({1, 2, 4, 2}, {1, 2, 4, 2}, {.dropout_p = 1.5}), HasSubstr("[0, 1]"));
  EXPECT_THAT(status({1, 2, 4, 2}, {1, 2, 4, 2}, {}, {DType::kBool, {4, 3}}),
              HasSubstr("the mask must broadcast to [1,2,4,4]"));
  EXPECT_THAT(status({1, 2, 4, Dim::symbol("d")}, {1, 2, 4, Dim::symbol("d")}, {}),
              HasSubstr("head size must be known ahead"));
  EXPECT_EQ(status({1, 2, 4, 2}, {1, 2, 4, 2}, {}), "");
}

class RotaryEmbedding : public testing::TestWithParam<bool> {};

// What it is for: the product of a turned query and a turned key depends on their distance alone.
TEST_P(RotaryEmbedding, ProductsDependOnTheDistance) {
  const bool interleaved = GetParam();
  GraphBuilder b(builtin_ops());
  const Value q = random_constant(b, kF64, {1, 1, 1, 6}, "q");
  const Value k = random_constant(b, kF64, {1, 1, 1, 6}, "k");
  const auto turned = [&](Value x, double position) {
    return rotary_embedding(x, constant(b, DType::kI64, {1}, {position}), 100.0, interleaved);
  };
  const auto product = [&](double i, double j) { return reduce_sum(turned(q, i) * turned(k, j)); };
  const auto got = evaluate(b, {product(3, 1), product(12, 10), product(3, 2), turned(q, 0), q});
  ASSERT_EQ(got.size(), 5u);
  EXPECT_NEAR(got[0].at(0), got[1].at(0), 1e-12);
  EXPECT_GT(std::fabs(got[0].at(0) - got[2].at(0)), 1e-3);
  EXPECT_EQ(difference(got[3], got[4], 0), "") << "position 0 turns nothing";
}
INSTANTIATE_TEST_SUITE_P(Layout, RotaryEmbedding, testing::Bool());

TEST(RotaryEmbedding, PairsAndAngles) {
  GraphBuilder b(builtin_ops());
  const Value x = constant(b, kF64, {1, 1, 1, 4}, {1, 2, 3, 4});
  const Value positions = constant(b, DType::kI64, {1, 1}, {2});  // a row of its own positions
  const auto got = evaluate(
      b, {rotary_embedding(x, positions, 16.0, false), rotary_embedding(x, positions, 16.0, true)});
  ASSERT_EQ(got.size(), 2u);
  // Angles: 2 · 16^0 and 2 · 16^-½.
  const double c0 = std::cos(2.0), s0 = std::sin(2.0), c1 = std::cos(0.5), s1 = std::sin(0.5);
  const std::vector<double> half = {c0 - 3 * s0, 2 * c1 - 4 * s1, 3 * c0 + s0, 4 * c1 + 2 * s1};
  const std::vector<double> interleaved = {c0 - 2 * s0, 2 * c0 + s0, 3 * c1 - 4 * s1,
                                           4 * c1 + 3 * s1};
  EXPECT_THAT(numbers(got[0]), testing::Pointwise(testing::DoubleNear(1e-12), half));
  EXPECT_THAT(numbers(got[1]), testing::Pointwise(testing::DoubleNear(1e-12), interleaved));
}

}  // namespace
}  // namespace modellib
