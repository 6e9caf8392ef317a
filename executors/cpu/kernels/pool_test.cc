#include "modellib/executors/cpu/kernels/pool.h"

#include <cmath>
#include <limits>
#include <random>

#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"
#include "modellib/graph/dtype.h"

namespace modellib::cpu {
namespace {

constexpr runtime::Kernel kPool = {"cpu.pool", validate_pool, run_pool};

// All kinds at once, element by element, as PyTorch defines them.
struct Reference {
  std::vector<double> max, average, select, max_gradient, average_gradient;

  Reference(const PoolScalars& s, const std::vector<float>& x, const std::vector<float>& v,
            const std::vector<float>& g) {
    max_gradient.assign(x.size(), 0);
    average_gradient.assign(x.size(), 0);
    size_t i = 0;
    for (int64_t o = 0; o < s.outer; ++o) {
      for (int64_t a = 0; a < s.out[0]; ++a) {
        for (int64_t b = 0; b < s.out[1]; ++b) {
          for (int64_t e = 0; e < s.out[2]; ++e) {
            for (int64_t c = 0; c < s.inner; ++c, ++i) {
              const int64_t place[3] = {a, b, e};
              std::vector<size_t> taps;
              int64_t padded = 1;
              for (int64_t d = 0; d < 3; ++d) {
                int64_t n = 0;
                for (int64_t k = 0; k < s.kernel[d]; ++k) {
                  n += place[d] * s.stride[d] - s.pad_low[d] + k * s.dilation[d] <
                       s.in[d] + s.pad_high[d];
                }
                padded *= n;
              }
              for (int64_t k = 0; k < s.kernel[0] * s.kernel[1] * s.kernel[2]; ++k) {
                const int64_t tap[3] = {k / s.kernel[2] / s.kernel[1],
                                        k / s.kernel[2] % s.kernel[1], k % s.kernel[2]};
                int64_t at = o;
                bool inside = true;
                for (int d = 0; d < 3; ++d) {
                  const int64_t p = place[d] * s.stride[d] - s.pad_low[d] + tap[d] * s.dilation[d];
                  inside &= p >= 0 && p < s.in[d];
                  at = at * s.in[d] + p;
                }
                if (inside) taps.push_back(static_cast<size_t>(at * s.inner + c));
              }
              size_t best = taps[0];
              double sum = 0;
              for (const size_t t : taps) {
                sum += x[t];
                if (x[t] > x[best] || (std::isnan(x[t]) && !std::isnan(x[best]))) best = t;
              }
              const double size = s.count_include_pad ? static_cast<double>(padded)
                                                      : static_cast<double>(taps.size());
              max.push_back(x[best]);
              select.push_back(v[best]);
              average.push_back(sum / size);
              max_gradient[best] += g[i];
              for (const size_t t : taps) average_gradient[t] += g[i] / size;
            }
          }
        }
      }
    }
  }
};

TEST(Pool, EveryKindOnRandomWindows) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 rng(seed);
    const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<uint32_t>(n)); };
    PoolScalars s;
    s.dtype = static_cast<int64_t>(DType::kF32);
    s.outer = 1 + pick(3);
    const int64_t channels[] = {1, 3, 64, 70};
    s.inner = channels[pick(4)];
    s.count_include_pad = pick(2);
    int64_t x_size = s.outer * s.inner, y_size = x_size;
    for (int d = pick(3); d < 3; ++d) {
      s.kernel[d] = 1 + pick(3);
      s.stride[d] = 1 + pick(3);
      s.dilation[d] = 1 + pick(2);
      s.pad_low[d] = pick(2) && s.kernel[d] > 1 ? 1 : 0;
      s.pad_high[d] = pick(2) && s.kernel[d] > 1 ? 1 : 0;
      s.in[d] = 1 + (s.kernel[d] - 1) * s.dilation[d] + pick(5);
      s.out[d] = (s.in[d] + s.pad_low[d] + s.pad_high[d] - (s.kernel[d] - 1) * s.dilation[d] - 1) /
                     s.stride[d] +
                 1;
    }
    for (int d = 0; d < 3; ++d) {
      x_size *= s.in[d];
      y_size *= s.out[d];
    }
    s.units_per_chunk = 1 + pick(3);
    const auto numbers = [&](int64_t n) {
      std::vector<float> values(static_cast<size_t>(n));
      for (float& e : values) e = static_cast<float>(pick(9) - 4);
      return values;
    };
    auto x = numbers(x_size);
    if (seed % 5 == 0) x[x.size() / 2] = std::numeric_limits<float>::quiet_NaN();
    const auto v = numbers(x_size), g = numbers(y_size);
    const Reference want(s, x, v, g);
    for (int kind = 0; kind < 5; ++kind) {
      s.kind = kind;
      KernelCase k;
      k.set_scalars(s);
      k.chunks = pool_chunks(s);
      k.seed = seed;
      k.add_output<float>(static_cast<size_t>(kind < 3 ? y_size : x_size));
      k.add_input(kind == 4 ? g : x);
      if (kind == 2) k.add_input(v);
      if (kind == 3) k.add_input(g);
      const absl::Status status = k.run(kPool);
      ASSERT_TRUE(status.ok()) << status;
      const auto y = k.output<float>(0);
      const auto& w = kind == 0   ? want.max
                      : kind == 1 ? want.average
                      : kind == 2 ? want.select
                      : kind == 3 ? want.max_gradient
                                  : want.average_gradient;
      ASSERT_EQ(y.size(), w.size());
      for (size_t i = 0; i < y.size(); ++i) {
        if (std::isnan(w[i])) {
          EXPECT_TRUE(std::isnan(y[i]));
        } else {
          ASSERT_NEAR(y[i], w[i], 1e-5) << "seed " << seed << " kind " << kind << " at " << i;
        }
      }
    }
  }
}

// The largest windows have more taps than a number can say.
TEST(Pool, CutsWhatIsMoreWorkThanANumberCanSay) {
  PoolScalars s;
  s.outer = 1000;
  for (int64_t& kernel : s.kernel) kernel = int64_t{1} << 24;
  choose_pool_grain(s);
  EXPECT_EQ(s.units_per_chunk, 1);
}

TEST(Pool, RefusesWrongSteps) {
  PoolScalars s;
  s.dtype = static_cast<int64_t>(DType::kF32);
  s.in[2] = 4;
  s.out[2] = 2;
  s.kernel[2] = s.stride[2] = 2;
  const auto ok = [&](const PoolScalars& scalars, size_t in, size_t out) {
    KernelCase k;
    k.set_scalars(scalars);
    k.add_output<float>(out);
    k.add_input(std::vector<float>(in));
    return k.validate(validate_pool).ok();
  };
  EXPECT_TRUE(ok(s, 4, 2));
  EXPECT_FALSE(ok(s, 3, 2));
  EXPECT_FALSE(ok(s, 4, 1));
  PoolScalars bad = s;
  bad.stride[2] = 0;
  EXPECT_FALSE(ok(bad, 4, 2));
  bad = s;
  bad.kind = 9;
  EXPECT_FALSE(ok(bad, 4, 2));
  bad = s;
  bad.outer = int64_t{1} << 47;
  EXPECT_FALSE(ok(bad, 4, 2));
}

}  // namespace
}  // namespace modellib::cpu
