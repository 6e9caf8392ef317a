// What the goldens of optimizers do not show: predicates, scales, rates and betas as operands, and
// the arithmetic around them.
#include "modellib/ops/optimizers.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "modellib/ops/loss_scaling.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pointwise;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const std::vector<double> kParam = {1, -2, 0.5}, kGrad = {0.25, -4, 1e-3}, kM = {0.1, 0.2, -0.3},
                          kV = {0.5, 0.25, 0.125};

// An update of fixed numbers with every optimizer: parameter and slots.
struct Case {
  const char* name;
  std::vector<Value> (*slots)(GraphBuilder& b);
  std::vector<Value> (*update)(GraphBuilder& b, const std::vector<Value>& slots, Value grad,
                               const OptimizerStep& step);
};
Value vector(GraphBuilder& b, const std::vector<double>& values) {
  return constant(b, DType::kF32, {static_cast<int64_t>(values.size())}, values);
}
std::vector<Value> adam_slots(GraphBuilder& b) {
  return {vector(b, kParam), vector(b, kM), vector(b, kV), vector(b, kV)};
}
template <AdamSlots (*f)(const AdamSlots&, Value, const OptimizerStep&, AdamAttributes, Value)>
std::vector<Value> run_adam(GraphBuilder&, const std::vector<Value>& s, Value grad,
                            const OptimizerStep& step) {
  const AdamSlots next = f({s[0], s[1], s[2], s[3]}, grad, step, {.weight_decay = 0.1}, {});
  return {next.param, next.exp_avg, next.exp_avg_sq, next.max_exp_avg_sq};
}
const Case kCases[] = {
    {"sgd",
     [](GraphBuilder& b) {
       return std::vector<Value>{vector(b, kParam), vector(b, kM)};
     },
     [](GraphBuilder&, const std::vector<Value>& s, Value grad, const OptimizerStep& step) {
       const SgdSlots next = sgd_update({s[0], s[1]}, grad, step, {.momentum = 0.9});
       return std::vector<Value>{next.param, next.momentum_buffer};
     }},
    {"adam", adam_slots, run_adam<adam_update>},
    {"adamw", adam_slots, run_adam<adamw_update>},
};
OptimizerStep step_of(GraphBuilder& b, int64_t count, Value ok = {}, Value scale = {}) {
  return {.lr = b.scalar(0.125),
          .step = b.scalar(static_cast<double>(count), DType::kI64),
          .ok = ok,
          .scale = scale};
}

class Update : public testing::TestWithParam<Case> {};

TEST_P(Update, IsSkippedWholeWhereNotOk) {
  for (const bool ok : {false, true}) {
    GraphBuilder b(builtin_ops());
    const std::vector<Value> before = GetParam().slots(b);
    // What an overflow leaves behind.
    const Value grad = ok ? vector(b, kGrad) : vector(b, {kInfinity, -kInfinity, NAN});
    const OptimizerStep step = step_of(b, 3, constant(b, DType::kBool, {}, {ok ? 1.0 : 0.0}));
    const std::vector<Value> after = GetParam().update(b, before, grad, step);
    std::vector<Value> both = before;
    both.insert(both.end(), after.begin(), after.end());
    const std::vector<Tensor> got = evaluate(b, both);
    ASSERT_EQ(got.size(), 2 * before.size());
    EXPECT_EQ(got[0].identical(got[before.size()]), !ok) << "the parameter, ok: " << ok;
    for (size_t i = 1; !ok && i < before.size(); ++i) {
      EXPECT_TRUE(got[i].identical(got[before.size() + i])) << "slot " << i;
    }
  }
}

TEST_P(Update, ScalesTheGradientFirst) {
  GraphBuilder b(builtin_ops());
  const std::vector<Value> slots = GetParam().slots(b);
  std::vector<Value> both =
      GetParam().update(b, slots, vector(b, kGrad) * 64.0, step_of(b, 3, {}, b.scalar(1.0 / 64)));
  for (Value v : GetParam().update(b, slots, vector(b, kGrad), step_of(b, 3))) both.push_back(v);
  const std::vector<Tensor> got = evaluate(b, both);
  for (size_t i = 0; i < got.size() / 2; ++i) {
    EXPECT_TRUE(got[i].identical(got[i + got.size() / 2])) << i;  // powers of two: exact
  }
}

TEST_P(Update, TakesAHalfPrecisionGradient) {
  GraphBuilder b(builtin_ops());
  const std::vector<Value> slots = GetParam().slots(b);
  const Value half = cast(vector(b, kGrad), DType::kF16);
  const std::vector<Tensor> got =
      evaluate(b, {GetParam().update(b, slots, half, step_of(b, 3))[0],
                   GetParam().update(b, slots, cast(half, DType::kF32), step_of(b, 3))[0]});
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(got[0].identical(got[1]));
}

