#include "modellib/passes/canonicalize.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

// Of x: f32[2,3,4]; the result is "y".
std::string of_x(absl::string_view lines) {
  return absl::StrCat("graph \"g\" (x: f32[2,3,4]) {\n", lines, "\n}");
}
void becomes(absl::string_view before, absl::string_view after) {
  testing::expect_pass("canonicalize", of_x(before), of_x(after));
  testing::expect_same_meaning(testing::graph_of(of_x(before)),
                               testing::after({"canonicalize"}, testing::graph_of(of_x(before))),
                               1e-6);
}
void stays(absl::string_view lines) { testing::expect_unchanged("canonicalize", of_x(lines)); }

TEST(Canonicalize, NeutralOperands) {
  becomes("z = constant() {value: f32[] [-0.0]}\n y = add(x, z)\n return y = neg(y)",
          "return y = neg(x)");
  becomes("z = constant() {value: f32[] [0.0]}\n y = sub(x, z)\n return y = neg(y)",
          "return y = neg(x)");
  becomes("o = constant() {value: f32[] [1.0]}\n a = mul(o, x)\n b = div(a, o)\n return y = neg(b)",
          "return y = neg(x)");
  // -0 + 0 is 0: plus zero is not neutral. Nor is 1 / x.
  stays("z = constant() {value: f32[] [0.0]}\n return y = add(x, z)");
  stays("o = constant() {value: f32[] [1.0]}\n return y = div(o, x)");
  // It widens the result.
  stays("o = constant() {value: f32[1,1,1,1] [1.0]}\n return y = mul(x, o)");
}

TEST(Canonicalize, DivisionByAPowerOfTwo) {
  becomes("c = constant() {value: f32[] [4.0]}\n return y = div(x, c)",
          "c = constant() {value: f32[] [0.25]}\n return y = mul(x, c)");
  stays("c = constant() {value: f32[] [3.0]}\n return y = div(x, c)");
  stays("c = constant() {value: f32[] [1e30]}\n return y = div(x, c)");
  // It widens the result.
  stays("c = constant() {value: f32[1,1,1,1] [4.0]}\n return y = div(x, c)");
}

TEST(Canonicalize, Powers) {
  becomes("c = constant() {value: f32[] [2.0]}\n return y = pow(x, c)", "return y = mul(x, x)");
  becomes("c = constant() {value: f32[] [1.0]}\n p = pow(x, c)\n return y = exp(p)",
          "return y = exp(x)");
  stays("c = constant() {value: f32[] [3.0]}\n return y = pow(x, c)");
}

TEST(Canonicalize, ChainsOfMoves) {
  becomes("a = reshape(x) {shape: [6,4]}\n return y = reshape(a) {shape: [4,6]}",
          "return y = reshape(x) {shape: [4,6]}");
  becomes("a = reshape(x) {shape: [6,4]}\n b = reshape(a) {shape: [2,3,4]}\n return y = exp(b)",
          "return y = exp(x)");
  becomes("a = transpose(x) {perm: [1, 2, 0]}\n return y = transpose(a) {perm: [0, 2, 1]}",
          "return y = transpose(x) {perm: [1, 0, 2]}");
  becomes("a = transpose(x)\n b = transpose(a)\n return y = exp(b)",
          "t = reshape(x) {shape: [2,3,4]}\n return y = exp(x)");
  stays("return y = transpose(x) {perm: [0, 2, 1]}");
}

TEST(Canonicalize, TransposeOfOnesIsAReshape) {
  testing::expect_pass("canonicalize",
                       "graph \"g\" (x: f32[1,3,4]) { return y = transpose(x) {perm: [1, 0, 2]} }",
                       "graph \"g\" (x: f32[1,3,4]) { return y = reshape(x) {shape: [3,1,4]} }");
}

TEST(Canonicalize, WhatDoesNothing) {
  becomes(R"(a = broadcast_to(x) {shape: [2,3,4]}
             b = cast(a) {dtype: f32}
             c = slice(b) {starts: [0,0,0], limits: [2,3,4]}
             d = pad(c) {low: [0, 0, 0], high: [0, 0, 0]}
             e = concat(d) {axis: 1}
             f = stop_gradient(e)
             g = neg(f)
             h = neg(g)
             return y = exp(h))",
          "return y = exp(x)");
  // Backwards is not nothing.
  stays("return y = slice(x) {starts: [0,0,3], limits: [2,3,-1], steps: [1, 1, -1]}");
}

TEST(Canonicalize, ReductionsKeepTheirAxes) {
  becomes("return y = reduce_sum(x) {axes: [1]}",
          "s = reduce_sum(x) {axes: [1], keepdims: true}\n return y = reshape(s) {shape: [2,4]}");
  testing::expect_pass("canonicalize",
                       "graph \"g\" (x: f32[3,1]) { return y = reduce_max(x) {axes: [1]} }",
                       "graph \"g\" (x: f32[3,1]) { return y = reshape(x) {shape: [3]} }");
  stays("return y = reduce_mean(x) {axes: [1], keepdims: true}");
}

TEST(Canonicalize, ProductsReadTransposed) {
  testing::expect_pass("canonicalize", R"(graph "g" (x: f32[2,3,4], w: f32[5,4]) {
      t = transpose(w)
      return y = matmul(x, t)
    })",
                       R"(graph "g" (x: f32[2,3,4], w: f32[5,4]) {
      return y = matmul(x, w) {transpose_b: true}
    })");
  testing::expect_unchanged("canonicalize", R"(graph "g" (x: f32[2,3,4], w: f32[4,2,5]) {
      t = transpose(w) {perm: [1, 0, 2]}
      return y = matmul(x, t)
    })");
}

// A widening is exact, a narrowing is not.
TEST(Canonicalize, Casts) {
  testing::expect_pass("canonicalize", R"(graph "g" (h: f16[4]) {
      a = cast(h) {dtype: f32}
      b = cast(a) {dtype: f16}
      c = cast(a) {dtype: bf16}
      d = exp(b)
      return d, c
    })",
                       R"(graph "g" (h: f16[4]) {
      d = exp(h)
      c = cast(h) {dtype: bf16}
      return d, c
    })");
  stays("a = cast(x) {dtype: f16}\n return y = cast(a) {dtype: f32}");
}

TEST(Canonicalize, DeadAndEqualNodesVanish) {
  testing::expect_pass("canonicalize", R"(graph "g" (x: f32[4]) {
      dead = exp(x)
      a = log(x)
      b = log(x)
      return y = add(a, b)
    })",
                       R"(graph "g" (x: f32[4]) {
      a = log(x)
      return y = add(a, a)
    })");
}

}  // namespace
}  // namespace modellib
