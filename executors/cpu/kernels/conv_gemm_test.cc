#include "modellib/executors/cpu/kernels/conv_gemm.h"

#include <cmath>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"

namespace modellib::cpu {
namespace {

using ::testing::HasSubstr;

constexpr runtime::Kernel kConv = {"cpu.conv_f32", validate_conv_gemm, run_conv_gemm};

struct Problem {
  ConvGemmScalars s;
  std::vector<float> x, filter, bias, residual;
  int64_t rows = 0;

  explicit Problem(uint32_t seed) {
    std::mt19937 rng(seed);
    const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<uint32_t>(n)); };
    const int64_t groups[] = {1, 1, 1, 2, 3};
    s.groups = groups[pick(5)];
    s.in_channels = s.groups * (1 + pick(pick(2) ? 70 : 5));
    s.out_channels = s.groups * (1 + pick(40));
    s.batch = 1 + pick(3);
    rows = s.batch;
    for (int d = pick(3); d < 3; ++d) {
      s.kernel[d] = 1 + pick(4);
      s.stride[d] = 1 + pick(3);
      s.dilation[d] = 1 + pick(2);
      s.pad_low[d] = pick(3);
      s.in[d] = 1 + pick(8);
      s.out[d] = 1 + pick(7);  // windows may lie beyond the image: padding
      rows *= s.out[d];
    }
    s.has_bias = pick(2);
    s.residual = pick(kResidualAtCount);
    s.activation = pick(2) ? static_cast<int64_t>(Activation::kRelu) : 0;
    if (pick(2)) {
      choose_conv_gemm_grain(s);
    } else {
      s.m_grain = 1 + pick(40);
      s.n_grain = kPanel * (1 + pick(2));
    }
    fill(seed);
  }

  // New numbers for the extents as they are.
  void fill(uint32_t seed) {
    std::mt19937 rng(seed + 1);
    rows = s.batch * s.out[0] * s.out[1] * s.out[2];
    std::normal_distribution<float> normal;
    const auto numbers = [&](int64_t n) {
      std::vector<float> v(static_cast<size_t>(n));
      for (float& e : v) e = normal(rng);
      return v;
    };
    x = numbers(s.batch * s.in[0] * s.in[1] * s.in[2] * s.in_channels);
    filter = numbers(conv_gemm_depth(s) * s.out_channels);
    bias = numbers(s.out_channels);
    residual = numbers(rows * s.out_channels);
  }

  int64_t chunks() const {
    const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
    return s.groups * up(rows, s.m_grain) * up(conv_gemm_width(s), s.n_grain);
  }

  double at(int64_t row, int64_t oc) const {
    const int64_t channels = s.in_channels / s.groups, width = conv_gemm_width(s);
    const int64_t taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
    int64_t o[3], m = row;
    for (int d = 3; d-- > 0;) {
      o[d] = m % s.out[d];
      m /= s.out[d];
    }
    double sum = 0;
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t k[3] = {t / s.kernel[2] / s.kernel[1], t / s.kernel[2] % s.kernel[1],
                            t % s.kernel[2]};
      int64_t place = m;
      bool inside = true;
      for (int d = 0; d < 3; ++d) {
        const int64_t i = o[d] * s.stride[d] - s.pad_low[d] + k[d] * s.dilation[d];
        inside = inside && i >= 0 && i < s.in[d];
        place = place * s.in[d] + i;
      }
      for (int64_t c = 0; inside && c < channels; ++c) {
        sum += double{x[static_cast<size_t>(place * s.in_channels + oc / width * channels + c)]} *
               filter[static_cast<size_t>((oc * channels + c) * taps + t)];
      }
    }
    if (s.has_bias) sum += bias[static_cast<size_t>(oc)];
    const double added =
        s.residual ? double{residual[static_cast<size_t>(row * s.out_channels + oc)]} : 0;
    const bool after = s.residual == static_cast<int64_t>(ResidualAt::kAfterActivation);
    if (!after) sum += added;
    if (s.activation) sum = std::max(sum, 0.0);
    return after ? sum + added : sum;
  }

  absl::StatusOr<std::vector<float>> run(uint32_t seed) const {
    KernelCase k;
    k.set_scalars(s);
    k.chunks = chunks();
    k.seed = seed;
    k.add_input(x);
    k.add_input(pack_conv_gemm_filter(s, filter));
    s.has_bias ? k.add_input(bias) : k.add_absent_input();
    s.residual ? k.add_input(residual) : k.add_absent_input();
    if (s.residual == static_cast<int64_t>(ResidualAt::kBeforeActivation) && seed % 2) {
      k.add_output_in_place(3);
    } else {
      k.add_output<float>(residual.size());
    }
    if (absl::Status status = k.run(kConv); !status.ok()) return status;
    return k.output<float>(0);
  }
};

