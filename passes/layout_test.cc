#include "modellib/passes/layout.h"

#include <gtest/gtest.h>

#include "modellib/passes/canonicalize.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

using testing::printed;
using testing::run_passes;

// Likes channels-last images: each convolution gains so many bytes by them.
class Gains final : public testing::TestBackend {
 public:
  explicit Gains(int64_t gain) : gain_(gain) {}
  int64_t channels_last_gain(const Graph&, const Graph::Node& node) const override {
    return node.op->name.rfind("conv", 0) == 0 ? gain_ : 0;
  }

 private:
  int64_t gain_;
};

std::string after(absl::string_view text, int64_t gain) {
  const Gains backend(gain);
  return printed(run_passes({choose_layout, canonicalize}, text, &backend));
}

// x and each image after it have 2 * 4 * 8 * 8 * 4 = 2048 bytes.
constexpr char kChain[] = R"(graph "g" (x: f32[2,4,8,8], w: f32[4,4,1,1], b: f32[4]) {
  c = conv(x, w)
  s = reshape(b) {shape: [1, 4, 1, 1]}
  d = add(c, s)
  r = relu(d)
  p = max_pool(r) {kernel: [3, 3], strides: [1, 1], padding_low: [1, 1], padding_high: [1, 1]}
  j = concat(p, r) {axis: 1}
  q = slice(j) {starts: [0, 2, 0, 0], limits: [2, 6, 8, 8]}
  e = conv(q, w)
  m = reduce_mean(e) {axes: [2, 3], keepdims: true}
  y = reshape(m) {shape: [2, 4]}
  return y
})";

TEST(Layout, CopiesAtEntryAlone) {
  // One copy of x is all that it takes: the mean has nothing to move.
  EXPECT_EQ(after(kChain, 1100),
            printed(R"(graph "g" (x: f32[2,4,8,8], w: f32[4,4,1,1], b: f32[4]) {
  %0 = transpose(x) {perm: [0, 2, 3, 1]}
  %1 = conv(%0, w) {layout: "NHWC"}
  %2 = reshape(b) {shape: [1, 1, 1, 4]}
  %3 = add(%1, %2)
  %4 = relu(%3)
  %5 = max_pool(%4) {kernel: [3, 3], strides: [1, 1], padding_low: [1, 1], padding_high: [1, 1], layout: "NHWC"}
  %6 = concat(%5, %4) {axis: 3}
  %7 = slice(%6) {starts: [0, 0, 0, 2], limits: [2, 8, 8, 6]}
  %8 = conv(%7, w) {layout: "NHWC"}
  %9 = reduce_mean(%8) {axes: [1, 2], keepdims: true}
  y = reshape(%9) {shape: [2, 4]}
  return y
})"));
}

TEST(Layout, LeavesAChainThatGainsTooLittle) { EXPECT_EQ(after(kChain, 1000), printed(kChain)); }

TEST(Layout, DoesNothingWithoutImages) {
  constexpr char kText[] = R"(graph "g" (x: f32[2,3,4], w: f32[4,4]) {
    h = matmul(x, w)
    r = relu(h)
    return r
  })";
  EXPECT_EQ(after(kText, 1 << 20), printed(kText));
}

TEST(Layout, CopiesBackWhatLeavesAsAnImage) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[2,4,8,8], w: f32[4,4,1,1]) {
    c = conv(x, w)
    r = relu(c)
    f = reshape(r) {shape: [2, 256]}
    return f
  })",
                  1 << 20),
            printed(R"(graph "g" (x: f32[2,4,8,8], w: f32[4,4,1,1]) {
    %0 = transpose(x) {perm: [0, 2, 3, 1]}
    %1 = conv(%0, w) {layout: "NHWC"}
    c = transpose(%1) {perm: [0, 3, 1, 2]}
    r = relu(c)
    f = reshape(r) {shape: [2, 256]}
    return f
  })"));
}

TEST(Layout, MeetsTransposesThatAreThere) {
  // Images that come and go channels-last, around a channels-first convolution.
  EXPECT_EQ(after(R"(graph "g" (x: f32[2,8,8,4], w: f32[4,4,1,1]) {
    a = transpose(x) {perm: [0, 3, 1, 2]}
    c = conv(a, w)
    y = transpose(c) {perm: [0, 2, 3, 1]}
    return y
  })",
                  1),
            printed(R"(graph "g" (x: f32[2,8,8,4], w: f32[4,4,1,1]) {
    y = conv(x, w) {layout: "NHWC"}
    return y
  })"));
}

TEST(Layout, TurnsTheGradientsToo) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[2,4,8,8], g: f32[2,4,8,8], w: f32[4,4,1,1]) {
    c = conv(x, w)
    d = mul(g, c)
    u = conv_filter_gradient(x, d) {shape: [4, 4, 1, 1]}
    v = conv_input_gradient(d, w) {shape: [2, 4, 8, 8]}
    s = reduce_sum(v) {axes: [0, 2, 3], keepdims: true}
    return u, s
  })",
                  3000),
            printed(R"(graph "g" (x: f32[2,4,8,8], g: f32[2,4,8,8], w: f32[4,4,1,1]) {
    %0 = transpose(x) {perm: [0, 2, 3, 1]}
    %1 = conv(%0, w) {layout: "NHWC"}
    %2 = transpose(g) {perm: [0, 2, 3, 1]}
    %3 = mul(%2, %1)
    u = conv_filter_gradient(%0, %3) {layout: "NHWC", shape: [4, 4, 1, 1]}
    %4 = conv_input_gradient(%3, w) {layout: "NHWC", shape: [2, 8, 8, 4]}
    %5 = reduce_sum(%4) {axes: [0, 1, 2], keepdims: true}
    s = reshape(%5) {shape: [1, 4, 1, 1]}
    return u, s
  })"));
}

TEST(Layout, BringsBroadcastOperandsAlong) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[2,4,8,8], w: f32[4,4,1,1], row: f32[8]) {
    c = conv(x, w)
    d = add(c, row)
    two = constant() {value: f32[] [2]}
    e = mul(d, two)
    m = reduce_max(e) {axes: [2, 3], keepdims: true}
    return m
  })",
                  1 << 20),
            printed(R"(graph "g" (x: f32[2,4,8,8], w: f32[4,4,1,1], row: f32[8]) {
    %0 = transpose(x) {perm: [0, 2, 3, 1]}
    %1 = conv(%0, w) {layout: "NHWC"}
    %2 = reshape(row) {shape: [1, 1, 8, 1]}
    %3 = add(%1, %2)
    two = constant() {value: f32[] [2]}
    %4 = mul(%3, two)
    %5 = reduce_max(%4) {axes: [1, 2], keepdims: true}
    m = reshape(%5) {shape: [2, 4, 1, 1]}
    return m
  })"));
}

}  // namespace
}  // namespace modellib
