// Training programs: what is trained, what is frozen, and mistakes in the model's code.
#include "modellib/frontends/training/train_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "modellib/frontends/nn/nn.h"
#include "modellib/frontends/training/training.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"

namespace modellib::training {
namespace {

TrainProgramOptions classification(int64_t features) {
  TrainProgramOptions options;
  options.inputs = {{"x", {DType::kF32, {4, features}}}};
  options.targets = {{"y", {DType::kI64, {4}}}};
  options.loss = CrossEntropyLoss{};
  return options;
}

// Variables that the entry assigns.
std::set<std::string> assigned(const Program& program, absl::string_view entry) {
  std::set<std::string> names;
  for (const Program::Entry& e : program.entries) {
    if (e.name != entry) continue;
    for (const Graph::VariableUse& use : e.graph->variables()) {
      if (use.assigned != kNoValue) names.insert(use.variable->name);
    }
  }
  return names;
}

TEST(TrainProgram, UpdatesWhatWantsAGradientAndMovesStatistics) {
  nn::Sequential model(nn::Linear(3, 5), nn::BatchNorm1d(5), nn::Linear(5, 2));
  model[0].requires_grad(false);
  const auto program = make_train_program(model, Adam(), classification(3));
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(assigned(*program, kTrainEntry),
            (std::set<std::string>{"1.weight", "1.bias", "2.weight", "2.bias", "1.running_mean",
                                   "1.running_var", "optimizer.exp_avg.1.weight",
                                   "optimizer.exp_avg_sq.1.weight", "optimizer.exp_avg.1.bias",
                                   "optimizer.exp_avg_sq.1.bias", "optimizer.exp_avg.2.weight",
                                   "optimizer.exp_avg_sq.2.weight", "optimizer.exp_avg.2.bias",
                                   "optimizer.exp_avg_sq.2.bias", "step"}));
  const std::set<std::string> first = assigned(*program, kInitializeEntry);
  EXPECT_TRUE(first.count("0.weight") == 1 && first.count("optimizer.exp_avg.0.weight") == 0);
  EXPECT_TRUE(assigned(*program, kEvalEntry).empty());
  EXPECT_TRUE(model.is_training());
}

// As in PyTorch: fine-tuning keeps the statistics of a backbone that is in eval mode.
TEST(TrainProgram, TakesEachModuleInItsMode) {
  nn::Sequential model(nn::BatchNorm1d(3), nn::Linear(3, 5), nn::BatchNorm1d(5), nn::Linear(5, 2));
  model[0].eval();
  const auto program = make_train_program(model, SGD(), classification(3));
  ASSERT_TRUE(program.ok()) << program.status();
  const std::set<std::string> trained = assigned(*program, kTrainEntry);
  EXPECT_EQ(trained.count("0.running_mean"), 0u);
  EXPECT_EQ(trained.count("0.weight"), 1u);
  EXPECT_EQ(trained.count("2.running_mean"), 1u);
  EXPECT_FALSE(model[0].is_training());
  EXPECT_TRUE(model.is_training() && model[2].is_training());

  model.eval();
  ASSERT_TRUE(make_eval_graph(model, classification(3)).ok());
  EXPECT_FALSE(model[2].is_training());
  const auto whole = make_train_program(model, SGD(), classification(3));
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(assigned(*whole, kTrainEntry).count("0.running_mean"), 1u);
}

// As in PyTorch, where their grad is None: a decay would shrink what nobody trains.
TEST(TrainProgram, LeavesAloneWhatTheLossDoesNotDependOn) {
  struct TwoHeads : nn::Module {
    TwoHeads() : body(3, 3), used(3, 2), unused(3, 2), detached(3, 2) {
      register_module("body", body);
      register_module("used", used);
      register_module("unused", unused);
      register_module("detached", detached);
    }
    Value forward(Value x) override {
      x = body.forward(x);
      return used.forward(x) + stop_gradient(detached.forward(x));
    }
    nn::Linear body, used, unused, detached;
  } model;
  for (const bool scaled : {false, true}) {
    TrainProgramOptions options = classification(3);
    options.gradient_clipping = 1.0;
    if (scaled) options.mixed_precision = MixedPrecision{};
    const auto program = make_train_program(model, AdamW(), options);
    ASSERT_TRUE(program.ok()) << program.status();
    for (const absl::string_view entry : {kInitializeEntry, absl::string_view(kTrainEntry)}) {
      const std::set<std::string> names = assigned(*program, entry);
      EXPECT_EQ(names.count("optimizer.exp_avg.used.weight"), 1u) << entry;
      EXPECT_EQ(names.count("optimizer.exp_avg.unused.weight"), 0u) << entry;
      EXPECT_EQ(names.count("optimizer.exp_avg.detached.bias"), 0u) << entry;
      EXPECT_EQ(names.count("unused.weight"), entry == kInitializeEntry ? 1u : 0u);
    }
    const auto engine = Engine::create(*program, {.threads = 1});
    ASSERT_TRUE(engine.ok()) << engine.status();
    const char* const names[] = {"body.weight", "used.weight", "unused.weight", "detached.weight"};
    std::vector<Tensor> before;
    for (const char* name : names) before.push_back(*(*engine)->store().get(name));
    ASSERT_EQ((*engine)->run(*(*engine)->entry(kTrainEntry),
                             {*Tensor::of<float>({4, 3}, {1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1}),
                              *Tensor::zeros(DType::kI64, {4}), Tensor::scalar(0.1f)}),
              absl::OkStatus());
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ((*engine)->store().get(names[i])->identical(before[i]), i >= 2) << names[i];
    }
  }
}

// With max_norm the table is another value after each look-up, and its gradient that of both.
TEST(TrainProgram, AnEmbeddingMayBeUsedTwice) {
  struct Twice : nn::Module {
    explicit Twice(const nn::EmbeddingOptions& options) : table(4, 2, options) {
      register_module("table", table);
    }
    nn::Embedding table;
  };
  TrainProgramOptions options;
  options.inputs = {{"first", {DType::kI64, {2}}}, {"second", {DType::kI64, {2}}}};
  options.forward = [](nn::Module& model, absl::Span<const Value> in) {
    auto& table = static_cast<Twice&>(model).table;
    const Value first = table.forward(in[0]);
    return first + table.forward(in[1]);
  };
  options.loss = [](Value prediction, absl::Span<const Value>) { return reduce_sum(prediction); };
  for (const std::optional<double> max_norm : {std::optional<double>(), std::optional(100.0)}) {
    Twice model({.max_norm = max_norm});
    const auto program = make_train_program(model, SGD(), options);
    ASSERT_TRUE(program.ok()) << program.status();
    const auto engine = Engine::create(*program, {.threads = 1});
    ASSERT_TRUE(engine.ok()) << engine.status();
    ASSERT_EQ((*engine)->store().set("table.weight",
                                     *Tensor::of<float>({4, 2}, {0, 1, 2, 3, 4, 5, 6, 7})),
              absl::OkStatus());
    ASSERT_EQ((*engine)->run(*(*engine)->entry(kTrainEntry),
                             {*Tensor::of<int64_t>({2}, {0, 1}), *Tensor::of<int64_t>({2}, {1, 3}),
                              Tensor::scalar(1.0f)}),
              absl::OkStatus());
    // Less the number of times that each row was looked up.
    const Tensor after = *(*engine)->store().get("table.weight");
    EXPECT_THAT(after.as<float>(), testing::ElementsAre(-1, 0, 0, 1, 4, 5, 5, 6));
  }
}

TEST(TrainProgram, RefusesAStepThatTrainsNothing) {
  TrainProgramOptions detached = classification(3), elsewhere = classification(3);
  detached.loss = [](Value prediction, absl::Span<const Value> targets) {
    return cross_entropy(stop_gradient(prediction), targets[0]);
  };
  elsewhere.gradient_clipping = 1.0;
  elsewhere.mixed_precision = MixedPrecision{};
  elsewhere.forward = [](nn::Module&, absl::Span<const Value> in) { return in[0]; };
  for (const TrainProgramOptions& options : {detached, elsewhere}) {
    nn::Linear model(3, 2);
    const absl::Status status = make_train_program(model, AdamW(), options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StrContains(status.message(), "the loss depends on no parameter")) << status;
  }
  nn::Linear frozen(3, 2);
  frozen.requires_grad(false);
  const absl::Status status = make_train_program(frozen, SGD(), classification(3)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "no parameter of the model wants")) << status;
}

