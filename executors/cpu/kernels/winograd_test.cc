#include "modellib/executors/cpu/kernels/winograd.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"
#include "modellib/executors/cpu/kernels/matmul.h"

namespace modellib::cpu {
namespace {

using ::testing::HasSubstr;

constexpr runtime::Kernel kIn = {"cpu.winograd_in_f32", validate_winograd_in, run_winograd_in};
constexpr runtime::Kernel kOut = {"cpu.winograd_out_f32", validate_winograd_out, run_winograd_out};

std::vector<float> numbers(std::mt19937& rng, int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> v(static_cast<size_t>(n));
  for (float& e : v) e = normal(rng);
  return v;
}

struct Problem {
  WinogradInScalars in;
  WinogradOutScalars out;
  std::vector<float> x, filter, bias, residual;
  bool has_bias = false, has_residual = false;

  explicit Problem(uint32_t seed) {
    std::mt19937 rng(seed);
    const auto pick = [&](uint32_t n) { return static_cast<int64_t>(rng() % n); };
    in.batch = out.batch = 1 + pick(3);
    in.channels = kWinogradLanes * (1 + pick(3));
    out.channels = kWinogradLanes * (1 + pick(3));
    for (int d = 0; d < 2; ++d) {
      in.in[d] = 1 + pick(14);
      in.out[d] = out.out[d] = 1 + pick(14);  // windows may lie beyond the image: padding
      in.pad_low[d] = pick(3);
    }
    in.tiles_per_chunk = out.tiles_per_chunk = 1 + pick(7);
    if (pick(2)) out.low = double_bits(0);
    if (pick(2)) out.high = double_bits(6);
    has_bias = pick(2);
    has_residual = pick(2);
    out.residual_after = pick(2);
    x = numbers(rng, in.batch * in.in[0] * in.in[1] * in.channels);
    filter = numbers(rng, out.channels * in.channels * 9);
    bias = numbers(rng, out.channels);
    residual = numbers(rng, out.batch * out.out[0] * out.out[1] * out.channels);
  }

  int64_t tiles() const { return in.batch * winograd_tiles(in.out[0]) * winograd_tiles(in.out[1]); }
  int64_t chunks() const { return (tiles() + in.tiles_per_chunk - 1) / in.tiles_per_chunk; }

  absl::StatusOr<std::vector<float>> run(uint32_t seed) const {
    KernelCase before;
    before.set_scalars(in);
    before.chunks = chunks();
    before.seed = seed;
    before.add_input(x);
    before.add_output<float>(static_cast<size_t>(kWinogradPlaces * tiles() * in.channels));
    if (absl::Status status = before.run(kIn); !status.ok()) return status;
    const std::vector<float> seen = before.output<float>(0);

    MatmulShape shape;
    shape.m = tiles();
    shape.n = out.channels;
    shape.k = in.channels;
    shape.batch = kWinogradPlaces;
    shape.b_constant = true;
    shape.b_shared = false;
    const MatmulScalars matmul = matmul_scalars(shape, plan_matmul(shape));
    const std::vector<float> packed = pack_winograd_filter(in.channels, out.channels, filter);
    std::vector<float> products(static_cast<size_t>(kWinogradPlaces * tiles() * out.channels));
    for (int64_t c = 0; c < matmul_chunks(matmul); ++c) {
      matmul_chunk(matmul, seen.data(), packed.data(), nullptr, nullptr, products.data(), c);
    }

    KernelCase after;
    after.set_scalars(out);
    after.chunks = chunks();
    after.seed = seed;
    after.add_input(products);
    has_bias ? after.add_input(bias) : after.add_absent_input();
    has_residual ? after.add_input(residual) : after.add_absent_input();
    if (has_residual && seed % 2) {
      after.add_output_in_place(2);
    } else {
      after.add_output<float>(residual.size());
    }
    if (absl::Status status = after.run(kOut); !status.ok()) return status;
    return after.output<float>(0);
  }

