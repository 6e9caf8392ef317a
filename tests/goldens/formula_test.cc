#include "modellib/tests/goldens/formula.h"

#include <gtest/gtest.h>

namespace modellib::goldens {
namespace {

// The table of formula.md, which formula.py prints.
TEST(FormulaTest, GivesTheBitsOfThePythonScript) {
  EXPECT_EQ(bits(0, 0, 0), 0x238275BC38FCBE91u);
  EXPECT_EQ(bits(1, 2, 3), 0xD0734750FDE362B3u);
  EXPECT_EQ(bits(~uint64_t{0}, 7, 1 << 20), 0xF370C3609B88D2C0u);
}

TEST(FormulaTest, GivesTheValuesOfThePythonScript) {
  // Nine digits name a float exactly.
  EXPECT_EQ(uniform(0, 0, 0, 1.0), -0.722581208f);
  EXPECT_EQ(uniform(1, 2, 3, 0.25), 0.157129511f);
  EXPECT_EQ(uniform(5, 1, 9, 0.5, 1.0), 0.994180679f);
  EXPECT_EQ(integer(3, 4, 5, 10), 4);
}

TEST(FormulaTest, ATensorHoldsTheElementsInOrder) {
  const std::vector<float> values = uniform_tensor(5, 1, 10, 0.5, 1.0);
  ASSERT_EQ(values.size(), 10u);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(values[i], uniform(5, 1, i, 0.5, 1.0)) << i;
}

}  // namespace
}  // namespace modellib::goldens
