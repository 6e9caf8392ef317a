#include "modellib/executors/cpu/kernels/conv.h"

#include <cmath>
#include <limits>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"

namespace modellib::cpu {
namespace {

using ::testing::HasSubstr;

constexpr runtime::Kernel kConv = {"cpu.conv2d", validate_conv, run_conv, initialise_conv, true};

std::vector<float> numbers(int64_t n, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(static_cast<size_t>(n));
  for (float& x : v) x = normal(rng);
  return v;
}

// Calls f(image, out channel, out row, out column, x index, filter index, y index) for every
// product.
template <class F>
void each_product(const ConvScalars& s, int64_t batch, F f) {
  const int64_t per_group = s.in_channels / s.groups;
  const auto index = [&](int64_t b, int64_t c, int64_t h, int64_t w, int64_t channels,
                         const int64_t* extent) {
    return s.layout == 0 ? ((b * channels + c) * extent[0] + h) * extent[1] + w
                         : ((b * extent[0] + h) * extent[1] + w) * channels + c;
  };
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t o = 0; o < s.out_channels; ++o) {
      for (int64_t h = 0; h < s.out[0]; ++h) {
        for (int64_t w = 0; w < s.out[1]; ++w) {
          for (int64_t c = 0; c < per_group; ++c) {
            for (int64_t kh = 0; kh < s.kernel[0]; ++kh) {
              for (int64_t kw = 0; kw < s.kernel[1]; ++kw) {
                const int64_t ih = h * s.stride[0] - s.pad_low[0] + kh * s.dilation[0];
                const int64_t iw = w * s.stride[1] - s.pad_low[1] + kw * s.dilation[1];
                if (ih < 0 || ih >= s.in[0] || iw < 0 || iw >= s.in[1]) continue;
                const int64_t ic = o / (s.out_channels / s.groups) * per_group + c;
                f(static_cast<size_t>(index(b, ic, ih, iw, s.in_channels, s.in)),
                  static_cast<size_t>(((o * per_group + c) * s.kernel[0] + kh) * s.kernel[1] + kw),
                  static_cast<size_t>(index(b, o, h, w, s.out_channels, s.out)), o);
              }
            }
          }
        }
      }
    }
  }
}

ConvScalars random_conv(std::mt19937& rng) {
  const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<uint32_t>(n)); };
  ConvScalars s;
  s.layout = pick(2);
  const int64_t groups[] = {1, 1, 2, 8};
  s.groups = groups[pick(4)];
  s.in_channels = s.groups * (s.groups == 8 ? 1 : 1 + pick(9));
  s.out_channels = s.groups * (s.groups == 8 ? 1 : pick(2) ? 16 : 1 + pick(5));
  for (int d = 0; d < 2; ++d) {
    s.kernel[d] = 1 + pick(3);
    s.stride[d] = 1 + pick(2);
    s.dilation[d] = 1 + pick(2);
    s.pad_low[d] = pick(2);
    s.pad_high[d] = pick(2);
    s.in[d] = (s.kernel[d] - 1) * s.dilation[d] + 1 + pick(9);
    s.out[d] = (s.in[d] + s.pad_low[d] + s.pad_high[d] - s.dilation[d] * (s.kernel[d] - 1) - 1) /
                   s.stride[d] +
               1;
  }
  return s;
}

void expect_near(const std::vector<float>& got, const std::vector<double>& want, uint32_t seed) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], 1e-4 * (1 + std::fabs(want[i]))) << "seed " << seed;
}

