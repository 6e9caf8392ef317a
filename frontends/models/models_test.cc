// The architectures have the parameters that the published models have, and the shapes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/frontends/models/language/bert.h"
#include "modellib/frontends/models/language/gpt.h"
#include "modellib/frontends/models/vision/resnet.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/registry.h"

namespace modellib {
namespace {

int64_t elements(const nn::Module& model) {
  int64_t sum = 0;
  for (const nn::Parameter& p : model.parameters()) {
    int64_t count = 1;
    for (int64_t extent : p.shape()) count *= extent;
    sum += count;
  }
  return sum;
}

bool has_parameter(const nn::Module& model, const std::string& name) {
  for (const auto& [key, p] : model.named_parameters()) {
    if (key == name) return true;
  }
  return false;
}

// The type of what forward() gives for an input of this type.
std::string output_type(nn::Module& model, const TensorType& input) {
  model.name_parameters();
  GraphBuilder b(builtin_ops());
  const Value y = model.forward(b.input("x", input));
  EXPECT_TRUE(b.status().ok()) << b.status();
  return to_string(y.type());
}

TEST(ResNet, HasTorchvisionsParameters) {
  EXPECT_EQ(elements(vision::ResNet::resnet18()), 11'689'512);
  EXPECT_EQ(elements(vision::ResNet::resnet34()), 21'797'672);
  EXPECT_EQ(elements(vision::ResNet::resnet101()), 44'549'160);
  EXPECT_EQ(elements(vision::ResNet::resnet152()), 60'192'808);
  const vision::ResNet resnet50 = vision::ResNet::resnet50();
  EXPECT_EQ(elements(resnet50), 25'557'032);
  EXPECT_EQ(resnet50.parameters().size(), 161u);
  EXPECT_EQ(resnet50.named_buffers().size(), 106u);
  for (const char* name : {"conv1.weight", "layer1.0.downsample.0.weight", "layer4.2.bn3.bias",
                           "layer3.5.conv2.weight", "fc.bias"}) {
    EXPECT_TRUE(has_parameter(resnet50, name)) << name;
  }
  // ResNeXt-50 32x4d.
  EXPECT_EQ(elements(vision::ResNet({.groups = 32, .width_per_group = 4})), 25'028'904);
}

TEST(ResNet, ReducesImagesToLogits) {
  vision::ResNet model = vision::ResNet::resnet50();
  EXPECT_EQ(output_type(model, {DType::kF32, {Dim::symbol("batch"), 3, 224, 224}}),
            "f32[batch,1000]");
  model.fc = nn::Linear(2048, 2);
  EXPECT_EQ(output_type(model, {DType::kF32, {4, 3, 96, 128}}), "f32[4,2]");
}

TEST(ResNet, DilatesInsteadOfHalving) {
  vision::ResNet model({.replace_stride_with_dilation = {false, true, true}});
  model.name_parameters();
  GraphBuilder b(builtin_ops());
  Value x = b.input("x", {DType::kF32, {1, 3, 64, 64}});
  x = model.maxpool.forward(model.conv1.forward(x));
  for (nn::Sequential* stage : {&model.layer1, &model.layer2, &model.layer3, &model.layer4}) {
    x = stage->forward(x);
  }
  EXPECT_EQ(to_string(x.type()), "f32[1,2048,8,8]") << b.status();
}

// As in torchvision.
TEST(ResNet, RefusesBasicBlocksWithTheOptionsOfBottlenecks) {
  const auto message = [](vision::ResNetOptions options) {
    options.layers = {2, 2, 2, 2};
    options.bottleneck = false;
    vision::ResNet model(options);
    model.name_parameters();
    GraphBuilder b(builtin_ops());
    model.forward(b.input("x", {DType::kF32, {2, 3, 64, 64}}));
    return std::string(b.status().message());
  };
  EXPECT_EQ(message({}), "");
  EXPECT_TRUE(absl::StrContains(message({.groups = 2}), "not 2 groups"));
  EXPECT_TRUE(absl::StrContains(message({.width_per_group = 128}), "width_per_group 128"));
  EXPECT_TRUE(absl::StrContains(message({.replace_stride_with_dilation = {false, false, true}}),
                                "a dilation of 2"));
}

TEST(Bert, HasThePublishedParameters) {
  const language::BERT base = language::BERT::bert_base_uncased();
  EXPECT_EQ(elements(base), 109'482'240);
  EXPECT_EQ(elements(language::BERT::bert_large_uncased()), 335'141'888);
  for (const char* name : {"embeddings.word_embeddings.weight", "embeddings.LayerNorm.bias",
                           "encoder.layer.11.attention.self.query.weight",
                           "encoder.layer.0.attention.output.LayerNorm.weight",
                           "encoder.layer.3.intermediate.dense.bias",
                           "encoder.layer.3.output.dense.weight", "pooler.dense.weight"}) {
    EXPECT_TRUE(has_parameter(base, name)) << name;
  }
}

language::BertOptions tiny_bert() {
  return {.vocab_size = 20,
          .hidden_size = 8,
          .num_hidden_layers = 2,
          .num_attention_heads = 2,
          .intermediate_size = 16,
          .max_position_embeddings = 6};
}

TEST(Bert, GivesHiddenStatesAndLogits) {
  language::BERT bert(tiny_bert());
  EXPECT_EQ(output_type(bert, {DType::kI64, {Dim::symbol("batch"), 5}}), "f32[batch,5,8]");
  language::BertClassifier classifier(3, tiny_bert());
  EXPECT_EQ(output_type(classifier, {DType::kI64, {2, Dim::symbol("seq")}}), "f32[2,3]");
}

TEST(Bert, RefusesMoreTokensThanPositions) {
  language::BERT bert(tiny_bert());
  bert.name_parameters();
  GraphBuilder b(builtin_ops());
  bert.forward(b.input("ids", {DType::kI64, {2, 7}}));
  EXPECT_TRUE(absl::StrContains(b.status().message(), "only 6 positions")) << b.status();
}

// First values from the initialisers, as the program's entry "initialize" gives them.
NamedTensors first_values(nn::Module& model) {
  model.name_parameters();
  GraphBuilder b(builtin_ops());
  const Value key = b.scalar(1, DType::kI64);
  for (const auto& [name, p] : model.named_parameters()) {
    const GraphBuilder::Scope scope(b, name);
    b.assign(p.variable(), p.initializer()(b, key, p.variable().type));
  }
  const auto result = run_reference(*b.build(), {});
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->assigned : NamedTensors();
}

Tensor ids(const std::vector<int64_t>& shape, const std::vector<int64_t>& values) {
  return *Tensor::of<int64_t>(shape, values);
}

TEST(Bert, APaddedBatchGivesWhatTheShortOneGives) {
  language::BERT bert(tiny_bert());
  const NamedTensors weights = first_values(bert);
  bert.eval();
  const auto pooled = [&](const std::vector<Tensor>& inputs) {
    const auto length = inputs[0].shape()[1];
    GraphBuilder b(builtin_ops());
    const Value x = b.input("ids", {DType::kI64, {1, length}});
    language::BertInputs more;
    if (inputs.size() > 1) more.attention_mask = b.input("mask", {DType::kI64, {1, length}});
    b.output("y", bert.forward(x, more).pooler_output);
    const auto result = run_reference(*b.build(), inputs, weights);
    EXPECT_TRUE(result.ok()) << result.status();
    std::vector<double> values;
    for (int64_t i = 0; i < 8; ++i) values.push_back(result->outputs[0].at(i));
    return values;
  };
  const auto alone = pooled({ids({1, 3}, {4, 5, 6})});
  const auto padded = pooled({ids({1, 5}, {4, 5, 6, 0, 0}), ids({1, 5}, {1, 1, 1, 0, 0})});
  const auto unmasked = pooled({ids({1, 5}, {4, 5, 6, 0, 0})});
  double apart = 0;
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(padded[i], alone[i], 1e-6);
    apart += std::abs(unmasked[i] - alone[i]);
  }
  EXPECT_GT(apart, 1e-5) << "the padding would not have shown";
}

TEST(Gpt, HasThePublishedParameters) {
  const language::GPT small = language::GPT::gpt2_small();
  EXPECT_EQ(elements(small), 124'439'808);
  EXPECT_EQ(elements(language::GPT::gpt2_medium()), 354'823'168);
  EXPECT_EQ(elements(language::GPT::gpt2_large()), 774'030'080);
  EXPECT_EQ(elements(language::GPT::gpt2_xl()), 1'557'611'200);
  EXPECT_EQ(small.parameters().size(), 148u);
  for (const char* name : {"transformer.wte.weight", "transformer.h.11.attn.c_attn.weight",
                           "transformer.h.0.mlp.c_proj.bias", "transformer.ln_f.weight"}) {
    EXPECT_TRUE(has_parameter(small, name)) << name;
  }
}

TEST(Gpt, ATokenDoesNotSeeThoseAfterIt) {
  language::GPT gpt({.vocab_size = 11, .n_positions = 6, .n_embd = 8, .n_layer = 2, .n_head = 2});
  const NamedTensors weights = first_values(gpt);
  gpt.eval();
  GraphBuilder b(builtin_ops());
  b.output("logits", gpt.forward(b.input("ids", {DType::kI64, {1, 4}})));
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(to_string((*graph)->type((*graph)->outputs()[0].value)), "f32[1,4,11]");
  const auto one = run_reference(*graph, {ids({1, 4}, {1, 2, 3, 4})}, weights);
  const auto other = run_reference(*graph, {ids({1, 4}, {1, 2, 9, 4})}, weights);
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_TRUE(other.ok()) << other.status();
  double apart = 0;
  for (int64_t i = 0; i < 44; ++i) {
    const double distance = std::abs(one->outputs[0].at(i) - other->outputs[0].at(i));
    if (i < 22) EXPECT_EQ(distance, 0.0) << i;
    apart += distance;
  }
  EXPECT_GT(apart, 1e-6);
}

}  // namespace
}  // namespace modellib
