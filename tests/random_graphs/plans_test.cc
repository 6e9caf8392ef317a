// Properties of the plans of random graphs: fusion saves steps and memory traffic, and neither
// names nor the order of independent nodes shows in a plan.
#include <gtest/gtest.h>

#include <cstdio>
#include <utility>

#include "modellib/frontends/nn/linear.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/graph/text.h"
#include "modellib/ops/losses.h"
#include "modellib/ops/pointwise.h"
#include "modellib/tests/random_graphs/checks.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

constexpr uint64_t kGraphs = 500;

// With the free dimension, if there is one, as a number or with a bound.
CompileOptions options_of(const GraphCase& c, bool bounded = false) {
  CompileOptions options;
  const auto binding = bind_inputs(*c.graph, c.inputs);
  for (const auto& [symbol, extent] : *binding) {
    options.dims[symbol] = bounded ? DimRange{1, extent + 2} : DimRange{extent, extent};
  }
  return options;
}

TEST(RandomPlans, FusionCutsStepsAndBytes) {
  Work fused, single;
  int better = 0;
  for (uint64_t seed = 0; seed < kGraphs; ++seed) {
    const GraphCase c = random_graph(seed);
    CompileOptions options = options_of(c);
    const auto with = compile_for_cpu(c.graph, options);
    options.pipeline.disabled = {"fusion"};
    const auto without = compile_for_cpu(c.graph, options);
    ASSERT_TRUE(with.ok()) << seed << ": " << with.status();
    ASSERT_TRUE(without.ok()) << seed << ": " << without.status();
    const Work a = work_of(with->compiled.lowered.plan),
               b = work_of(without->compiled.lowered.plan);
    EXPECT_LE(a.steps, b.steps) << seed;
    better += a.steps < b.steps && a.bytes < b.bytes;
    fused.steps += a.steps, fused.bytes += a.bytes;
    single.steps += b.steps, single.bytes += b.bytes;
  }
  std::printf("500 random graphs, without fusion: %lld steps, %lld bytes moved; with: %lld, %lld\n",
              static_cast<long long>(single.steps), static_cast<long long>(single.bytes),
              static_cast<long long>(fused.steps), static_cast<long long>(fused.bytes));
  EXPECT_LT(fused.steps, 0.8 * static_cast<double>(single.steps));
  EXPECT_LT(fused.bytes, 0.8 * static_cast<double>(single.bytes));
  EXPECT_GT(better, 400);
}

void expect_isomorphic(const GraphRef& graph, const CompileOptions& options, uint64_t seed) {
  auto one = compile_for_cpu(graph, options);
  ASSERT_TRUE(one.ok()) << one.status();
  const GraphRef other = shuffled(*graph, seed);
  ASSERT_NE(other, nullptr);
  ASSERT_TRUE(structurally_equal(*graph, *other));
  auto two = compile_for_cpu(other, options);
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_TRUE(form_of(std::move(one->compiled.lowered.plan)) ==
              form_of(std::move(two->compiled.lowered.plan)))
      << "graph " << seed << " has another plan in another order\n"
      << print(*one->compiled.legal.entries[0].graph) << "\nand\n"
      << print(*two->compiled.legal.entries[0].graph);
}

TEST(RandomPlans, OrderAndNamesDoNotShow) {
  int moved = 0, bounded = 0;
  for (uint64_t seed = 0; seed < kGraphs; ++seed) {
    const GraphCase c = random_graph(seed);
    moved += print(*shuffled(*c.graph, seed)) != print(*c.graph);
    expect_isomorphic(c.graph, options_of(c), seed);
    const CompileOptions free = options_of(c, true);
    if (!free.dims.empty()) {
      ++bounded;
      expect_isomorphic(c.graph, free, seed);
    }
    if (HasFailure()) break;
  }
  EXPECT_EQ(moved, static_cast<int>(kGraphs));  // the shuffle is one
  EXPECT_GT(bounded, 100);
}

struct Net : nn::Module {
  Net() : fc1(12, 24), fc2(24, 24), fc3(24, 4) {
    register_module("fc1", fc1);
    register_module("fc2", fc2);
    register_module("fc3", fc3);
  }
  Value forward(Value x) override { return fc3.forward(relu(fc2.forward(relu(fc1.forward(x))))); }
  nn::Linear fc1, fc2, fc3;
};

TEST(RandomPlans, OrderAndNamesDoNotShowInATrainingStep) {
  Net net;
  training::TrainProgramOptions options;
  options.inputs = {{"x", {DType::kF32, {8, 12}}}};
  options.targets = {{"target", {DType::kI64, {8}}}};
  options.loss = [](Value prediction, absl::Span<const Value> targets) {
    return cross_entropy(prediction, targets[0]);
  };
  const auto program = training::make_train_program(net, training::Adam(), options);
  ASSERT_TRUE(program.ok()) << program.status();
  for (const Program::Entry& entry : program->entries) {
    if (entry.name != training::kTrainEntry) continue;
    for (uint64_t seed = 0; seed < 10; ++seed) expect_isomorphic(entry.graph, {}, seed);
  }
}

// The form of a plan sees more than nothing.
TEST(RandomPlans, DifferentPlansHaveDifferentForms) {
  const GraphCase c = random_graph(0);
  CompileOptions options = options_of(c);
  auto with = compile_for_cpu(c.graph, options);
  options.pipeline.disabled = {"fusion"};
  auto without = compile_for_cpu(c.graph, options);
  ASSERT_TRUE(with.ok() && without.ok());
  EXPECT_NE(form_of(std::move(with->compiled.lowered.plan)),
            form_of(std::move(without->compiled.lowered.plan)));
}

}  // namespace
}  // namespace modellib