TEST(TrainProgram, ATiedWeightHasOneUpdate) {
  struct Tied : nn::Module {
    Tied() : a(3, 3), b(3, 3) {
      register_module("a", a);
      register_module("b", b);
      b.weight = a.weight;
    }
    Value forward(Value x) override { return b.forward(a.forward(x)); }
    nn::Linear a, b;
  } model;
  const auto program = make_train_program(model, SGD(), classification(3));
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(assigned(*program, kTrainEntry),
            (std::set<std::string>{"a.weight", "a.bias", "b.bias", "step"}));
}

// Also of statistics that no loss sees.
TEST(TrainProgram, RefusesTwoParametersOfOneName) {
  struct Twins : nn::Module {
    Twins() : fc(3, 2), first(3), second(3) {
      register_module("fc", fc);
      register_module("norm", first);
      register_module("norm", second);
    }
    Value forward(Value x) override { return fc.forward(x); }
    nn::Linear fc;
    nn::BatchNorm1d first, second;
  } model;
  model.first.requires_grad(false);
  model.second.requires_grad(false);
  const auto program = make_train_program(model, SGD(), classification(3));
  ASSERT_FALSE(program.ok());
  EXPECT_TRUE(absl::StrContains(program.status().message(), "'norm.weight'")) << program.status();
}

