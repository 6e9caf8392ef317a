#include "modellib/passes/pointwise_count.h"

#include <gtest/gtest.h>

#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

TEST(PointwiseCount, TellsRegionsEpiloguesAndTheRestApart) {
  testing::FakeBackend backend;
  backend.fusible = {"exp", "mul", "tanh"};
  backend.epilogues = true;
  const GraphRef graph = testing::graph_of(R"(graph "g" (x: f32[8,16], w: f32[16,4], b: f32[4],
                                               y: f32[8,4]) {
      h = matmul(x, w)
      biased = add(h, b)
      r = relu(biased)
      e = exp(y)
      s = mul(e, e)
      t = tanh(s)
      return r, t
    })");
  const PointwiseCount plain = count_pointwise(*graph);
  EXPECT_EQ(plain.in_epilogues, 0);
  EXPECT_EQ(plain.in_regions, 0);
  EXPECT_EQ(plain.outside, 5);
  const PointwiseCount fused =
      count_pointwise(*testing::after({"epilogue", "fusion"}, graph, &backend));
  EXPECT_EQ(fused.in_epilogues, 2);
  EXPECT_EQ(fused.in_regions, 3);
  EXPECT_EQ(fused.outside, 0);
}

}  // namespace
}  // namespace modellib
