// Losses with options: each passes on what it is given.
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "absl/strings/match.h"
#include "modellib/frontends/training/training.h"
#include "modellib/ops/pointwise.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib::training {
namespace {

using Call = std::function<Value(Value prediction, Targets targets)>;

class Losses : public testing::Test {
 protected:
  // Both must come to the same number, and `other`, with other options, to another.
  void expect_same(const Call& loss, Value prediction, Value target, Value expected,
                   const Call& other) {
    const Value values[] = {target};
    const auto results =
        evaluate(b_, {loss(prediction, values), expected, other(prediction, values)});
    ASSERT_EQ(results.size(), 3u);
    EXPECT_TRUE(results[0].identical(results[1]));
    EXPECT_FALSE(results[0].identical(results[2])) << "the option changes nothing";
  }
  GraphBuilder b_{builtin_ops()};
  const Value logits_ = constant(b_, DType::kF32, {2, 3}, {0.5, -1, 2, 1, 0.25, -0.5});
  const Value classes_ = constant(b_, DType::kI64, {2}, {2, 0});
  const Value input_ = constant(b_, DType::kF32, {4}, {0.5, 0.25, 0.75, 0.125});
  const Value target_ = constant(b_, DType::kF32, {4}, {1, 0, 0.5, 2.5});
  const Value binary_ = constant(b_, DType::kF32, {4}, {1, 0, 0, 1});
};

TEST_F(Losses, CrossEntropy) {
  const std::vector<float> weights = {1, 2, 4};
  const Tensor weight = *Tensor::of<float>({3}, weights);
  expect_same(CrossEntropyLoss{.weight = weight, .label_smoothing = 0.1}, logits_, classes_,
              cross_entropy(logits_, classes_, b_.constant(weight), {.label_smoothing = 0.1}),
              CrossEntropyLoss{});
}
TEST_F(Losses, CrossEntropyIgnoresAClass) {
  expect_same(CrossEntropyLoss{.ignore_index = 0, .reduction = "sum"}, logits_, classes_,
              cross_entropy(logits_, classes_, {}, {.ignore_index = 0, .reduction = "sum"}),
              CrossEntropyLoss{.reduction = "sum"});
}
TEST_F(Losses, Nll) {
  expect_same(NLLLoss{.reduction = "sum"}, logits_, classes_,
              nll_loss(logits_, classes_, {}, {.reduction = "sum"}), NLLLoss{});
}
TEST_F(Losses, Bce) {
  expect_same(BCELoss{.reduction = "sum"}, input_, binary_,
              binary_cross_entropy(input_, binary_, {}, "sum"), BCELoss{});
}
TEST_F(Losses, BceWithLogits) {
  const Tensor weight = Tensor::scalar(3.0f);
  expect_same(BCEWithLogitsLoss{.pos_weight = weight}, input_, binary_,
              binary_cross_entropy_with_logits(input_, binary_, {}, b_.constant(weight)),
              BCEWithLogitsLoss{});
}
TEST_F(Losses, Focal) {
  expect_same(FocalLoss{.alpha = 0.5, .gamma = 1.0}, logits_, classes_,
              focal_loss(logits_, classes_, 0.5, 1.0), FocalLoss{.alpha = 0.5});
}
TEST_F(Losses, Mse) {
  expect_same(MSELoss{.reduction = "sum"}, input_, target_, mse_loss(input_, target_, "sum"),
              MSELoss{});
}
TEST_F(Losses, L1) {
  expect_same(MAELoss{.reduction = "sum"}, input_, target_, l1_loss(input_, target_, "sum"),
              L1Loss{});
}
TEST_F(Losses, SmoothL1) {
  expect_same(SmoothL1Loss{.beta = 2.0}, input_, target_, smooth_l1_loss(input_, target_, 2.0),
              SmoothL1Loss{});
}
TEST_F(Losses, Huber) {
  expect_same(HuberLoss{.delta = 0.5}, input_, target_, huber_loss(input_, target_, 0.5),
              HuberLoss{});
}
TEST_F(Losses, KlDiv) {
  expect_same(KLDivLoss{.reduction = "batchmean"}, logits_, logits_ * logits_,
              kl_div(logits_, logits_ * logits_, "batchmean"), KLDivLoss{});
}

TEST_F(Losses, OfSeveralPredictions) {
  const Value a = logits_, b = logits_ * 0.5, c = logits_ * logits_;
  const Value sign = constant(b_, DType::kF32, {2, 3}, {1, -1, 1, 1, -1, -1});
  const Value same = constant(b_, DType::kF32, {2}, {1, 0});
  const auto results = evaluate(
      b_, {MarginRankingLoss{.margin = 0.5}(a, b, sign), margin_ranking_loss(a, b, sign, 0.5),
           TripletMarginLoss{{.margin = 2.0}}(a, b, c), triplet_margin_loss(a, b, c, {.margin = 2}),
           ContrastiveLoss{.margin = 2.0, .temperature = 0}(a, b, same),
           contrastive_loss(a, b, same, 2.0, 0), InfoNCELoss{.normalize = false}(a),
           info_nce_loss(a, 0.1, false)});
  ASSERT_EQ(results.size(), 8u);
  for (size_t i = 0; i < 8; i += 2) EXPECT_TRUE(results[i].identical(results[i + 1])) << i;
}

TEST_F(Losses, TakeExactlyOneTarget) {
  MSELoss{}(input_, Targets{});
  EXPECT_TRUE(absl::StrContains(b_.status().message(), "one target, not 0")) << b_.status();
}

}  // namespace
}  // namespace modellib::training
