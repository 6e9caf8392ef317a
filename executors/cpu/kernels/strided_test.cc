#include "modellib/executors/cpu/kernels/strided.h"

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"
#include "modellib/executors/cpu/kernels/registry.h"

namespace modellib::cpu {
namespace {

using ::testing::HasSubstr;

constexpr runtime::Kernel kCopy = {"cpu.copy", validate_copy, run_copy};
constexpr runtime::Kernel kPad = {"cpu.pad", validate_pad, run_pad};

template <class T>
std::vector<T> counted(int64_t n) {
  std::vector<T> v(static_cast<size_t>(n));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<T>(i * 7 + 1);
  return v;
}

// Random views of random tensors: permuted, reversed, stepped, expanded.
template <class T>
void copy_random_views(uint32_t seed) {
  std::mt19937 rng(seed);
  const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<uint32_t>(n)); };
  const int rank = pick(6);
  std::vector<int64_t> extents, src(static_cast<size_t>(rank)), dst(static_cast<size_t>(rank));
  std::vector<int> order(static_cast<size_t>(rank));
  for (int d = 0; d < rank; ++d) extents.push_back(1 + pick(rank > 3 ? 6 : 40));
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), rng);
  int64_t count = 1, size = 1, base = 0;
  for (int d = rank - 1; d >= 0; --d) {
    dst[static_cast<size_t>(d)] = count;
    count *= extents[static_cast<size_t>(d)];
  }
  for (const int d : order) {
    const int64_t e = extents[static_cast<size_t>(d)];
    const int kind = pick(6);
    int64_t& stride = src[static_cast<size_t>(d)];
    stride = kind == 0 ? 0 : kind == 1 ? 2 * size : size;
    if (kind == 2) {
      stride = -size;
      base += (e - 1) * size;
    }
    if (kind != 0) size *= kind == 1 ? 2 * e : e;
  }
  const auto x = counted<T>(size);
  const CopyScalars s = plan_copy(sizeof(T), extents, src, dst, base);
  KernelCase k;
  k.set_scalars(s);
  k.chunks = copy_chunks(s);
  k.seed = seed;
  k.add_output<T>(static_cast<size_t>(count));
  k.add_input(x);
  ASSERT_TRUE(k.run(kCopy).ok());
  const auto y = k.output<T>(0);
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, at = base;
    for (int d = rank - 1; d >= 0; --d) {
      at += rest % extents[static_cast<size_t>(d)] * src[static_cast<size_t>(d)];
      rest /= extents[static_cast<size_t>(d)];
    }
    ASSERT_EQ(y[static_cast<size_t>(i)], x[static_cast<size_t>(at)])
        << "seed " << seed << " at " << i;
  }
}

TEST(Copy, RandomViews) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    copy_random_views<uint8_t>(seed);
    copy_random_views<uint16_t>(seed);
    copy_random_views<uint32_t>(seed);
    copy_random_views<uint64_t>(seed);
  }
}

TEST(Copy, TransposesLargePlanesInManyChunks) {
  const int64_t rows = 300, cols = 517;
  const auto x = counted<float>(rows * cols);
  const CopyScalars s = plan_copy(4, {cols, rows}, {1, cols}, {rows, 1});
  KernelCase k;
  k.set_scalars(s);
  k.chunks = copy_chunks(s);
  EXPECT_GT(k.chunks, 1);
  k.add_output<float>(static_cast<size_t>(rows * cols));
  k.add_input(x);
  ASSERT_TRUE(k.run(kCopy).ok());
  const auto y = k.output<float>(0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      ASSERT_EQ(y[static_cast<size_t>(c * rows + r)], x[static_cast<size_t>(r * cols + c)]);
    }
  }
}

TEST(Copy, BringsThreeChannelsTogether) {
  for (const int64_t pixels : {1, 3, 4, 5, 8, 50000}) {
    const auto x = counted<float>(2 * 3 * pixels);
    const CopyScalars s = plan_copy(4, {2, pixels, 3}, {3 * pixels, 1, pixels}, {3 * pixels, 3, 1});
    KernelCase k;
    k.set_scalars(s);
    k.chunks = copy_chunks(s);
    k.add_output<float>(x.size());
    k.add_input(x);
    ASSERT_TRUE(k.run(kCopy).ok());
    const auto y = k.output<float>(0);
    for (int64_t i = 0; i < 2 * 3 * pixels; ++i) {
      const int64_t image = i / (3 * pixels), pixel = i / 3 % pixels;
      ASSERT_EQ(y[static_cast<size_t>(i)],
                x[static_cast<size_t>((image * 3 + i % 3) * pixels + pixel)])
          << pixels << " at " << i;
    }
  }
}