TEST(Conv, ForwardWithEveryEpilogue) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 rng(seed);
    ConvScalars s = random_conv(rng);
    const int64_t batch = 1 + static_cast<int64_t>(rng() % 3);
    s.has_bias = rng() % 2;
    s.activation = rng() % 2;
    s.accumulates = rng() % 2;
    const bool pack = rng() % 2;
    const absl::Status planned = plan_conv(batch, pack, s);
    ASSERT_TRUE(planned.ok()) << planned;
    if (s.layout == 1 && s.pieces == 1 && s.out[0] > 2 && !pack && s.kernel[0] == 1 &&
        s.pad_low[0] + s.pad_high[0] == 0) {
      s.pieces = 2;  // bands of rows, which plan_conv leaves to larger images
    }
    const int64_t x_size = batch * s.in_channels * s.in[0] * s.in[1],
                  y_size = batch * s.out_channels * s.out[0] * s.out[1];
    const int64_t w_size = s.out_channels * (s.in_channels / s.groups) * s.kernel[0] * s.kernel[1];
    const auto x = numbers(x_size, seed), w = numbers(w_size, seed + 1),
               bias = numbers(s.out_channels, seed + 2), y0 = numbers(y_size, seed + 3);
    std::vector<double> want(static_cast<size_t>(y_size), 0.0);
    each_product(s, batch, [&](size_t xi, size_t wi, size_t yi, int64_t) {
      want[yi] += double{x[xi]} * w[wi];
    });
    for (size_t i = 0; i < want.size(); ++i) {
      const size_t plane = static_cast<size_t>(s.out[0] * s.out[1]),
                   channels = static_cast<size_t>(s.out_channels);
      if (s.has_bias) want[i] += bias[s.layout == 0 ? i / plane % channels : i % channels];
      if (s.accumulates) want[i] += y0[i];
      if (s.activation) want[i] = std::max(want[i], 0.0);
    }
    KernelCase k;
    k.set_scalars(s);
    k.chunks = conv_chunks(s, batch);
    k.workspace_bytes = static_cast<uint64_t>(k.chunks * s.scratch_bytes);
    k.add_input(x);
    if (s.filter_bytes != 0) {
      const auto packed = pack_conv_filter(s, w);
      ASSERT_TRUE(packed.ok()) << packed.status();
      k.add_input(*packed);
    } else {
      k.add_input(w);
    }
    s.has_bias ? k.add_input(bias) : k.add_absent_input();
    if (s.accumulates) {
      k.add_input(y0);
      k.add_output_in_place(3);
    } else {
      k.add_absent_input();
      k.add_output<float>(y0.size());
    }
    const absl::Status status = k.run(kConv);
    ASSERT_TRUE(status.ok()) << status << " seed " << seed;
    EXPECT_EQ(k.fault.code(), runtime::Fault::kNone);
    expect_near(k.output<float>(0), want, seed);
  }
}

// Whether the library would have lost it depends on the kernel that it chooses.
TEST(Conv, ActivationsKeepNan) {
  for (const int64_t groups : {1, 8}) {
    for (const int64_t layout : {0, 1}) {
      for (const bool pack : {false, true}) {
        for (int64_t activation = 0; activation < kActivationCount; ++activation) {
          ConvScalars s;
          s.layout = layout;
          s.groups = groups;
          s.in_channels = s.out_channels = 32;
          s.activation = activation;
          for (int d = 0; d < 2; ++d) {
            s.in[d] = s.out[d] = 6;
            s.kernel[d] = 3;
            s.pad_low[d] = s.pad_high[d] = 1;
          }
          ASSERT_TRUE(plan_conv(1, pack, s).ok());
          auto x = numbers(32 * 36, 1);
          const auto w = numbers(32 * (32 / groups) * 9, 2);
          x[0] = std::numeric_limits<float>::quiet_NaN();
          std::vector<bool> sees_nan(32 * 36, false);
          each_product(s, 1, [&](size_t xi, size_t, size_t yi, int64_t) {
            if (xi == 0) sees_nan[yi] = true;
          });
          KernelCase k;
          k.set_scalars(s);
          k.chunks = conv_chunks(s, 1);
          k.workspace_bytes = static_cast<uint64_t>(k.chunks * s.scratch_bytes);
          k.add_output<float>(sees_nan.size());
          k.add_input(x);
          if (s.filter_bytes != 0) {
            const auto packed = pack_conv_filter(s, w);
            ASSERT_TRUE(packed.ok()) << packed.status();
            k.add_input(*packed);
          } else {
            k.add_input(w);
          }
          k.add_absent_input();
          k.add_absent_input();
          const absl::Status status = k.run(kConv);
          ASSERT_TRUE(status.ok()) << status;
          const std::vector<float> y = k.output<float>(0);
          for (size_t i = 0; i < y.size(); ++i) {
            const bool want = sees_nan[i];
            ASSERT_EQ(std::isnan(y[i]), want) << groups << layout << pack << " " << activation;
          }
        }
      }
    }
  }
}

