// Recurrent layers beyond the goldens: free lengths, axes, dropout between layers.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/frontends/nn/nn.h"
#include "modellib/frontends/nn/random_state.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/reduce.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib::nn {
namespace {

// The outputs and the gradient of the first weight for a sequence of five steps, built for
// `length`.
std::vector<Tensor> run_lstm(const Dim& length, const RecurrentOptions& options) {
  GraphBuilder b(builtin_ops());
  LSTM lstm(3, 4, options);
  lstm.to(DType::kF64);
  lstm.name_parameters();
  for (const auto& [name, p] : lstm.named_parameters()) {
    p.assign(random_constant(b, DType::kF64, p.shape(), name));
  }
  const Value x = b.input("x", {DType::kF64, {length, 2, 3}});
  const LstmSequence all = lstm.forward(x, LstmState{});
  const Value weight = lstm.parameters()[0].read(b);
  const Value loss = reduce_sum(all.output * all.output) + reduce_sum(all.state.c);
  const std::vector<Value> grads = gradients(b, loss, {weight, x});
  b.output("output", all.output);
  b.output("h", all.state.h);
  b.output("c", all.state.c);
  b.output("dw", grads[0]);
  b.output("dx", grads[1]);
  const auto graph = b.build();
  EXPECT_TRUE(graph.ok()) << graph.status();
  if (!graph.ok()) return {};
  const auto result = run_reference(*graph, {*random_tensor(DType::kF64, {5, 2, 3}, -1, 1, "x")});
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->outputs : std::vector<Tensor>();
}

TEST(Lstm, AFreeLengthGivesWhatAStaticOneGives) {
  const RecurrentOptions options{.num_layers = 2, .bidirectional = true};
  const auto unrolled = run_lstm(5, options), scanned = run_lstm(Dim::symbol("length"), options);
  ASSERT_EQ(unrolled.size(), 5u);
  ASSERT_EQ(scanned.size(), 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(difference(scanned[i], unrolled[i], 1e-10), "") << i;
}

TEST(Lstm, TheLastStateIsThatOfTheLastStep) {
  const auto all = run_lstm(5, {});
  ASSERT_EQ(all.size(), 5u);
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(all[1].at(i), all[0].at(4 * 8 + i));
}

TEST(Gru, BatchFirstIsTheSameTransposed) {
  GraphBuilder b(builtin_ops());
  GRU gru(3, 4);
  gru.to(DType::kF64);
  gru.name_parameters();
  for (const auto& [name, p] : gru.named_parameters()) {
    p.assign(random_constant(b, DType::kF64, p.shape(), name));
  }
  GRU turned = gru;
  turned.options.batch_first = true;
  const Value x = random_constant(b, DType::kF64, {5, 2, 3}, "x");
  const auto results =
      evaluate(b, {gru.forward(x), turned.forward(x.transpose(0, 1)).transpose(0, 1)});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_TRUE(results[0].identical(results[1]));
}

// Further layers would begin with nothing, or states be left out, without a word.
TEST(Recurrent, RefusesInitialStatesOfOtherLayers) {
  const auto message = [](const RecurrentOptions& options, const Shape& initial) {
    GraphBuilder b(builtin_ops());
    GRU gru(3, 4, options);
    gru.name_parameters();
    gru.forward(b.input("x", {DType::kF32, {5, 2, 3}}), b.input("h", {DType::kF32, initial}));
    return std::string(b.status().message());
  };
  EXPECT_EQ(message({.num_layers = 2}, {2, 2, 4}), "");
  for (const Shape& initial : {Shape{3, 2, 4}, Shape{2, 1, 4}, Shape{2, 4}}) {
    EXPECT_TRUE(absl::StrContains(message({.num_layers = 2}, initial), "must have shape [2,2,4]"))
        << to_string(initial);
  }
  EXPECT_TRUE(absl::StrContains(message({.dropout = -0.5}, {1, 2, 4}), "not -0.5"));
}

TEST(Lstm, DropsBetweenLayersInTrainingAlone) {
  GraphBuilder b(builtin_ops());
  b.assign(random_seed(), b.scalar(5, DType::kI64));
  b.assign(step_count(), b.scalar(1, DType::kI64));
  LSTM lstm(3, 4, {.num_layers = 2, .dropout = 0.5});
  lstm.name_parameters();
  for (const auto& [name, p] : lstm.named_parameters()) {
    p.assign(random_constant(b, DType::kF32, p.shape(), name));
  }
  LSTM plain = lstm;
  plain.options.dropout = 0.0;
  const Value x = random_constant(b, DType::kF32, {5, 2, 3}, "x");
  const Value dropped = lstm.forward(x);
  const Value expected = plain.forward(x);
  lstm.eval();
  const auto results = evaluate(b, {dropped, expected, lstm.forward(x)});
  ASSERT_EQ(results.size(), 3u);
  EXPECT_FALSE(results[0].identical(results[1]));
  EXPECT_TRUE(results[2].identical(results[1]));
}

}  // namespace
}  // namespace modellib::nn
