// ResNet, BERT and GPT-2 give what torchvision's and transformers' models give for the same
// weights, under the same names; on the CPU, through the whole compiler.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "modellib/frontends/models/language/bert.h"
#include "modellib/frontends/models/language/gpt.h"
#include "modellib/frontends/models/vision/resnet.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/freeze.h"
#include "modellib/tests/goldens/model_golden.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

// Of float32, relative to the larger of 1 and the expected magnitude.
constexpr double kTolerance = 5e-5;

using Inputs = std::map<std::string, Value>;
struct Case {
  const char* name;
  std::function<std::unique_ptr<nn::Module>()> model;
  // The outputs in the golden's order.
  std::function<std::vector<Value>(nn::Module&, const Inputs&)> outputs;
};

std::vector<Value> logits(nn::Module& model, const Inputs& inputs) {
  return {model.forward(inputs.begin()->second)};
}

std::unique_ptr<nn::Module> resnet(bool bottleneck) {
  return std::make_unique<vision::ResNet>(
      vision::ResNetOptions{.layers = {1, 2, 1, 1}, .bottleneck = bottleneck, .num_classes = 5});
}

std::unique_ptr<nn::Module> bert() {
  return std::make_unique<language::BERT>(language::BertOptions{.vocab_size = 30,
                                                                .hidden_size = 16,
                                                                .num_hidden_layers = 2,
                                                                .num_attention_heads = 2,
                                                                .intermediate_size = 24,
                                                                .max_position_embeddings = 8});
}

std::vector<Value> bert_outputs(nn::Module& model, const Inputs& inputs) {
  const language::BertOutputs all = static_cast<language::BERT&>(model).forward(
      inputs.at("ids"), {.token_type_ids = inputs.at("token_type_ids"),
                         .attention_mask = inputs.at("attention_mask")});
  return {all.last_hidden_state, all.pooler_output};
}

std::unique_ptr<nn::Module> gpt2() {
  return std::make_unique<language::GPT>(language::GptOptions{
      .vocab_size = 20, .n_positions = 8, .n_embd = 16, .n_layer = 2, .n_head = 2});
}

// For gtest's messages.
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Architecture : public testing::TestWithParam<Case> {};

TEST_P(Architecture, GivesWhatThePublishedOneGives) {
  const auto golden =
      goldens::load_model_golden(std::string("tests/goldens/models/") + GetParam().name + ".json");
  ASSERT_TRUE(golden.ok()) << golden.status();
  const std::unique_ptr<nn::Module> model = GetParam().model();
  nn::StateDict state;
  for (const auto& p : golden->parameters) state[p.name] = *Tensor::of<float>(p.shape, p.values);
  ASSERT_EQ(nn::load_state(*model, state), absl::OkStatus());  // the names are the same

  model->name_parameters();
  model->eval();
  GraphBuilder b(builtin_ops());
  Inputs inputs;
  std::vector<Tensor> tensors;
  const auto add_input = [&](const std::string& name, Tensor tensor) {
    const std::vector<int64_t>& shape = tensor.shape();
    inputs[name] = b.input(name, {tensor.dtype(), Shape(shape.begin(), shape.end())});
    tensors.push_back(std::move(tensor));
  };
  for (const auto& t : golden->real_inputs) {
    add_input(t.name, *Tensor::of<float>(t.shape, t.values));
  }
  for (const auto& t : golden->integer_inputs) {
    add_input(t.name, *Tensor::of<int64_t>(t.shape, t.values));
  }
  const std::vector<Value> outputs = GetParam().outputs(*model, inputs);
  ASSERT_EQ(outputs.size(), golden->outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) b.output(golden->outputs[i].name, outputs[i]);
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();

  const auto frozen =
      freeze(**graph, builtin_ops(),
             [&state](const Variable& v) -> absl::StatusOr<Tensor> { return state.at(v.name); });
  ASSERT_TRUE(frozen.ok()) << frozen.status();
  const auto result = run_on_cpu(*frozen, tensors);
  ASSERT_TRUE(result.ok()) << result.status();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const goldens::ExpectedTensor& expected = golden->outputs[i];
    const Tensor& got = result->outputs[i];
    ASSERT_EQ(got.shape(), expected.shape) << expected.name;
    for (int64_t e = 0; e < got.elements(); ++e) {
      const double value = expected.values[static_cast<size_t>(e)];
      ASSERT_NEAR(got.at(e), value, kTolerance * std::max(1.0, std::abs(value)))
          << expected.name << " " << e;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, Architecture,
    testing::Values(Case{"resnet_basic", [] { return resnet(false); }, logits},
                    Case{"resnet_bottleneck", [] { return resnet(true); }, logits},
                    Case{"bert", bert, bert_outputs}, Case{"gpt2", gpt2, logits}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace modellib