// An image, each of whose pixels becomes `times` by `times`; channels first and last.
template <class T>
void copy_upsampled(int64_t times, int64_t width, int64_t channels, bool channels_last) {
  const int64_t height = 5, inner = channels_last ? channels : 1;
  const int64_t outer = channels_last ? 1 : channels;
  const int64_t row = width * inner, up_row = row * times;
  const auto x = counted<T>(outer * height * row);
  const CopyScalars s = plan_copy(
      sizeof(T), {outer, height, times, width, times, inner}, {height * row, row, 0, inner, 0, 1},
      {height * times * up_row, times * up_row, up_row, times * inner, inner, 1});
  KernelCase k;
  k.set_scalars(s);
  k.chunks = copy_chunks(s);
  const size_t count = x.size() * static_cast<size_t>(times * times);
  k.add_output<T>(count);
  k.add_input(x);
  ASSERT_TRUE(k.run(kCopy).ok());
  const auto y = k.output<T>(0);
  for (size_t i = 0; i < count; ++i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t c = at % inner, col = at / inner % (width * times);
    const int64_t line = at / up_row;  // of all images
    const int64_t from = line / times * row + col / times * inner + c;
    ASSERT_EQ(y[i], x[static_cast<size_t>(from)]) << times << " times, at " << i;
  }
}

TEST(Copy, RepeatsElementsAndRuns) {
  for (const bool channels_last : {false, true}) {
    for (const int64_t times : {2, 3, 4, 5, 8}) {
      for (const int64_t width : {1, 7, 300}) {
        copy_upsampled<uint8_t>(times, width, 3, channels_last);
        copy_upsampled<uint16_t>(times, width, 3, channels_last);
        copy_upsampled<uint32_t>(times, width, 24, channels_last);
        copy_upsampled<uint64_t>(times, width, 1, channels_last);
      }
    }
  }
}

TEST(Copy, WritesAPartOfTheOutput) {
  // Concat of [2, 2] into columns 1 and 2 of [2, 4].
  const CopyScalars s = plan_copy(4, {2, 2}, {2, 1}, {4, 1}, 0, 1);
  KernelCase c;
  c.set_scalars(s);
  c.chunks = copy_chunks(s);
  c.add_input(std::vector<int32_t>{1, 2, 3, 4});
  c.add_output<int32_t>(8);
  ASSERT_TRUE(c.run(kCopy).ok());
  const auto y = c.output<int32_t>(0);
  const auto old = static_cast<int32_t>(0xCDCDCDCD);
  EXPECT_EQ(y, (std::vector<int32_t>{old, 1, 2, old, old, 3, 4, old}));
}

TEST(Copy, RefusesWhatLeavesItsOperands) {
  const auto status = [](const CopyScalars& s, size_t in, size_t out) {
    KernelCase k;
    k.set_scalars(s);
    k.add_output<float>(out);
    k.add_input(std::vector<float>(in));
    return k.validate(validate_copy).ToString();
  };
  const CopyScalars good = plan_copy(4, {3, 5}, {5, 1}, {5, 1});
  EXPECT_EQ(status(good, 15, 15), "OK");
  EXPECT_THAT(status(good, 14, 15), HasSubstr("the input"));
  EXPECT_THAT(status(good, 15, 14), HasSubstr("the output"));
  CopyScalars bad = good;
  bad.extent[7] = 1000;  // all of them one element
  bad.src_stride[7] = bad.dst_stride[7] = 0;
  EXPECT_THAT(status(bad, 15, 15), HasSubstr("the output"));
  bad = good;
  bad.element_bytes = 3;
  EXPECT_THAT(status(bad, 15, 15), HasSubstr("element_bytes"));
  bad = good;
  bad.src_base = -1;
  EXPECT_THAT(status(bad, 15, 15), HasSubstr("the input"));
  bad = good;
  bad.extent[0] = int64_t{1} << 47;
  EXPECT_NE(status(bad, 15, 15), "OK");
  bad = good;
  bad.dst_stride[7] = INT64_MIN;
  EXPECT_NE(status(bad, 15, 15), "OK");
  // Never taken, but added on the way.
  bad = good;
  bad.src_base = 1;
  bad.extent[6] = 1;
  bad.src_stride[6] = INT64_MAX;
  EXPECT_NE(status(bad, 16, 15), "OK");
  bad = good;
  bad.tile_rows = 0;
  EXPECT_NE(status(bad, 15, 15), "OK");
}

