// Losses without a golden of PyTorch, by hand; and what all of them refuse.
#include "modellib/ops/losses.h"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "modellib/ops/gradients.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib {
namespace {

using testing::DoubleNear;
using testing::HasSubstr;
using testing::Pointwise;

constexpr DType kF64 = DType::kF64;

Value f64(GraphBuilder& b, std::vector<int64_t> shape, const std::vector<double>& values) {
  return constant(b, kF64, std::move(shape), values);
}
Value classes(GraphBuilder& b, const std::vector<double>& values) {
  return constant(b, DType::kI64, {static_cast<int64_t>(values.size())}, values);
}

// What is wrong with a loss of f64 inputs of these shapes; empty: nothing.
using Operands = std::vector<Value>;
std::string mistake(const std::vector<Shape>& shapes,
                    const std::function<Value(const Operands&)>& loss) {
  GraphBuilder b(builtin_ops());
  Operands operands;
  for (size_t i = 0; i < shapes.size(); ++i) {
    operands.push_back(b.input("x" + std::to_string(i), {kF64, shapes[i]}));
  }
  loss(operands);
  return std::string(b.status().message());
}

TEST(FocalLoss, WeighsCrossEntropyByWhatIsMissing) {
  const std::vector<double> logits = {2, 0.5, -1, -3, 1, 0};
  const std::vector<double> target = {0, 2};
  std::vector<double> expected;
  for (size_t row = 0; row < 2; ++row) {
    double sum = 0;
    for (size_t i = 0; i < 3; ++i) sum += std::exp(logits[3 * row + i]);
    const double p = std::exp(logits[3 * row + static_cast<size_t>(target[row])]) / sum;
    expected.push_back(0.25 * (1 - p) * (1 - p) * -std::log(p));
  }
  GraphBuilder b(builtin_ops());
  const Value x = f64(b, {2, 3}, logits), t = classes(b, target);
  const auto got = evaluate(b, {focal_loss(x, t, 0.25, 2.0, "none"), focal_loss(x, t, 1.0, 0.0),
                                cross_entropy(x, t), focal_loss(x, t, 0.25, 2.0)});
  ASSERT_EQ(got.size(), 4u);
  EXPECT_THAT(numbers(got[0]), Pointwise(DoubleNear(1e-12), expected));
  EXPECT_NEAR(got[1].at(0), got[2].at(0), 1e-15) << "gamma 0 and alpha 1: cross entropy";
  EXPECT_NEAR(got[3].at(0), (expected[0] + expected[1]) / 2, 1e-12);
}

// A row that nothing is missing of has no loss and no gradient, nor does it spoil its neighbour's.
TEST(FocalLoss, HasAFiniteGradientWhereNothingIsMissing) {
  for (const double gamma : {0.25, 0.5, 0.999, 1.0, 1.5, 2.0}) {
    GraphBuilder b(builtin_ops());
    const Value x = f64(b, {2, 2}, {1000, 0, 0.5, 0}), t = classes(b, {0, 0});
    const Value loss = focal_loss(x, t, 1.0, gamma, "none");
    const auto got = evaluate(b, {loss, gradients(b, reduce_sum(loss, {}), {x})[0]});
    ASSERT_EQ(got.size(), 2u);
    const double ce = std::log1p(std::exp(-0.5)), rest = -std::expm1(-ce);
    EXPECT_EQ(got[0].at(0), 0) << gamma;
    EXPECT_NEAR(got[0].at(1), std::pow(rest, gamma) * ce, 1e-12) << gamma;
    EXPECT_EQ(got[1].at(0), 0) << gamma;
    EXPECT_EQ(got[1].at(1), 0) << gamma;
    EXPECT_LT(got[1].at(2), 0) << gamma;
    EXPECT_NEAR(got[1].at(2) + got[1].at(3), 0, 1e-12) << gamma;
  }
}

TEST(KlDiv, IsZeroWhereTheTargetIsZero) {
  const double infinity = std::numeric_limits<double>::infinity();
  GraphBuilder b(builtin_ops());
  const Value x = f64(b, {2, 3}, {-infinity, std::log(0.5), std::log(0.5), -1, -2, -3});
  const Value t = f64(b, {3}, {0, 0.25, 0.75});  // for both rows
  const Value loss = kl_div(x, t, "none");
  const auto got = evaluate(b, {loss, gradients(b, reduce_sum(loss, {}), {x})[0]});
  ASSERT_EQ(got.size(), 2u);
  EXPECT_THAT(
      numbers(got[0]),
      Pointwise(DoubleNear(1e-12), {0.0, 0.25 * std::log(0.5), 0.75 * std::log(1.5), 0.0,
                                    0.25 * (std::log(0.25) + 2), 0.75 * (std::log(0.75) + 3)}));
  EXPECT_THAT(numbers(got[1]),
              Pointwise(DoubleNear(1e-12), {0.0, -0.25, -0.75, 0.0, -0.25, -0.75}));
}

TEST(MarginRankingLoss, CountsPairsInTheWrongOrder) {
  GraphBuilder b(builtin_ops());
  const Value loss = margin_ranking_loss(f64(b, {4}, {3, 1, 3, 1}), f64(b, {4}, {1, 3, 1, 3}),
                                         f64(b, {4}, {1, 1, -1, -1}), 0.5, "none");
  EXPECT_THAT(numbers_of(b, loss), Pointwise(DoubleNear(1e-15), {0.0, 2.5, 2.5, 0.0}));
}

TEST(TripletMarginLoss, ComparesDistances) {
  GraphBuilder b(builtin_ops());
  const Value anchor = f64(b, {1, 2}, {0, 0}), positive = f64(b, {1, 2}, {3, 4}),
              negative = f64(b, {1, 2}, {3, 3});
  TripletMarginOptions options{.eps = 0, .reduction = "none"};
  const Value plain = triplet_margin_loss(anchor, positive, negative, options);
  options.swap = true;  // the negative is 1 away from the positive
  const Value swapped = triplet_margin_loss(anchor, positive, negative, options);
  options = {.p = 1, .eps = 0};
  const auto got =
      evaluate(b, {plain, swapped, triplet_margin_loss(anchor, positive, negative, options)});
  ASSERT_EQ(got.size(), 3u);
  EXPECT_NEAR(got[0].at(0), 1 + 5 - std::sqrt(18.0), 1e-12);
  EXPECT_NEAR(got[1].at(0), 1 + 5 - 1, 1e-12);
  EXPECT_NEAR(got[2].at(0), 1 + 7 - 6, 1e-12);
}

TEST(ContrastiveLoss, PullsTogetherAndPushesApart) {
  const std::vector<double> second = {0.3, 0.4, 0.3, 0.4, 2, 0}, labels = {1, 0, 0};
  GraphBuilder b(builtin_ops());
  const Value a = f64(b, {3, 2}, {0, 0, 0, 0, 0, 0}), z = f64(b, {3, 2}, second),
              y = f64(b, {3}, labels);
  const auto got =
      evaluate(b, {contrastive_loss(a, z, y, 1.0, 0.0), contrastive_loss(a, z, y, 1.0, 0.1)});
  ASSERT_EQ(got.size(), 2u);
  // Distances 0.5, 0.5 and 2.
  EXPECT_NEAR(got[0].at(0), (0.25 + 0.25 + 0) / 3, 1e-12);
  const auto soft = [](double d) { return 0.1 * std::log1p(std::exp((1 - d) / 0.1)); };
  EXPECT_NEAR(got[1].at(0), (0.25 + soft(0.5) * soft(0.5) + soft(2) * soft(2)) / 3, 1e-12);
}

TEST(ContrastiveLoss, HasAGradientWhereTwoEmbeddingsAreEqual) {
  GraphBuilder b(builtin_ops());
  const Value a = f64(b, {1, 2}, {1, 2});
  const Value other = f64(b, {1, 2}, {1, 2}) + 0.0;
  const Value loss = contrastive_loss(a, other, f64(b, {1}, {1}), 1.0, 0.1);
  EXPECT_THAT(numbers_of(b, gradients(b, loss, {a})[0]), testing::Each(0.0));
}

TEST(InfoNceLoss, PicksThePartnerAmongAllOthers) {
  const std::vector<double> features = {1, 0, 0, 1, 2, 1, -1, 3};  // rows 0, 2 and 1, 3 are pairs
  double expected = 0;
  for (size_t i = 0; i < 4; ++i) {
    double sum = 0, own = 0;
    for (size_t j = 0; j < 4; ++j) {
      if (j == i) continue;
      double dot = 0, ii = 0, jj = 0;
      for (size_t d = 0; d < 2; ++d) {
        dot += features[2 * i + d] * features[2 * j + d];
        ii += features[2 * i + d] * features[2 * i + d];
        jj += features[2 * j + d] * features[2 * j + d];
      }
      const double e = std::exp(dot / std::sqrt(ii * jj) / 0.5);
      sum += e;
      if (j == (i + 2) % 4) own = e;
    }
    expected -= std::log(own / sum) / 4;
  }
  GraphBuilder b(builtin_ops());
  EXPECT_NEAR(numbers_of(b, info_nce_loss(f64(b, {4, 2}, features), 0.5)).at(0), expected, 1e-12);
}

TEST(InfoNceLoss, RefusesAnOddNumberOfRows) {
  GraphBuilder b(builtin_ops());
  info_nce_loss(b.input("features", {kF64, {3, 2}}));
  EXPECT_THAT(std::string(b.status().message()), HasSubstr("[2n, size]"));
  // A free number is checked when it is bound.
  GraphBuilder free(builtin_ops());
  free.output("loss", info_nce_loss(free.input("features", {kF64, {Dim::symbol("rows"), 2}})));
  const auto graph = free.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_TRUE(run_reference(*graph, {*random_tensor(kF64, {4, 2}, -1, 1, "even")}).ok());
  EXPECT_FALSE(run_reference(*graph, {*random_tensor(kF64, {3, 2}, -1, 1, "odd")}).ok());
}

TEST(CrossEntropy, OfIgnoredTargetsAloneIsNan) {
  GraphBuilder b(builtin_ops());
  const Value x = f64(b, {2, 3}, {1, 2, 3, 4, 5, 6}), t = classes(b, {-100, -100});
  const auto got =
      evaluate(b, {cross_entropy(x, t), cross_entropy(x, t, {}, {.reduction = "sum"})});
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(std::isnan(got[0].at(0)));
  EXPECT_EQ(got[1].at(0), 0.0);
}

TEST(CrossEntropy, ATargetOutOfRangeIsAnError) {
  for (const double target : {-1.0, 3.0}) {
    GraphBuilder b(builtin_ops());
    b.output("loss", cross_entropy(f64(b, {1, 3}, {1, 2, 3}), classes(b, {target})));
    const auto graph = b.build();
    ASSERT_TRUE(graph.ok()) << graph.status();
    const auto result = run_reference(*graph, {});
    EXPECT_EQ(result.status().code(), absl::StatusCode::kOutOfRange) << target;
  }
}

TEST(CrossEntropy, OfHalfPrecisionIsF32) {
  GraphBuilder b(builtin_ops());
  const Value x = cast(f64(b, {1, 2}, {9, -9}), DType::kF16);
  const Value loss = cross_entropy(x, classes(b, {1}));
  EXPECT_EQ(loss.dtype(), DType::kF32);
  EXPECT_NEAR(numbers_of(b, loss).at(0), 18 + std::log1p(std::exp(-18.0)), 1e-5);
}

// The loss is w (lse - x) at the target, w and x being one: both have their part of the gradient.
TEST(CrossEntropy, WeighedByItsLogitsHasTheGradientOfBoth) {
  const std::vector<double> logits = {0.5, 1, 2};
  double sum = 0;
  for (const double x : logits) sum += std::exp(x);
  std::vector<double> expected;
  for (const double x : logits) expected.push_back(logits[1] * std::exp(x) / sum);
  expected[1] += std::log(sum) - 2 * logits[1];
  GraphBuilder b(builtin_ops());
  const Value x = f64(b, {3}, logits), target = constant(b, DType::kI64, {}, {1});
  const Value loss = cross_entropy(x, target, x, {.reduction = "sum"});
  EXPECT_THAT(numbers_of(b, gradients(b, loss, {x})[0]), Pointwise(DoubleNear(1e-12), expected));
}

TEST(CrossEntropy, OfProbabilitiesRefusesWhatItCannotDo) {
  const auto with = [](const CrossEntropyAttributes& attributes) {
    return mistake({{4, 3}, {4, 3}},
                   [&](const Operands& x) { return cross_entropy(x[0], x[1], {}, attributes); });
  };
  EXPECT_EQ(with({.label_smoothing = 1.0}), "");
  EXPECT_THAT(with({.label_smoothing = 1.5}), HasSubstr("label_smoothing"));
  EXPECT_THAT(with({.label_smoothing = -0.1}), HasSubstr("label_smoothing"));
  EXPECT_THAT(with({.ignore_index = 0}), HasSubstr("ignore_index 0"));
  const auto plain = [](const Operands& x) { return cross_entropy(x[0], x[1]); };
  EXPECT_THAT(mistake({{4, 3}, {4, 1}}, plain), HasSubstr("the probabilities must have shape"));
  const auto weighted = [](const Operands& x) { return cross_entropy(x[0], x[1], x[2]); };
  EXPECT_EQ(mistake({{4, 3}, {4, 3}, {3}}, weighted), "");
  EXPECT_THAT(mistake({{4, 3}, {4, 3}, {1}}, weighted), HasSubstr("the weight must have shape"));
  EXPECT_THAT(mistake({{3}, {3}, {1}}, weighted), HasSubstr("the weight must have shape"));
}

TEST(NllLoss, RefusesATargetOrWeightOfAnotherSize) {
  const auto with = [](const Shape& target, const TensorType& weight) {
    GraphBuilder b(builtin_ops());
    nll_loss(b.input("x", {kF64, {4, 5}}), b.input("t", {DType::kI64, target}),
             b.input("w", weight));
    return std::string(b.status().message());
  };
  const TensorType weight = {kF64, {5}};
  EXPECT_EQ(with({4}, weight), "");
  EXPECT_THAT(with({2}, weight), HasSubstr("the target must have shape [4], is i64[2]"));
  EXPECT_THAT(with({4, 1}, weight), HasSubstr("the target must have shape [4], is i64[4,1]"));
  EXPECT_THAT(with({4}, {kF64, {6}}), HasSubstr("the weight must have shape [5]"));
  EXPECT_THAT(with({4}, {DType::kI64, {5}}), HasSubstr("the weight must be a float"));
}

// Its row stands at class 0 meanwhile, which may be impossible.
TEST(NllLoss, OfAnIgnoredRowIsZeroWhateverItHolds) {
  constexpr double kImpossible = -std::numeric_limits<double>::infinity();
  GraphBuilder b(builtin_ops());
  const Value x = f64(b, {2, 2}, {kImpossible, 0, -1, -2}), t = classes(b, {-100, 1});
  const Value weight = f64(b, {2}, {3, 5});
  const Value plain = nll_loss(x, t), weighted = nll_loss(x, t, weight);
  const auto got = evaluate(
      b, {plain, weighted, gradients(b, plain, {x})[0], gradients(b, weighted, {x, weight})[1]});
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0].at(0), 2);
  EXPECT_EQ(got[1].at(0), 2);
  EXPECT_THAT(numbers(got[2]), testing::ElementsAre(0, 0, 0, -1));
  EXPECT_THAT(numbers(got[3]),
              testing::Each(testing::Truly([](double g) { return std::isfinite(g); })));
}

