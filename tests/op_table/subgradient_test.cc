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
#include "modellib/ops/gradients.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"

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
