// Gradients where the op table's random samples never are: at ties, kinks and zeros. There the
// derivative is a choice, and the choice is PyTorch's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/control.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/index.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/repeat.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

using Function = std::function<Value(const std::vector<Value>&)>;

// The gradients of the sum of f's elements for each of its f64 operands, all of `shape`, one after
// the other.
std::vector<double> gradients_at(const std::vector<std::vector<double>>& operands,
                                 const std::vector<int64_t>& shape, const Function& f) {
  GraphBuilder b(builtin_ops(), "subgradient");
  const Shape dims(shape.begin(), shape.end());
  std::vector<Value> inputs;
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < operands.size(); ++i) {
    inputs.push_back(b.input("x" + std::to_string(i), {DType::kF64, dims}));
    tensors.push_back(*Tensor::of<double>(shape, operands[i]));
  }
  const std::vector<Value> wrt = gradients(b, reduce_sum(f(inputs)), inputs);
  for (size_t i = 0; i < wrt.size(); ++i) b.output("g" + std::to_string(i), wrt[i]);
  absl::StatusOr<GraphRef> graph = b.build();
  EXPECT_TRUE(graph.ok()) << graph.status();
  if (!graph.ok()) return {};
  const absl::StatusOr<ReferenceResult> result = run_reference(*graph, tensors);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return {};
  std::vector<double> all;
  for (const Tensor& g : result->outputs) {
    all.insert(all.end(), g.as<double>().begin(), g.as<double>().end());
  }
  return all;
}

TEST(Subgradient, EqualMaximaShareEvenly) {
  const auto max_of_rows = [](const std::vector<Value>& x) {
    return reduce_max(x[0], {.axes = {1}});
  };
  const auto min_of_all = [](const std::vector<Value>& x) { return reduce_min(x[0]); };
  EXPECT_THAT(gradients_at({{1, 3, 3, 2, 5, 4}}, {2, 3}, max_of_rows),
              testing::ElementsAre(0, 0.5, 0.5, 0, 1, 0));
  EXPECT_THAT(gradients_at({{2, 2, 7, 2}}, {4}, min_of_all),
              testing::ElementsAre(testing::DoubleEq(1.0 / 3), testing::DoubleEq(1.0 / 3), 0,
                                   testing::DoubleEq(1.0 / 3)));
}

// Rounding counts as the identity; a gradient would not survive it.
TEST(Subgradient, PassesThroughRoundingToF8) {
  const auto product = [](DType narrow) {
    return [narrow](const std::vector<Value>& x) {
      return cast(cast(x[0], narrow), DType::kF64) * x[0];
    };
  };
  // Of each the rounded number and the number itself.
  const std::vector<double> x = {1.03125, -3, 0.2890625};
  EXPECT_THAT(gradients_at({x}, {3}, product(DType::kF8E4M3)),
              testing::ElementsAre(2.03125, -6, 0.5703125));
  EXPECT_THAT(gradients_at({x}, {3}, product(DType::kF8E5M2)),
              testing::ElementsAre(2.03125, -6, 0.6015625));
  const auto moved = [](const std::vector<Value>& operands) {
    const Value at = operands[0].builder()->constant(*Tensor::of<int64_t>({3}, {2, 0, 2}));
    const Value rounded = reshape(cast(operands[0], DType::kF8E4M3), {3, 1});
    return cast(repeat_interleave(gather(rounded, at), {1, 2}), DType::kF64) * 1e-5;
  };
  EXPECT_THAT(
      gradients_at({x}, {3}, moved),
      testing::ElementsAre(testing::DoubleNear(2e-5, 1e-10), 0, testing::DoubleNear(4e-5, 1e-10)));
}

TEST(Subgradient, IsRefusedWhereF8EntersARegion) {
  GraphBuilder b(builtin_ops(), "f8");
  const Value x = b.input("x", {DType::kF32, {3}}), p = b.input("p", {DType::kBool, {}});
  const Value rounded = cast(x, DType::kF8E4M3);
  const auto widened = [&](double factor) {
    return [&rounded, factor](GraphBuilder& region) {
      return std::vector<Value>{cast(region.captured(rounded), DType::kF32) * factor};
    };
  };
  const std::vector<Value> y = cond(b, p, widened(1), widened(2));
  gradients(b, reduce_sum(y[0]), {x});
  EXPECT_THAT(std::string(b.status().message()),
              testing::HasSubstr("no gradient goes through f8e4m3[3] into or out of a cond"));
}

TEST(Subgradient, ProductCountsTheOthersWhereAnElementIsZero) {
  const auto product = [](const std::vector<Value>& x) { return reduce_prod(x[0], {.axes = {1}}); };
  EXPECT_THAT(gradients_at({{2, 0, 5, 0, 0, 3, 2, 3, 4}}, {3, 3}, product),
              testing::ElementsAre(0, 10, 0, 0, 0, 0, 12, 8, 6));
}

TEST(Subgradient, LargerOfTwoEqualNumbersIsHalfOfEach) {
  const auto larger = [](const std::vector<Value>& x) { return maximum(x[0], x[1]); };
  const auto smaller = [](const std::vector<Value>& x) { return minimum(x[0], x[1]); };
  EXPECT_THAT(gradients_at({{1, 2, 3}, {1, 3, 2}}, {3}, larger),
              testing::ElementsAre(0.5, 0, 1, 0.5, 1, 0));
  EXPECT_THAT(gradients_at({{1, 2, 3}, {1, 3, 2}}, {3}, smaller),
              testing::ElementsAre(0.5, 1, 0, 0.5, 0, 1));
}

TEST(Subgradient, KinksAtZeroAreFlat) {
  const auto of = [](Value (*f)(Value)) {
    return [f](const std::vector<Value>& x) { return f(x[0]); };
  };
  EXPECT_THAT(gradients_at({{-1, 0, 1}}, {3}, of(relu)), testing::ElementsAre(0, 0, 1));
  EXPECT_THAT(gradients_at({{-1, 0, 1}}, {3}, of(abs)), testing::ElementsAre(-1, 0, 1));
  EXPECT_THAT(gradients_at({{-1, 0, 3, 6, 7}}, {5}, of(relu6)),
              testing::ElementsAre(0, 0, 1, 0, 0));
}

// As torch.clamp, whose goldens have such elements: no gradient on the limits.
TEST(Subgradient, ClampIsFlatOnItsLimits) {
  const auto clamped = [](const std::vector<Value>& x) {
    return clamp(x[0], {.min = -1.0, .max = 2.0});
  };
  EXPECT_THAT(gradients_at({{-2, -1, 0, 2, 3}}, {5}, clamped), testing::ElementsAre(0, 0, 1, 0, 0));
}

}  // namespace
}  // namespace modellib