// PyTorch divides by no less than 1e-12: the gradient of a certain mistake is large, and finite.
TEST(BinaryCrossEntropy, HasAFiniteGradientAtZeroAndOne) {
  GraphBuilder b(builtin_ops());
  const Value p = f64(b, {4}, {0, 1, 0, 1}), t = f64(b, {4}, {0, 1, 1, 0});
  const Value loss = binary_cross_entropy(p, t, {}, "none");
  const auto got = evaluate(b, {loss, gradients(b, reduce_sum(loss), {p})[0]});
  ASSERT_EQ(got.size(), 2u);
  EXPECT_THAT(numbers(got[0]), Pointwise(DoubleNear(1e-12), {0.0, 0.0, 100.0, 100.0}));
  EXPECT_THAT(numbers(got[1]), Pointwise(DoubleNear(1), {0.0, 0.0, -1e12, 1e12}));
}

// A column of logits beside a row of targets is a mistake that nobody would see.
TEST(BinaryCrossEntropyWithLogits, DoesNotBroadcastTheTarget) {
  const auto loss = [](const Operands& x) { return binary_cross_entropy_with_logits(x[0], x[1]); };
  EXPECT_THAT(mistake({{4, 1}, {4}}, loss),
              HasSubstr("the target must have shape [4,1], is f64[4]"));
  EXPECT_THAT(mistake({{4}, {1}}, loss), HasSubstr("4 differ"));
  EXPECT_EQ(mistake({{4, 3}, {4, 3}}, loss), "");
}

