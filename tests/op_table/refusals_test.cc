// What functions that emit several nodes refuse. No op's inference sees it for them, or only after
// something was read or written out of bounds.
#include <gmock/gmock.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "modellib/graph/builder.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/index.h"
#include "modellib/ops/linear.h"
#include "modellib/ops/random.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/statistics.h"

namespace modellib {
namespace {

using testing::HasSubstr;

// What is wrong with what `call` makes of an f32 input of this shape; empty: nothing.
template <class Call>
std::string mistake(const Shape& shape, const Call& call) {
  GraphBuilder b(builtin_ops());
  call(b.input("x", {DType::kF32, shape}));
  return std::string(b.status().message());
}

TEST(Refusals, AStatisticOverAnAxisThatIsNotThere) {
  for (const int64_t axis : {int64_t{2}, int64_t{-3}, int64_t{1} << 30}) {
    const std::vector<int64_t> axes = {axis};
    EXPECT_THAT(mistake({2, 3}, [&](Value x) { variance(x, {.axes = axes}); }), HasSubstr("axis"));
    EXPECT_THAT(mistake({2, 3}, [&](Value x) { count_along(x, axes); }), HasSubstr("axis"));
  }
  EXPECT_EQ(mistake({2, 3}, [](Value x) { variance(x, {.axes = {-1}}); }), "");
}

// It would broadcast, and every row have the bias of another.
TEST(Refusals, ABiasThatIsNotOneForEachOutput) {
  const auto with_bias = [](const Shape& bias) {
    return mistake({4, 3}, [&](Value x) {
      GraphBuilder& b = *x.builder();
      linear(x, b.input("w", {DType::kF32, {5, 3}}), b.input("b", {DType::kF32, bias}));
    });
  };
  EXPECT_EQ(with_bias({5}), "");
  EXPECT_THAT(with_bias({4, 1}), HasSubstr("the bias must have shape [5], is f32[4,1]"));
  EXPECT_THAT(with_bias({1}), HasSubstr("the bias must have shape [5], is f32[1]"));
}

TEST(Refusals, PositionsOfOtherRowsThanTheOperands) {
  const auto at = [](const Shape& positions) {
    return mistake({2, 1, 3, 4}, [&](Value x) {
      rotary_embedding(x, x.builder()->input("positions", {DType::kI64, positions}));
    });
  };
  EXPECT_EQ(at({3}), "");
  EXPECT_EQ(at({2, 3}), "");
  EXPECT_THAT(at({1}), HasSubstr("positions must have shape [3]"));
  EXPECT_THAT(at({1, 3}), HasSubstr("positions must have shape [2,3]"));
}

TEST(Refusals, AnOutputPaddingThatIsNone) {
  const auto padded = [](const std::vector<int64_t>& output_padding) {
    return mistake({1, 2, 3, 3}, [&](Value x) {
      const Value filter = x.builder()->input("filter", {DType::kF32, {2, 2, 3, 3}});
      conv_transpose(x, filter, {.strides = {2, 2}}, output_padding);
    });
  };
  EXPECT_EQ(padded({}), "");
  EXPECT_EQ(padded({1, 0}), "");
  EXPECT_THAT(padded({-1, 0}), HasSubstr("output_padding is [-1,0]"));
  EXPECT_THAT(padded({1}), HasSubstr("expected 2 numbers"));
}

TEST(Refusals, NegativeExtents) {
  const auto of = [](const std::function<Value(GraphBuilder&)>& call) {
    return mistake({}, [&](Value x) { call(*x.builder()); });
  };
  EXPECT_THAT(of([](GraphBuilder& b) {
                return iota(b, {2, -3});
              }),
              HasSubstr("extent -3 of [2,-3] is negative"));
  EXPECT_THAT(
      of([](GraphBuilder& b) { return random_uniform(b.scalar(1, DType::kI64), {.shape = {-1}}); }),
      HasSubstr("extent -1 of [-1] is negative"));
  EXPECT_THAT(of([](GraphBuilder& b) { return one_hot(b.scalar(1, DType::kI64), -2); }),
              HasSubstr("extent -2 of [-2] is negative"));
}

// An i8 would name two of 300 classes.
TEST(Refusals, ClassesByNumbersTooNarrow) {
  const auto of = [](DType dtype) {
    return mistake({}, [&](Value x) { one_hot(x.builder()->input("at", {dtype, {2}}), 300); });
  };
  for (const DType dtype : {DType::kI8, DType::kU8, DType::kI16, DType::kU32, DType::kF32}) {
    EXPECT_THAT(of(dtype), HasSubstr("one_hot: indices must be i64 or i32")) << to_string(dtype);
  }
  for (const DType dtype : {DType::kI64, DType::kI32}) EXPECT_EQ(of(dtype), "");
}

TEST(Refusals, NegativeCounts) {
  EXPECT_THAT(mistake({4},
                      [](Value x) {
                        split(x, std::vector<int64_t>{5, -1}, 0);
                      }),
              HasSubstr("size of -1"));
  EXPECT_THAT(mistake({4}, [](Value x) { tile(x, {-2}); }), HasSubstr("repeats of -2"));
  EXPECT_EQ(mistake({4}, [](Value x) { tile(x, {0}); }), "");
}

}  // namespace
}  // namespace modellib