// A flip of n elements of ten, n in 1..10, of which this run has seven.
struct Flip {
  CopyScalars scalars = plan_copy(4, {7}, {-1}, {1}, 6);
  Flip() { scalars.src_elements = scalars.dst_elements = 10; }

  void fill(KernelCase& k) const {
    k.set_scalars(scalars);
    for (const int64_t s : k.scalars) k.ranges.push_back({s, s});
    k.ranges[offsetof(CopyScalars, extent[7]) / sizeof(int64_t)] = {1, 10};
    k.ranges[offsetof(CopyScalars, src_base) / sizeof(int64_t)] = {0, 9};
    k.chunks = copy_chunks(scalars);
    k.add_output<int32_t>(10);
    k.add_input(counted<int32_t>(10));
  }
};

TEST(Copy, StepsBackFromWhereItStarts) {
  KernelCase k;
  Flip().fill(k);
  const absl::Status run = k.run(kCopy);
  ASSERT_TRUE(run.ok()) << run;
  EXPECT_EQ(k.fault.code(), runtime::Fault::kNone);
  const auto x = counted<int32_t>(10), y = k.output<int32_t>(0);
  for (size_t i = 0; i < 7; ++i) EXPECT_EQ(y[i], x[6 - i]);
}

TEST(Copy, ReportsWhatLeavesItsOperands) {
  const auto reported = [](auto change) {
    Flip flip;
    change(flip.scalars);
    KernelCase k;
    flip.fill(k);
    const absl::Status run = k.run(kCopy);
    EXPECT_TRUE(run.ok()) << run;
    EXPECT_EQ(k.fault.code(), runtime::Fault::kIndexOutOfRange);
    EXPECT_EQ(k.fault.limit(), 10);
    for (const int32_t y : k.output<int32_t>(0)) {
      EXPECT_EQ(y, static_cast<int32_t>(0xCDCDCDCD));  // nothing was moved
    }
    return k.fault.value();
  };
  EXPECT_EQ(reported([](CopyScalars& s) { s.src_base = 5; }), -1);
  EXPECT_EQ(reported([](CopyScalars& s) { s.src_base = 10; }), 10);
  EXPECT_EQ(reported([](CopyScalars& s) { s.dst_base = 4; }), 10);
  EXPECT_EQ(reported([](CopyScalars& s) { s.src_base = INT64_MAX; }), INT64_MAX);
  EXPECT_EQ(reported([](CopyScalars& s) { s.src_base = INT64_MIN; }), INT64_MIN);
  reported([](CopyScalars& s) { s.src_stride[7] = INT64_MIN; });
  reported([](CopyScalars& s) { s.dst_stride[7] = INT64_MAX; });
  reported([](CopyScalars& s) { s.src_stride[0] = INT64_MAX; });  // never taken
}

TEST(Copy, RefusesElementsThatItsOperandsLack) {
  const auto status = [](auto change) {
    Flip flip;
    change(flip.scalars);
    KernelCase k;
    flip.fill(k);
    return k.validate(validate_copy).ToString();
  };
  EXPECT_EQ(status([](CopyScalars&) {}), "OK");
  EXPECT_EQ(status([](CopyScalars& s) { s.dst_elements = 0; }), "OK");
  EXPECT_THAT(status([](CopyScalars& s) { s.src_elements = 0; }), HasSubstr("the input"));
  EXPECT_THAT(status([](CopyScalars& s) { s.src_elements = 11; }), HasSubstr("the input"));
  EXPECT_THAT(status([](CopyScalars& s) {
                s.dst_base = 1;  // beyond the end for ten, if not for seven
                s.dst_elements = 11;
              }),
              HasSubstr("the output"));
  EXPECT_THAT(status([](CopyScalars& s) { s.src_elements = -1; }), HasSubstr("elements"));
  EXPECT_THAT(status([](CopyScalars& s) { s.dst_elements = INT64_MAX; }), HasSubstr("elements"));
  // What does not vary is known when the plan is loaded.
  KernelCase fixed;
  Flip().fill(fixed);
  fixed.ranges.clear();
  EXPECT_TRUE(fixed.validate(validate_copy).ok());
  fixed.scalars[offsetof(CopyScalars, src_base) / sizeof(int64_t)] = 5;
  EXPECT_THAT(fixed.validate(validate_copy).ToString(), HasSubstr("the input"));
  KernelCase varying;
  Flip().fill(varying);
  varying.ranges[offsetof(CopyScalars, src_elements) / sizeof(int64_t)] = {0, 10};
  EXPECT_THAT(varying.validate(validate_copy).ToString(), HasSubstr("elements"));
}