TEST(BinaryCrossEntropy, BroadcastsWeightsToTheLossAlone) {
  const auto plain = [](const Operands& x) { return binary_cross_entropy(x[0], x[1], x[2]); };
  EXPECT_EQ(mistake({{4, 3}, {4, 3}, {3}}, plain), "");
  EXPECT_THAT(mistake({{4}, {4}, {4, 1}}, plain), HasSubstr("the weighted loss must have shape"));
  const auto of_logits = [](const Operands& x) {
    return binary_cross_entropy_with_logits(x[0], x[1], x[2], x[3]);
  };
  EXPECT_EQ(mistake({{4, 3}, {4, 3}, {4, 1}, {3}}, of_logits), "");
  EXPECT_THAT(mistake({{4}, {4}, {4, 1}, {4}}, of_logits), HasSubstr("the weighted loss"));
  EXPECT_THAT(mistake({{4}, {4}, {4}, {4, 1}}, of_logits), HasSubstr("the weighted positives"));
}

TEST(Losses, OfSeveralOperandsRefuseThoseThatDoNotGoTogether) {
  const auto ranking = [](const Operands& x) { return margin_ranking_loss(x[0], x[1], x[2]); };
  EXPECT_THAT(mistake({{4}, {4}, {4, 1}}, ranking), HasSubstr("f64[4], f64[4] and f64[4,1]"));
  EXPECT_EQ(mistake({{4, 1}, {4, 1}, {1, 1}}, ranking), "");
  const auto triplet = [](const Operands& x) { return triplet_margin_loss(x[0], x[1], x[2]); };
  EXPECT_THAT(mistake({{4, 3}, {4, 3}, {3}}, triplet), HasSubstr("must be of one rank"));
  const auto pairs = [](const Operands& x) { return contrastive_loss(x[0], x[1], x[2]); };
  EXPECT_THAT(mistake({{4, 3}, {4, 3}, {4, 1}}, pairs),
              HasSubstr("the labels must have shape [4]"));
  EXPECT_THAT(mistake({{4, 3}, {1, 3}, {4}}, pairs), HasSubstr("the other rows"));
}