TEST(Conv, SplitsALargeImage) {
  for (const int64_t layout : {0, 1}) {
    ConvScalars s;
    s.layout = layout;
    s.in_channels = 32;
    s.out_channels = 64;
    s.in[0] = s.in[1] = s.out[0] = s.out[1] = 28;
    s.kernel[0] = s.kernel[1] = 3;
    s.pad_low[0] = s.pad_low[1] = s.pad_high[0] = s.pad_high[1] = 1;
    s.activation = static_cast<int64_t>(Activation::kRelu);
    ASSERT_TRUE(plan_conv(1, false, s).ok());
    EXPECT_GT(s.pieces, 1);
    const auto x = numbers(32 * 28 * 28, 1), w = numbers(64 * 32 * 9, 2);
    std::vector<double> want(64 * 28 * 28, 0.0);
    each_product(
        s, 1, [&](size_t xi, size_t wi, size_t yi, int64_t) { want[yi] += double{x[xi]} * w[wi]; });
    for (double& y : want) y = std::max(y, 0.0);
    KernelCase k;
    k.set_scalars(s);
    k.chunks = conv_chunks(s, 1);
    k.workspace_bytes = static_cast<uint64_t>(k.chunks * s.scratch_bytes);
    k.add_output<float>(want.size());
    k.add_input(x);
    k.add_input(w);
    k.add_absent_input();
    k.add_absent_input();
    const absl::Status status = k.run(kConv);
    ASSERT_TRUE(status.ok()) << status;
    expect_near(k.output<float>(0), want, 0);
  }
}

TEST(Conv, Gradients) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::mt19937 rng(seed + 100);
    ConvScalars s = random_conv(rng);
    const int64_t batch = 1 + static_cast<int64_t>(rng() % 6);
    const int64_t x_size = batch * s.in_channels * s.in[0] * s.in[1],
                  y_size = batch * s.out_channels * s.out[0] * s.out[1];
    const int64_t w_size = s.out_channels * (s.in_channels / s.groups) * s.kernel[0] * s.kernel[1];
    const auto x = numbers(x_size, seed), w = numbers(w_size, seed + 1),
               g = numbers(y_size, seed + 2);
    std::vector<double> dx(x.size(), 0.0), dw(w.size(), 0.0);
    each_product(s, batch, [&](size_t xi, size_t wi, size_t yi, int64_t) {
      dx[xi] += double{g[yi]} * w[wi];
      dw[wi] += double{g[yi]} * x[xi];
    });
    for (const int64_t kind : {1, 2}) {
      s.kind = kind;
      const absl::Status planned = plan_conv(batch, false, s);
      ASSERT_TRUE(planned.ok()) << planned;
      KernelCase k;
      k.set_scalars(s);
      k.chunks = conv_chunks(s, batch);
      k.workspace_bytes = static_cast<uint64_t>(k.chunks * s.scratch_bytes);
      k.add_output<float>(kind == 1 ? dx.size() : dw.size() * static_cast<size_t>(k.chunks));
      k.add_input(kind == 1 ? g : x);
      k.add_input(kind == 1 ? w : g);
      const absl::Status status = k.run(kConv);
      ASSERT_TRUE(status.ok()) << status << " seed " << seed;
      auto got = k.output<float>(0);
      if (kind == 2) {
        for (size_t i = dw.size(); i < got.size(); ++i) got[i % dw.size()] += got[i];
        got.resize(dw.size());
      }
      expect_near(got, kind == 1 ? dx : dw, seed);
    }
  }
}

