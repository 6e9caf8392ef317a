// The reference executor: how it binds inputs and variables, and what it says when they do not fit.
#include "modellib/executors/reference/reference_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "modellib/graph/builder.h"
#include "modellib/ops/index.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TensorType f32(Shape shape) { return {DType::kF32, std::move(shape)}; }
const Dim kBatch = Dim::symbol("batch"), kN = Dim::symbol("n");
Tensor zeros(std::vector<int64_t> shape, DType dtype = DType::kF32) {
  return *Tensor::zeros(dtype, shape);
}
std::string message(const absl::Status& s) { return std::string(s.message()); }

// y = x w^T + b; b counts its runs.
GraphRef linear() {
  GraphBuilder b(builtin_ops(), "linear");
  const Value x = b.input("x", f32({kBatch, 2}));
  b.set_range("batch", {1, 8});
  const Variable w{"w", f32({3, 2})}, runs{"runs", f32({3})};
  const auto scope = b.scope("fc");
  b.output("y", matmul(x, b.variable(w), {.transpose_b = true}) + b.variable(runs));
  b.assign(runs, b.variable(runs) + 1.0);
  return *b.build();
}

TEST(ReferenceExecutor, RunsWithVariables) {
  ReferenceExecutor executor(linear());
  const NamedTensors variables = {{"w", *Tensor::of<float>({3, 2}, {1, 2, 3, 4, 5, 6})},
                                  {"runs", *Tensor::of<float>({3}, {10, 20, 30})}};
  const auto result = executor.run({*Tensor::of<float>({1, 2}, {1, 100})}, variables);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->outputs[0].as<float>(), ElementsAre(211, 423, 635));
  ASSERT_EQ(result->assigned.size(), 1u);
  EXPECT_THAT(result->assigned.at("runs").as<float>(), ElementsAre(11, 21, 31));
  EXPECT_THAT(variables.at("runs").as<float>(), ElementsAre(10, 20, 30)) << "left alone";
}

TEST(ReferenceExecutor, SaysWhatDoesNotFit) {
  ReferenceExecutor executor(linear());
  const NamedTensors variables = {{"w", zeros({3, 2})}, {"runs", zeros({3})}};
  const auto error = [&](std::vector<Tensor> inputs, const NamedTensors& v) {
    return executor.run(inputs, v).status();
  };
  EXPECT_THAT(message(error({}, variables)), HasSubstr("takes 1 inputs, got 0"));
  EXPECT_THAT(message(error({zeros({1, 3})}, variables)),
              AllOf(HasSubstr("'x'"), HasSubstr("f32[batch,2]"), HasSubstr("f32[1,3]")));
  EXPECT_THAT(message(error({zeros({1, 2}, DType::kF64)}, variables)), HasSubstr("f64[1,2]"));
  EXPECT_THAT(message(error({zeros({2})}, variables)), HasSubstr("f32[2]"));
  EXPECT_THAT(message(error({zeros({9, 2})}, variables)), HasSubstr("not within 1..8"));
  EXPECT_EQ(error({zeros({1, 2})}, {{"w", zeros({3, 2})}}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(message(error({zeros({1, 2})}, {{"w", zeros({2, 3})}, {"runs", zeros({3})}})),
              AllOf(HasSubstr("'w'"), HasSubstr("f32[2,3]")));
}

TEST(ReferenceExecutor, ChecksConstraints) {
  GraphBuilder b(builtin_ops());
  b.output("y", b.input("a", f32({kBatch})) + b.input("b", f32({kN})));
  const GraphRef graph = *b.build();
  EXPECT_TRUE(run_reference(graph, {zeros({4}), zeros({4})}).ok());
  EXPECT_THAT(message(run_reference(graph, {zeros({4}), zeros({5})}).status()),
              AllOf(HasSubstr("broadcast"), HasSubstr("4"), HasSubstr("5")));
}

TEST(ReferenceExecutor, BindsOneSymbolToOneExtent) {
  GraphBuilder b(builtin_ops());
  const Value x = b.input("x", f32({kN, kN + 1})), y = b.input("y", f32({kN * 2}));
  b.output("mean", reduce_mean(x, {.axes = {0}}));
  b.output("y", y);
  const GraphRef graph = *b.build();
  EXPECT_TRUE(run_reference(graph, {zeros({2, 3}), zeros({4})}).ok());
  EXPECT_THAT(message(run_reference(graph, {zeros({2, 4}), zeros({4})}).status()),
              HasSubstr("'x'"));
  EXPECT_THAT(message(run_reference(graph, {zeros({2, 3}), zeros({5})}).status()),
              HasSubstr("'y'"));
}

TEST(ReferenceExecutor, NamesTheNodeThatFails) {
  GraphBuilder b(builtin_ops());
  const Value x = b.input("x", f32({3})), i = b.input("i", {DType::kI64, {2}});
  {
    const auto scope = b.scope("embedding");
    b.output("y", gather(x, i));
  }
  const GraphRef graph = *b.build();
  const auto picked = run_reference(
      graph, {*Tensor::of<float>({3}, {5, 6, 7}), *Tensor::of<int64_t>({2}, {-1, 0})});
  ASSERT_TRUE(picked.ok());
  EXPECT_THAT(picked->outputs[0].as<float>(), ElementsAre(7, 5));
  const auto bad = run_reference(graph, {zeros({3}), *Tensor::of<int64_t>({2}, {0, 3})}).status();
  EXPECT_EQ(bad.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(message(bad), AllOf(HasSubstr("gather in embedding"), HasSubstr("index 3")));
}

TEST(ReferenceExecutor, ShowsEveryValueToAnObserver) {
  GraphBuilder b(builtin_ops());
  const Value x = b.input("x", f32({2}));
  b.output("y", exp(x) * 2.0);
  const GraphRef graph = *b.build();
  std::vector<ValueId> seen;
  ReferenceExecutor executor(graph,
                             {.observe = [&](ValueId id, const Tensor&) { seen.push_back(id); }});
  ASSERT_TRUE(executor.run({zeros({2})}).ok());
  EXPECT_EQ(seen.size(), graph->values().size());
}

TEST(ReferenceExecutor, WritesEachRowOfACacheAtItsOwnPosition) {
  GraphBuilder b(builtin_ops());
  const Value cache = b.input("cache", f32({kBatch, 3})), x = b.input("x", f32({kBatch, 1}));
  b.output("y", update_slice(cache, x, b.input("at", {DType::kI64, {kBatch}}), 1));
  const GraphRef graph = *b.build();
  const Tensor rows = *Tensor::of<float>({2, 1}, {7, 8});
  const auto result =
      run_reference(graph, {zeros({2, 3}), rows, *Tensor::of<int64_t>({2}, {2, 0})});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->outputs[0].as<float>(), ElementsAre(0, 0, 7, 8, 0, 0));
  EXPECT_EQ(run_reference(graph, {zeros({2, 3}), rows, *Tensor::of<int64_t>({2}, {2, 3})})
                .status()
                .code(),
            absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace modellib
