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
  c_channels_last "c@channels-last" = conv(%0, w) {layout: "NHWC"}
  %1 = reshape(b) {shape: [1, 1, 1, 4]}
  d_channels_last "d@channels-last" = add(c_channels_last, %1)
  r_channels_last "r@channels-last" = relu(d_channels_last)
  p_channels_last "p@channels-last" = max_pool(r_channels_last) {kernel: [3, 3], strides: [1, 1], padding_low: [1, 1], padding_high: [1, 1], layout: "NHWC"}
  j_channels_last "j@channels-last" = concat(p_channels_last, r_channels_last) {axis: 3}
  q_channels_last "q@channels-last" = slice(j_channels_last) {starts: [0, 0, 0, 2], limits: [2, 8, 8, 6]}
  e_channels_last "e@channels-last" = conv(q_channels_last, w) {layout: "NHWC"}
  m_channels_last "m@channels-last" = reduce_mean(e_channels_last) {axes: [1, 2], keepdims: true}
  y = reshape(m_channels_last) {shape: [2, 4]}
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
    c_channels_last "c@channels-last" = conv(%0, w) {layout: "NHWC"}
    c = transpose(c_channels_last) {perm: [0, 3, 1, 2]}
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
    c_channels_last "c@channels-last" = conv(x, w) {layout: "NHWC"}
    return y = c_channels_last
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
    c_channels_last "c@channels-last" = conv(%0, w) {layout: "NHWC"}
    %1 = transpose(g) {perm: [0, 2, 3, 1]}
    d_channels_last "d@channels-last" = mul(%1, c_channels_last)
    u = conv_filter_gradient(%0, d_channels_last) {layout: "NHWC", shape: [4, 4, 1, 1]}
    v_channels_last "v@channels-last" = conv_input_gradient(d_channels_last, w) {layout: "NHWC", shape: [2, 8, 8, 4]}
    s_channels_last "s@channels-last" = reduce_sum(v_channels_last) {axes: [0, 1, 2], keepdims: true}
    s = reshape(s_channels_last) {shape: [1, 4, 1, 1]}
    return u, s
  })"));
}

TEST(Layout, ResizesImagesAsTheyLie) {
  // Upsampling by a whole factor, and along an axis by a list of places and weights.
  EXPECT_EQ(after(R"(graph "g" (x: f32[2,4,8,8], w: f32[4,4,1,1], at: i64[12], part: f32[12]) {
    c = conv(x, w)
    n = repeat_interleave(c) {repeats: [1, 1, 2, 3]}
    h = gather(n, at) {axis: 2}
    p = reshape(part) {shape: [12, 1]}
    l = mul(h, p)
    e = conv(l, w)
    m = reduce_max(e) {axes: [2, 3], keepdims: true}
    return m
  })",
                  1 << 20),
            printed(
                R"(graph "g" (x: f32[2,4,8,8], w: f32[4,4,1,1], at: i64[12], part: f32[12]) {
    %0 = transpose(x) {perm: [0, 2, 3, 1]}
    c_channels_last "c@channels-last" = conv(%0, w) {layout: "NHWC"}
    n_channels_last "n@channels-last" = repeat_interleave(c_channels_last) {repeats: [1, 2, 3, 1]}
    h_channels_last "h@channels-last" = gather(n_channels_last, at) {axis: 1}
    %1 = reshape(part) {shape: [1, 12, 1, 1]}
    l_channels_last "l@channels-last" = mul(h_channels_last, %1)
    e_channels_last "e@channels-last" = conv(l_channels_last, w) {layout: "NHWC"}
    m_channels_last "m@channels-last" = reduce_max(e_channels_last) {axes: [1, 2], keepdims: true}
    m = reshape(m_channels_last) {shape: [2, 4, 1, 1]}
    return m
  })"));
}

TEST(Layout, LeavesAGatherOfWholeImages) {
  // Two axes of places, where one was: the result is no image of the operand's rank.
  EXPECT_EQ(after(R"(graph "g" (x: f32[2,4,8], w: f32[4,4,1], at: i64[3,2]) {
    c = conv(x, w)
    g = gather(c, at) {axis: 2}
    return g
  })",
                  1 << 20),
            printed(R"(graph "g" (x: f32[2,4,8], w: f32[4,4,1], at: i64[3,2]) {
    %0 = transpose(x) {perm: [0, 2, 1]}
    c_channels_last "c@channels-last" = conv(%0, w) {layout: "NHWC"}
    c = transpose(c_channels_last) {perm: [0, 2, 1]}
    g = gather(c, at) {axis: 2}
    return g
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
    c_channels_last "c@channels-last" = conv(%0, w) {layout: "NHWC"}
    %1 = reshape(row) {shape: [1, 1, 8, 1]}
    d_channels_last "d@channels-last" = add(c_channels_last, %1)
    two = constant() {value: f32[] [2.0]}
    e_channels_last "e@channels-last" = mul(d_channels_last, two)
    m_channels_last "m@channels-last" = reduce_max(e_channels_last) {axes: [1, 2], keepdims: true}
    m = reshape(m_channels_last) {shape: [2, 4, 1, 1]}
    return m
  })"));
}

}  // namespace
}  // namespace modellib
