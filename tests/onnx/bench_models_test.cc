// The models of bench/compare, in their small form: they equal ONNX Runtime, and their plans have
// the shape that the measurements rest on.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/tests/onnx/model_golden.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

using Kernels = std::map<std::string, int>;

struct Case {
  const char* model;
  Kernels kernels;  // of the plan: how many steps each has
};

class BenchModels : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    auto model = onnx::import_model(absl::StrCat("bench/compare/testdata/", name(), ".onnx"));
    ASSERT_TRUE(model.ok()) << model.status();
    graph_ = model->program.entries[0].graph;
  }
  static std::string name() { return GetParam().model; }

  GraphRef graph_;
};

TEST_P(BenchModels, EqualOnnxRuntime) {
  const auto golden = load_model_golden(absl::StrCat("bench/compare/testdata/", name(), ".json"));
  ASSERT_TRUE(golden.ok()) << golden.status();
  ASSERT_EQ(golden->runs.size(), 1u);
  const ModelGolden::Run& run = golden->runs[0];
  std::vector<Tensor> inputs;
  for (const auto& input : run.inputs) inputs.push_back(input.tensor);
  const auto on_cpu = run_on_cpu(graph_, inputs);
  ASSERT_TRUE(on_cpu.ok()) << on_cpu.status();
  const auto plain = run_reference(graph_, inputs);
  ASSERT_TRUE(plain.ok()) << plain.status();
  ASSERT_EQ(on_cpu->outputs.size(), run.outputs.size());
  for (size_t i = 0; i < run.outputs.size(); ++i) {
    EXPECT_EQ(difference(on_cpu->outputs[i], run.outputs[i], 1e-3, 1e-4), "") << i;
    EXPECT_EQ(difference(plain->outputs[i], run.outputs[i], 1e-3, 1e-4), "") << i;
  }
}

// Batch norms, biases, activations and residuals are inside convolutions and products, attention is
// one step, what remains of a layer norm one region; nothing is copied between layouts but the
// image that comes in.
TEST_P(BenchModels, HaveNoStepTooMany) {
  const auto program = compile_for_cpu(graph_);
  ASSERT_TRUE(program.ok()) << program.status();
  Kernels kernels;
  const fb::PlanT& plan = program->compiled.lowered.plan;
  for (const auto& step : plan.entries[0]->sequences[0]->steps) {
    ++kernels[plan.kernels[step->kernel]];
  }
  EXPECT_EQ(kernels, GetParam().kernels);
}

INSTANTIATE_TEST_SUITE_P(
    All, BenchModels,
    testing::Values(
        Case{"mlp", {{"cpu.matmul_f32", 2}}},
        Case{"resnet50",
             {{"cpu.conv_f32", 12},
              {"cpu.copy", 1},
              {"cpu.pool", 1},
              {"cpu.reduce", 1},
              {"cpu.matmul_f32", 1}}},
        Case{"mobilenet_v2",
             {{"cpu.conv_f32", 7},
              {"cpu.depthwise_f32", 3},
              {"cpu.copy", 1},
              {"cpu.reduce", 1},
              {"cpu.matmul_f32", 1}}},
        // A layer: four products around attention, two of the inner layer, two norms. Before them
        // the embeddings, whose positions are a constant.
        Case{
            "minilm",
            {{"cpu.attention_f32", 2}, {"cpu.gather", 2}, {"cpu.matmul_f32", 12}, {"cpu.tile", 6}}},
        Case{
            "bert_base",
            {{"cpu.attention_f32", 1}, {"cpu.gather", 3}, {"cpu.matmul_f32", 7}, {"cpu.tile", 4}}}),
    [](const auto& info) { return std::string(info.param.model); });

}  // namespace
}  // namespace modellib