int64_t reference_pad(PadMode mode, int64_t i, int64_t n) {
  if (mode == PadMode::kEdge) return std::clamp<int64_t>(i, 0, n - 1);
  while (mode == PadMode::kReflect && n > 1 && (i < 0 || i >= n)) i = i < 0 ? -i : 2 * (n - 1) - i;
  if (mode == PadMode::kReflect && n == 1) return 0;
  while (mode == PadMode::kWrap && (i < 0 || i >= n)) i += i < 0 ? n : -n;
  return i >= 0 && i < n ? i : -1;
}

TEST(Pad, EveryMode) {
  for (uint32_t seed = 0; seed < 150; ++seed) {
    std::mt19937 rng(seed);
    const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<uint32_t>(n)); };
    PadScalars s;
    const PadMode mode = static_cast<PadMode>(pick(4));
    s.mode = static_cast<int64_t>(mode);
    s.value = std::bit_cast<int32_t>(-2.5f);
    int64_t in = 1, out = 1;
    int64_t shape[3];
    for (int d = 5; d < 8; ++d) {
      s.extent[d] = 1 + pick(6);
      s.low[d] = pick(4) - (mode == PadMode::kConstant && s.extent[d] > 1 ? 1 : 0);
      s.high[d] = pick(4);
      shape[d - 5] = s.low[d] + s.extent[d] + s.high[d];
      in *= s.extent[d];
      out *= shape[d - 5];
    }
    s.rows_per_chunk = 1 + pick(4);
    const auto x = counted<float>(in);
    KernelCase k;
    k.set_scalars(s);
    k.chunks = pad_chunks(s);
    k.add_output<float>(static_cast<size_t>(out));
    k.add_input(x);
    ASSERT_TRUE(k.run(kPad).ok());
    const auto y = k.output<float>(0);
    for (int64_t i = 0; i < out; ++i) {
      const int64_t o[3] = {i / shape[2] / shape[1], i / shape[2] % shape[1], i % shape[2]};
      int64_t at = 0;
      bool inside = true;
      for (int d = 0; d < 3; ++d) {
        const int64_t p = reference_pad(mode, o[d] - s.low[5 + d], s.extent[5 + d]);
        inside &= p >= 0;
        at = at * s.extent[5 + d] + p;
      }
      EXPECT_EQ(y[static_cast<size_t>(i)], inside ? x[static_cast<size_t>(at)] : -2.5f)
          << "seed " << seed;
    }
  }
  PadScalars unknown;
  unknown.mode = static_cast<int64_t>(PadMode::kWrap) + 1;
  KernelCase other;
  other.set_scalars(unknown);
  other.add_output<float>(1);
  other.add_input(std::vector<float>(1));
  EXPECT_THAT(other.validate(validate_pad).ToString(), HasSubstr("mode"));
  PadScalars bad;
  bad.low[7] = -2;
  KernelCase k;
  k.set_scalars(bad);
  k.add_output<float>(1);
  k.add_input(std::vector<float>(1));
  EXPECT_THAT(k.validate(validate_pad).ToString(), HasSubstr("negative"));
}

TEST(Registry, NamesAreUniqueAndKernelsComplete) {
  std::vector<std::string> names;
  for (const runtime::Kernel& kernel : cpu_kernels()) {
    ASSERT_NE(kernel.name, nullptr);
    EXPECT_NE(kernel.validate, nullptr);
    EXPECT_NE(kernel.run, nullptr);
    names.emplace_back(kernel.name);
    // A step of nothing is refused, never run.
    runtime::StepView empty = {};
    EXPECT_FALSE(kernel.validate(empty).ok()) << kernel.name;
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

}  // namespace
}  // namespace modellib::cpu
