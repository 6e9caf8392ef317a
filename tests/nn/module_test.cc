// Module itself: names, ties, modes, copies and assigned members.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "modellib/frontends/nn/nn.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/registry.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib::nn {
namespace {

using Names = std::vector<std::string>;

Names names_of(const std::vector<std::pair<std::string, Parameter>>& all) {
  Names names;
  for (const auto& [name, p] : all) names.push_back(name);
  return names;
}

struct Block : Module {
  Block() : fc(3, 3), norm(3) {
    register_module("fc", fc);
    register_module("norm", norm);
  }
  Value forward(Value x) override { return norm.forward(fc.forward(x)); }
  Linear fc;
  BatchNorm1d norm;
};

struct Net : Module {
  Net() : stem(2, 3), head(3, 2, false) {
    register_module("stem", stem);
    register_module("blocks", blocks);
    register_module("head", head);
    register_module("dropout", dropout);
    blocks.append(Block());
    blocks.append(Block());
  }
  Value forward(Value x) override {
    x = stem.forward(x);
    for (size_t i = 0; i < blocks.size(); ++i) x = blocks[i].forward(x);
    return head.forward(dropout.forward(x));
  }
  Linear stem;
  ModuleList<Block> blocks;
  Linear head;
  Dropout dropout;
};

TEST(Module, NamesParametersInTheOrderOfRegistration) {
  Net net;
  EXPECT_EQ(
      names_of(net.named_parameters()),
      (Names{"stem.weight", "stem.bias", "blocks.0.fc.weight", "blocks.0.fc.bias",
             "blocks.0.norm.weight", "blocks.0.norm.bias", "blocks.1.fc.weight", "blocks.1.fc.bias",
             "blocks.1.norm.weight", "blocks.1.norm.bias", "head.weight"}));
  EXPECT_EQ(names_of(net.named_buffers()),
            (Names{"blocks.0.norm.running_mean", "blocks.0.norm.running_var",
                   "blocks.1.norm.running_mean", "blocks.1.norm.running_var"}));
  EXPECT_EQ(net.parameters().size(), 11u);

  net.name_parameters("model");
  EXPECT_EQ(net.blocks[1].fc.weight.name(), "model.blocks.1.fc.weight");
  EXPECT_EQ(net.blocks[1].norm.running_var.name(), "model.blocks.1.norm.running_var");
}

TEST(Module, ListsSubModulesWithItselfFirst) {
  const Net net;
  Names paths;
  for (const auto& [path, module] : net.named_modules()) paths.push_back(path);
  EXPECT_EQ(paths, (Names{"", "stem", "blocks", "blocks.0", "blocks.0.fc", "blocks.0.norm",
                          "blocks.1", "blocks.1.fc", "blocks.1.norm", "head", "dropout"}));
}

TEST(Module, ATiedWeightCountsOnceUnderItsFirstName) {
  struct Tied : Module {
    Tied() : embedding(5, 4), head(4, 5, false) {
      register_module("embedding", embedding);
      register_module("head", head);
      head.weight = embedding.weight;
    }
    Embedding embedding;
    Linear head;
  };
  Tied tied;
  EXPECT_EQ(names_of(tied.named_parameters()), Names{"embedding.weight"});
  EXPECT_EQ(names_of(tied.named_state()), (Names{"embedding.weight", "head.weight"}));
  tied.name_parameters();
  EXPECT_EQ(tied.head.weight.name(), "embedding.weight");

  Tied copy = tied;
  EXPECT_TRUE(copy.head.weight.same_as(tied.embedding.weight));
  copy.clone_parameters();
  EXPECT_FALSE(copy.embedding.weight.same_as(tied.embedding.weight));
  EXPECT_TRUE(copy.head.weight.same_as(copy.embedding.weight)) << "the tie is lost";
}

TEST(Module, TwoParametersOfOneNameAreAMistake) {
  struct Twins : Module {
    Twins() : first(3, 3), second(3, 3) {
      register_module("fc", first);
      register_module("fc", second);
    }
    Value forward(Value x) override { return second.forward(first.forward(x)); }
    Linear first, second;
  } twins;
  const auto build = [&twins] {
    twins.name_parameters();
    GraphBuilder b(builtin_ops());
    b.output("y", twins.forward(b.input("x", {DType::kF32, {4, 3}})));
    return b.build().status();
  };
  const absl::Status status = build();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "two parameters are called 'fc.")) << status;
  twins.second = twins.first;  // one set of weights, as one name says
  EXPECT_EQ(build(), absl::OkStatus());
}

