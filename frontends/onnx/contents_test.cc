#include "modellib/frontends/onnx/contents.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/dim.h"
#include "modellib/graph/tensor.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {
namespace {

// x under another shape again and again: as many nodes that hold as many numbers.
Value reshaped(Value x, int times) {
  for (int i = 0; i < times; ++i) x = reshape(x, i % 2 == 0 ? Shape{32, 32} : Shape{1024});
  return x;
}

TEST(Contents, AreFollowedBackThroughLongChains) {
  GraphBuilder b(builtin_ops());
  Value x = dim_value(b, Dim::symbol("n"));
  for (int i = 0; i < 20000; ++i) x = reshape(x, i % 2 == 0 ? Shape{1} : Shape{});
  Contents contents;
  const std::vector<Number>* numbers = contents.of(x);
  ASSERT_NE(numbers, nullptr);
  ASSERT_EQ(numbers->size(), 1u);
  EXPECT_EQ(numbers->front().integer, Dim::symbol("n"));
}

// Four million numbers are kept, and nodes that nobody asks for need none.
TEST(Contents, KeepOnlySoManyNumbers) {
  GraphBuilder b(builtin_ops());
  const Value first = b.constant(*Tensor::zeros(DType::kI64, {1024}));
  const Value last = reshaped(first, 5000);
  const Value two = b.constant(Tensor::scalar<int64_t>(2));
  const Value four = add(two, two);
  Contents contents;
  ASSERT_NE(contents.of(four), nullptr);
  EXPECT_EQ(contents.of(four)->front().integer, Dim(4));
  EXPECT_EQ(contents.of(last), nullptr);
  EXPECT_NE(contents.of(first), nullptr);
  EXPECT_EQ(contents.of(add(four, two)), nullptr);
  EXPECT_NE(contents.of(four), nullptr);
}

TEST(Contents, OfWhatARegionCapturesAreThoseOfItsOrigin) {
  GraphBuilder b(builtin_ops());
  const Value n = dim_value(b, Dim::symbol("n"));
  Contents contents;
  const auto body = [&](GraphBuilder& inner, absl::Span<const Value>) {
    const Value captured = inner.captured(n);
    EXPECT_EQ(contents.of(captured), nullptr);
    contents.alias(captured, n);
    const Value twice = add(captured, captured);
    const std::vector<Number>* numbers = contents.of(twice);
    EXPECT_NE(numbers, nullptr);
    if (numbers != nullptr) {
      EXPECT_EQ(numbers->front().integer, Dim::symbol("n") * 2);
    }
    contents.forget(inner);
    return std::vector<Value>{twice};
  };
  EXPECT_TRUE(b.region("inner", {}, body).graph != nullptr);
}

}  // namespace
}  // namespace modellib::onnx
