#include "modellib/passes/fusion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

testing::FakeBackend device() {
  testing::FakeBackend backend;
  backend.fusible = {"add", "exp", "log", "mul", "neg", "reduce_sum", "relu", "div"};
  return backend;
}

TEST(Fusion, PointwiseChainsBecomeOneRegion) {
  const testing::FakeBackend backend = device();
  testing::expect_pass("fusion", R"(graph "g" (x: f32[2,3], b: f32[3]) {
      c = constant() {value: f32[] [2.0]}
      a = add(x, b)
      e = exp(a)
      return y = mul(e, c)
    })",
                       R"(graph "g" (x: f32[2,3], b: f32[3]) {
      return y = fused(x, b) {region: graph "region" (in0: f32[2,3], in1: f32[3]) {
        a = add(in0, in1)
        e = exp(a)
        c = constant() {value: f32[] [2.0]}
        return out0 = mul(e, c)
      }}
    })",
                       &backend);
}

TEST(Fusion, ReductionsOfRowsJoin) {
  const testing::FakeBackend backend = device();
  testing::expect_pass("fusion", R"(graph "g" (x: f32[2,3]) {
      e = exp(x)
      s = reduce_sum(e) {axes: [-1], keepdims: true}
      return y = div(e, s)
    })",
                       R"(graph "g" (x: f32[2,3]) {
      return y = fused(x) {region: graph "region" (in0: f32[2,3]) {
        e = exp(in0)
        s = reduce_sum(e) {axes: [-1], keepdims: true}
        return out0 = div(e, s)
      }}
    })",
                       &backend);
}

// A value that others want is stored by the region that computes it.
TEST(Fusion, SeveralOutputs) {
  const testing::FakeBackend backend = device();
  testing::expect_pass("fusion", R"(graph "g" (x: f32[2,2]) {
      e = exp(x)
      y = neg(e)
      m = matmul(e, e)
      return y, m
    })",
                       R"(graph "g" (x: f32[2,2]) {
      e, y = fused(x) {region: graph "region" (in0: f32[2,2]) {
        e = exp(in0)
        y = neg(e)
        return out0 = e, out1 = y
      }}
      m = matmul(e, e)
      return y, m
    })",
                       &backend);
}

// What lies between two nodes must not end up before and after one region.
TEST(Fusion, NotAroundANodeInBetween) {
  const testing::FakeBackend backend = device();
  testing::expect_unchanged("fusion", R"(graph "g" (x: f32[2,2]) {
      e = exp(x)
      m = matmul(e, e)
      return y = add(e, m)
    })",
                            &backend);
}

// "sums" can be in no region. It stands behind "first" and before "last", which a region of "exp",
// "back" and "last" would both feed and be fed by.
TEST(Fusion, NotAroundANodeBehindTheUser) {
  testing::FakeBackend backend = device();
  const GraphRef graph = testing::graph_of(R"(graph "g" (x: f32[4,4], y: f32[4,4]) {
      first = relu(x)
      e = exp(y)
      back = neg(e)
      both = add(first, e)
      sums = cumsum(first) {axis: 0}
      last = add(back, sums)
      return first, back, both, last
    })");
  const GraphRef fused = testing::after({"fusion"}, graph, &backend);
  ASSERT_NE(fused, nullptr);
  testing::expect_same_meaning(graph, fused, 1e-6);
}

TEST(Fusion, NothingToDo) {
  const testing::FakeBackend backend = device();
  testing::expect_unchanged("fusion", R"(graph "g" (x: f32[2,3], w: f32[3,3]) {
      h = matmul(x, w)
      return y = exp(h)
    })",
                            &backend);
  // No device, no regions; nor where shapes do not fit.
  testing::expect_unchanged("fusion", R"(graph "g" (x: f32[2,3]) {
      e = exp(x)
      return y = neg(e)
    })");
  testing::expect_unchanged("fusion", R"(graph "g" (x: f32[2,3], z: f32[3,2]) {
      a = exp(x)
      b = exp(z)
      m = matmul(a, b)
      return m
    })",
                            &backend);
}

TEST(Fusion, TheDeviceLimitsARegionAndSaysSo) {
  testing::FakeBackend backend = device();
  backend.region_limit = 2;
  const char* const input = R"(graph "g" (x: f32[2,3]) {
      a = exp(x)
      b = neg(a)
      return y = log(b)
    })";
  testing::expect_pass("fusion", input, R"(graph "g" (x: f32[2,3]) {
      a = exp(x)
      return y = fused(a) {region: graph "region" (in0: f32[2,3]) {
        b = neg(in0)
        return out0 = log(b)
      }}
    })",
                       &backend);
  EXPECT_THAT(testing::remarks("fusion", input, &backend),
              ::testing::HasSubstr("a region of 3 nodes; the limit is 2"));
}

}  // namespace
}  // namespace modellib
