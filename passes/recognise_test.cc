#include "modellib/passes/recognise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kPasses = {"canonicalize", "fold-constants", "recognise"};

// The graph becomes `expected` and computes the same.
void expect_recognised(absl::string_view input, absl::string_view expected,
                       double tolerance = 2e-6) {
  const GraphRef before = testing::graph_of(input);
  const GraphRef after = testing::after(kPasses, before);
  testing::expect_graph(after, expected);
  testing::expect_same_meaning(before, after, tolerance);
}

// The graph, canonical already, stays, and a remark says why.
void expect_missed(absl::string_view input, absl::string_view why) {
  testing::expect_unchanged("recognise", input);
  EXPECT_THAT(testing::remarks("recognise", input), HasSubstr(std::string(why)));
}

// `lines` between the braces of a graph of x: f32[2,5].
std::string of_x(absl::string_view lines) {
  return absl::StrCat("graph \"g\" (x: f32[2,5]) {\n", lines, "\n}");
}

TEST(Recognise, Softmax) {
  const std::string softmax = of_x("return y = softmax(x) {axis: -1}");
  expect_recognised(of_x(R"(
      m = reduce_max(x) {axes: [1], keepdims: true}
      s = sub(x, m)
      e = exp(s)
      t = reduce_sum(e) {axes: [-1], keepdims: true}
      return y = div(e, t))"),
                    softmax);
  // As a framework without keepdims writes it, with a reciprocal.
  expect_recognised(of_x(R"(
      m = reduce_max(x) {axes: [1]}
      c = reshape(m) {shape: [2,1]}
      s = sub(x, c)
      e = exp(s)
      t = reduce_sum(e) {axes: [1]}
      u = reshape(t) {shape: [2,1]}
      r = reciprocal(u)
      return y = mul(r, e))"),
                    softmax);
}

TEST(Recognise, SoftmaxOverOneAxis) {
  expect_missed(of_x(R"(
      m = reduce_max(x) {axes: [0], keepdims: true}
      s = sub(x, m)
      e = exp(s)
      t = reduce_sum(e) {axes: [1], keepdims: true}
      return y = div(e, t))"),
                "is no softmax: the sum runs over other axes than the maximum");
  expect_missed(of_x(R"(
      m = reduce_max(x) {axes: [1], keepdims: true}
      s = sub(x, m)
      e = exp(s)
      f = exp(x)
      t = reduce_sum(f) {axes: [1], keepdims: true}
      return y = div(e, t))"),
                "is no softmax: operand 0 of exp is not made by sub: it is input x");
}

TEST(Recognise, LogSoftmax) {
  const char* const lines = R"(
      m = reduce_max(x) {axes: [1], keepdims: true}
      s = sub(x, m)
      e = exp(s)
      t = reduce_sum(e) {axes: [1], keepdims: true}
      l = log(t)
      y = sub(s, l)
  )";
  expect_recognised(of_x(absl::StrCat(lines, "return y")),
                    of_x("return y = log_softmax(x) {axis: -1}"));
  expect_missed(of_x(absl::StrCat(lines, "return y, e")),
                "is no log_softmax: the result of exp is used outside the pattern");
}

