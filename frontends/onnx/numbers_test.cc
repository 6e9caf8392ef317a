#include "modellib/frontends/onnx/numbers.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>

namespace modellib::onnx {
namespace {

constexpr int64_t kLeast = std::numeric_limits<int32_t>::min();

// The result of an op on integers of a type, if it is known.
std::optional<double> of(absl::string_view op, int64_t a, int64_t b, DType dtype) {
  return binary_number(op, Number::of(a), Number::of(b), dtype).constant();
}
std::optional<double> of(absl::string_view op, int64_t x, DType dtype) {
  return unary_number(op, Number::of(x), dtype).constant();
}

TEST(Numbers, AreUnknownWhereTheTypeDoesNotHoldThem) {
  EXPECT_EQ(of("add", 200, 55, DType::kU8), 255);
  EXPECT_EQ(of("add", 200, 100, DType::kU8), std::nullopt);
  EXPECT_EQ(of("sub", 1, 2, DType::kU8), std::nullopt);
  EXPECT_EQ(of("sub", 1, 2, DType::kU64), std::nullopt);
  EXPECT_EQ(of("sub", 1, 2, DType::kI8), -1);
  EXPECT_EQ(of("mul", 1 << 20, 1 << 11, DType::kI32), std::nullopt);
  EXPECT_EQ(of("mul", 1 << 20, 1 << 11, DType::kI64), 0x1p31);
  EXPECT_EQ(of("neg", kLeast, DType::kI32), std::nullopt);
  EXPECT_EQ(of("abs", kLeast, DType::kI32), std::nullopt);
  EXPECT_EQ(of("abs", kLeast + 1, DType::kI32), 0x1p31 - 1);
  EXPECT_EQ(of("less", 200, 100, DType::kU8), 0);
  EXPECT_EQ(of("mod", std::numeric_limits<int64_t>::min() + 1, 5, DType::kI64), std::nullopt);
  EXPECT_EQ(of("mod", -7, 5, DType::kI64), 3);
}

TEST(Numbers, OfExpressionsAreTakenToFit) {
  const Number n = Number::of(Dim::symbol("n"));
  EXPECT_TRUE(binary_number("mul", n, Number::of(3), DType::kI32).known());
}

TEST(Numbers, OfAnotherTypeAreUnknownWhereTheyDoNotFit) {
  const auto cast = [](const Number& x, DType from, DType to) {
    return cast_number(x, from, to).constant();
  };
  EXPECT_EQ(cast(Number::of(300), DType::kI64, DType::kU8), std::nullopt);
  EXPECT_EQ(cast(Number::of(-1), DType::kI64, DType::kU64), std::nullopt);
  EXPECT_EQ(cast(Number::of_real(300.5), DType::kF32, DType::kU8), std::nullopt);
  EXPECT_EQ(cast(Number::of_real(-0.5), DType::kF32, DType::kU8), 0);
  EXPECT_EQ(cast(Number::of_real(1e10), DType::kF32, DType::kI32), std::nullopt);
  EXPECT_EQ(cast(Number::of_real(1e10), DType::kF32, DType::kI64), 1e10);
}

}  // namespace
}  // namespace modellib::onnx
