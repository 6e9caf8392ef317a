// The decode probe: a decoder with a key-value cache generates token by token from one plan. The
// cache is a session variable that each run updates in place; the rows of a batch have different
// ages.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/variable_store.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/program.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/embedding.h"
#include "modellib/ops/index.h"
#include "modellib/ops/linear.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/alloc_counter.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

constexpr int64_t kBatch = 3, kHeads = 2, kSize = 8, kModel = kHeads * kSize, kVocabulary = 11;
constexpr int64_t kCapacity = 70, kSteps = 64;
// The step at which each row begins; before that it stays at its first token.
constexpr int64_t kBegin[kBatch] = {0, 5, 23};

Variable weight(const std::string& name, Shape shape) { return {name, {DType::kF32, shape}}; }

struct Layer {
  explicit Layer(GraphBuilder& b)
      : table(b.variable(weight("table", {kVocabulary, kModel}))),
        q(b.variable(weight("q", {kModel, kModel}))),
        k(b.variable(weight("k", {kModel, kModel}))),
        v(b.variable(weight("v", {kModel, kModel}))),
        head(b.variable(weight("head", {kVocabulary, kModel}))) {}
  // tokens [batch, n] -> [batch, heads, n, size], rotated to its positions
  Value heads_of(Value x, Value w, int64_t n) const {
    return transpose(reshape(linear(x, w), {kBatch, n, kHeads, kSize}), {0, 2, 1, 3});
  }
  // [batch, heads, n, size] -> [batch, n, vocabulary]
  Value logits(Value attended, int64_t n) const {
    return linear(reshape(transpose(attended, {0, 2, 1, 3}), {kBatch, n, kModel}), head);
  }
  Value table, q, k, v, head;
};

std::map<std::string, Tensor> weights() {
  std::map<std::string, Tensor> result;
  double phase = 0.3;
  for (const auto& [name, rows] : std::map<std::string, int64_t>{{"table", kVocabulary},
                                                                 {"q", kModel},
                                                                 {"k", kModel},
                                                                 {"v", kModel},
                                                                 {"head", kVocabulary}}) {
    Tensor t = *Tensor::zeros(DType::kF32, {rows, kModel});
    for (int64_t i = 0; i < t.elements(); ++i) t.set(i, 0.6 * std::sin(phase * (i + 1.0)));
    phase += 0.21;
    result[name] = t;
  }
  return result;
}

int64_t token(int64_t row, int64_t position) {
  return (position * position + 7 * row + position) % kVocabulary;
}
int64_t position_of(int64_t row, int64_t step) { return std::max<int64_t>(0, step - kBegin[row]); }

// One token of each row: tokens i64[batch, 1], positions i64[batch] -> logits [batch, 1,
// vocabulary].
absl::StatusOr<GraphRef> decoder() {
  GraphBuilder b(builtin_ops(), "decode");
  const Value tokens = b.input("tokens", {DType::kI64, {kBatch, 1}});
  const Value positions = b.input("positions", {DType::kI64, {kBatch}});
  const Layer layer(b);
  const TensorType cache = {DType::kF32, {kBatch, kHeads, kCapacity, kSize}};
  const Variable keys = {"cache.keys", cache, Variable::Kind::kSession};
  const Variable values = {"cache.values", cache, Variable::Kind::kSession};
  const Value x = embedding(layer.table, tokens);
  const Value places = reshape(positions, {kBatch, 1});
  const Value k = rotary_embedding(layer.heads_of(x, layer.k, 1), places);
  b.assign(keys, update_slice(b.variable(keys), k, positions, 2));
  b.assign(values, update_slice(b.variable(values), layer.heads_of(x, layer.v, 1), positions, 2));
  const Value q = rotary_embedding(layer.heads_of(x, layer.q, 1), places);
  AttentionOperands operands;
  operands.lengths = positions + b.scalar(1, DType::kI64);
  b.output("logits",
           layer.logits(attention(q, b.variable(keys), b.variable(values), {}, operands), 1));
  return b.build();
}

// The decoder over weights that "initialize" sets.
absl::StatusOr<CpuProgram> decoder_program() {
  GraphBuilder b(builtin_ops(), kInitializeEntry);
  b.input("seed", {DType::kI64, {}});
  for (const auto& [name, value] : weights()) {
    b.assign(weight(name, {value.shape()[0], value.shape()[1]}), b.constant(value));
  }
  const auto initialize = b.build();
  if (!initialize.ok()) return initialize.status();
  const auto decode = decoder();
  if (!decode.ok()) return decode.status();
  return compile_for_cpu(
      Program{{{std::string(kInitializeEntry), *initialize}, {"decode", *decode}}});
}

