// The accuracy that math-inl.h promises, on every target this machine runs, against <cmath> in
// double.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "executors/cpu/kernels/math_test.cc"
// clang-format off
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// clang-format on
#include "modellib/executors/cpu/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

enum Function { kExp, kLog, kSigmoid, kTanh, kErf, kSilu, kGeluErf, kGeluTanh, kRelu6 };

void evaluate(int function, const float* x, float* y, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < count; i += lanes) {
    auto v = hn::LoadU(d, x + i);
    switch (function) {
      case kExp:
        v = exp(d, v);
        break;
      case kLog:
        v = log(d, v);
        break;
      case kSigmoid:
        v = sigmoid(d, v);
        break;
      case kTanh:
        v = tanh(d, v);
        break;
      case kErf:
        v = erf(d, v);
        break;
      case kSilu:
        v = silu(d, v);
        break;
      case kGeluErf:
        v = gelu_erf(d, v);
        break;
      case kRelu6:
        v = within(v, hn::Zero(d), hn::Set(d, 6.0f));
        break;
      default:
        v = gelu_tanh(d, v);
        break;
    }
    hn::StoreU(v, d, y + i);
  }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace modellib::cpu {
namespace {

HWY_EXPORT(evaluate);

enum Function { kExp, kLog, kSigmoid, kTanh, kErf, kSilu, kGeluErf, kGeluTanh, kRelu6 };

double truth(int function, double x) {
  switch (function) {
    case kExp:
      return std::exp(x);
    case kLog:
      return std::log(x);
    case kSigmoid:
      return 1 / (1 + std::exp(-x));
    case kTanh:
      return std::tanh(x);
    case kErf:
      return std::erf(x);
    case kSilu:
      return x / (1 + std::exp(-x));
    case kGeluErf:
      return 0.5 * x * std::erfc(-x * 0.70710678118654752440);
    default: {
      const double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
      return x / (1 + std::exp(-2 * u));
    }
  }
}

// Distance in units in the last place of `want`, at least those of the smallest normal number.
double ulps(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e9;
  const float rounded = static_cast<float>(want);
  if (std::isinf(rounded)) return got == rounded ? 0 : 1e9;
  const double magnitude = std::max(std::abs(want), 1.1754943508222875e-38);
  const double ulp = std::ldexp(1.0, std::ilogb(magnitude) - 23);
  return std::abs(got - want) / ulp;
}

class MathTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  std::vector<float> apply(int function, const std::vector<float>& x) {
    std::vector<float> padded = x, y;
    padded.resize((x.size() + 63) / 64 * 64, 1.0f);
    y.resize(padded.size());
    HWY_DYNAMIC_DISPATCH(evaluate)(function, padded.data(), y.data(), padded.size());
    y.resize(x.size());
    return y;
  }

  // The worst error over finite floats of magnitude in [smallest, largest], one in `step` of them.
  double worst(int function, float smallest, float largest, uint32_t step, bool both_signs) {
    uint32_t low, high;
    std::memcpy(&low, &smallest, 4);
    std::memcpy(&high, &largest, 4);
    std::vector<float> x;
    for (uint32_t bits = low; bits <= high; bits += step) {
      float value;
      std::memcpy(&value, &bits, 4);
      x.push_back(value);
      if (both_signs) x.push_back(-value);
    }
    const std::vector<float> y = apply(function, x);
    double result = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double error = ulps(y[i], truth(function, x[i]));
      if (error > result) {
        result = error;
        worst_at_ = x[i];
      }
    }
    return result;
  }

  float worst_at_ = 0;
};

TEST_P(MathTest, ErrorsAreSmall) {
  const float tiny = 1e-30f;
  EXPECT_LE(worst(kExp, tiny, 87.0f, 4099, true), 2) << worst_at_;
  EXPECT_LE(worst(kLog, 1e-44f, 3e38f, 4099, false), 2) << worst_at_;
  EXPECT_LE(worst(kLog, 0.5f, 2.0f, 97, false), 2) << worst_at_;
  EXPECT_LE(worst(kSigmoid, tiny, 87.0f, 4099, true), 2.5) << worst_at_;
  EXPECT_LE(worst(kTanh, tiny, 100.0f, 4099, true), 2) << worst_at_;
  EXPECT_LE(worst(kErf, tiny, 100.0f, 4099, true), 2) << worst_at_;
  EXPECT_LE(worst(kErf, 0.25f, 4.0f, 97, true), 2) << worst_at_;
}

TEST_P(MathTest, ActivationsAreAccurate) {
  EXPECT_LE(worst(kSilu, 1e-30f, 80.0f, 4099, true), 4) << worst_at_;
  // Positive x only: on the negative tail the form of the definition cancels, so errors are
  // absolute.
  EXPECT_LE(worst(kGeluErf, 1e-30f, 100.0f, 4099, false), 4) << worst_at_;
  EXPECT_LE(worst(kGeluTanh, 1e-30f, 100.0f, 4099, false), 6) << worst_at_;
  std::vector<float> x;
  for (float v = -12; v <= 0; v += 0.001f) x.push_back(v);
  const std::vector<float> y = apply(kGeluErf, x), z = apply(kGeluTanh, x);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(y[i], truth(kGeluErf, x[i]), 3e-7) << x[i];
    EXPECT_NEAR(z[i], truth(kGeluTanh, x[i]), 2e-7) << x[i];
  }
}

TEST_P(MathTest, SpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x = {0.0f,   -0.0f,   inf,      -inf,  nan,    1e30f,
                                -1e30f, 1000.0f, -1000.0f, 89.0f, -104.0f};
  for (const int function : {kExp, kLog, kSigmoid, kTanh, kErf}) {
    const std::vector<float> y = apply(function, x);
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_LE(ulps(y[i], truth(function, x[i])), 2)
          << "function " << function << " x " << x[i] << " gives " << y[i];
    }
  }
  for (const int function : {kTanh, kErf}) {
    EXPECT_TRUE(std::signbit(apply(function, {-0.0f})[0])) << function;
  }
  const std::vector<float> cut = apply(kRelu6, {-inf, -1.0f, -0.0f, 0.0f, 2.5f, 6.0f, 7.0f, inf});
  EXPECT_EQ(cut, (std::vector<float>{0, 0, 0, 0, 2.5f, 6, 6, 6}));
  for (size_t i = 0; i < 4; ++i) EXPECT_FALSE(std::signbit(cut[i])) << i;
  EXPECT_TRUE(std::isnan(apply(kRelu6, {nan})[0]));
}

INSTANTIATE_TEST_SUITE_P(Targets, MathTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const testing::TestParamInfo<int64_t>& info) {
                           return std::string(hwy::TargetName(info.param));
                         });

}  // namespace
}  // namespace modellib::cpu

#endif  // HWY_ONCE
