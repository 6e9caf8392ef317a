#include "modellib/executors/cpu/kernels/depthwise.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"

namespace modellib::cpu {
namespace {

constexpr runtime::Kernel kDepthwise = {"cpu.depthwise_f32", validate_depthwise, run_depthwise};

TEST(Depthwise, RandomWindows) {
  for (uint32_t seed = 0; seed < 100; ++seed) {
    std::mt19937 rng(seed);
    const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<uint32_t>(n)); };
    DepthwiseScalars s;
    s.batch = 1 + pick(3);
    s.channels = 1 + pick(150);
    for (int d = 0; d < 2; ++d) {
      s.kernel[d] = 1 + pick(3);
      s.stride[d] = 1 + pick(2);
      s.dilation[d] = 1 + pick(2);
      s.pad_low[d] = pick(3);
      s.in[d] = 1 + pick(12);
      s.out[d] = 1 + pick(12);  // windows may lie beyond the image: padding
    }
    if (pick(2)) s.low = double_bits(0);
    if (pick(2)) s.high = double_bits(6);
    s.rows_per_chunk = 1 + pick(3);
    std::normal_distribution<float> normal(0, 3);
    const auto numbers = [&](int64_t n) {
      std::vector<float> v(static_cast<size_t>(n));
      for (float& x : v) x = normal(rng);
      return v;
    };
    const auto x = numbers(s.batch * s.in[0] * s.in[1] * s.channels);
    const auto filter = numbers(s.kernel[0] * s.kernel[1] * s.channels), bias = numbers(s.channels);
    const bool has_bias = pick(2);
    KernelCase k;
    k.set_scalars(s);
    k.chunks = depthwise_chunks(s);
    k.seed = seed;
    k.add_output<float>(static_cast<size_t>(s.batch * s.out[0] * s.out[1] * s.channels));
    k.add_input(x);
    k.add_input(filter);
    has_bias ? k.add_input(bias) : k.add_absent_input();
    const absl::Status status = k.run(kDepthwise);
    ASSERT_TRUE(status.ok()) << status;
    const auto y = k.output<float>(0);
    size_t i = 0;
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t h = 0; h < s.out[0]; ++h) {
        for (int64_t w = 0; w < s.out[1]; ++w) {
          for (int64_t c = 0; c < s.channels; ++c, ++i) {
            double sum = has_bias ? bias[static_cast<size_t>(c)] : 0;
            for (int64_t kh = 0; kh < s.kernel[0]; ++kh) {
              for (int64_t kw = 0; kw < s.kernel[1]; ++kw) {
                const int64_t ih = h * s.stride[0] + kh * s.dilation[0] - s.pad_low[0];
                const int64_t iw = w * s.stride[1] + kw * s.dilation[1] - s.pad_low[1];
                if (ih < 0 || ih >= s.in[0] || iw < 0 || iw >= s.in[1]) continue;
                sum += double{x[static_cast<size_t>(
                           ((b * s.in[0] + ih) * s.in[1] + iw) * s.channels + c)]} *
                       filter[static_cast<size_t>((kh * s.kernel[1] + kw) * s.channels + c)];
              }
            }
            sum = std::clamp(sum, std::bit_cast<double>(s.low), std::bit_cast<double>(s.high));
            ASSERT_NEAR(y[i], sum, 1e-4) << "seed " << seed;
          }
        }
      }
    }
  }
}

// In whole vectors of channels and in those that fill none.
TEST(Depthwise, ReluKeepsNanAndGivesPositiveZeros) {
  DepthwiseScalars s;
  s.channels = 35;
  s.low = double_bits(0);
  std::vector<float> x(35, -0.0f);
  for (size_t c = 0; c < x.size(); c += 2) x[c] = std::numeric_limits<float>::quiet_NaN();
  KernelCase k;
  k.set_scalars(s);
  k.add_output<float>(x.size());
  k.add_input(x);
  k.add_input(std::vector<float>(35, 1.0f));
  k.add_input(std::vector<float>(35, -0.0f));
  ASSERT_TRUE(k.run(kDepthwise).ok());
  const std::vector<float> y = k.output<float>(0);
  for (size_t c = 0; c < y.size(); ++c) {
    if (c % 2 == 0) {
      EXPECT_TRUE(std::isnan(y[c])) << c;
    } else {
      EXPECT_TRUE(y[c] == 0 && !std::signbit(y[c])) << c;
    }
  }
}

