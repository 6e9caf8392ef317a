#include "modellib/passes/epilogue.h"

#include <gtest/gtest.h>

#include "modellib/passes/canonicalize.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

using testing::printed;
using testing::run_passes;

class Takes final : public testing::TestBackend {
 public:
  explicit Takes(bool residual = true) : residual_(residual) {}
  bool takes_epilogue(const Graph&, const Graph::Node&, const Epilogue& epilogue) const override {
    return residual_ || !epilogue.residual;
  }

 private:
  bool residual_;
};

std::string after(absl::string_view text, const Backend& backend = Takes()) {
  return printed(run_passes({fuse_epilogues, canonicalize}, text, &backend));
}

TEST(Epilogue, JoinsAllPartsOfAMatmul) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[4,8], w: f32[8,8], b: f32[8]) {
    p = matmul(x, w)
    q = add(p, b)
    r = add(q, x)
    y = gelu(r)
    return y
  })"),
            printed(R"(graph "g" (x: f32[4,8], w: f32[8,8], b: f32[8]) {
    y = matmul_epilogue(x, w, b, x) {activation: "gelu"}
    return y
  })"));
}

TEST(Epilogue, JoinsAllPartsOfAConvolution) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[1,4,5,5], w: f32[4,4,3,3], b: f32[4]) {
    p = conv(x, w) {padding_low: [1, 1], padding_high: [1, 1]}
    c = reshape(b) {shape: [1, 4, 1, 1]}
    q = add(c, p)
    r = add(q, x)
    y = clamp(r) {min: 0.0, max: 6.0}
    return y
  })"),
            printed(R"(graph "g" (x: f32[1,4,5,5], w: f32[4,4,3,3], b: f32[4]) {
    y = conv_epilogue(x, w, b, x) {padding_low: [1, 1], padding_high: [1, 1], activation: "relu6"}
    return y
  })"));
}

TEST(Epilogue, JoinsAResidualBehindTheActivation) {
  EXPECT_EQ(
      after(R"(graph "g" (x: f32[1,4,5,5], w: f32[4,4,1,1], b: f32[4], m: f32[4,8], n: f32[8,8]) {
    p = conv(x, w)
    c = reshape(b) {shape: [1, 4, 1, 1]}
    q = add(p, c)
    r = gelu(q)
    y = add(r, x)
    s = matmul(m, n)
    t = relu(s)
    z = add(m, t)
    return y, z
  })"),
      printed(
          R"(graph "g" (x: f32[1,4,5,5], w: f32[4,4,1,1], b: f32[4], m: f32[4,8], n: f32[8,8]) {
    y = conv_epilogue(x, w, b, x) {activation: "gelu", residual_after: true}
    z = matmul_epilogue(m, n, _, m) {activation: "relu", residual_after: true}
    return y, z
  })"));
}

TEST(Epilogue, PrefersTheProductThatAnActivationMayFollow) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[4,8], v: f32[8,8], w: f32[8,8]) {
    p = matmul(x, v)
    q = relu(p)
    r = matmul(x, w)
    s = add(q, r)
    y = tanh(s)
    return y
  })"),
            printed(R"(graph "g" (x: f32[4,8], v: f32[8,8], w: f32[8,8]) {
    q = matmul_epilogue(x, v) {activation: "relu"}
    y = matmul_epilogue(x, w, _, q) {activation: "tanh"}
    return y
  })"));
}

TEST(Epilogue, LeavesABiasAndASecondActivationBehindAnActivation) {
  constexpr char kText[] = R"(graph "g" (x: f32[4,8], w: f32[8,8], b: f32[8]) {
    p = matmul_epilogue(x, w) {activation: "relu"}
    q = add(p, b)
    r = matmul_epilogue(x, w, _, x) {activation: "gelu", residual_after: true}
    s = relu(r)
    return q, s
  })";
  EXPECT_EQ(after(kText), printed(kText));
}

TEST(Epilogue, TakesABiasAlongTheChannelsOfItsLayout) {
  // Along the last spatial axis, it is none.
  constexpr char kText[] = R"(graph "g" (x: f32[1,4,4,4], w: f32[4,4,1,1], b: f32[4]) {
    p = conv(x, w)
    y = add(p, b)
    return y
  })";
  EXPECT_EQ(after(kText), printed(kText));
  EXPECT_EQ(after(R"(graph "g" (x: f32[1,4,4,4], w: f32[4,4,1,1], b: f32[4]) {
    p = conv(x, w) {layout: "NHWC"}
    y = add(p, b)
    return y
  })"),
            printed(R"(graph "g" (x: f32[1,4,4,4], w: f32[4,4,1,1], b: f32[4]) {
    y = conv_epilogue(x, w, b) {layout: "NHWC"}
    return y
  })"));
}

TEST(Epilogue, LeavesWhatOthersReadAndWhatTheBackendRefuses) {
  constexpr char kShared[] = R"(graph "g" (x: f32[4,8], w: f32[8,8]) {
    p = matmul(x, w)
    y = relu(p)
    return y, p
  })";
  EXPECT_EQ(after(kShared), printed(kShared));
  constexpr char kResidual[] = R"(graph "g" (x: f32[4,8], w: f32[8,8]) {
    p = matmul(x, w)
    y = add(p, x)
    return y
  })";
  EXPECT_EQ(after(kResidual, Takes(false)), printed(kResidual));
  constexpr char kTwice[] = R"(graph "g" (x: f32[4,8], w: f32[8,8]) {
    p = matmul(x, w)
    q = relu(p)
    y = relu6(q)
    return y
  })";
  EXPECT_EQ(after(kTwice), printed(R"(graph "g" (x: f32[4,8], w: f32[8,8]) {
    q = matmul_epilogue(x, w) {activation: "relu"}
    y = relu6(q)
    return y
  })"));
}

}  // namespace
}  // namespace modellib