INSTANTIATE_TEST_SUITE_P(Of, Update, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

// Whatever the gradient, the first step moves by lr: in f32 only if 1 - βᵗ loses no digits.
TEST(Adam, BiasCorrectionIsExactInF32) {
  GraphBuilder b(builtin_ops());
  const Value zeros = vector(b, {0, 0, 0});
  const AdamSlots next = adam_update({zeros, zeros, zeros}, vector(b, kGrad), step_of(b, 1),
                                     {.beta2 = 0.9999, .eps = 0});
  EXPECT_THAT(numbers_of(b, next.param), Pointwise(DoubleNear(1e-7), {-0.125, 0.125, -0.125}));
}

TEST(Adam, TakesBeta1AsAnOperand) {
  GraphBuilder b(builtin_ops());
  const std::vector<Value> s = adam_slots(b);
  const Value grad = vector(b, kGrad);
  const AdamSlots fixed = adam_update({s[0], s[1], s[2]}, grad, step_of(b, 4), {.beta1 = 0.85});
  const AdamSlots cyclic =
      adam_update({s[0], s[1], s[2]}, grad, step_of(b, 4), {.beta1 = 0.5}, b.scalar(0.85));
  const auto got = evaluate(b, {fixed.param, cyclic.param, fixed.exp_avg, cyclic.exp_avg});
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(difference(got[1], got[0], 1e-6), "");
  EXPECT_EQ(difference(got[3], got[2], 1e-6), "");
}

TEST(Sgd, TakesMomentumAsAnOperand) {
  GraphBuilder b(builtin_ops());
  const Value p = vector(b, kParam), m = vector(b, kM), grad = vector(b, kGrad);
  const SgdSlots fixed = sgd_update({p, m}, grad, step_of(b, 2), {.momentum = 0.75});
  const SgdSlots cyclic = sgd_update({p, m}, grad, step_of(b, 2), {}, b.scalar(0.75));
  const auto got = evaluate(b, {fixed.param, cyclic.param});
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(got[0].identical(got[1]));
}

TEST(Updates, RefuseWhatTheyCannotDo) {
  const auto message = [](auto call) {
    GraphBuilder b(builtin_ops());
    call(b);
    return std::string(b.status().message());
  };
  EXPECT_THAT(message([](GraphBuilder& b) {
                sgd_update({vector(b, kParam)}, vector(b, kGrad), step_of(b, 1), {.momentum = 0.9});
              }),
              HasSubstr("needs its buffer"));
  EXPECT_THAT(
      message([](GraphBuilder& b) {
        const Value p = vector(b, kParam);
        sgd_update({p, p}, p, step_of(b, 1), {.momentum = 0.9, .dampening = 0.1, .nesterov = true});
      }),
      HasSubstr("Nesterov"));
  EXPECT_THAT(message([](GraphBuilder& b) {
                const Value p = cast(vector(b, kParam), DType::kF16);
                adam_update({p, p, p}, p, step_of(b, 1));
              }),
              HasSubstr("master copy"));
  EXPECT_THAT(message([](GraphBuilder& b) {
                const Value p = vector(b, kParam);
                adam_update({p, p, p}, vector(b, {1, 2}), step_of(b, 1));
              }),
              HasSubstr("the gradient must be"));
  EXPECT_THAT(message([](GraphBuilder& b) {
                const Value p = vector(b, kParam);
                adamw_update({p, p, p}, p, step_of(b, 1), {.beta2 = 1.0});
              }),
              HasSubstr("beta2"));
}

// Those that torch.optim refuses.
TEST(Updates, RefuseOptionsOutOfRange) {
  const auto sgd = [](SgdAttributes attributes) {
    GraphBuilder b(builtin_ops());
    const Value p = vector(b, kParam);
    sgd_update({p, p}, p, step_of(b, 1), attributes);
    return std::string(b.status().message());
  };
  EXPECT_EQ(sgd({.momentum = 0.9, .weight_decay = 0.1}), "");
  EXPECT_THAT(sgd({.momentum = -0.9}), HasSubstr("momentum"));
  EXPECT_THAT(sgd({.momentum = NAN}), HasSubstr("momentum"));
  EXPECT_THAT(sgd({.momentum = 0.9, .weight_decay = -1}), HasSubstr("weight_decay"));
  constexpr decltype(&adam_update) kUpdates[] = {adam_update, adamw_update};
  for (const auto update : kUpdates) {
    const auto adam = [update](AdamAttributes attributes) {
      GraphBuilder b(builtin_ops());
      const Value p = vector(b, kParam);
      update({p, p, p}, p, step_of(b, 1), attributes, {});
      return std::string(b.status().message());
    };
    EXPECT_EQ(adam({.eps = 0}), "");
    EXPECT_THAT(adam({.beta1 = -0.1}), HasSubstr("beta1"));
    EXPECT_THAT(adam({.eps = -1}), HasSubstr("eps"));
    EXPECT_THAT(adam({.weight_decay = -1}), HasSubstr("weight_decay"));
  }
}

TEST(Clipping, IsThatOfTheGlobalNorm) {
  GraphBuilder b(builtin_ops());
  const Value first = vector(b, {3, 0}), second = cast(vector(b, {4}), DType::kF16);
  const Value norm = global_norm({first, second});
  const auto got = evaluate(b, {norm, clip_factor(norm, 2.5), clip_factor(norm, 10.0)});
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].at(0), 5.0);
  EXPECT_NEAR(got[1].at(0), 2.5 / (5 + 1e-6), 1e-7);
  EXPECT_EQ(got[2].at(0), 1.0);
}

