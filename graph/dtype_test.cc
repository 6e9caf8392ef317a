#include "modellib/graph/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace modellib {
namespace {

TEST(DType, NamesRoundTrip) {
  for (int i = 1; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(*parse_dtype(to_string(dtype)), dtype);
  }
  EXPECT_FALSE(parse_dtype("f33").ok());
  EXPECT_FALSE(parse_dtype("invalid").ok());
}

TEST(DType, Bytes) {
  EXPECT_EQ(bytes_of(DType::kF32, 3), 12);
  EXPECT_EQ(bytes_of(DType::kU4, 3), 2);
  EXPECT_EQ(bytes_of(DType::kBool, 3), 3);
}

TEST(Float16, EveryPatternRoundTrips) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Float16 h{static_cast<uint16_t>(bits)};
    const float f = to_f32(h);
    if (std::isnan(f)) continue;
    EXPECT_EQ(to_f16(f).bits, h.bits);
  }
}

TEST(Float16, RoundsHalvesToEven) {
  EXPECT_EQ(to_f32(to_f16(2049.0f)), 2048.0f);
  EXPECT_EQ(to_f32(to_f16(2051.0f)), 2052.0f);
  EXPECT_EQ(to_f32(to_f16(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(to_f32(to_f16(65520.0f))));
  EXPECT_EQ(to_f32(to_f16(5.9604645e-8f)), 5.9604645e-8f);  // the smallest subnormal
  EXPECT_EQ(to_f32(to_f16(2.9802322e-8f)), 0.0f);           // half of it
  EXPECT_TRUE(std::isnan(to_f32(to_f16(std::nanf("")))));
}

TEST(BFloat16, RoundsHalvesToEven) {
  EXPECT_EQ(to_f32(to_bf16(257.0f)), 256.0f);
  EXPECT_EQ(to_f32(to_bf16(259.0f)), 260.0f);
  EXPECT_TRUE(std::isinf(to_f32(to_bf16(std::numeric_limits<float>::max()))));
  EXPECT_TRUE(std::isnan(to_f32(to_bf16(std::nanf("")))));
}

TEST(Float8, EveryPatternRoundTrips) {
  for (int bits = 0; bits < 256; ++bits) {
    const float a = f8e4m3_to_f32(static_cast<uint8_t>(bits));
    if (!std::isnan(a)) EXPECT_EQ(to_f8e4m3(a), bits);
    const float b = f8e5m2_to_f32(static_cast<uint8_t>(bits));
    if (!std::isnan(b)) EXPECT_EQ(to_f8e5m2(b), bits);
  }
  EXPECT_EQ(f8e4m3_to_f32(0x7e), 448.0f);
  EXPECT_EQ(f8e5m2_to_f32(0x7b), 57344.0f);
}

}  // namespace
}  // namespace modellib