// All tokens at once, without a cache: what each position must give.
absl::StatusOr<Tensor> expected_logits() {
  GraphBuilder b(builtin_ops(), "whole");
  const Value tokens = b.input("tokens", {DType::kI64, {kBatch, kSteps}});
  const Layer layer(b);
  const Value x = embedding(layer.table, tokens);
  const Value places = iota(b, {kSteps});
  const Value q = rotary_embedding(layer.heads_of(x, layer.q, kSteps), places);
  const Value k = rotary_embedding(layer.heads_of(x, layer.k, kSteps), places);
  const Value v = layer.heads_of(x, layer.v, kSteps);
  b.output("logits", layer.logits(attention(q, k, v, {.is_causal = true}), kSteps));
  const auto graph = b.build();
  if (!graph.ok()) return graph.status();
  Tensor all = *Tensor::zeros(DType::kI64, {kBatch, kSteps});
  for (int64_t row = 0; row < kBatch; ++row) {
    for (int64_t i = 0; i < kSteps; ++i) all.set_int(row * kSteps + i, token(row, i));
  }
  NamedTensors named;
  for (const auto& [name, value] : weights()) named[name] = value;
  auto result = run_reference(*graph, {all}, named);
  if (!result.ok()) return result.status();
  return result->outputs[0];
}

TEST(Decode, RowsOfDifferentAgeFromOnePlan) {
  const auto program = decoder_program();
  ASSERT_TRUE(program.ok()) << program.status();
  const auto expected = expected_logits();
  ASSERT_TRUE(expected.ok()) << expected.status();

  // The cache is updated where it lies: no step copies it.
  for (const auto& step : program->compiled.lowered.plan.entries[1]->sequences[0]->steps) {
    EXPECT_NE(program->compiled.lowered.plan.kernels[step->kernel], "cpu.copy_bytes") << step->name;
  }

  const auto store = runtime::VariableStore::create(program->executable);
  ASSERT_TRUE(store.ok()) << store.status();
  // Two sessions over one store, each with a cache of its own, take turns.
  std::unique_ptr<runtime::Session> sessions[2];
  const runtime::EntryId entry = *program->executable->entry("decode");
  Tensor tokens = *Tensor::zeros(DType::kI64, {kBatch, 1});
  Tensor positions = *Tensor::zeros(DType::kI64, {kBatch});
  for (auto& session : sessions) {
    auto created = runtime::Session::create(program->executable, *store);
    ASSERT_TRUE(created.ok()) << created.status();
    session = *std::move(created);
    ASSERT_TRUE(session->bind_input(entry, 0, tokens).ok());
    ASSERT_TRUE(session->bind_input(entry, 1, positions).ok());
  }
  int64_t allocations = 0;
  double worst = 0;
  for (int64_t step = 0; step < kSteps; ++step) {
    for (int64_t row = 0; row < kBatch; ++row) {
      positions.set_int(row, position_of(row, step));
      tokens.set_int(row, token(row, position_of(row, step)));
    }
    for (const auto& session : sessions) {
      AllocationCount count;
      const absl::Status status = session->run(entry);
      const int64_t allocated = count.stop();
      ASSERT_TRUE(status.ok()) << status;
      if (step > 0) allocations += allocated;
      const auto* logits = reinterpret_cast<const float*>(session->output_data(entry, 0));
      for (int64_t row = 0; row < kBatch; ++row) {
        for (int64_t i = 0; i < kVocabulary; ++i) {
          const double want =
              expected->at((row * kSteps + position_of(row, step)) * kVocabulary + i);
          worst = std::max(worst, std::abs(logits[row * kVocabulary + i] - want));
        }
      }
    }
  }
  EXPECT_LT(worst, 2e-5);
  if (AllocationCount::available()) EXPECT_EQ(allocations, 0);
}

TEST(Decode, APositionBeyondTheCacheEndsTheRun) {
  const auto program = decoder_program();
  ASSERT_TRUE(program.ok()) << program.status();
  const auto store = runtime::VariableStore::create(program->executable);
  const auto session = runtime::Session::create(program->executable, *store);
  const runtime::EntryId entry = *program->executable->entry("decode");
  const Tensor tokens = *Tensor::zeros(DType::kI64, {kBatch, 1});
  Tensor positions = *Tensor::zeros(DType::kI64, {kBatch});
  positions.set_int(1, kCapacity);
  const auto result = (*session)->run_tensors(entry, {tokens, positions});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kOutOfRange) << result.status();
}

}  // namespace
}  // namespace modellib
