#include "modellib/passes/epilogue.h"

#include <gtest/gtest.h>

#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

testing::FakeBackend device() {
  testing::FakeBackend backend;
  backend.epilogues = true;
  return backend;
}

TEST(MatmulEpilogue, BiasResidualAndActivation) {
  const testing::FakeBackend backend = device();
  testing::expect_pass("epilogue",
                       R"(graph "g" (x: f32[2,3], w: f32[4,3], b: f32[4], r: f32[2,4]) {
      p = matmul(x, w) {transpose_b: true}
      s = add(b, p)
      t = add(s, r)
      return y = gelu(t)
    })",
                       R"(graph "g" (x: f32[2,3], w: f32[4,3], b: f32[4], r: f32[2,4]) {
      return y = matmul_epilogue(x, w, b, r) {transpose_b: true, activation: "gelu"}
    })",
                       &backend);
}

TEST(MatmulEpilogue, ThroughAReshapeThatKeepsTheColumns) {
  const testing::FakeBackend backend = device();
  const char* const input = R"(graph "g" (x: f32[4,3], w: f32[3,5], b: f32[5]) {
      p = matmul(x, w)
      q = reshape(p) {shape: [2,2,5]}
      return y = add(q, b)
    })";
  const GraphRef before = testing::graph_of(input);
  const GraphRef after = testing::after({"epilogue", "canonicalize"}, before, &backend);
  testing::expect_graph(after, R"(graph "g" (x: f32[4,3], w: f32[3,5], b: f32[5]) {
      p = matmul_epilogue(x, w, b)
      return y = reshape(p) {shape: [2,2,5]}
    })");
  testing::expect_same_meaning(before, after, 1e-6);
}

// What is decomposed in between may name an extent by another symbol than the residual does.
TEST(MatmulEpilogue, AResidualWithSymbolsOfItsOwn) {
  const GraphRef product = testing::graph_of(R"(graph "g" (x: f32[n,3], w: f32[3,4], r: f32[m,4]) {
      return y = matmul_epilogue(x, w, _, r)
    })");
  ASSERT_NE(product, nullptr);
  EXPECT_EQ(product->constraints().size(), 1u);  // n == m
  const GraphRef convolution =
      testing::graph_of(R"(graph "g" (x: f32[n,3,5,5], w: f32[4,3,1,1], r: f32[m,4,5,5]) {
      return y = conv_epilogue(x, w, _, r)
    })");
  ASSERT_NE(convolution, nullptr);
  EXPECT_EQ(convolution->constraints().size(), 1u);
}

TEST(MatmulEpilogue, NothingToDo) {
  const testing::FakeBackend backend = device();
  // Somebody else reads the product.
  testing::expect_unchanged("epilogue", R"(graph "g" (x: f32[2,3], w: f32[3,4]) {
      p = matmul(x, w)
      y = relu(p)
      return y, p
    })",
                            &backend);
  // A bias along the rows, and an element type that the epilogue does not know.
  testing::expect_unchanged("epilogue",
                            R"(graph "g" (x: f32[2,3], w: f32[3,4], b: f32[2,1]) {
      p = matmul(x, w)
      return y = add(p, b)
    })",
                            &backend);
  testing::expect_unchanged("epilogue", R"(graph "g" (x: f64[2,3], w: f64[3,4]) {
      p = matmul(x, w)
      return y = relu(p)
    })",
                            &backend);
  // Sums in f64, of which the op with an epilogue knows nothing.
  testing::expect_unchanged("epilogue", R"(graph "g" (x: f32[2,3], w: f32[3,4]) {
      p = matmul(x, w) {accumulate: f64}
      return y = relu(p)
    })",
                            &backend);
  // Scalars that were reshaped: the norm of gradients is a sum of such.
  testing::expect_unchanged("epilogue", R"(graph "g" (x: f32[1,1], z: f32[]) {
      r = reshape(x) {shape: []}
      return y = add(r, z)
    })",
                            &backend);
  // A device without epilogues.
  const testing::FakeBackend plain;
  testing::expect_unchanged("epilogue", R"(graph "g" (x: f32[2,3], w: f32[3,4]) {
      p = matmul(x, w)
      return y = relu(p)
    })",
                            &plain);
}

}  // namespace
}  // namespace modellib