TEST(Recognise, GeluOfErf) {
  const std::string gelu = of_x("return y = gelu(x)");
  const char* const constants = R"(
      root = constant() {value: f32[] [1.4142135]}
      inverse = constant() {value: f32[] [0.70710677]}
      one = constant() {value: f32[] [1.0]}
      half = constant() {value: f32[] [0.5]}
  )";
  // PyTorch's exporter.
  expect_recognised(of_x(absl::StrCat(constants, R"(
      d = div(x, root)
      e = erf(d)
      p = add(e, one)
      m = mul(x, p)
      return y = mul(m, half))")),
                    gelu);
  // TensorFlow's.
  expect_recognised(of_x(absl::StrCat(constants, R"(
      d = mul(inverse, x)
      e = erf(d)
      p = add(one, e)
      h = mul(half, x)
      return y = mul(h, p))")),
                    gelu);
  expect_recognised(of_x(absl::StrCat(constants, R"(
      d = mul(x, inverse)
      e = erf(d)
      p = add(one, e)
      h = mul(p, half)
      return y = mul(h, x))")),
                    gelu);
}

TEST(Recognise, NoGeluWithOtherNumbers) {
  expect_missed(of_x(R"(
      inverse = constant() {value: f32[] [0.70710677]}
      one = constant() {value: f32[] [1.0]}
      more = constant() {value: f32[] [0.7]}
      d = mul(x, inverse)
      e = erf(d)
      p = add(e, one)
      m = mul(x, p)
      return y = mul(m, more))"),
                "is no gelu: operand 1 of mul is not a scalar constant near 0.5: it is 0.7");
  expect_missed(of_x(R"(
      two = constant() {value: f32[] [0.6]}
      one = constant() {value: f32[] [1.0]}
      half = constant() {value: f32[] [0.5]}
      d = mul(x, two)
      e = erf(d)
      p = add(e, one)
      m = mul(x, p)
      return y = mul(m, half))"),
                "operand 1 of mul is not a scalar constant near 0.707107: it is 0.6");
}

TEST(Recognise, GeluOfTanh) {
  const std::string gelu = of_x("return y = gelu(x) {approximate: \"tanh\"}");
  const char* const constants = R"(
      c = constant() {value: f32[] [0.044715]}
      k = constant() {value: f32[] [0.79788456]}
      one = constant() {value: f32[] [1.0]}
      half = constant() {value: f32[] [0.5]}
      three = constant() {value: f32[] [3.0]}
  )";
  expect_recognised(of_x(absl::StrCat(constants, R"(
      cube = pow(x, three)
      a = mul(cube, c)
      b = add(x, a)
      i = mul(b, k)
      t = tanh(i)
      p = add(t, one)
      h = mul(x, half)
      return y = mul(h, p))")),
                    gelu);
  // The factored form.
  expect_recognised(of_x(absl::StrCat(constants, R"(
      xc = mul(x, c)
      xxc = mul(xc, x)
      f = add(one, xxc)
      xk = mul(x, k)
      i = mul(xk, f)
      t = tanh(i)
      p = add(t, one)
      h = mul(x, half)
      return y = mul(h, p))")),
                    gelu);
  expect_missed(of_x(absl::StrCat(constants, R"(
      square = mul(x, x)
      a = mul(square, c)
      b = add(x, a)
      i = mul(b, k)
      t = tanh(i)
      p = add(t, one)
      h = mul(x, half)
      return y = mul(h, p))")),
                "is no gelu: operand");
}

TEST(Recognise, SigmoidAndSilu) {
  const char* const constants = "one = constant() {value: f32[] [1.0]}\n";
  expect_recognised(of_x(absl::StrCat(constants, R"(
      n = neg(x)
      e = exp(n)
      p = add(e, one)
      return y = reciprocal(p))")),
                    of_x("return y = sigmoid(x)"));
  expect_recognised(of_x("s = sigmoid(x)\n return y = mul(x, s)"), of_x("return y = silu(x)"));
  expect_recognised(of_x("s = sigmoid(x)\n return y = mul(s, x)"), of_x("return y = silu(x)"));
  expect_recognised(of_x(absl::StrCat(constants, R"(
      n = neg(x)
      e = exp(n)
      p = add(one, e)
      return y = div(x, p))")),
                    of_x("return y = silu(x)"));
  expect_missed("graph \"g\" (x: f32[4], z: f32[4]) {\n s = sigmoid(z)\n return y = mul(x, s)\n}",
                "is no silu: operand 0 of sigmoid is not the same value as 'x', which is input x: "
                "it is input z");
  // Somebody wants the sigmoid too, as a gradient does.
  expect_missed(of_x("s = sigmoid(x)\n y = mul(x, s)\n return y, s"),
                "is no silu: the result of sigmoid is used outside the pattern");
}

// A constant of rank 3 widens the result, so there is more than x.
TEST(Recognise, NoCompositeOfAnotherShape) {
  expect_missed(of_x(R"(
      one = constant() {value: f32[1,1,1] [1.0]}
      n = neg(x)
      e = exp(n)
      p = add(e, one)
      return y = div(x, p))"),
                "is no silu: the result is f32[1,2,5], x is f32[2,5]");
}

TEST(Recognise, Mish) {
  expect_recognised(of_x("s = softplus(x)\n t = tanh(s)\n return y = mul(x, t)"),
                    of_x("return y = mish(x)"));
  expect_missed(of_x("s = softplus(x) {beta: 2.0}\n t = tanh(s)\n return y = mul(x, t)"),
                "operand 0 of tanh is not a softplus with beta 1 and threshold 20");
}

TEST(Recognise, HardActivations) {
  const char* const constants = R"(
      zero = constant() {value: f32[] [0.0]}
      one = constant() {value: f32[] [1.0]}
      half = constant() {value: f32[] [0.5]}
      three = constant() {value: f32[] [3.0]}
      six = constant() {value: f32[] [6.0]}
      sixth = constant() {value: f32[] [0.16666667]}
  )";
  const auto with = [&](absl::string_view lines) { return of_x(absl::StrCat(constants, lines)); };
  expect_recognised(with("a = maximum(x, zero)\n return y = minimum(a, six)"),
                    of_x("return y = relu6(x)"));
  expect_recognised(with("a = relu(x)\n return y = minimum(six, a)"), of_x("return y = relu6(x)"));
  expect_recognised(
      with("a = add(x, three)\n b = clamp(a) {min: 0.0, max: 6.0}\n return y = div(b, six)"),
      of_x("return y = hard_sigmoid(x)"));
  // ONNX's HardSigmoid with alpha 1/6.
  expect_recognised(with(R"(
      a = mul(x, sixth)
      b = add(a, half)
      c = minimum(b, one)
      return y = maximum(c, zero))"),
                    of_x("return y = hard_sigmoid(x)"));
  expect_recognised(with(R"(
      a = add(x, three)
      b = clamp(a) {min: 0.0, max: 6.0}
      c = mul(x, b)
      return y = div(c, six))"),
                    of_x("return y = hard_swish(x)"));
  expect_recognised(with(R"(
      a = add(x, three)
      b = relu6(a)
      c = mul(b, sixth)
      return y = mul(x, c))"),
                    of_x("return y = hard_swish(x)"));
  expect_missed(of_x(R"(
      six = constant() {value: f32[] [7.0]}
      three = constant() {value: f32[] [3.0]}
      a = add(x, three)
      b = relu6(a)
      c = mul(x, b)
      return y = div(c, six))"),
                "is no hard_swish: operand 1 of div is not a scalar constant near 6: it is 7");
  expect_missed(of_x("five = constant() {value: f32[] [5.0]}\n a = relu(x)\n"
                     "return y = minimum(a, five)"),
                "is no relu6: operand 1 of minimum is not a scalar constant near 6: it is 5");
  testing::expect_unchanged("recognise", of_x("return y = clamp(x) {min: 0.0, max: 5.0}"));
}

// Lines up to the normalised x, "n".
std::string layer_norm_lines(absl::string_view end) {
  return absl::StrCat(R"(
      eps = constant() {value: f32[] [0.001]}
      two = constant() {value: f32[] [2.0]}
      mean = reduce_mean(x) {axes: [-1], keepdims: true}
      d = sub(x, mean)
      sq = pow(d, two)
      var = reduce_mean(sq) {axes: [1], keepdims: true}
      )",
                      end);
}

TEST(Recognise, LayerNorm) {
  // The text's eps is a double, the constant's an f32: the attribute has the constant's value.
  const std::string exact = of_x("y, m, r = layer_norm(x) {eps: 0.0010000000474974513}\n return y");
  expect_recognised(
      of_x(layer_norm_lines("v = add(var, eps)\n s = sqrt(v)\n return y = div(d, s)")), exact);
  expect_recognised(
      of_x(layer_norm_lines("v = add(eps, var)\n s = rsqrt(v)\n return y = mul(d, s)")), exact);
  expect_missed(of_x(R"(
      eps = constant() {value: f32[] [0.001]}
      mean = reduce_mean(x) {axes: [-1], keepdims: true}
      d = sub(x, mean)
      sq = mul(d, d)
      var = reduce_mean(sq) {axes: [1], keepdims: true}
      s = sqrt(var)
      t = add(s, eps)
      return y = div(d, t))"),
                "is no layer_norm: operand 1 of div is not made by sqrt: it is made by add");
  expect_missed(of_x(R"(
      eps = constant() {value: f32[] [0.001]}
      mean = reduce_mean(x) {axes: [0], keepdims: true}
      d = sub(x, mean)
      sq = mul(d, d)
      var = reduce_mean(sq) {axes: [0], keepdims: true}
      v = add(var, eps)
      s = sqrt(v)
      return y = div(d, s))"),
                "is no layer_norm: the mean does not run over the last axes");
}

TEST(Recognise, LayerNormWithWeightAndBias) {
  expect_recognised(
      absl::StrCat("graph \"g\" (x: f32[2,5], w: f32[5], b: f32[1,5]) {",
                   layer_norm_lines("v = add(var, eps)\n s = sqrt(v)\n n = div(d, s)"), R"(
      g = mul(n, w)
      return y = add(b, g)
    })"),
      R"(graph "g" (x: f32[2,5], w: f32[5], b: f32[1,5]) {
      c = reshape(b) {shape: [5]}
      y, m, r = layer_norm(x, w, c) {eps: 0.0010000000474974513}
      return y
    })");
  expect_missed(R"(graph "g" (x: f32[2,5], w: f32[2,5]) {
      n, m, r = layer_norm(x)
      return y = mul(n, w)
    })",
                "its other operand is f32[2,5], not of the rows' [5]");
}