TEST(TrainProgram, AMistakeInTheModelNamesItsScope) {
  nn::Sequential model(nn::Linear(3, 5), nn::Linear(4, 2));
  const auto program = make_train_program(model, SGD(), classification(3));
  ASSERT_FALSE(program.ok());
  EXPECT_TRUE(absl::StrContains(program.status().message(), "in module.1, matmul"))
      << program.status();
}

TEST(TrainProgram, RefusesALossThatIsNoScalarAndOptionsThatLack) {
  nn::Linear model(3, 2);
  TrainProgramOptions options = classification(3);
  options.loss = CrossEntropyLoss{.reduction = "none"};
  EXPECT_FALSE(make_train_program(model, SGD(), options).ok());
  options.loss = nullptr;
  EXPECT_FALSE(make_train_program(model, SGD(), options).ok());
  options = classification(3);
  options.inputs.clear();
  EXPECT_FALSE(make_train_program(model, SGD(), options).ok());
  // Of which Module::forward would see the first alone.
  options = classification(3);
  options.inputs.push_back({"mask", {DType::kF32, {4, 3}}});
  EXPECT_FALSE(make_train_program(model, SGD(), options).ok());
  EXPECT_FALSE(make_eval_graph(model, options).ok());
  options.inputs.clear();
  EXPECT_FALSE(make_eval_graph(model, options).ok());
}

TEST(TrainProgram, RefusesOptionsOutOfRange) {
  nn::Linear model(3, 2);
  const auto message = [&model](const Optimizer& optimizer, const TrainProgramOptions& options) {
    const absl::Status status = make_train_program(model, optimizer, options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  using testing::HasSubstr;
  const TrainProgramOptions plain = classification(3);
  EXPECT_THAT(message(SGD({.lr = -1e-3}), plain), HasSubstr("learning rate"));
  EXPECT_THAT(message(SGD({.momentum = -0.9}), plain), HasSubstr("momentum"));
  EXPECT_THAT(message(Adam({.eps = -1}), plain), HasSubstr("eps"));
  TrainProgramOptions clipped = plain;
  clipped.gradient_clipping = -1;
  EXPECT_THAT(message(SGD(), clipped), HasSubstr("norm must not be negative"));
  TrainProgramOptions scaled = plain;
  scaled.mixed_precision = MixedPrecision{.initial_scale = 0};
  EXPECT_THAT(message(SGD(), scaled), HasSubstr("initial loss scale"));
  scaled.mixed_precision = MixedPrecision{.scaling = {.backoff_factor = 2}};
  EXPECT_THAT(message(SGD(), scaled), HasSubstr("shrinks"));
}

TEST(TrainProgram, SaysThatALossIsNull) {
  nn::Linear model(3, 2);
  TrainProgramOptions options = classification(3);
  options.loss = [](Value, absl::Span<const Value>) { return Value(); };
  const auto message = [&] {
    return std::string(make_train_program(model, SGD(), options).status().message());
  };
  EXPECT_THAT(message(), testing::HasSubstr("the loss is a null value"));
  options.mixed_precision = MixedPrecision{};
  EXPECT_THAT(message(), testing::HasSubstr("the loss is a null value"));
  options.mixed_precision.reset();
  options.data_parallel = DataParallel{};
  EXPECT_THAT(message(), testing::HasSubstr("the loss is a null value"));
}

TEST(TrainProgram, RefusesAParameterWithoutAFirstValue) {
  nn::Linear model(3, 2);
  model.bias.set_initializer(nullptr);
  const absl::Status status = make_train_program(model, SGD(), classification(3)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "'bias' has no initializer")) << status;
}

TEST(TrainProgram, RefusesAnOptimizerThatForgetsItsSlots) {
  struct Forgetful : Optimizer {
    Forgetful() : Optimizer(1e-3) {}
    std::vector<std::string> slots() const override { return {"momentum"}; }
    std::vector<Value> update(Value param, absl::Span<const Value>, Value gradient,
                              const OptimizerStep& step) const override {
      return {param - gradient * step.lr};
    }
  };
  nn::Linear model(3, 2);
  const absl::Status status = make_train_program(model, Forgetful(), classification(3)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "of 'weight' and of its 1 slots, gives 1 values"))
      << status;
}

}  // namespace
}  // namespace modellib::training