TEST(Depthwise, ChunksAreBalanced) {
  // Two workers, who take chunks in turn, are done in little more than half of the time.
  for (const int64_t extent : {7, 14, 28, 56, 112}) {
    for (const int64_t channels : {32, 144, 960}) {
      DepthwiseScalars s;
      s.channels = channels;
      for (int d = 0; d < 2; ++d) {
        s.in[d] = s.out[d] = extent;
        s.kernel[d] = 3;
        s.pad_low[d] = 1;
      }
      choose_depthwise_grain(s);
      const int64_t turns = (depthwise_chunks(s) + 1) / 2;
      EXPECT_LE(turns * s.rows_per_chunk, extent * 0.5 + 1) << extent << " " << channels;
    }
  }
}

TEST(Depthwise, RowsOfMoreWorkThanNumbersSayAreChunksOfTheirOwn) {
  DepthwiseScalars s;
  s.batch = int64_t{1} << 20;
  s.channels = int64_t{1} << 20;
  for (int d = 0; d < 2; ++d) {
    s.in[d] = s.out[d] = int64_t{1} << 20;
    s.kernel[d] = int64_t{1} << 12;
  }
  choose_depthwise_grain(s);
  EXPECT_EQ(s.rows_per_chunk, 1);
}

TEST(Depthwise, RefusesWhatDoesNotFit) {
  DepthwiseScalars s;
  s.channels = 8;
  s.in[0] = s.in[1] = 4;
  const auto ok = [&](const DepthwiseScalars& scalars, size_t x, size_t y) {
    KernelCase k;
    k.set_scalars(scalars);
    k.add_output<float>(y);
    k.add_input(std::vector<float>(x));
    k.add_input(std::vector<float>(8));
    k.add_absent_input();
    return k.validate(validate_depthwise).ok();
  };
  EXPECT_TRUE(ok(s, 128, 8));
  EXPECT_FALSE(ok(s, 127, 8));
  EXPECT_FALSE(ok(s, 128, 7));
  s.kernel[0] = 2;
  EXPECT_FALSE(ok(s, 128, 8));
  s.kernel[0] = 1;
  s.dilation[1] = 0;
  EXPECT_FALSE(ok(s, 128, 8));
}

// Of no images there are no bytes that would bound an extent, and nothing bounds a stride.
TEST(Depthwise, RefusesWindowsThatLieTooFar) {
  constexpr int64_t kFar = int64_t{1} << 24;
  DepthwiseScalars good;
  good.batch = 0;
  good.channels = 8;
  good.in[1] = kFar;
  const auto ok = [](const DepthwiseScalars& scalars) {
    KernelCase k;
    k.set_scalars(scalars);
    k.add_output<float>(0);
    k.add_input(std::vector<float>());
    k.add_input(std::vector<float>(8));
    k.add_absent_input();
    return k.validate(validate_depthwise).ok();
  };
  EXPECT_TRUE(ok(good));
  DepthwiseScalars bad = good;
  bad.dilation[0] = kFar;
  EXPECT_FALSE(ok(bad));
  bad = good;
  bad.pad_low[0] = kFar;
  EXPECT_FALSE(ok(bad));
  for (int d = 0; d < 2; ++d) {
    bad = good;
    bad.out[d] = bad.stride[d] = kFar;
    EXPECT_FALSE(ok(bad)) << d;
  }
}

}  // namespace
}  // namespace modellib::cpu