  double at(int64_t i) const {
    const int64_t oc = i % out.channels, w = i / out.channels % out.out[1];
    const int64_t h = i / out.channels / out.out[1] % out.out[0];
    const int64_t b = i / out.channels / out.out[1] / out.out[0];
    double sum = 0;
    for (int64_t t = 0; t < 9; ++t) {
      const int64_t ih = h + t / 3 - in.pad_low[0], iw = w + t % 3 - in.pad_low[1];
      if (ih < 0 || ih >= in.in[0] || iw < 0 || iw >= in.in[1]) continue;
      for (int64_t c = 0; c < in.channels; ++c) {
        sum +=
            double{
                x[static_cast<size_t>(((b * in.in[0] + ih) * in.in[1] + iw) * in.channels + c)]} *
            filter[static_cast<size_t>((oc * in.channels + c) * 9 + t)];
      }
    }
    if (has_bias) sum += bias[static_cast<size_t>(oc)];
    const double added = has_residual ? double{residual[static_cast<size_t>(i)]} : 0;
    if (!out.residual_after) sum += added;
    sum = std::clamp(sum, std::bit_cast<double>(out.low), std::bit_cast<double>(out.high));
    return out.residual_after ? sum + added : sum;
  }
};

TEST(Winograd, RandomImagesWithEveryEpilogue) {
  double worst = 0;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const Problem p(seed);
    const absl::StatusOr<std::vector<float>> got = p.run(seed);
    ASSERT_TRUE(got.ok()) << got.status() << " seed " << seed;
    // Sums of normal numbers have this deviation.
    const double scale = 3 * std::sqrt(static_cast<double>(p.in.channels));
    for (size_t i = 0; i < got->size(); ++i) {
      const double error = std::fabs((*got)[i] - p.at(static_cast<int64_t>(i))) / scale;
      ASSERT_LT(error, 5e-5) << "seed " << seed << " at " << i;
      worst = std::max(worst, error);
    }
  }
  RecordProperty("worst", std::to_string(worst));
}

TEST(Winograd, BitsDoNotDependOnChunksOrBatch) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    Problem p(seed);
    p.has_residual = false;
    const std::vector<float> first = *p.run(0);
    p.in.tiles_per_chunk = p.out.tiles_per_chunk = p.tiles();
    EXPECT_EQ(*p.run(0), first);
    p.in.batch = p.out.batch = 1;
    p.residual.resize(static_cast<size_t>(p.out.out[0] * p.out.out[1] * p.out.channels));
    const std::vector<float> alone = *p.run(0);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), first.begin())) << seed;
  }
}

TEST(Winograd, PaysWhereThereAreManyChannelsAndTiles) {
  const auto pays = [](int64_t extent, int64_t in, int64_t out) {
    const int64_t extents[2] = {extent, extent};
    return winograd_pays(extents, in, out);
  };
  EXPECT_TRUE(pays(56, 64, 64));
  EXPECT_TRUE(pays(28, 128, 128));
  EXPECT_FALSE(pays(7, 512, 512));  // four tiles: the filters take as long as all products
  EXPECT_FALSE(pays(224, 16, 16));  // moving tiles takes as long
  EXPECT_FALSE(pays(56, 64, 60));
  EXPECT_FALSE(pays(224, 64, 64));  // 58 MiB of tiles
}

TEST(Winograd, RefusesWrongSteps) {
  Problem p(1);
  const auto before = [&](const WinogradInScalars& s, size_t less = 0) {
    KernelCase k;
    k.set_scalars(s);
    k.chunks = p.chunks();
    k.add_input(p.x);
    k.add_output<float>(static_cast<size_t>(kWinogradPlaces * p.tiles() * p.in.channels) - less);
    return std::string(k.validate(validate_winograd_in).message());
  };
  EXPECT_EQ(before(p.in), "");
  EXPECT_THAT(before(p.in, 1), HasSubstr("the tiles"));
  WinogradInScalars in = p.in;
  in.in[1] += 1;
  EXPECT_THAT(before(in), HasSubstr("x of"));
  in = p.in;
  in.pad_low[0] = -1;
  EXPECT_THAT(before(in), HasSubstr("pad_low"));
  in = p.in;
  in.channels += 8;
  EXPECT_THAT(before(in), HasSubstr("channels"));
  in = p.in;
  in.out[0] = 0;
  EXPECT_THAT(before(in), HasSubstr("out"));
  in = p.in;
  in.tiles_per_chunk = 0;
  EXPECT_THAT(before(in), HasSubstr("tiles_per_chunk"));

  const auto after = [&](const WinogradOutScalars& s, size_t less_tiles = 0, size_t less_y = 0,
                         size_t less_bias = 0, size_t less_residual = 0) {
    KernelCase k;
    k.set_scalars(s);
    k.chunks = p.chunks();
    k.add_input(std::vector<float>(
        static_cast<size_t>(kWinogradPlaces * p.tiles() * p.out.channels) - less_tiles));
    k.add_input(std::vector<float>(p.bias.size() - less_bias));
    k.add_input(std::vector<float>(p.residual.size() - less_residual));
    k.add_output<float>(p.residual.size() - less_y);
    return std::string(k.validate(validate_winograd_out).message());
  };
  EXPECT_EQ(after(p.out), "");
  EXPECT_THAT(after(p.out, 1), HasSubstr("the tiles"));
  EXPECT_THAT(after(p.out, 0, 1), HasSubstr("y of"));
  EXPECT_THAT(after(p.out, 0, 0, 1), HasSubstr("the bias"));
  EXPECT_THAT(after(p.out, 0, 0, 0, 1), HasSubstr("the residual"));
  WinogradOutScalars out = p.out;
  out.batch += 1;
  EXPECT_THAT(after(out), HasSubstr("too small"));
  out = p.out;
  out.channels -= 1;
  EXPECT_THAT(after(out), HasSubstr("channels"));
}

}  // namespace
}  // namespace modellib::cpu