// One plan for all batches: parts that are full, parts that are not, and none at all.
TEST(Conv, FilterGradientsOfAnyBatch) {
  for (uint32_t seed = 0; seed < 12; ++seed) {
    std::mt19937 rng(seed + 200);
    ConvScalars s = random_conv(rng);
    s.kind = static_cast<int64_t>(ConvKind::kFilterGradient);
    const int64_t most = seed % 2 == 0 ? 100 : 9;
    ASSERT_TRUE(plan_conv(most, false, s, ConvBatch::kFree).ok());
    for (const int64_t batch : {int64_t{0}, int64_t{1}, int64_t{7}, int64_t{9}, most - 1, most}) {
      const auto x = numbers(batch * s.in_channels * s.in[0] * s.in[1], seed);
      const auto g = numbers(batch * s.out_channels * s.out[0] * s.out[1], seed + 1);
      const int64_t filter =
          s.out_channels * (s.in_channels / s.groups) * s.kernel[0] * s.kernel[1];
      std::vector<double> dw(static_cast<size_t>(filter), 0.0);
      each_product(s, batch, [&](size_t xi, size_t wi, size_t yi, int64_t) {
        dw[wi] += double{g[yi]} * x[xi];
      });
      s.batch = batch;
      KernelCase k;
      k.set_scalars(s);
      k.chunks = conv_chunks(s, batch);
      k.workspace_bytes = static_cast<uint64_t>(k.chunks * s.scratch_bytes);
      k.add_output<float>(dw.size() * static_cast<size_t>(k.chunks));
      k.add_input(x);
      k.add_input(g);
      const absl::Status status = k.run(kConv);
      ASSERT_TRUE(status.ok()) << status << " seed " << seed;
      std::vector<float> got = k.output<float>(0);
      got.resize(std::max(got.size(), dw.size()));
      for (size_t i = dw.size(); i < got.size(); ++i) got[i % dw.size()] += got[i];
      got.resize(dw.size());
      expect_near(got, dw, seed);
    }
  }
}

TEST(Conv, RefusesWrongSteps) {
  ConvScalars s;
  s.in[0] = s.in[1] = 4;
  s.out[0] = s.out[1] = 4;
  ASSERT_TRUE(plan_conv(2, false, s).ok());
  const auto status = [&](const ConvScalars& scalars, size_t x, size_t y) {
    KernelCase k;
    k.set_scalars(scalars);
    k.chunks = 2;
    k.workspace_bytes = static_cast<uint64_t>(2 * scalars.scratch_bytes);
    k.add_output<float>(y);
    k.add_input(std::vector<float>(x));
    k.add_input(std::vector<float>(1));
    k.add_absent_input();
    k.add_absent_input();
    return k.run(kConv).ToString();
  };
  EXPECT_EQ(status(s, 32, 32), "OK");
  EXPECT_THAT(status(s, 31, 32), HasSubstr("too small"));
  EXPECT_THAT(status(s, 32, 31), HasSubstr("too small"));
  ConvScalars bad = s;
  bad.out[0] = 5;
  EXPECT_THAT(status(bad, 32, 40), HasSubstr("do not fit"));
  bad = s;
  bad.accumulates = 1;
  EXPECT_THAT(status(bad, 32, 32), HasSubstr("in place"));
  // Each chunk is one image: another number would lead the later ones astray.
  bad = s;
  bad.images_per_part = 1000;
  EXPECT_THAT(status(bad, 32, 32), HasSubstr("do not fit"));
  bad.kind = static_cast<int64_t>(ConvKind::kInputGradient);
  KernelCase gradient;
  gradient.set_scalars(bad);
  gradient.chunks = 2;
  gradient.add_output<float>(32);
  gradient.add_input(std::vector<float>(32));
  gradient.add_input(std::vector<float>(1));
  EXPECT_THAT(gradient.validate(validate_conv).ToString(), HasSubstr("do not fit"));
  bad = s;
  bad.filter_bytes = 4;
  bad.filter_layout = 12345;
  EXPECT_THAT(status(bad, 32, 32), HasSubstr("compile the plan for this machine"));
}

}  // namespace
}  // namespace modellib::cpu
