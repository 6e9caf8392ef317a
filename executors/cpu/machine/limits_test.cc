#include "modellib/executors/cpu/machine/limits.h"

#include "gtest/gtest.h"

namespace modellib::cpu {
namespace {

// Bounds that any machine of the last ten years keeps, and no broken unit does.
TEST(MachineLimits, AreThoseOfAMachine) {
  const MachineLimits one = measure_machine_limits(1);
  EXPECT_EQ(one.threads, 1);
  EXPECT_GT(one.flops_per_second, 1e9);
  EXPECT_LT(one.flops_per_second, 1e12);
  EXPECT_GT(one.bytes_per_second, 2e8);
  EXPECT_LT(one.bytes_per_second, 1e12);
}

TEST(MachineLimits, ZeroMeansAllCores) { EXPECT_GE(measure_machine_limits(0).threads, 1); }

}  // namespace
}  // namespace modellib::cpu
