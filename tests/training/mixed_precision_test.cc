// The overflow probe: training with products in f16 under a dynamic loss scale. A step that
// overflows changes nothing but the scale, and training goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "modellib/frontends/nn/linear.h"
#include "modellib/frontends/nn/random_state.h"
#include "modellib/frontends/training/engine.h"
#include "modellib/frontends/training/optimizer.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/graph/philox.h"
#include "modellib/ops/losses.h"
#include "modellib/ops/pointwise.h"

namespace modellib {
namespace {

constexpr int64_t kBatch = 16, kIn = 12, kClasses = 4;

struct Net : nn::Module {
  Net() : fc1(kIn, 24), fc2(24, kClasses) {
    register_module("fc1", fc1);
    register_module("fc2", fc2);
  }
  Value forward(Value x) override { return fc2.forward(relu(fc1.forward(x))); }
  nn::Linear fc1, fc2;
};

// A batch whose classes can be read off the largest of the first inputs.
struct Batch {
  explicit Batch(uint64_t step) {
    x = *Tensor::zeros(DType::kF32, {kBatch, kIn});
    target = *Tensor::zeros(DType::kI64, {kBatch});
    for (int64_t i = 0; i < kBatch; ++i) {
      int64_t best = 0;
      for (int64_t j = 0; j < kIn; ++j) {
        const auto index = static_cast<uint64_t>(i * kIn + j);
        x.set(i * kIn + j, 2 * philox_uniform(philox_bits(3, step, index)) - 1);
        if (j < kClasses && x.at(i * kIn + j) > x.at(i * kIn + best)) best = j;
      }
      target.set_int(i, best);
    }
  }
  Tensor x, target;
};

training::TrainProgramOptions options_for(std::optional<training::MixedPrecision> mixed) {
  training::TrainProgramOptions options;
  options.inputs = {{"x", {DType::kF32, {kBatch, kIn}}}};
  options.targets = {{"target", {DType::kI64, {kBatch}}}};
  options.loss = [](Value prediction, absl::Span<const Value> targets) {
    return cross_entropy(prediction, targets[0]);
  };
  options.mixed_precision = mixed;
  return options;
}

class Trainer {
 public:
  explicit Trainer(const training::TrainProgramOptions& options,
                   std::vector<std::string> disabled = {}) {
    const auto program = training::make_train_program(model_, optimizer_, options);
    EXPECT_TRUE(program.ok()) << program.status();
    auto compile = training::compile_options(options);
    EXPECT_TRUE(compile.ok()) << compile.status();
    compile->pipeline.disabled = std::move(disabled);
    auto engine = training::Engine::create(*program, {.compile = *compile, .threads = 2});
    EXPECT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    entry_ = *engine_->entry(training::kTrainEntry);
  }

  double step(const Batch& batch) {
    const absl::Status ran = engine_->run(entry_, {batch.x, batch.target, Tensor::scalar(0.01f)});
    EXPECT_TRUE(ran.ok()) << ran;
    return engine_->scalar(entry_, 0);
  }
  // All variables but those of the loss scale.
  std::map<std::string, Tensor> variables() const {
    std::map<std::string, Tensor> all;
    for (const runtime::VariableInfo& v : engine_->store().variables()) {
      if (!absl::StartsWith(v.name, "loss_scale.")) all[v.name] = *engine_->store().get(v.name);
    }
    return all;
  }
  double scale() const { return engine_->store().get("loss_scale.scale")->at(0); }
  int64_t good_steps() const { return engine_->store().get("loss_scale.good_steps")->int_at(0); }
  int64_t steps() const { return engine_->store().get(nn::step_count().name)->int_at(0); }
  const CompileResult& compiled() const { return engine_->compiled(); }

 private:
  Net model_;
  training::Adam optimizer_{{.lr = 0.01}};
  std::unique_ptr<training::Engine> engine_;
  runtime::EntryId entry_;
};

void expect_same_bits(const std::map<std::string, Tensor>& a,
                      const std::map<std::string, Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, value] : a) EXPECT_TRUE(value.identical(b.at(name))) << name;
}

// Casts to f16 in the graphs as they were lowered, those inside regions too.
int half_casts(const Program& program) {
  int count = 0;
  std::vector<const Graph*> todo;
  for (const auto& entry : program.entries) todo.push_back(entry.graph.get());
  while (!todo.empty()) {
    const Graph* graph = todo.back();
    todo.pop_back();
    for (const Graph::Node& node : graph->nodes()) {
      for (const auto& [name, value] : node.attributes.list()) {
        if (const auto* region = std::get_if<GraphRef>(&value)) todo.push_back(region->get());
        const auto* dtype = std::get_if<DType>(&value);
        if (dtype != nullptr && *dtype == DType::kF16) ++count;
      }
    }
  }
  return count;
}

TEST(MixedPrecision, FirstLossIsThatOfF32) {
  Trainer mixed(options_for(training::MixedPrecision{}));
  Trainer full(options_for(std::nullopt));
  expect_same_bits(mixed.variables(), full.variables());
  const Batch batch(0);
  const double a = mixed.step(batch), b = full.step(batch);
  EXPECT_NE(a, b);  // something was rounded
  EXPECT_NEAR(a, b, 2e-3 * b);
  EXPECT_GT(half_casts(mixed.compiled().legal), 0);
  EXPECT_EQ(half_casts(full.compiled().legal), 0);
  // The master weights are f32, and so are the slots.
  for (const auto& [name, value] : mixed.variables()) EXPECT_NE(value.dtype(), DType::kF16) << name;
}

