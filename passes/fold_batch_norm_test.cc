#include "modellib/passes/fold_batch_norm.h"

#include <gtest/gtest.h>

#include "modellib/passes/canonicalize.h"
#include "modellib/passes/fold_constants.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

using testing::printed;
using testing::run_passes;

std::string after(absl::string_view text) {
  return printed(run_passes({fold_batch_norm, fold_constants, canonicalize}, text, nullptr));
}

// eps 0 and a variance of 4: the factor is weight / 2.
TEST(FoldBatchNorm, ScalesTheFilter) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[1,1,3,3]) {
    w = constant() {value: f32[2,1,1,1] [1, 2]}
    mean = constant() {value: f32[2] [1, 2]}
    var = constant() {value: f32[2] [4, 4]}
    weight = constant() {value: f32[2] [2, 6]}
    bias = constant() {value: f32[2] [10, 20]}
    c = conv(x, w)
    y = batch_norm_inference(c, mean, var, weight, bias) {eps: 0.0}
    return y
  })"),
            printed(R"(graph "g" (x: f32[1,1,3,3]) {
    %0 = constant() {value: f32[2,1,1,1] [1, 6]}
    %1 = conv(x, %0)
    %2 = constant() {value: f32[1,2,1,1] [9, 14]}
    y = add(%1, %2)
    return y
  })"));
}

TEST(FoldBatchNorm, TakesTheBiasAlong) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[1,1,3,3]) {
    w = constant() {value: f32[2,1,1,1] [1, 2]}
    b = constant() {value: f32[1,2,1,1] [3, 4]}
    mean = constant() {value: f32[2] [1, 2]}
    var = constant() {value: f32[2] [4, 4]}
    c = conv(x, w)
    d = add(c, b)
    y = batch_norm_inference(d, mean, var) {eps: 0.0}
    return y
  })"),
            printed(R"(graph "g" (x: f32[1,1,3,3]) {
    %0 = constant() {value: f32[2,1,1,1] [0.5, 1]}
    %1 = conv(x, %0)
    %2 = constant() {value: f32[1,2,1,1] [1, 1]}
    y = add(%1, %2)
    return y
  })"));
}

// As a model has them whose norms were stored in half precision.
TEST(FoldBatchNorm, TakesConstantsOfOtherTypes) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[1,1,3,3]) {
    w = constant() {value: f32[2,1,1,1] [1, 2]}
    mean = constant() {value: f16[2] [1, 2]}
    var = constant() {value: f64[2] [4, 4]}
    weight = constant() {value: f16[2] [2, 6]}
    bias = constant() {value: bf16[2] [10, 20]}
    c = conv(x, w)
    y = batch_norm_inference(c, mean, var, weight, bias) {eps: 0.0}
    return y
  })"),
            printed(R"(graph "g" (x: f32[1,1,3,3]) {
    %0 = constant() {value: f32[2,1,1,1] [1, 6]}
    %1 = conv(x, %0)
    %2 = constant() {value: f32[1,2,1,1] [9, 14]}
    y = add(%1, %2)
    return y
  })"));
}

TEST(FoldBatchNorm, LeavesWhatVariesOrIsReadElsewhere) {
  constexpr char kVariable[] = R"(graph "g" (x: f32[1,1,3,3], mean: f32[2]) {
    w = constant() {value: f32[2,1,1,1] [1, 2]}
    var = constant() {value: f32[2] [4, 4]}
    c = conv(x, w)
    y = batch_norm_inference(c, mean, var)
    return y
  })";
  EXPECT_EQ(after(kVariable), printed(kVariable));
  constexpr char kShared[] = R"(graph "g" (x: f32[1,1,3,3]) {
    w = constant() {value: f32[2,1,1,1] [1, 2]}
    v = constant() {value: f32[2] [4, 4]}
    c = conv(x, w)
    y = batch_norm_inference(c, v, v)
    return y, c
  })";
  EXPECT_EQ(after(kShared), printed(kShared));
}

}  // namespace
}  // namespace modellib
