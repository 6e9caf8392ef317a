#include "modellib/ops/dropout.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "modellib/ops/gradients.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/random.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib {
namespace {

using testing::AnyOf;
using testing::Each;
using testing::HasSubstr;

Value key_of(GraphBuilder& b, int64_t seed = 1) {
  return b.scalar(static_cast<double>(seed), DType::kI64);
}
Value ones(GraphBuilder& b, Shape shape) { return full(b.scalar(1.0), std::move(shape), 1.0); }

TEST(Dropout, KeepsTheShareThatItSaysAndScalesIt) {
  GraphBuilder b(builtin_ops());
  const std::vector<double> y = numbers_of(b, dropout(ones(b, {100, 100}), key_of(b), {.p = 0.2}));
  ASSERT_EQ(y.size(), 10000u);
  EXPECT_THAT(y, Each(AnyOf(0.0, 1.25)));
  const auto dropped = static_cast<double>(std::count(y.begin(), y.end(), 0.0));
  EXPECT_NEAR(dropped / 10000, 0.2, 0.02);  // five standard deviations
}

TEST(Dropout, ItsGradientDropsTheSameElements) {
  GraphBuilder b(builtin_ops());
  const Value x = ones(b, {30, 30});
  const Value y = dropout(x, key_of(b), {.p = 0.5});
  const auto got = evaluate(b, {y, gradients(b, reduce_sum(y), {x})[0]});
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(got[0].identical(got[1]));
}

TEST(Dropout, DiffersBetweenCallSitesAndKeys) {
  GraphBuilder b(builtin_ops());
  const Value x = ones(b, {20, 20});
  const Value first = dropout(x, key_of(b)), second = dropout(x, key_of(b)),
              later = dropout(x, fold_in(key_of(b), 7), {.p = 0.5, .stream = 5}),
              earlier = dropout(x, key_of(b), {.p = 0.5, .stream = 5}),
              again = dropout(x, key_of(b), {.p = 0.5, .stream = 5});
  EXPECT_EQ(earlier, again) << "the same numbers are one node";
  const auto got = evaluate(b, {first, second, later, earlier});
  ASSERT_EQ(got.size(), 4u);
  EXPECT_FALSE(got[0].identical(got[1]));
  EXPECT_FALSE(got[2].identical(got[3]));
}

// How many different values each slice of [a, b, n] has along the last axis.
bool rows_are_uniform(const Tensor& t, int64_t row) {
  for (int64_t i = 0; i < t.elements(); ++i) {
    if (t.at(i) != t.at(i / row * row)) return false;
  }
  return true;
}
bool has_both(const Tensor& t) {
  const std::vector<double> all = numbers(t);
  return *std::min_element(all.begin(), all.end()) == 0.0 &&
         *std::max_element(all.begin(), all.end()) > 0.0;
}

TEST(Dropout2d, DropsChannels) {
  GraphBuilder b(builtin_ops());
  const auto got = evaluate(b, {dropout2d(ones(b, {8, 8, 3, 2}), key_of(b), 0.5)});
  ASSERT_EQ(got.size(), 1u);
  EXPECT_TRUE(rows_are_uniform(got[0], 6));
  EXPECT_FALSE(rows_are_uniform(got[0], 8 * 6));
  EXPECT_TRUE(has_both(got[0]));
}

TEST(DropPath, DropsSamples) {
  GraphBuilder b(builtin_ops());
  const Value x = ones(b, {32, 4});
  const auto got =
      evaluate(b, {drop_path(x, key_of(b), 0.25), drop_path(x, key_of(b), 0.25, false)});
  ASSERT_EQ(got.size(), 2u);
  for (const Tensor& t : got) {
    EXPECT_TRUE(rows_are_uniform(t, 4));
    EXPECT_TRUE(has_both(t));
  }
  EXPECT_THAT(numbers(got[0]), Each(AnyOf(0.0, testing::DoubleNear(4.0 / 3, 1e-6))));
  EXPECT_THAT(numbers(got[1]), Each(AnyOf(0.0, testing::DoubleNear(1.0, 1e-6))));
}

TEST(DropBatch, DropsAllOrNothing) {
  int dropped = 0;
  for (int64_t seed = 0; seed < 40; ++seed) {
    GraphBuilder b(builtin_ops());
    const auto got = evaluate(b, {drop_batch(ones(b, {4, 3}), key_of(b, seed), 0.5)});
    ASSERT_EQ(got.size(), 1u);
    EXPECT_TRUE(rows_are_uniform(got[0], 12));
    dropped += got[0].at(0) == 0.0;
  }
  EXPECT_GT(dropped, 8);
  EXPECT_LT(dropped, 32);
}

TEST(AlphaDropout, KeepsMeanAndVariance) {
  GraphBuilder b(builtin_ops());
  const Value x = random_normal(key_of(b, 3), {.shape = {200, 200}});
  const Value y = alpha_dropout(x, key_of(b), 0.3);
  const auto got = evaluate(b, {reduce_mean(y), reduce_mean(square(y))});
  ASSERT_EQ(got.size(), 2u);
  EXPECT_NEAR(got[0].at(0), 0.0, 0.03);
  EXPECT_NEAR(got[1].at(0), 1.0, 0.03);
}

TEST(Dropout, MistakesAreNamed) {
  const auto message = [](auto call) {
    GraphBuilder b(builtin_ops());
    call(b, ones(b, {3}));
    return std::string(b.status().message());
  };
  EXPECT_THAT(message([](GraphBuilder& b, Value x) { dropout(x, key_of(b), {.p = 1.5}); }),
              HasSubstr("p must lie in [0, 1]"));
  EXPECT_THAT(message([](GraphBuilder& b, Value x) { dropout(x, x); }), HasSubstr("dropout"));
  EXPECT_THAT(message([](GraphBuilder& b, Value x) { dropout(x, Value()); }), HasSubstr("null"));
  EXPECT_THAT(message([](GraphBuilder& b, Value x) { dropout2d(x, key_of(b)); }),
              HasSubstr("axis 1"));
}

}  // namespace
}  // namespace modellib
