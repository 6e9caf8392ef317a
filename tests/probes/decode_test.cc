// The decode probe: a decoder with a key-value cache generates token by token from one plan. The
// cache is a session variable that each run updates in place; the rows of a batch have different
// ages.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/variable_store.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/embedding.h"
#include "modellib/ops/index.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/alloc_counter.h"
#include "modellib/tests/support/cpu_program.h"
#include "modellib/tests/support/decoder.h"

namespace modellib {
namespace {

using decoder::kBatch;
using decoder::kCapacity;
using decoder::kSteps;
using decoder::kVocabulary;
using decoder::Layer;
using decoder::position_of;

absl::StatusOr<CpuProgram> decoder_program() {
  const auto program = decoder::program();
  if (!program.ok()) return program.status();
  return compile_for_cpu(*program);
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
    for (int64_t i = 0; i < kSteps; ++i) all.set_int(row * kSteps + i, decoder::token(row, i));
  }
  NamedTensors named;
  for (const auto& [name, value] : decoder::weights()) named[name] = value;
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
      tokens.set_int(row, decoder::token(row, position_of(row, step)));
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
