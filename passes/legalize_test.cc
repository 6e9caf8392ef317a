#include "modellib/passes/legalize.h"

#include <gtest/gtest.h>

#include "modellib/graph/op_def.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

TEST(Legalize, DecomposesWhatTheBackendLacks) {
  const char* const input = R"(graph "g" (x: f32[2,3]) {
      a = silu(x)
      return y = softmax(a)
    })";
  const char* const softmax_left = R"(graph "g" (x: f32[2,3]) {
      s = sigmoid(x)
      a = mul(x, s)
      return y = softmax(a)
    })";
  testing::FakeBackend backend;
  backend.composites = {"softmax"};
  testing::expect_pass("legalize", input, softmax_left, &backend);
  backend.composites = {"softmax", "silu"};
  testing::expect_unchanged("legalize", input, &backend);
}

TEST(Legalize, WithoutABackendOnlyPrimitivesAreLeft) {
  testing::expect_pass("legalize", "graph \"g\" (x: f32[2,3]) { return y = softmax(x) }",
                       R"(graph "g" (x: f32[2,3]) {
      m = reduce_max(x) {axes: [-1], keepdims: true}
      n = stop_gradient(m)
      d = sub(x, n)
      e = exp(d)
      s = reduce_sum(e) {axes: [-1], keepdims: true}
      return y = div(e, s)
    })");
}

// group_norm is made of layer_norm, which is a composite itself.
TEST(Legalize, GoesDownToWhatIsThere) {
  const GraphRef graph =
      testing::graph_of("graph \"g\" (x: f32[2,4,3]) { return y = group_norm(x) {num_groups: 2} }");
  testing::FakeBackend backend;
  backend.composites = {"layer_norm"};
  const GraphRef half = testing::after({"legalize"}, graph, &backend);
  const GraphRef whole = testing::after({"legalize"}, graph);
  int norms = 0;
  for (const Graph::Node& node : half->nodes()) norms += node.op->name == "layer_norm";
  EXPECT_EQ(norms, 1);
  for (const Graph::Node& node : whole->nodes()) {
    EXPECT_EQ(node.op->kind, OpDef::Kind::kPrimitive) << node.op->name;
  }
  testing::expect_same_meaning(graph, half, 1e-6);
  testing::expect_same_meaning(graph, whole, 1e-6);
}

TEST(Legalize, NothingToDo) {
  testing::expect_unchanged("legalize", R"(graph "g" (x: f32[2,3]) {
      e = exp(x)
      return y = matmul(e, x) {transpose_b: true}
    })");
}

}  // namespace
}  // namespace modellib
