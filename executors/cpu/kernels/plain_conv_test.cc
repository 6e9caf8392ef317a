#include "modellib/executors/cpu/kernels/plain_conv.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"
#include "modellib/graph/dtype.h"

namespace modellib::cpu {
namespace {

using ::testing::HasSubstr;

constexpr runtime::Kernel kConv = {"cpu.plain_conv", validate_plain_conv, run_plain_conv};

// x [1, 2, 4], w [2, 1, 3], groups 2, padding 1, stride 1
PlainConvScalars line() {
  PlainConvScalars s;
  s.dtype = static_cast<int64_t>(DType::kF32);
  s.in_channels = s.out_channels = s.groups = 2;
  s.in[2] = s.out[2] = 4;
  s.kernel[2] = 3;
  s.pad_low[2] = 1;
  return s;
}
const std::vector<float> kX = {1, 2, 3, 4, 5, 6, 7, 8}, kW = {1, 0, -1, 0, 2, 0};

std::vector<float> run(const PlainConvScalars& s, const std::vector<float>& first,
                       const std::vector<float>& second, size_t result) {
  KernelCase k;
  k.set_scalars(s);
  k.chunks = 2;
  k.add_output<float>(result);
  k.add_input(first);
  k.add_input(second);
  const absl::Status status = k.run(kConv);
  EXPECT_TRUE(status.ok()) << status;
  return k.output<float>(0);
}

TEST(PlainConv, OneAxisWithPaddingAndGroups) {
  EXPECT_EQ(run(line(), kX, kW, 8), (std::vector<float>{-2, -2, -2, 3, 10, 12, 14, 16}));
}

TEST(PlainConv, ChannelsLast) {
  PlainConvScalars s = line();
  s.channels_last = 1;
  EXPECT_EQ(run(s, {1, 5, 2, 6, 3, 7, 4, 8}, kW, 8),
            (std::vector<float>{-2, 10, -2, 12, -2, 14, 3, 16}));
}

TEST(PlainConv, Gradients) {
  PlainConvScalars s = line();
  s.kind = static_cast<int64_t>(PlainConvKind::kInputGradient);
  // Of the sum of y: each x adds up the taps that reach it.
  const std::vector<float> ones(8, 1.0f);
  EXPECT_EQ(run(s, ones, kW, 8), (std::vector<float>{1, 0, 0, -1, 2, 2, 2, 2}));
  s.kind = static_cast<int64_t>(PlainConvKind::kFilterGradient);
  EXPECT_EQ(run(s, kX, ones, 6), (std::vector<float>{6, 10, 9, 18, 26, 21}));
}

TEST(PlainConv, RefusesWrongSteps) {
  const auto status = [](const PlainConvScalars& s, size_t x) {
    KernelCase k;
    k.set_scalars(s);
    k.add_output<float>(8);
    k.add_input(std::vector<float>(x));
    k.add_input(kW);
    return std::string(k.validate(validate_plain_conv).message());
  };
  EXPECT_EQ(status(line(), 8), "");
  EXPECT_THAT(status(line(), 7), HasSubstr("first operand"));
  PlainConvScalars bad = line();
  bad.out[2] = 5;
  EXPECT_THAT(status(bad, 8), HasSubstr("the output"));
  bad = line();
  bad.groups = 3;
  EXPECT_THAT(status(bad, 8), HasSubstr("groups"));
  bad = line();
  bad.dtype = static_cast<int64_t>(DType::kI32);
  EXPECT_THAT(status(bad, 8), HasSubstr("f16"));
}

}  // namespace
}  // namespace modellib::cpu
