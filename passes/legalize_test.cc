#include "modellib/passes/legalize.h"

#include <gtest/gtest.h>

#include "modellib/graph/op_def.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

// A device without 16-bit arithmetic in products.
class WideningBackend final : public Backend {
 public:
  absl::string_view name() const override { return "wide"; }
  bool takes_composite(const Graph&, const Graph::Node&) const override { return true; }
  bool widens(const Graph&, const Graph::Node& node) const override {
    return node.op->name == "matmul";
  }
  bool can_fuse(const Graph&, const Graph::Node&) const override { return false; }
  absl::Status accepts_region(const Graph&) const override { return absl::OkStatus(); }
  absl::StatusOr<NodeRecipe> recipe(const RecipeSite&) const override { return NodeRecipe(); }
  StepRecipe copy(const Dim&) const override { return {}; }
};

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

// Stored in f16, computed in f32, rounded once.
TEST(Legalize, WidensWhatTheDeviceCannotComputeIn) {
  const WideningBackend backend;
  testing::expect_pass("legalize", R"(graph "g" (a: f16[2,3], b: f16[3,4]) {
      p = matmul(a, b)
      return y = exp(p)
    })",
                       R"(graph "g" (a: f16[2,3], b: f16[3,4]) {
      wide_a = cast(a)
      wide_b = cast(b)
      wide_p = matmul(wide_a, wide_b)
      p = cast(wide_p) {dtype: f16}
      return y = exp(p)
    })",
                       &backend);
  testing::expect_unchanged(
      "legalize", "graph \"g\" (a: f32[2,3], b: f32[3,4]) { return y = matmul(a, b) }", &backend);
}

}  // namespace
}  // namespace modellib
