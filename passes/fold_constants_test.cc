#include "modellib/passes/fold_constants.h"

#include <gtest/gtest.h>

#include <memory>

#include "modellib/graph/builder.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/pass_test_util.h"
#include "modellib/passes/regions.h"

namespace modellib {
namespace {

TEST(FoldConstants, ComputesWhatDependsOnConstantsAlone) {
  testing::expect_pass("fold-constants", R"(graph "g" (x: f32[2]) {
      a = constant() {value: f32[2] [1, 2]}
      b = constant() {value: f32[] [0.5]}
      c = mul(a, b)
      d = exp(c)
      e = reshape(c) {shape: [2,1]}
      f = matmul(e, e) {transpose_b: true}
      g = add(x, c)
      return g, f
    })",
                       R"(graph "g" (x: f32[2]) {
      c = constant() {value: f32[2] [0.5, 1]}
      g = add(x, c)
      f = constant() {value: f32[2,2] [0.25, 0.5, 0.5, 1]}
      return g, f
    })");
}

TEST(FoldConstants, ExtentsThatAreKnown) {
  testing::expect_pass("fold-constants", R"(graph "g" (x: f32[2,3]) {
      n = dim_value() {dims: [6]}
      return n
    })",
                       R"(graph "g" (x: f32[2,3]) {
      n = constant() {value: i64[1] [6]}
      return n
    })");
}

TEST(FoldConstants, NothingToDo) {
  testing::expect_unchanged("fold-constants", R"(graph "g" (x: f32[2,batch]) {
      w: var f32[2] "w"
      c = constant() {value: f32[] [2.0]}
      a = mul(x, c)
      n = dim_value() {dims: [batch]}
      b = exp(w)
      return a, n, b
    })");
}

// Composites are decomposed first; random numbers stay random.
TEST(FoldConstants, LeavesCompositesAndRandomNumbers) {
  testing::expect_unchanged("fold-constants", R"(graph "g" () {
      c = constant() {value: f32[2] [1, 2]}
      a = softmax(c)
      i = iota() {shape: [4]}
      return a, i
    })");
}

TEST(FoldConstants, DoesNotGrowAPlanWithoutBounds) {
  testing::expect_unchanged("fold-constants", R"(graph "g" () {
      c = constant() {value: f32[] [1.0]}
      return y = broadcast_to(c) {shape: [1024,1024]}
    })");
  testing::expect_pass("fold-constants", R"(graph "g" () {
      c = constant() {value: f32[] [1.0]}
      return y = broadcast_to(c) {shape: [4]}
    })",
                       R"(graph "g" () {
      return y = constant() {value: f32[4] [1, 1, 1, 1]}
    })");
}

TEST(FoldConstants, WidensFloatsWhateverTheyTake) {
  const auto cast_of = [](DType from, DType to) {
    GraphBuilder b(builtin_ops(), "weights");
    b.output("y", cast(b.constant(*Tensor::zeros(from, {1024, 1024})), to));
    const GraphRef folded = testing::after({"fold-constants"}, *b.build());
    return folded->node(folded->value(folded->outputs()[0].value).producer).op->name;
  };
  EXPECT_EQ(cast_of(DType::kF16, DType::kF32), "constant");
  EXPECT_EQ(cast_of(DType::kF32, DType::kF64), "constant");
  EXPECT_EQ(cast_of(DType::kF32, DType::kBF16), "constant");
  EXPECT_EQ(cast_of(DType::kI8, DType::kF32), "cast");  // quantized weights stay small
}

// A window of four billion taps, all but one of them padding.
TEST(FoldConstants, LeavesWhatTakesLong) {
  testing::expect_unchanged("fold-constants", R"(graph "g" () {
      c = constant() {value: f32[1,1,1,1] [1]}
      return y = max_pool(c) {kernel: [65536,65536], padding_low: [65535,65535]}
    })");
  GraphBuilder b(builtin_ops(), "product");
  const Value c = b.constant(*Tensor::zeros(DType::kF32, {2048, 2048}));
  b.output("y", matmul(c, c));
  const absl::StatusOr<GraphRef> product = b.build();
  ASSERT_TRUE(product.ok()) << product.status();
  const GraphRef folded = testing::after({"fold-constants"}, *product);
  ASSERT_NE(folded, nullptr);
  EXPECT_TRUE(structurally_equal(*folded, **product));
}

// Each takes 8 multiplications.
TEST(FoldConstants, RegionsAndGraphsShareTheBudget) {
  const GraphRef graph = testing::graph_of(R"(graph "g" (p: bool[]) {
    y = cond(p) {
      then_branch: graph "then" () {
        a = constant() {value: f32[2,2] [1, 2, 3, 4]}
        return b = matmul(a, a)
      },
      else_branch: graph "else" () {
        c = constant() {value: f32[2,2] [5, 6, 7, 8]}
        return d = matmul(c, c)
      },
      then_operands: 0}
    return y
  })");
  ASSERT_NE(graph, nullptr);
  PipelineOptions options;
  options.passes = {"fold-constants"};
  options.compute = std::make_shared<ComputeBudget>();
  options.compute->left = 17;
  const auto products_left = [&] {
    const absl::StatusOr<PipelineResult> result =
        run_pipeline(graph, builtin_ops(), nullptr, options);
    EXPECT_TRUE(result.ok()) << result.status();
    int products = 0;
    if (!result.ok()) return products;
    for (const Graph::Node& node : result->graph->nodes()) {
      for (const GraphRef& region : control_regions(node)) {
        for (const Graph::Node& inner : region->nodes()) products += inner.op->name == "matmul";
      }
    }
    return products;
  };
  EXPECT_EQ(products_left(), 0);
  EXPECT_EQ(options.compute->left, 1);
  EXPECT_EQ(products_left(), 2);  // nothing is left for a second graph
  options.compute->left = 8;
  EXPECT_EQ(products_left(), 1);
}

// Each result exists beside all others until the pass ends.
TEST(FoldConstants, ALongChainOfLargeResultsEndsSomewhere) {
  constexpr int kSums = 200;
  GraphBuilder b(builtin_ops(), "chain");
  Value x = broadcast_to(b.constant(*Tensor::zeros(DType::kF64, {1})), {131072});  // a mebibyte
  for (int i = 0; i < kSums; ++i) x = cumsum(x, {.axis = 0});
  b.output("y", x);
  const GraphRef folded = testing::after({"fold-constants"}, *b.build());
  ASSERT_NE(folded, nullptr);
  int left = 0;
  for (const Graph::Node& node : folded->nodes()) left += node.op->name == "cumsum";
  EXPECT_GT(left, kSums / 2);
  EXPECT_LT(left, kSums);
  // Weights may pass through some nodes, whatever they take.
  GraphBuilder weights(builtin_ops(), "weights");
  Value w = weights.constant(*Tensor::zeros(DType::kF32, {2048, 2560}));
  for (int i = 0; i < 3; ++i) w = transpose(w, {1, 0});
  weights.output("y", exp(w));
  const GraphRef computed = testing::after({"fold-constants"}, *weights.build());
  ASSERT_NE(computed, nullptr);
  EXPECT_EQ(computed->node(computed->value(computed->outputs()[0].value).producer).op->name,
            "constant");
}

// What fails stays, and fails when it runs.
TEST(FoldConstants, LeavesWhatCannotBeComputed) {
  testing::expect_unchanged("fold-constants", R"(graph "g" () {
      c = constant() {value: f32[2] [1, 2]}
      i = constant() {value: i64[1] [7]}
      return y = gather(c, i)
    })");
}

}  // namespace
}  // namespace modellib