TEST(ConvGemm, RandomWindowsWithEveryEpilogue) {
  for (uint32_t seed = 0; seed < 150; ++seed) {
    const Problem p(seed);
    const absl::StatusOr<std::vector<float>> got = p.run(seed);
    ASSERT_TRUE(got.ok()) << got.status() << " seed " << seed;
    for (size_t i = 0; i < got->size(); ++i) {
      const auto n = static_cast<int64_t>(i);
      const double want = p.at(n / p.s.out_channels, n % p.s.out_channels);
      ASSERT_NEAR((*got)[i], want, 1e-4 * (1 + std::fabs(want))) << "seed " << seed << " at " << i;
    }
  }
}

TEST(ConvGemm, BitsDoNotDependOnGrainsOrBatch) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    Problem p(seed);
    p.s.residual = 0;
    const std::vector<float> first = *p.run(0);
    p.s.m_grain = 7;
    p.s.n_grain = kPanel;
    EXPECT_EQ(*p.run(0), first) << seed;
    p.rows /= p.s.batch;
    p.s.batch = 1;
    p.residual.resize(static_cast<size_t>(p.rows * p.s.out_channels));
    const std::vector<float> alone = *p.run(0);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), first.begin())) << seed;
  }
}

// What windows see is read where it is, or copied, or partly so; all widths of the result.
TEST(ConvGemm, EveryWayToReadWindows) {
  for (uint32_t seed = 0; seed < 120; ++seed) {
    Problem p(1000 + seed);
    std::mt19937 rng(seed);
    const auto pick = [&](uint32_t n) { return static_cast<int64_t>(rng() % n); };
    constexpr int64_t kChannels[] = {1, 3, 4, 7, 8, 16, 61, 400};
    ConvGemmScalars& s = p.s;
    s.groups = 1;
    s.in_channels = kChannels[pick(8)];
    s.out_channels = 1 + pick(70);
    for (int d = 0; d < 3; ++d) {
      const int64_t most_taps = s.in_channels > 100 ? 2 : 4;
      s.kernel[d] = d == 0 ? 1 : 1 + pick(static_cast<uint32_t>(most_taps));
      s.stride[d] = d == 0 ? 1 : 1 + pick(2);
      s.dilation[d] = d == 0 ? 1 : 1 + pick(4) / 3;
      s.pad_low[d] = d == 0 ? 0 : pick(3);
      s.in[d] = d == 0 ? 1 : 3 + pick(12);
      s.out[d] = d == 0 ? 1 : 3 + pick(12);
    }
    if (seed % 4 == 0) {  // pointwise
      for (int d = 0; d < 3; ++d) {
        s.kernel[d] = s.stride[d] = s.dilation[d] = 1;
        s.pad_low[d] = 0;
        s.out[d] = s.in[d];
      }
    }
    p.fill(seed);
    choose_conv_gemm_grain(s);
    const absl::StatusOr<std::vector<float>> got = p.run(seed);
    ASSERT_TRUE(got.ok()) << got.status() << " seed " << seed;
    for (size_t i = 0; i < got->size(); ++i) {
      const auto n = static_cast<int64_t>(i);
      const double want = p.at(n / s.out_channels, n % s.out_channels);
      ASSERT_NEAR((*got)[i], want, 1e-4 * (1 + std::fabs(want))) << "seed " << seed << " at " << i;
    }
  }
}

TEST(ConvGemm, RefusesWrongSteps) {
  Problem p(1);
  p.s.has_bias = p.s.residual = 1;
  const auto status = [&](const ConvGemmScalars& s, size_t less) {
    KernelCase k;
    k.set_scalars(s);
    k.chunks = p.chunks();
    k.add_input(p.x);
    k.add_input(pack_conv_gemm_filter(p.s, p.filter));
    k.add_input(p.bias);
    k.add_input(p.residual);
    k.add_output<float>(p.residual.size() - less);
    return std::string(k.validate(validate_conv_gemm).message());
  };
  EXPECT_EQ(status(p.s, 0), "");
  EXPECT_THAT(status(p.s, 1), HasSubstr("y of"));
  ConvGemmScalars bad = p.s;
  bad.in[2] += 1;
  EXPECT_THAT(status(bad, 0), HasSubstr("x of"));
  bad = p.s;
  bad.kernel[0] += 1;
  EXPECT_THAT(status(bad, 0), HasSubstr("the filter"));
  bad = p.s;
  bad.batch += 1;
  EXPECT_THAT(status(bad, 0), HasSubstr("too small"));
  bad = p.s;
  bad.n_grain = 8;
  EXPECT_THAT(status(bad, 0), HasSubstr("panel"));
  bad = p.s;
  bad.activation = kActivationCount;
  EXPECT_THAT(status(bad, 0), HasSubstr("activation"));
  bad = p.s;
  bad.groups = p.s.in_channels + 1;
  EXPECT_THAT(status(bad, 0), HasSubstr("groups"));
  bad = p.s;
  bad.residual = kResidualAtCount;
  EXPECT_THAT(status(bad, 0), HasSubstr("residual"));
}

}  // namespace
}  // namespace modellib::cpu