TEST(Module, AParameterAndABufferOfOneNameAreAMistake) {
  struct Both : Module {
    Both() : scale({3}, init::ones()), statistic({3}, init::zeros()) {
      register_parameter("scale", scale);
      register_buffer("scale", statistic);
    }
    Parameter scale, statistic;
  } both;
  both.name_parameters();
  for (const Parameter& p : {both.scale, both.statistic}) {
    EXPECT_EQ(p.status().code(), absl::StatusCode::kInvalidArgument);
    GraphBuilder b(builtin_ops());
    p.assign(constant(b, DType::kF32, {3}, {1, 2, 3}));
    EXPECT_EQ(b.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Module, OneModuleMayHaveTwoNames) {
  struct Shared : Module {
    Shared() : layer(3, 3) {
      register_module("first", layer);
      register_module("second", layer);
      register_module("second", layer);
    }
    Value forward(Value x) override { return layer.forward(layer.forward(x)); }
    Linear layer;
  } shared;
  EXPECT_EQ(names_of(shared.named_parameters()), (Names{"first.weight", "first.bias"}));
  shared.name_parameters();
  GraphBuilder b(builtin_ops());
  b.output("y", shared.forward(b.input("x", {DType::kF32, {4, 3}})));
  EXPECT_EQ(b.build().status(), absl::OkStatus());
}

TEST(Module, ModesReachAllBelow) {
  Net net;
  EXPECT_TRUE(net.blocks[1].norm.is_training());
  net.eval();
  EXPECT_FALSE(net.is_training());
  EXPECT_FALSE(net.blocks[1].norm.is_training());
  EXPECT_FALSE(net.dropout.is_training());
  net.blocks[0].train();
  EXPECT_TRUE(net.blocks[0].norm.is_training());
  EXPECT_FALSE(net.blocks[1].norm.is_training());
}

TEST(Module, FreezesAllBelow) {
  Net net;
  net.requires_grad(false);
  for (const Parameter& p : net.parameters()) EXPECT_FALSE(p.requires_grad());
  net.head = Linear(3, 7);
  int trained = 0;
  for (const Parameter& p : net.parameters()) trained += p.requires_grad() ? 1 : 0;
  EXPECT_EQ(trained, 2);
}

TEST(Module, AnAssignedMemberKeepsItsName) {
  Net net;
  net.head = Linear(3, 7);
  EXPECT_EQ(names_of(net.named_parameters()).back(), "head.bias");
  EXPECT_EQ(net.named_parameters().back().second.shape(), std::vector<int64_t>{7});
  net.blocks[0].fc = Linear(3, 3, false);
  EXPECT_EQ(names_of(net.named_parameters())[3], "blocks.0.norm.weight");

  net.name_parameters();
  GraphBuilder b(builtin_ops());
  net.forward(b.input("x", {DType::kF32, {4, 2}}));
  ASSERT_TRUE(b.status().ok()) << b.status();
  bool found = false;
  for (const Graph::Node& node : b.so_far().nodes()) {
    found |= b.so_far().scopes()[static_cast<size_t>(node.scope)] == "head";
  }
  EXPECT_TRUE(found) << "no node in the scope of the head";
}

TEST(Module, ACopySharesParametersButNotElements) {
  Net net;
  Net copy = net;
  EXPECT_TRUE(copy.blocks[0].fc.weight.same_as(net.blocks[0].fc.weight));
  EXPECT_NE(&copy.blocks[0], &net.blocks[0]);
  copy.eval();
  EXPECT_TRUE(net.blocks[0].is_training());

  const Parameter before = net.blocks[0].fc.weight;
  copy.clone_parameters();
  EXPECT_TRUE(net.blocks[0].fc.weight.same_as(before));
  EXPECT_FALSE(copy.blocks[0].fc.weight.same_as(before));
  EXPECT_FALSE(copy.blocks[0].norm.running_mean.same_as(net.blocks[0].norm.running_mean));
  EXPECT_EQ(names_of(copy.named_parameters()), names_of(net.named_parameters()));

  Net assigned;
  assigned = net;
  EXPECT_TRUE(assigned.blocks[1].fc.weight.same_as(net.blocks[1].fc.weight));
  EXPECT_NE(&assigned.blocks[1], &net.blocks[1]);
}

TEST(Module, ChangesTheTypeOfAllParameters) {
  Net net;
  net.to(DType::kF64);
  for (const Parameter& p : net.parameters()) EXPECT_EQ(p.dtype(), DType::kF64);
  net.name_parameters();
  GraphBuilder b(builtin_ops());
  EXPECT_EQ(net.forward(b.input("x", {DType::kF64, {4, 2}})).dtype(), DType::kF64);
}

TEST(Module, ChildrenWithoutNameAddNothingToPaths) {
  const LSTM lstm(2, 3, {.num_layers = 2, .bidirectional = true});
  EXPECT_EQ(
      names_of(lstm.named_parameters()),
      (Names{"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_ih_l0_reverse",
             "weight_hh_l0_reverse", "bias_ih_l0_reverse", "bias_hh_l0_reverse", "weight_ih_l1",
             "weight_hh_l1", "bias_ih_l1", "bias_hh_l1", "weight_ih_l1_reverse",
             "weight_hh_l1_reverse", "bias_ih_l1_reverse", "bias_hh_l1_reverse"}));
  EXPECT_EQ(lstm.named_parameters()[8].second.shape(), (std::vector<int64_t>{12, 6}));
}

TEST(Sequential, RunsOneAfterTheOther) {
  Sequential net(Linear(4, 3), ReLU(), Flatten(0));
  net.append(Identity());
  EXPECT_EQ(net.size(), 4u);
  net.name_parameters();
  GraphBuilder b(builtin_ops());
  const Value y = net.forward(b.input("x", {DType::kF32, {2, 4}}));
  EXPECT_EQ(to_string(y.type()), "f32[6]");
  EXPECT_EQ(names_of(net.named_parameters()), (Names{"0.weight", "0.bias"}));
}

TEST(Sequential, ALayerGivenTwiceIsOneSetOfWeights) {
  const Linear layer(4, 4);
  const Sequential twice(layer, layer);
  EXPECT_EQ(names_of(twice.named_parameters()), (Names{"0.weight", "0.bias"}));
  const Sequential outer(twice, ReLU());
  EXPECT_EQ(names_of(outer.named_parameters()), (Names{"0.0.weight", "0.0.bias"}));
  Sequential copy(twice);
  EXPECT_EQ(copy.size(), 2u) << "a copy, not a container of one";
  copy.append(Identity());
  EXPECT_EQ(twice.size(), 2u);
}

TEST(TransformerEncoder, HasLayersOfTheirOwnWeights) {
  const TransformerEncoder encoder(TransformerEncoderLayer(4, 2, {.dim_feedforward = 8}), 2,
                                   LayerNorm(4));
  const auto all = encoder.named_parameters();
  EXPECT_EQ(all.size(), 2u * 16 + 2);
  EXPECT_EQ(all[0].first, "layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(all[16].first, "layers.1.self_attn.q_proj.weight");
  EXPECT_EQ(all[33].first, "norm.bias");
}

// Uniform, so that the largest of many is near the bound.
TEST(Transformer, DrawsItsMatricesAsPyTorchDoes) {
  const int64_t size = 16, hidden = 48;
  Transformer model(
      size, 2,
      {.num_encoder_layers = 1, .num_decoder_layers = 1, .layer = {.dim_feedforward = hidden}});
  int matrices = 0;
  for (const auto& [name, p] : model.named_parameters()) {
    if (p.shape().size() != 2) continue;
    ++matrices;
    const bool stacked =
        name.find("_proj.") != std::string::npos && name.find("out_proj.") == std::string::npos;
    const int64_t rows = stacked ? 3 * size : p.shape()[0];
    const double bound = std::sqrt(6.0 / static_cast<double>(rows + p.shape()[1]));
    GraphBuilder b(builtin_ops());
    const TensorType type = {DType::kF32, {p.shape()[0], p.shape()[1]}};
    double largest = 0;
    for (const double x : numbers_of(b, p.initializer()(b, b.scalar(1, DType::kI64), type))) {
      largest = std::max(largest, std::abs(x));
    }
    EXPECT_LE(largest, bound * (1 + 1e-6)) << name;
    EXPECT_GT(largest, 0.9 * bound) << name;
  }
  EXPECT_EQ(matrices, 6 + 10);
}

TEST(Transformer, TakesSourceAndTarget) {
  Transformer model(8, 2,
                    {.num_encoder_layers = 1,
                     .num_decoder_layers = 2,
                     .layer = {.dim_feedforward = 16, .batch_first = true}});
  model.name_parameters();
  GraphBuilder b(builtin_ops());
  const Value y =
      model.forward(b.input("source", {DType::kF32, {3, 5, 8}}),
                    b.input("target", {DType::kF32, {3, 4, 8}}), {}, {.target_is_causal = true});
  EXPECT_EQ(to_string(y.type()), "f32[3,4,8]") << b.status();
}

}  // namespace
}  // namespace modellib::nn
