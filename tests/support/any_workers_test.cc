#include "modellib/tests/support/any_workers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "modellib/formats/plan_generated.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/support/cpu_program.h"
#include "modellib/tests/support/fine_chunks.h"

namespace modellib {
namespace {

// Small: a product, a pointwise op, sums of columns and a copy.
GraphRef small_graph() {
  GraphBuilder b(builtin_ops());
  const Value x = b.input("x", {DType::kF32, {6, 40}});
  const Value w = b.input("w", {DType::kF32, {40, 20}});
  const Value z = b.input("z", {DType::kF32, {5, 6, 40}});
  b.output("product", matmul(x, w));
  b.output("exp", exp(x));
  b.output("sums", reduce_sum(z, {.axes = {1}}));
  b.output("transposed", transpose(w, {1, 0}));
  return *b.build();
}

Tensor wave(const std::vector<int64_t>& shape) {
  Tensor t = *Tensor::zeros(DType::kF32, shape);
  for (int64_t i = 0; i < t.elements(); ++i) t.set(i, std::sin(0.7 * static_cast<double>(i)));
  return t;
}

// Without the cut, the tests that go by it would see one worker at work.
TEST(AnyWorkers, FineChunksAreSeveral) {
  absl::StatusOr<CpuProgram> program = compile_for_cpu(small_graph());
  ASSERT_TRUE(program.ok()) << program.status();
  fb::PlanT& plan = program->compiled.lowered.plan;
  const auto& steps = plan.entries[0]->sequences[0]->steps;
  EXPECT_GE(steps.size(), 4u);
  for (const auto& step : steps) EXPECT_EQ(step->chunks->value(), 1) << step->name;
  cpu::cut_finely(plan);
  for (const auto& step : steps) EXPECT_GT(step->chunks->value(), 1) << step->name;
}

TEST(AnyWorkers, ComputeTheSame) {
  absl::StatusOr<CpuProgram> program = compile_for_cpu(small_graph());
  ASSERT_TRUE(program.ok()) << program.status();
  const std::vector<Tensor> inputs = {wave({6, 40}), wave({40, 20}), wave({5, 6, 40})};
  const absl::StatusOr<CpuResult> result = run_with_any_workers(*program, inputs);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->outputs.size(), 4u);
  EXPECT_NEAR(result->outputs[1].at(1), std::exp(std::sin(0.7)), 1e-5);
}

}  // namespace
}  // namespace modellib