TEST(Recognise, RmsNorm) {
  const char* const lines = R"(graph "g" (x: f32[2,5], w: f32[5]) {
      eps = constant() {value: f32[] [0.5]}
      sq = mul(x, x)
      ms = reduce_mean(sq) {axes: [1], keepdims: true}
      v = add(ms, eps)
      r = rsqrt(v)
      n = mul(x, r)
      y = mul(w, n)
  )";
  expect_recognised(absl::StrCat(lines, "return y }"),
                    R"(graph "g" (x: f32[2,5], w: f32[5]) {
      y, r = rms_norm(x, w) {eps: 0.5}
      return y
    })");
  expect_missed(absl::StrCat(lines, "return y, r }"),
                "is no rms_norm: the result of rsqrt is used outside the pattern");
}

const char kAttentionInputs[] =
    R"(graph "g" (q: f32[n,2,3,4], k: f32[n,2,5,4], v: f32[n,2,5,6], m: bool[3,5], b: f32[n,1,1,5]) {
      scale = constant() {value: f32[] [0.5]}
      root = constant() {value: f32[] [2.0]}
      inf = constant() {value: f32[] [-inf]}
      low = constant() {value: f32[] [-1e30]}
      kt = transpose(k) {perm: [0, 1, 3, 2]}
      s = matmul(q, kt)
  )";
