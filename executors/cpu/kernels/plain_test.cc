#include "modellib/executors/cpu/kernels/plain.h"

#include <limits>
#include <random>

#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/philox.h"

namespace modellib::cpu {
namespace {

constexpr runtime::Kernel kMatmul = {"cpu.plain_matmul", validate_plain_matmul, run_plain_matmul};
constexpr runtime::Kernel kSort = {"cpu.plain_sort", validate_plain_sort, run_plain_sort};
constexpr runtime::Kernel kFoldIn = {"cpu.fold_in", validate_fold_in, run_fold_in};

TEST(PlainMatmul, BroadcastsABatchAndReadsATransposedB) {
  // A [2, 2, 3], B^T [2, 3] for all batches
  PlainMatmulScalars s;
  s.dtype = static_cast<int64_t>(DType::kF64);
  s.batch1 = 2;
  s.m = 2;
  s.n = 2;
  s.k = 3;
  const int64_t a[4] = {0, 6, 3, 1}, b[4] = {0, 0, 1, 3}, c[4] = {0, 4, 2, 1};
  std::copy(a, a + 4, s.a_stride);
  std::copy(b, b + 4, s.b_stride);
  std::copy(c, c + 4, s.c_stride);
  KernelCase k;
  k.set_scalars(s);
  k.chunks = 4;
  k.add_output<double>(8);
  k.add_input(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  k.add_input(std::vector<double>{1, 0, -1, 2, 1, 0});
  ASSERT_TRUE(k.run(kMatmul).ok());
  EXPECT_EQ(k.output<double>(0), (std::vector<double>{-2, 4, -2, 13, -2, 22, -2, 31}));
  s.a_stride[3] = 2;
  k.set_scalars(s);
  EXPECT_FALSE(k.validate(validate_plain_matmul).ok());
  s.a_stride[3] = s.b_stride[2] = 0;
  s.k = 1 << 20;  // which no memory bounds
  k.set_scalars(s);
  EXPECT_FALSE(k.validate(validate_plain_matmul).ok());
}

TEST(PlainSort, StableBothWaysWithNanLargest) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const int64_t descending : {0, 1}) {
    PlainSortScalars s;
    s.dtype = static_cast<int64_t>(DType::kF32);
    s.descending = descending;
    s.axis = 6;
    s.k = 4;
    KernelCase k;
    k.set_scalars(s);
    k.workspace_bytes = static_cast<uint64_t>(sort_workspace(6));
    k.add_output<float>(4);
    k.add_output<int64_t>(4);
    k.add_input(std::vector<float>{2, nan, 1, 2, -3, 1});
    ASSERT_TRUE(k.run(kSort).ok());
    EXPECT_EQ(k.output<int64_t>(1),
              descending ? (std::vector<int64_t>{1, 0, 3, 2}) : (std::vector<int64_t>{4, 2, 5, 0}));
  }
}

TEST(PlainSort, RandomLinesAlongAMiddleAxis) {
  std::mt19937 rng(2);
  PlainSortScalars s;
  s.dtype = static_cast<int64_t>(DType::kI64);
  s.outer = 3;
  s.axis = 57;
  s.inner = 4;
  s.k = 57;
  s.lines_per_chunk = 5;
  std::vector<int64_t> x(3 * 57 * 4);
  for (int64_t& v : x) v = static_cast<int64_t>(rng() % 20);
  KernelCase k;
  k.set_scalars(s);
  k.chunks = 3;
  k.workspace_bytes = static_cast<uint64_t>(3 * sort_workspace(57));
  k.add_output<int64_t>(x.size());
  k.add_output<int64_t>(x.size());
  k.add_input(x);
  ASSERT_TRUE(k.run(kSort).ok());
  const auto values = k.output<int64_t>(0), indices = k.output<int64_t>(1);
  for (size_t line = 0; line < 12; ++line) {
    const size_t base = line / 4 * 57 * 4 + line % 4;
    for (size_t i = 0; i < 57; ++i) {
      const size_t at = base + i * 4;
      EXPECT_EQ(values[at], x[base + static_cast<size_t>(indices[at]) * 4]);
      if (i == 0) continue;
      EXPECT_LE(values[at - 4], values[at]);
      if (values[at - 4] == values[at]) {
        EXPECT_LT(indices[at - 4], indices[at]);
      }
    }
  }
  k.workspace_bytes -= 1;
  EXPECT_FALSE(k.validate(validate_plain_sort).ok());
}

TEST(FoldIn, TakesTwoWordsOfABlock) {
  KernelCase k;
  FoldInScalars s;
  s.stream = 99;
  k.set_scalars(s);
  k.add_output<uint64_t>(1);
  k.add_input(std::vector<uint64_t>{123456789012345});
  k.add_input(std::vector<uint64_t>{42});
  ASSERT_TRUE(k.run(kFoldIn).ok());
  const auto block = philox_block(123456789012345, 99, 42);
  EXPECT_EQ(k.output<uint64_t>(0)[0], block[0] | uint64_t{block[1]} << 32);
}

}  // namespace
}  // namespace modellib::cpu
