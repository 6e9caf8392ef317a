#include "modellib/frontends/cli/compare_tensors.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace modellib::cli {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor tensor(std::vector<int64_t> shape, const std::vector<double>& values) {
  Tensor t = Tensor::zeros(DType::kF32, shape).value();
  for (size_t i = 0; i < values.size(); ++i) t.set(static_cast<int64_t>(i), values[i]);
  return t;
}

TEST(CompareTensors, FindsTheElementThatIsFurthestOut) {
  const Tensor a = tensor({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor b = tensor({2, 3}, {1, 2.00001, 3.5, 4, 5.25, 6});
  const TensorDifference d = compare_tensors(a, b, {1e-3, 1e-4});
  EXPECT_TRUE(d.parted());
  EXPECT_EQ(d.differing, 2);
  EXPECT_EQ(d.worst, 2);
  EXPECT_EQ(d.b, 3.5);
  EXPECT_EQ(d.largest, 0.5);
  EXPECT_EQ(position(a, d.worst), "[0,2]");
  EXPECT_FALSE(compare_tensors(a, b, {0.2, 0}).parted());
}

TEST(CompareTensors, NanEqualsNanAndNothingElse) {
  EXPECT_FALSE(compare_tensors(tensor({2}, {kNan, 1}), tensor({2}, {kNan, 1}), {}).parted());
  const TensorDifference d = compare_tensors(tensor({2}, {0, 1}), tensor({2}, {0, kNan}), {});
  EXPECT_EQ(d.differing, 1);
  EXPECT_EQ(d.worst, 1);
  EXPECT_FALSE(compare_tensors(tensor({1}, {kInfinity}), tensor({1}, {kInfinity}), {}).parted());
  EXPECT_TRUE(compare_tensors(tensor({1}, {kInfinity}), tensor({1}, {-kInfinity}), {}).parted());
  EXPECT_TRUE(compare_tensors(tensor({1}, {kInfinity}), tensor({1}, {1e30}), {1, 1}).parted());
}

TEST(CompareTensors, IntegersAreComparedToTheLastBit) {
  const int64_t large = int64_t{1} << 60;
  const Tensor a = Tensor::scalar<int64_t>(large), b = Tensor::scalar<int64_t>(large + 1);
  const TensorDifference d = compare_tensors(a, b, {0, 0});
  EXPECT_EQ(d.differing, 1);
  EXPECT_EQ(d.worst, 0);
  EXPECT_EQ(d.largest, 1);
  EXPECT_FALSE(compare_tensors(a, b, {0, 1}).parted());
  EXPECT_FALSE(compare_tensors(a, a, {0, 0}).parted());
  // Of the same bits, and of the same number in another type.
  EXPECT_TRUE(
      compare_tensors(Tensor::scalar<uint64_t>(~uint64_t{0}), Tensor::scalar<int64_t>(-1), {0, 0})
          .parted());
  EXPECT_FALSE(
      compare_tensors(Tensor::scalar<uint64_t>(7), Tensor::scalar<int32_t>(7), {0, 0}).parted());
  EXPECT_EQ(compare_tensors(Tensor::scalar<int64_t>(std::numeric_limits<int64_t>::min()),
                            Tensor::scalar<uint64_t>(~uint64_t{0}), {0, 0})
                .largest,
            0x1p64 + 0x1p63);
}

TEST(CompareTensors, ShapesMustBeTheSame) {
  EXPECT_TRUE(compare_tensors(tensor({2, 1}, {1, 2}), tensor({1, 2}, {1, 2}), {}).parted());
}

TEST(ElementText, HasAllDigitsOfIntegers) {
  EXPECT_EQ(element_text(Tensor::scalar<int64_t>((int64_t{1} << 60) + 1), 0),
            "1152921504606846977");
  EXPECT_EQ(element_text(Tensor::scalar<int64_t>(-3), 0), "-3");
  EXPECT_EQ(element_text(Tensor::scalar<uint64_t>(~uint64_t{0}), 0), "18446744073709551615");
  EXPECT_EQ(element_text(tensor({2}, {1, kNan}), 1), "nan");
  EXPECT_EQ(element_text(tensor({2}, {0.5, 1}), 0), "0.5");
}

TEST(FirstNan, IsFoundInFloatsAlone) {
  EXPECT_EQ(first_nan(tensor({2, 2}, {1, 2, kNan, kNan})), 2);
  EXPECT_EQ(first_nan(tensor({1}, {kInfinity})), -1);
  EXPECT_EQ(first_nan(Tensor::scalar(int32_t{1})), -1);
}

}  // namespace
}  // namespace modellib::cli
