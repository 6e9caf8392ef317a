// The engine: entries run, mistakes come back as a Status.
#include "modellib/frontends/training/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "modellib/frontends/nn/nn.h"
#include "modellib/frontends/training/training.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/registry.h"

namespace modellib::training {
namespace {

TrainProgramOptions regression(Dim batch) {
  TrainProgramOptions options;
  options.inputs = {{"x", {DType::kF32, {batch, 3}}}};
  options.targets = {{"y", {DType::kF32, {batch, 2}}}};
  options.loss = MSELoss{};
  return options;
}

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto program = make_train_program(model_, optimizer_, regression(Dim::symbol("batch")));
    ASSERT_TRUE(program.ok()) << program.status();
    EngineOptions options;
    options.compile.dims["batch"] = {1, 8};
    options.seed = 5;
    options.threads = 1;
    auto engine = Engine::create(*program, options);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    train_ = *engine_->entry(kTrainEntry);
    eval_ = *engine_->entry(kEvalEntry);
  }
  absl::Status step(int64_t batch) {
    return engine_->run(train_, {*Tensor::zeros(DType::kF32, {batch, 3}),
                                 *Tensor::zeros(DType::kF32, {batch, 2}), Tensor::scalar(0.1f)});
  }
  nn::Sequential model_{nn::Linear(3, 4), nn::Tanh(), nn::Linear(4, 2)};
  SGD optimizer_{{.lr = 0.1}};
  std::unique_ptr<Engine> engine_;
  runtime::EntryId train_{}, eval_{};
};

TEST_F(EngineTest, TrainsBatchesOfAnySizeWithinTheBounds) {
  ASSERT_EQ(step(8), absl::OkStatus());
  double last = engine_->scalar(train_, 0);
  for (int64_t batch : {1, 5, 8, 2, 8}) {
    ASSERT_EQ(step(batch), absl::OkStatus());
    EXPECT_LT(engine_->scalar(train_, 0), last);  // every sample is the same
    last = engine_->scalar(train_, 0);
  }
  const auto prediction = engine_->output(train_, 1);
  ASSERT_TRUE(prediction.ok());
  EXPECT_EQ(prediction->shape(), (std::vector<int64_t>{8, 2}));
  EXPECT_EQ(engine_->store().get("step")->int_at(0), 6);
}

TEST_F(EngineTest, ThereIsNoOutputOfAnotherNumberOrBeforeTheFirstRun) {
  EXPECT_TRUE(std::isnan(engine_->scalar(train_, 0)));
  EXPECT_EQ(engine_->output(train_, 0).status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(step(8), absl::OkStatus());
  for (const int output : {-1, 2}) {
    EXPECT_TRUE(std::isnan(engine_->scalar(train_, output)));
    EXPECT_EQ(engine_->output(train_, output).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Engine, ScalarsOfAnyType) {
  GraphBuilder b(builtin_ops(), "kinds");
  const Value x = b.input("x", {DType::kF32, {}});
  const DType types[] = {DType::kF64, DType::kF32, DType::kF16, DType::kBF16,
                         DType::kI64, DType::kU8,  DType::kI32};
  for (const DType dtype : types) b.output(std::string(to_string(dtype)), cast(x, dtype));
  b.output("bool", less(x, 4.0));
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto engine = Engine::create(Program{{{"kinds", *graph}}}, {.threads = 1});
  ASSERT_TRUE(engine.ok()) << engine.status();
  const runtime::EntryId entry = *(*engine)->entry("kinds");
  ASSERT_EQ((*engine)->run(entry, {Tensor::scalar(3.0f)}), absl::OkStatus());
  for (int i = 0; i < 7; ++i) EXPECT_EQ((*engine)->scalar(entry, i), 3.0) << i;
  EXPECT_EQ((*engine)->scalar(entry, 7), 1.0);
}

TEST_F(EngineTest, EvaluationChangesNothing) {
  const Tensor before = *engine_->store().get("0.weight");
  ASSERT_EQ(engine_->run(eval_, {*Tensor::zeros(DType::kF32, {2, 3})}), absl::OkStatus());
  EXPECT_TRUE(engine_->store().get("0.weight")->identical(before));
  ASSERT_EQ(step(2), absl::OkStatus());
  EXPECT_FALSE(engine_->store().get("0.bias")->identical(*Tensor::zeros(DType::kF32, {4})));
}

TEST_F(EngineTest, TheSeedDecidesTheFirstValues) {
  const auto program = make_train_program(model_, optimizer_, regression(4));
  const auto weight = [&](int64_t seed) {
    EngineOptions options;
    options.seed = seed;
    return *(*Engine::create(*program, options))->store().get("0.weight");
  };
  EXPECT_TRUE(weight(5).identical(weight(5)));
  EXPECT_FALSE(weight(5).identical(weight(6)));
  const Tensor first = weight(5);
  for (float v : first.as<float>()) EXPECT_LE(std::abs(v), 0.5774f);  // 1/sqrt(3)
}

TEST_F(EngineTest, MistakesComeBackAsAStatus) {
  EXPECT_FALSE(engine_->entry("trian").ok());
  EXPECT_FALSE(step(9).ok()) << "more than the bound";
  EXPECT_FALSE(engine_->run(eval_, {*Tensor::zeros(DType::kF64, {2, 3})}).ok());
  EXPECT_FALSE(engine_->run(eval_, {*Tensor::zeros(DType::kF32, {2, 4})}).ok());
  EXPECT_FALSE(
      engine_
          ->run(eval_, {*Tensor::zeros(DType::kF32, {2, 3}), *Tensor::zeros(DType::kF32, {2, 3})})
          .ok());
  EXPECT_EQ(step(8), absl::OkStatus()) << "and it goes on";
}

}  // namespace
}  // namespace modellib::training
