#include "modellib/passes/canonical_order.h"

#include <gtest/gtest.h>

#include "modellib/graph/text.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

TEST(CanonicalOrder, DepthFirstFromTheOutputs) {
  const GraphRef graph = testing::graph_of(R"(graph "g" (x: f32[4]) {
  b: var f32[4] "b"
  a: var f32[4] "a"
  u = neg(x)
  d = exp(b)
  dead = log(x)
  e = sin(x)
  c = cos(u)
  f = add(e, c)
  g = mul(a, x)
  assign "b" = d
  assign "a" = g
  return f
})");
  const GraphRef ordered = testing::after({"order"}, graph);
  testing::expect_graph(ordered, print(*graph));
  EXPECT_EQ(print(*ordered), R"(graph "g" (x: f32[4]) {
  a: var f32[4] "a"
  b: var f32[4] "b"
  e = sin(x)
  u = neg(x)
  c = cos(u)
  f = add(e, c)
  g = mul(a, x)
  d = exp(b)
  assign "a" = g
  assign "b" = d
  return f
}
)");
  EXPECT_EQ(print(*testing::after({"order"}, ordered)), print(*ordered));
}

// Collectives keep the order in which they were written, whatever reads them.
TEST(CanonicalOrder, EffectsStayInOrder) {
  const GraphRef graph = testing::graph_of(R"(graph "g" (x: f32[4], y: f32[4]) {
  a = all_reduce(x)
  b = all_reduce(y)
  return b, a
})");
  EXPECT_EQ(print(*testing::after({"order"}, graph)), print(*graph));
}

}  // namespace
}  // namespace modellib
