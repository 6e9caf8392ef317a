#include "modellib/passes/bind_dims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "modellib/ops/registry.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

const char kGraph[] = R"(graph "g" (x: f32[batch,4], y: f32[n,4]) {
  dim batch in 1..64
  a = reshape(x) {shape: [2*batch,2]}
  b = broadcast_to(a) {shape: [3,2*batch,2]}
  m = matmul(x, y) {transpose_b: true}
  return b, m
})";

absl::StatusOr<GraphRef> bound(const DimRanges& dims) {
  return bind_dims(testing::graph_of(kGraph), builtin_ops(), dims);
}

TEST(BindDims, ANumberGoesEverywhere) {
  const auto graph = bound({{"batch", {8, 8}}});
  ASSERT_TRUE(graph.ok()) << graph.status();
  testing::expect_graph(*graph, R"(graph "g" (x: f32[8,4], y: f32[n,4]) {
    a = reshape(x) {shape: [16,2]}
    b = broadcast_to(a) {shape: [3,16,2]}
    m = matmul(x, y) {transpose_b: true}
    return b, m
  })");
}

TEST(BindDims, BoundsIntersect) {
  const auto graph = bound({{"batch", {4, 1000}}, {"n", {1, 10}}});
  ASSERT_TRUE(graph.ok()) << graph.status();
  testing::expect_graph(*graph, R"(graph "g" (x: f32[batch,4], y: f32[n,4]) {
    dim batch in 4..64
    dim n in 1..10
    a = reshape(x) {shape: [2*batch,2]}
    b = broadcast_to(a) {shape: [3,2*batch,2]}
    m = matmul(x, y) {transpose_b: true}
    return b, m
  })");
}

TEST(BindDims, OutsideTheModelsOwnBoundsIsAnError) {
  const absl::Status status = bound({{"batch", {100, 200}}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("dimension 'batch' cannot lie in 100..200"));
}

TEST(BindDims, WhatIsHeldEqualHasTheBoundsOfBoth) {
  const GraphRef graph = testing::graph_of(R"(graph "g" (x: f32[4,n], y: f32[m,5]) {
    dim n in 1..20
    dim m in 3..100
    require n == m "matmul"
    return z = matmul(x, y)
  })");
  ASSERT_NE(graph, nullptr);
  const auto both = bind_dims(graph, builtin_ops(), {{"m", {1, 10}}});
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ((*both)->ranges(), (DimRanges{{"m", {3, 10}}, {"n", {3, 10}}}));
  const auto number = bind_dims(graph, builtin_ops(), {{"n", {7, 7}}});
  ASSERT_TRUE(number.ok()) << number.status();
  EXPECT_TRUE((*number)->ranges().empty());
}

// Expressions in regions are bound too.
TEST(BindDims, GoesIntoRegions) {
  const GraphRef graph = testing::graph_of(R"(graph "g" (x: f32[batch,4]) {
    return y = fused(x) {region: graph "region" (in0: f32[batch,4]) {
      return out0 = exp(in0)
    }}
  })");
  const auto result = bind_dims(graph, builtin_ops(), {{"batch", {2, 2}}});
  ASSERT_TRUE(result.ok()) << result.status();
  testing::expect_graph(*result, R"(graph "g" (x: f32[2,4]) {
    return y = fused(x) {region: graph "region" (in0: f32[2,4]) {
      return out0 = exp(in0)
    }}
  })");
}

TEST(BindDims, NothingToDo) {
  const GraphRef graph = testing::graph_of(kGraph);
  EXPECT_EQ(*bind_dims(graph, builtin_ops(), {}), graph);
  EXPECT_EQ(*bind_dims(graph, builtin_ops(), {{"batch", {1, 64}}}), graph);
}

}  // namespace
}  // namespace modellib
