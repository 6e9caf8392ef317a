#include "modellib/passes/autocast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "modellib/ops/registry.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

// As in PyTorch's autocast: products narrow, what sums or normalises wide.
TEST(Autocast, Table) {
  for (const char* op : {"matmul", "conv", "conv_input_gradient", "conv_filter_gradient",
                         "attention", "attention_grad"}) {
    EXPECT_EQ(precision_of(op), Precision::kNarrow) << op;
  }
  for (const char* op : {"lstm_cell", "gru_cell", "rnn_cell"}) {
    EXPECT_EQ(precision_of(op), Precision::kOpen) << op;
  }
  for (const char* op : {"softmax", "log_softmax", "layer_norm", "rms_norm", "batch_norm_training",
                         "cross_entropy", "reduce_sum", "exp", "adam_update"}) {
    EXPECT_NE(builtin_ops().find(op), nullptr) << op;
    EXPECT_EQ(precision_of(op), Precision::kKeep) << op;
  }
}

TEST(Autocast, ProductsAreNarrowAndVariablesStay) {
  testing::expect_pass("autocast-f16", R"(graph "g" (x: f32[2,3]) {
      w: var f32[3,4] "w"
      h = matmul(x, w)
      s = softmax(h)
      assign "w" = w
      return s
    })",
                       R"(graph "g" (x: f32[2,3]) {
      w: var f32[3,4] "w"
      x16 = cast(x) {dtype: f16}
      w16 = cast(w) {dtype: f16}
      h16 = matmul(x16, w16)
      h = cast(h16)
      s = softmax(h)
      assign "w" = w
      return s
    })");
}

TEST(Autocast, LeavesWhatIsSummedInF64) {
  const char* const input =
      R"(graph "g" (x: f32[2,3], w: f32[3,4], i: f32[1,2,5,5], f: f32[4,2,3,3]) {
      p = matmul(x, w) {accumulate: f64}
      c = conv(i, f) {accumulate: f64}
      return p, c
    })";
  for (const char* pass : {"autocast-f16", "autocast-bf16"}) testing::expect_unchanged(pass, input);
}

TEST(Autocast, StatisticsOfAttentionStay) {
  const char* const input = R"(graph "g" (q: f32[1,2,3,4], m: f32[3,3], n: i64[1]) {
      y, lse = attention(q, q, q, m, n)
      return y, lse
    })";
  testing::expect_pass("autocast-bf16", input,
                       R"(graph "g" (q: f32[1,2,3,4], m: f32[3,3], n: i64[1]) {
      finite = is_finite(m)
      cut = clamp(m) {min: -3.3895313892515355e+38, max: 3.3895313892515355e+38}
      within = where(finite, cut, m)
      q16 = cast(q) {dtype: bf16}
      m16 = cast(within) {dtype: bf16}
      y16, lse = attention(q16, q16, q16, m16, n)
      y = cast(y16)
      return y, lse
    })");
}

// The least f32s are -inf in bf16 and f16: a row that is hidden with them throughout would become
// NaN.
TEST(Autocast, AMaskOfTheLeastNumberStaysFinite) {
  const GraphRef masked = testing::graph_of(R"(graph "g" (q: f32[1,1,2,4]) {
      m = constant() {value: f32[2,2] [0, -3.4e+38, -3.4e+38, -3.4e+38]}
      y, lse = attention(q, q, q, m) {nan_where_blind: true}
      return y
    })");
  testing::expect_same_meaning(masked, testing::after({"autocast-bf16"}, masked), 0.3);
}

// The gates are products; what is between them is not.
TEST(Autocast, OpensRecurrentCells) {
  const GraphRef cell = testing::graph_of(
      R"(graph "g" (x: f32[2,3], h: f32[2,4], w: f32[4,3], u: f32[4,4]) {
      return y = rnn_cell(x, h, w, u)
    })");
  testing::expect_graph(testing::after({"autocast-f16", "canonicalize"}, cell),
                        R"(graph "g" (x: f32[2,3], h: f32[2,4], w: f32[4,3], u: f32[4,4]) {
      x16 = cast(x) {dtype: f16}
      w16 = cast(w) {dtype: f16}
      a16 = matmul(x16, w16) {transpose_b: true}
      a = cast(a16)
      h16 = cast(h) {dtype: f16}
      u16 = cast(u) {dtype: f16}
      b16 = matmul(h16, u16) {transpose_b: true}
      b = cast(b16)
      s = add(a, b)
      return y = tanh(s)
    })");
}

TEST(Autocast, CastsBetweenProductsMeet) {
  const GraphRef chain = testing::graph_of(R"(graph "g" (x: f32[2,3], w: f32[3,3]) {
      a = matmul(x, w)
      return y = matmul(a, w)
    })");
  testing::expect_graph(testing::after({"autocast-f16", "canonicalize"}, chain),
                        R"(graph "g" (x: f32[2,3], w: f32[3,3]) {
      x16 = cast(x) {dtype: f16}
      w16 = cast(w) {dtype: f16}
      a = matmul(x16, w16)
      b = matmul(a, w16)
      return y = cast(b)
    })");
}

TEST(Autocast, NothingToDo) {
  testing::expect_unchanged("autocast-f16",
                            R"(graph "g" (x: f64[2,3], y: f16[2,3], z: f32[2,3]) {
      a = matmul(x, x) {transpose_b: true}
      b = matmul(y, y) {transpose_b: true}
      c = softmax(z)
      return a, b, c
    })");
}

// It changes what is computed, so it must be asked for; and can be left out by name.
TEST(Autocast, IsOptional) {
  const std::vector<std::string> usual = default_pipeline();
  EXPECT_THAT(usual, ::testing::Not(::testing::Contains("autocast-f16")));
  const std::vector<std::string> mixed = default_pipeline({"autocast-f16"});
  EXPECT_EQ(mixed.size(), usual.size() + 1);
  EXPECT_THAT(mixed, ::testing::Contains("autocast-f16"));
  EXPECT_LT(std::find(mixed.begin(), mixed.end(), "autocast-f16"),
            std::find(mixed.begin(), mixed.end(), "legalize"));
  const GraphRef product =
      testing::graph_of("graph \"g\" (x: f32[2,3], w: f32[3,3]) {\n return y = matmul(x, w)\n}");
  PipelineOptions options;
  options.passes = {"autocast-f16"};
  options.disabled = {"autocast-f16"};
  const auto result = run_pipeline(product, builtin_ops(), nullptr, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->graph, product);
}

}  // namespace
}  // namespace modellib
