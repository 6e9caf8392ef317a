// Training programs: what is trained, what is frozen, and mistakes in the model's code.
#include "modellib/frontends/training/train_program.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/match.h"
#include "modellib/frontends/nn/nn.h"
#include "modellib/frontends/training/training.h"

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
}

}  // namespace
}  // namespace modellib::training