TEST(Clipping, TakesTheScaleBeforeTheSquares) {
  GraphBuilder b(builtin_ops());
  const Value large = vector(b, {3e25, 0}), larger = vector(b, {4e25});
  const Value norm = global_norm({large, larger}, b.scalar(1e-25));
  EXPECT_NEAR(numbers_of(b, norm).at(0), 5.0, 1e-5);
}

TEST(AllFinite, SeesEveryInfinityAndNan) {
  for (const double bad : {kInfinity, -kInfinity, static_cast<double>(NAN)}) {
    for (const size_t at : {0, 1, 2}) {
      std::vector<double> values = {1, 65504, -3};
      GraphBuilder b(builtin_ops());
      const Value good = cast(vector(b, values), DType::kF16);
      values[at] = bad;
      const auto got = evaluate(b, {all_finite({good, vector(b, values)}), all_finite({good})});
      ASSERT_EQ(got.size(), 2u);
      EXPECT_EQ(got[0].int_at(0), 0) << bad << " at " << at;
      EXPECT_EQ(got[1].int_at(0), 1);
    }
  }
}

// The steps that torch.amp.GradScaler takes with growth_interval 2.
TEST(LossScale, GrowsAfterGoodStepsAndShrinksAtAnOverflow) {
  const std::vector<bool> ok = {true, true, true, false, true, true, false, false};
  const std::vector<double> scales = {8, 16, 16, 8, 8, 16, 8, 4}, steps = {1, 0, 1, 0, 1, 0, 0, 0};
  double scale = 8, good = 0;
  for (size_t i = 0; i < ok.size(); ++i) {
    GraphBuilder b(builtin_ops());
    const LossScale next = update_loss_scale({b.scalar(scale), b.scalar(good, DType::kI64)},
                                             constant(b, DType::kBool, {}, {ok[i] ? 1.0 : 0.0}),
                                             {.growth_interval = 2});
    const auto got = evaluate(b, {next.scale, next.good_steps});
    ASSERT_EQ(got.size(), 2u);
    scale = got[0].at(0);
    good = static_cast<double>(got[1].int_at(0));
    EXPECT_EQ(scale, scales[i]) << "after step " << i;
    EXPECT_EQ(good, steps[i]) << "after step " << i;
  }
}

TEST(LossScale, RefusesToShrinkByGrowing) {
  const auto message = [](const LossScaleOptions& options) {
    GraphBuilder b(builtin_ops());
    update_loss_scale({b.scalar(8), b.scalar(0, DType::kI64)}, constant(b, DType::kBool, {}, {1}),
                      options);
    return std::string(b.status().message());
  };
  EXPECT_EQ(message({}), "");
  EXPECT_THAT(message({.growth_factor = 1}), HasSubstr("these are 1, 0.5 and 2000"));
  EXPECT_THAT(message({.backoff_factor = 2}), HasSubstr("these are 2, 2 and 2000"));
  EXPECT_THAT(message({.backoff_factor = 0}), HasSubstr("these are"));
  EXPECT_THAT(message({.growth_interval = 0}), HasSubstr("these are"));
}

TEST(LossScale, StaysFinite) {
  GraphBuilder b(builtin_ops());
  const LossScale next =
      update_loss_scale({b.scalar(3e38), b.scalar(0, DType::kI64)},
                        constant(b, DType::kBool, {}, {1}), {.growth_interval = 1});
  EXPECT_THAT(numbers_of(b, next.scale), ElementsAre(static_cast<double>(3e38f)));
}

// So many overflows that a scale in f32 would have come to 0.
TEST(LossScale, NeverShrinksToWhatHasNoReciprocal) {
  for (const double backoff : {0.5, 0.3}) {
    float scale = 1;
    for (int i = 0; i < 160; ++i) {
      GraphBuilder b(builtin_ops());
      const LossScale next =
          update_loss_scale({b.scalar(static_cast<double>(scale)), b.scalar(0, DType::kI64)},
                            constant(b, DType::kBool, {}, {0}), {.backoff_factor = backoff});
      scale = static_cast<float>(numbers_of(b, next.scale)[0]);
    }
    EXPECT_GE(scale, std::numeric_limits<float>::min());
    EXPECT_LT(scale, 4 * std::numeric_limits<float>::min());
    EXPECT_TRUE(std::isfinite(1 / scale));
  }
  GraphBuilder b(builtin_ops());
  const Value half = b.scalar(0x1p-14, DType::kF16);
  const LossScale next =
      update_loss_scale({half, b.scalar(0, DType::kI64)}, constant(b, DType::kBool, {}, {0}));
  EXPECT_THAT(numbers_of(b, next.scale), ElementsAre(0x1p-14));
}

}  // namespace
}  // namespace modellib