std::string attention_of(absl::string_view lines) {
  return absl::StrCat(kAttentionInputs, lines, "}");
}
std::string attention_is(absl::string_view lines) {
  return absl::StrCat(
      "graph \"g\" (q: f32[n,2,3,4], k: f32[n,2,5,4], v: f32[n,2,5,6], m: bool[3,5], "
      "b: f32[n,1,1,5]) {",
      lines, "}");
}

TEST(Recognise, Attention) {
  expect_recognised(attention_of(R"(
      t = mul(s, scale)
      p = softmax(t)
      return y = matmul(p, v))"),
                    attention_is(R"(
      y, l = attention(q, k, v) {scale: 0.5, nan_where_blind: true}
      return y)"));
  // From primitives, with an added mask and a division.
  expect_recognised(attention_of(R"(
      t = div(s, root)
      u = add(t, b)
      m1 = reduce_max(u) {axes: [3], keepdims: true}
      d = sub(u, m1)
      e = exp(d)
      z = reduce_sum(e) {axes: [3], keepdims: true}
      p = div(e, z)
      return y = matmul(p, v))"),
                    attention_is(R"(
      y, l = attention(q, k, v, b) {scale: 0.5, nan_where_blind: true}
      return y)"));
}

TEST(Recognise, AttentionThatSelectsKeys) {
  const std::string input = attention_of(R"(
      t = mul(scale, s)
      u = where(m, t, inf)
      p = softmax(u)
      return y = matmul(p, v))");
  expect_recognised(input, attention_is(R"(
      y, l = attention(q, k, v, m) {scale: 0.5, nan_where_blind: true}
      return y)"));
  expect_recognised(attention_of(R"(
      u = where(m, inf, s)
      p = softmax(u)
      return y = matmul(p, v))"),
                    attention_is(R"(
      seen = logical_not(m)
      y, l = attention(q, k, v, seen) {scale: 1.0, nan_where_blind: true}
      return y)"));
  expect_recognised(attention_of(R"(
      t = mul(s, scale)
      u = where(m, t, low)
      w = add(u, b)
      p = softmax(w)
      return y = matmul(p, v))"),
                    attention_is(R"(
      low = constant() {value: f32[] [-1e30]}
      hidden = add(b, low)
      mask = where(m, b, hidden)
      y, l = attention(q, k, v, mask) {scale: 0.5, nan_where_blind: true}
      return y)"));
}

// Rows that see nothing are zeros before and after: the mask hides all keys of the second query.
TEST(Recognise, AttentionWithAGuardAgainstNan) {
  const GraphRef before = testing::graph_of(attention_of(R"(
      zero = constant() {value: f32[] [0.0]}
      rows = constant() {value: bool[3,1] [true, false, true]}
      seen = logical_and(m, rows)
      t = mul(s, scale)
      u = where(seen, t, inf)
      p = softmax(u)
      bad = is_nan(p)
      g = where(bad, zero, p)
      return y = matmul(g, v))"));
  const GraphRef after = testing::after(kPasses, before);
  testing::expect_graph(after, attention_is(R"(
      rows = constant() {value: bool[3,1] [true, false, true]}
      seen = logical_and(m, rows)
      y, l = attention(q, k, v, seen) {scale: 0.5}
      return y)"));
  testing::expect_same_meaning(before, after, 2e-6);
}

// And NaN before and after without the guard: masks that select, and that are added, hide all keys
// of the second query.
TEST(Recognise, AttentionWithoutAGuardAgainstNan) {
  expect_recognised(attention_of(R"(
      rows = constant() {value: bool[3,1] [true, false, true]}
      seen = logical_and(m, rows)
      u = where(seen, s, inf)
      p = softmax(u)
      return y = matmul(p, v))"),
                    attention_is(R"(
      rows = constant() {value: bool[3,1] [true, false, true]}
      seen = logical_and(m, rows)
      y, l = attention(q, k, v, seen) {scale: 1.0, nan_where_blind: true}
      return y)"));
  expect_recognised(attention_of(R"(
      rows = constant() {value: f32[3,1] [0.0, -inf, 0.0]}
      hiding = add(b, rows)
      u = add(s, hiding)
      p = softmax(u)
      return y = matmul(p, v))"),
                    attention_is(R"(
      rows = constant() {value: f32[3,1] [0.0, -inf, 0.0]}
      hiding = add(b, rows)
      y, l = attention(q, k, v, hiding) {scale: 1.0, nan_where_blind: true}
      return y)"));
}

// Heads folded into the batch, and keys that come transposed.
TEST(Recognise, AttentionOfRankThree) {
  expect_recognised(R"(graph "g" (q: f32[6,3,4], k: f32[6,4,5], v: f32[6,5,4]) {
      s = matmul(q, k)
      p = softmax(s)
      return y = matmul(p, v)
    })",
                    R"(graph "g" (q: f32[6,3,4], k: f32[6,4,5], v: f32[6,5,4]) {
      q1 = reshape(q) {shape: [6,1,3,4]}
      kt = transpose(k) {perm: [0, 2, 1]}
      k1 = reshape(kt) {shape: [6,1,5,4]}
      v1 = reshape(v) {shape: [6,1,5,4]}
      a, l = attention(q1, k1, v1) {scale: 1.0, nan_where_blind: true}
      return y = reshape(a) {shape: [6,3,4]}
    })");
}

TEST(Recognise, NoAttention) {
  const auto missed = [](absl::string_view lines, absl::string_view why) {
    expect_missed(absl::StrCat(R"(graph "g" (q: f32[2,2,3,4], k: f32[2,2,5,4], v: f32[2,2,5,6],
        m: bool[3,5], one: f32[1,2,5,6]) {
      near = constant() {value: f32[] [-100.0]}
      far = constant() {value: f32[] [-1e9]}
      s = matmul(q, k) {transpose_b: true}
      )",
                               lines, "}"),
                  why);
  };
  missed("p = softmax(s) {axis: 2}\n return y = matmul(p, v)",
         "is no attention: the softmax does not run over the keys");
  missed("t = where(m, s, near)\n p = softmax(t)\n return y = matmul(p, v)",
         "is no attention: a score of -100 does not hide a key");
  // Of a row that sees no key it would leave differences of the larger scores.
  missed("t = where(m, s, far)\n p = softmax(t)\n return y = matmul(p, v)",
         "is no attention: a score of -1e+09 does not hide a key");
  missed("p = softmax(s)\n return y = matmul(p, one)", "is no attention: its products broadcast");
  missed("p = softmax(s)\n y = matmul(p, v)\n return y, p",
         "is no attention: the result of softmax is used outside the pattern");
  missed("t = tanh(s)\n p = softmax(t)\n return y = matmul(p, v)",
         "is no attention: operand 0 of softmax is not made by");
}

TEST(Recognise, NothingToDo) {
  testing::expect_unchanged("recognise", R"(graph "g" (x: f32[2,5], w: f32[5,5]) {
      h = matmul(x, w)
      a = relu(h)
      s = softmax(a)
      return y = mul(s, x)
    })");
}

}  // namespace
}  // namespace modellib
