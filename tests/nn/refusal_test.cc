// Bad arguments of layers: constructors take them, build() says what is wrong and in which layer.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "modellib/frontends/nn/nn.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/registry.h"

namespace modellib::nn {
namespace {

struct Refusal {
  const char* name;
  std::function<std::shared_ptr<Module>()> module;
  Shape input;
  const char* message;  // a part of it
};

// For gtest's messages.
void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.name; }

template <class M, class... Args>
std::function<std::shared_ptr<Module>()> of(Args... args) {
  return [=] { return std::make_shared<M>(args...); };
}

std::vector<Refusal> refusals() {
  return {
      {"linear_features", of<Linear>(4, 2), {3, 5}, "5 and 4 differ"},
      {"linear_negative", of<Linear>(-4, 2), {3, 4}, "extent -4 of [2,-4] is negative"},
      {"linear_negative_out", of<Linear>(4, -2), {3, 4}, "extent -2 of [-2"},
      {"conv_rank", of<Conv2d>(3, 4, 3), {3, 8, 8}, "[batch, channels, height, width]"},
      {"conv_channels", of<Conv2d>(3, 4, 3), {2, 5, 8, 8}, "conv"},
      {"conv_groups", of<Conv2d>(3, 4, 3, Conv2dOptions{.groups = 2}), {2, 3, 8, 8}, "2 groups"},
      {"conv_no_groups", of<Conv2d>(3, 4, 3, Conv2dOptions{.groups = 0}), {2, 3, 8, 8}, "0 groups"},
      {"conv_too_large", of<Conv2d>(3, 4, 9), {2, 3, 8, 8}, "conv"},
      {"conv1d_rank", of<Conv1d>(3, 4, 3), {2, 3, 8, 8}, "[batch, channels, length]"},
      {"batch_norm_rank", of<BatchNorm2d>(3), {2, 3}, "BatchNorm2d"},
      {"batch_norm_features", of<BatchNorm1d>(4), {2, 3}, "BatchNorm over 4 channels"},
      {"batch_norm_features_plain",
       of<BatchNorm1d>(4, BatchNormOptions{.affine = false, .track_running_stats = false}),
       {2, 6},
       "BatchNorm over 4 channels"},
      {"instance_norm_features", of<InstanceNorm1d>(4), {2, 6, 5}, "InstanceNorm over 4 channels"},
      {"batch_norm_one_value", of<BatchNorm1d>(3), {1, 3}, "more than one value per channel"},
      {"batch_norm_one_pixel", of<BatchNorm2d>(3), {1, 3, 1, 1}, "more than one value per channel"},
      {"batch_norm_one_value_untracked",
       of<BatchNorm1d>(3, BatchNormOptions{.track_running_stats = false}),
       {1, 3},
       "more than one value per channel"},
      {"batch_norm_no_values_untracked",
       of<BatchNorm2d>(3, BatchNormOptions{.affine = false, .track_running_stats = false}),
       {0, 3, 4, 4},
       "more than one value per channel"},
      {"instance_norm_one_value",
       of<InstanceNorm1d>(3, InstanceNormOptions{.track_running_stats = true}),
       {2, 3, 1},
       "more than one value per channel"},
      {"layer_norm_shape", of<LayerNorm>(4), {2, 3}, "[4]"},
      {"layer_norm_no_affine", of<LayerNorm>(4, 1e-5, false), {2, 3}, "[4]"},
      {"group_norm_groups", of<GroupNorm>(3, 4), {2, 4, 5}, "group"},
      {"group_norm_channels",
       of<GroupNorm>(2, 4, 1e-5, false),
       {2, 6, 5},
       "GroupNorm over 4 channels"},
      {"pool_rank", of<MaxPool2d>(2), {2, 4}, "[batch, channels, height, width]"},
      {"pool_kernel", of<AvgPool2d>(0), {2, 3, 4, 4}, "pool"},
      {"adaptive_free", of<AdaptiveAvgPool2d>(1), {2, 3, Dim::symbol("h"), 4}, "adaptive"},
      {"dropout_p", of<Dropout>(1.5), {2, 3}, "p"},
      {"embedding_ids", of<Embedding>(5, 3), {2, 3}, "i64 or i32"},
      {"heads", of<MultiHeadAttention>(6, 4), {2, 3, 6}, "4 heads"},
      {"no_heads", of<MultiHeadAttention>(6, 0), {2, 3, 6}, "0 heads"},
      {"attention_dropout", of<MultiHeadAttention>(6, 2, -0.5), {3, 2, 6}, "dropout_p"},
      {"attention_rank", of<MultiHeadAttention>(6, 2), {3, 6}, "MultiHeadAttention"},
      {"positions", of<PositionalEncoding>(6, 0.0, 4), {5, 2, 6}, "up to 4 positions"},
      {"rotary_features", of<RotaryPositionalEncoding>(8), {1, 2, 3, 6}, "8 features"},
      {"rotary_base",
       of<RotaryPositionalEncoding>(8, -2.0),
       {1, 2, 3, 8},
       "base must be positive, is -2"},
      {"rotary_base_zero", of<RotaryPositionalEncoding>(8, 0.0), {1, 2, 3, 8}, "positive, is 0"},
      {"lstm_rank", of<LSTM>(3, 4), {5, 3}, "[length, batch, features]"},
      {"lstm_layers", of<LSTM>(3, 4, RecurrentOptions{.num_layers = 0}), {5, 2, 3}, "one layer"},
      {"lstm_dropout", of<LSTM>(3, 4, RecurrentOptions{.dropout = 1.5}), {5, 2, 3}, "not 1.5"},
      {"lstm_features", of<LSTM>(3, 4), {5, 2, 6}, "lstm_cell"},
      {"wrong_signature",
       of<TransformerDecoderLayer>(4, 2),
       {2, 3, 4},
       "does not take one tensor and give one"},
  };
}

class LayerRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(LayerRefusal, SaysWhatIsWrongAndWhere) {
  const Refusal& refusal = GetParam();
  struct Holder : Module {
    explicit Holder(const std::shared_ptr<Module>& held) : held(held) {}
    Value forward(Value x) override {
      const ModuleScope scope(*this, x);
      return held->forward(x);
    }
    std::shared_ptr<Module> held;
  };
  const std::shared_ptr<Module> module = refusal.module();
  module->name_parameters();
  Holder holder(module);
  GraphBuilder b(builtin_ops());
  b.output("y", holder.forward(b.input("x", {DType::kF32, refusal.input})));
  const auto graph = b.build();
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument) << graph.status();
  EXPECT_TRUE(absl::StrContains(graph.status().message(), refusal.message)) << graph.status();
  EXPECT_TRUE(absl::StrContains(graph.status().message(), "module")) << graph.status();
}