// Without the cast the scale, a power of two, cancels: the same step as without it.
TEST(MixedPrecision, AutocastCanBeDisabledByName) {
  Trainer scaled(options_for(training::MixedPrecision{}), {"autocast-f16"});
  Trainer full(options_for(std::nullopt));
  EXPECT_EQ(half_casts(scaled.compiled().legal), 0);
  for (uint64_t i = 0; i < 5; ++i) {
    const Batch batch(i);
    EXPECT_NEAR(scaled.step(batch), full.step(batch), 1e-5) << i;
  }
}

TEST(MixedPrecision, AnOverflowSkipsTheUpdateAndHalvesTheScale) {
  Trainer trainer(options_for(training::MixedPrecision{.initial_scale = 1024}));
  std::vector<double> losses;
  uint64_t number = 0;
  for (; number < 10; ++number) losses.push_back(trainer.step(Batch(number)));
  ASSERT_EQ(trainer.scale(), 1024);
  ASSERT_EQ(trainer.good_steps(), 10);
  ASSERT_EQ(trainer.steps(), 10);

  // 1e6 is no f16: the first product overflows, and with it every gradient.
  const auto before = trainer.variables();
  Batch overflow(number++);
  overflow.x.set(5, 1e6);
  trainer.step(overflow);
  expect_same_bits(trainer.variables(), before);  // parameters, slots, step count, seed
  EXPECT_EQ(trainer.scale(), 512);
  EXPECT_EQ(trainer.good_steps(), 0);
  EXPECT_EQ(trainer.steps(), 10);

  for (; number < 150; ++number) losses.push_back(trainer.step(Batch(number)));
  EXPECT_EQ(trainer.scale(), 512);
  EXPECT_EQ(trainer.steps(), 149);
  const auto mean = [&](size_t from) {
    double sum = 0;
    for (size_t i = from; i < from + 10; ++i) sum += losses[i] / 10;
    return sum;
  };
  EXPECT_LT(mean(losses.size() - 10), 0.5 * mean(0));
}

// A scale that is far too large finds its place by itself: the loss is finite all the while.
TEST(MixedPrecision, TheScaleFallsUntilGradientsFit) {
  Trainer trainer(options_for(training::MixedPrecision{.initial_scale = 0x1p30}));
  const auto before = trainer.variables();
  int skipped = 0;
  for (; skipped < 40; ++skipped) {
    const double scale = trainer.scale();
    EXPECT_TRUE(std::isfinite(trainer.step(Batch(0))));
    if (trainer.steps() > 0) break;
    expect_same_bits(trainer.variables(), before);
    EXPECT_EQ(trainer.scale(), scale / 2);
  }
  EXPECT_GT(skipped, 5);
  EXPECT_LT(skipped, 20);
  EXPECT_EQ(trainer.good_steps(), 1);
}

TEST(MixedPrecision, GoodStepsInARowLetTheScaleGrow) {
  training::MixedPrecision mixed{.initial_scale = 1024};
  mixed.scaling.growth_interval = 3;
  Trainer trainer(options_for(mixed));
  const double expected[] = {1024, 1024, 2048, 2048, 2048, 4096};
  for (uint64_t i = 0; i < 6; ++i) {
    trainer.step(Batch(i));
    EXPECT_EQ(trainer.scale(), expected[i]) << i;
    EXPECT_EQ(trainer.good_steps(), static_cast<int64_t>(i + 1) % 3) << i;
  }
}

TEST(MixedPrecision, ClippingSeesTrueGradients) {
  auto options = options_for(training::MixedPrecision{});
  options.gradient_clipping = 0.05;
  Trainer clipped(options);
  auto full_options = options_for(std::nullopt);
  full_options.gradient_clipping = 0.05;
  Trainer full(full_options);
  for (uint64_t i = 0; i < 5; ++i) {
    const Batch batch(i);
    const double a = clipped.step(batch), b = full.step(batch);
    EXPECT_NEAR(a, b, 5e-3 * b) << i;
  }
}

// The squares of the scaled gradients are no f32 any more, they themselves are.
TEST(MixedPrecision, ClippingWorksAtAScaleOfAnySize) {
  auto options =
      options_for(training::MixedPrecision{.dtype = DType::kBF16, .initial_scale = 0x1p70});
  options.gradient_clipping = 0.05;
  Trainer clipped(options, {"autocast-bf16"});
  auto full_options = options_for(std::nullopt);
  full_options.gradient_clipping = 0.05;
  Trainer full(full_options);
  for (uint64_t i = 0; i < 5; ++i) {
    const Batch batch(i);
    EXPECT_NEAR(clipped.step(batch), full.step(batch), 1e-5) << i;
  }
  EXPECT_EQ(clipped.steps(), 5);
  EXPECT_EQ(clipped.scale(), 0x1p70);
}

TEST(MixedPrecision, Bf16TrainsToo) {
  Trainer trainer(options_for(training::MixedPrecision{.dtype = DType::kBF16, .initial_scale = 1}));
  const double first = trainer.step(Batch(0));
  double last = first;
  for (uint64_t i = 1; i < 100; ++i) last = trainer.step(Batch(i));
  EXPECT_EQ(trainer.steps(), 100);
  EXPECT_LT(last, 0.7 * first);
}

TEST(MixedPrecision, OtherTypesAreRefused) {
  const auto compile =
      training::compile_options(options_for(training::MixedPrecision{.dtype = DType::kF64}));
  EXPECT_EQ(compile.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(compile.status().message()), testing::HasSubstr("not f64"));
}

}  // namespace
}  // namespace modellib
