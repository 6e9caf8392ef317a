// Which way a product is computed, and how finely it is cut.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"

namespace modellib::cpu {
namespace {

TEST(MatmulPlanTest, ConstantWeightsArePackedAndSmallBatchesReadTrainableOnesInPlace) {
  MatmulShape shape;
  shape.m = 32;
  shape.n = 256;
  shape.k = 784;
  shape.transpose_b = true;
  EXPECT_EQ(plan_matmul(shape).b_layout, BLayout::kTransposed);
  shape.b_constant = true;
  EXPECT_TRUE(plan_matmul(shape).pack_offline);
  shape.b_constant = false;
  shape.m = 4096;
  EXPECT_TRUE(plan_matmul(shape).pack_step);
  EXPECT_EQ(plan_matmul(shape).packed_bytes, 784 * 256 * 4);
}

// Extents that vary may have maxima beyond any memory.
TEST(MatmulPlanTest, NumbersStaySoundForExtentsBeyondAllMemory) {
  constexpr int64_t kLarge = int64_t{1} << 60, kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(packed_b_floats(kLarge, 37), kMost);
  EXPECT_EQ(packed_b_bytes(kLarge, 1), kMost);
  for (const bool constant : {false, true}) {
    MatmulShape shape;
    shape.m = shape.n = shape.k = shape.batch = kLarge;
    shape.b_shared = false;
    shape.b_constant = constant;
    const MatmulPlan plan = plan_matmul(shape);
    EXPECT_EQ(plan.packed_bytes, kMost);
    EXPECT_GE(plan.m_grain, 1);
    EXPECT_GE(plan.n_grain, kPanel);
    const MatmulScalars scalars = matmul_scalars(shape, plan);
    EXPECT_EQ(scalars.a_batch1, kMost);
    EXPECT_EQ(scalars.b_batch1, kMost);
    EXPECT_EQ(scalars.c_batch1, kMost);
  }
}

TEST(Plan, ChunksAreBalanced) {
  // Two workers, who take chunks in turn, are done in little more than half of the time.
  for (const int64_t m : {49, 64, 196, 512, 3136}) {
    for (const int64_t n : {64, 96, 160, 256, 768, 2048}) {
      MatmulShape shape;
      shape.m = m;
      shape.n = n;
      shape.k = 512;
      shape.b_constant = true;
      const MatmulPlan plan = plan_matmul(shape);
      std::vector<int64_t> workers(2);
      for (int64_t n0 = 0; n0 < n; n0 += plan.n_grain) {
        for (int64_t m0 = 0; m0 < m; m0 += plan.m_grain) {
          const int64_t work = std::min(plan.m_grain, m - m0) * std::min(plan.n_grain, n - n0);
          *std::min_element(workers.begin(), workers.end()) += work;
        }
      }
      EXPECT_LE(*std::max_element(workers.begin(), workers.end()),
                0.61 * static_cast<double>(m * n))
          << m << " x " << n << ": grains " << plan.m_grain << ", " << plan.n_grain;
    }
  }
}

}  // namespace
}  // namespace modellib::cpu