TEST(Losses, RefuseOptionsOutOfRange) {
  const auto with = [](double x, const std::function<Value(Value, double)>& loss) {
    return mistake({{2, 3}, {2, 3}}, [&](const Operands& of) { return loss(of[0], x); });
  };
  const auto smooth = [](Value x, double beta) { return smooth_l1_loss(x, x, beta); };
  EXPECT_THAT(with(-1, smooth), HasSubstr("beta"));
  EXPECT_EQ(with(0, smooth), "");
  const auto huber = [](Value x, double delta) { return huber_loss(x, x, delta); };
  EXPECT_THAT(with(0, huber), HasSubstr("delta"));
  const auto nce = [](Value x, double temperature) { return info_nce_loss(x, temperature); };
  EXPECT_THAT(with(0, nce), HasSubstr("temperature"));
  EXPECT_THAT(with(std::numeric_limits<double>::quiet_NaN(), nce), HasSubstr("temperature"));
}

TEST(Losses, RefuseAnUnknownReduction) {
  GraphBuilder b(builtin_ops());
  const Value x = b.input("x", {kF64, {2}});
  mse_loss(x, x, "avarage");
  EXPECT_THAT(std::string(b.status().message()), HasSubstr("\"avarage\""));
}

}  // namespace
}  // namespace modellib
