#include "modellib/graph/tensor.h"

#include <gtest/gtest.h>

namespace modellib {
namespace {

TEST(Tensor, OwnsZeroedAlignedBytes) {
  Tensor t = *Tensor::zeros(DType::kF32, {2, 3});
  EXPECT_EQ(t.elements(), 6);
  EXPECT_EQ(t.bytes(), 24);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.data()) % 64, 0u);
  for (float v : t.as<float>()) EXPECT_EQ(v, 0.0f);
  EXPECT_TRUE(t.as<double>().empty());
}

TEST(Tensor, RefusesImpossibleShapes) {
  EXPECT_FALSE(Tensor::zeros(DType::kF32, {-1}).ok());
  EXPECT_FALSE(Tensor::zeros(DType::kF32, {int64_t{1} << 40, int64_t{1} << 40}).ok());
  EXPECT_FALSE(Tensor::zeros(DType::kF64, {int64_t{1} << 50}).ok());
  EXPECT_FALSE(Tensor::of<float>({3}, {1.0f, 2.0f}).ok());
  EXPECT_TRUE(Tensor::zeros(DType::kF32, {0, int64_t{1} << 60}).ok());
}

TEST(Tensor, BorrowedBytesStayWhereTheyAre) {
  const float values[] = {1, 2, 3, 4};
  auto owner = std::make_shared<int>(0);
  Tensor t = *Tensor::borrowed(DType::kF32, {4}, values, sizeof(values), owner);
  EXPECT_EQ(t.data(), reinterpret_cast<const std::byte*>(values));
  EXPECT_EQ(t.mutable_data(), nullptr);
  EXPECT_EQ(owner.use_count(), 2);
  t = Tensor();
  EXPECT_EQ(owner.use_count(), 1);
}

TEST(Tensor, ElementsOfEveryType) {
  for (DType d : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI4, DType::kI8,
                  DType::kI16, DType::kI32, DType::kI64, DType::kF8E4M3, DType::kF8E5M2}) {
    Tensor t = *Tensor::zeros(d, {3});
    t.set(1, -3);
    t.set_int(2, 5);
    EXPECT_EQ(t.at(0), 0) << to_string(d);
    EXPECT_EQ(t.at(1), -3) << to_string(d);
    EXPECT_EQ(t.int_at(2), 5) << to_string(d);
  }
}

// 2^60 + 2^36 lies halfway between two of f32; a double has no room for the 1.
TEST(Tensor, IntegersRoundToF32Once) {
  const int64_t above_half = (int64_t{1} << 60) + (int64_t{1} << 36) + 1;
  Tensor t = *Tensor::zeros(DType::kF32, {2});
  t.set_int(0, above_half);
  t.set_int(1, -above_half);
  EXPECT_EQ(t.at(0), 0x1p60 + 0x1p37);
  EXPECT_EQ(t.at(1), -0x1p60 - 0x1p37);
}

TEST(Tensor, IdentityAndHashFollowContent) {
  Tensor a = *Tensor::of<float>({2}, {1, 2}), b = *Tensor::of<float>({2}, {1, 2});
  Tensor c = *Tensor::of<float>({2, 1}, {1, 2});
  EXPECT_TRUE(a.identical(b));
  EXPECT_EQ(a.content_hash(), b.content_hash());
  EXPECT_FALSE(a.identical(c));
  EXPECT_NE(a.content_hash(), c.content_hash());
  EXPECT_TRUE(a.identical(*c.reshaped({2})));
  EXPECT_FALSE(a.reshaped({3}).ok());
}

}  // namespace
}  // namespace modellib