INSTANTIATE_TEST_SUITE_P(Layers, LayerRefusal, testing::ValuesIn(refusals()),
                         [](const auto& info) { return std::string(info.param.name); });

// Of which there is no table of sines.
TEST(LayerRefusal, PositionsOfAnInputThatIsNotFloat) {
  for (const DType dtype : {DType::kString, DType::kI64}) {
    GraphBuilder b(builtin_ops());
    PositionalEncoding encoding(4);
    encoding.forward(b.input("x", {dtype, {3, 1, 4}}));
    EXPECT_EQ(b.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StrContains(b.status().message(), "float features")) << b.status();
  }
}

TEST(LayerRefusal, PositionsThatNoMemoryHolds) {
  constexpr int64_t kMany = int64_t{1} << 40;
  GraphBuilder b(builtin_ops());
  PositionalEncoding encoding(kMany, 0.0, kMany);
  encoding.forward(b.input("x", {DType::kF32, {kMany, 1, kMany}}));
  EXPECT_FALSE(b.status().ok());
  EXPECT_TRUE(absl::StrContains(b.status().message(), "too many elements")) << b.status();
}

TEST(LayerRefusal, AnUnknownActivation) {
  GraphBuilder b(builtin_ops());
  ActivationFunction::named("gelo")(b.input("x", {DType::kF32, {2}}));
  EXPECT_TRUE(absl::StrContains(b.status().message(), "'gelo'")) << b.status();
}

TEST(LayerRefusal, AParameterThatNoModuleRegistered) {
  Linear layer(2, 2);  // name_parameters() was not called
  GraphBuilder b(builtin_ops());
  layer.forward(b.input("x", {DType::kF32, {3, 2}}));
  EXPECT_EQ(b.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(LayerRefusal, NullStaysNull) {
  Sequential net(Linear(2, 2), ReLU(), BatchNorm1d(2), Dropout(0.5), LayerNorm(2), Flatten());
  net.name_parameters();
  EXPECT_TRUE(net.forward(Value()).is_null());
}

}  // namespace
}  // namespace modellib::nn
