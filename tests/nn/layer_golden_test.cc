// Layers against PyTorch: values and gradients, of inputs and of parameters, in f32 and f64.
// Parameters and buffers take their values from the golden's inputs of the same name.
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "modellib/frontends/nn/nn.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/golden_check.h"

namespace modellib {
namespace {

using Values = std::vector<Value>;

// Names the module's variables and assigns to each what the case gives for it.
void bind(GoldenCall& c, nn::Module& module, DType dtype) {
  module.to(dtype);
  module.name_parameters();
  for (const bool buffers : {false, true}) {
    for (const auto& [name, p] : buffers ? module.named_buffers() : module.named_parameters()) {
      EXPECT_FALSE(c.in(name).is_null()) << "the case has no " << name;
      p.assign(c.in(name));
    }
  }
}

// `module` on the input "x".
template <class M>
Values run(GoldenCall& c, M module) {
  const Value x = c.in("x");
  bind(c, module, x.dtype());
  return {module.forward(x)};
}

bool has(GoldenCall& c, const std::string& input) { return !c.in(input).is_null(); }
int64_t extent(GoldenCall& c, const std::string& input, int axis) {
  return c.in(input).dim(axis).value();
}
nn::Size2d size_of(const std::vector<int64_t>& list) { return {list.at(0), list.at(1)}; }

template <class M>
GoldenBuild plain() {
  return [](GoldenCall& c) { return run(c, M()); };
}

Values conv1d(GoldenCall& c) {
  const int64_t groups = c.integer("groups");
  return run(
      c, nn::Conv1d(extent(c, "weight", 1) * groups, extent(c, "weight", 0), extent(c, "weight", 2),
                    {.stride = c.integers("stride")[0],
                     .padding = c.integers("padding")[0],
                     .dilation = c.integers("dilation")[0],
                     .groups = groups,
                     .bias = has(c, "bias")}));
}

Values conv2d(GoldenCall& c) {
  const int64_t groups = c.integer("groups");
  return run(c, nn::Conv2d(extent(c, "weight", 1) * groups, extent(c, "weight", 0),
                           {extent(c, "weight", 2), extent(c, "weight", 3)},
                           {.stride = size_of(c.integers("stride")),
                            .padding = size_of(c.integers("padding")),
                            .dilation = size_of(c.integers("dilation")),
                            .groups = groups,
                            .bias = has(c, "bias")}));
}

Values conv_transpose1d(GoldenCall& c) {
  return run(
      c, nn::ConvTranspose1d(extent(c, "x", 1), c.integer("out_channels"), extent(c, "weight", 2),
                             {.stride = c.integer("stride"),
                              .padding = c.integer("padding"),
                              .dilation = c.integer("dilation"),
                              .groups = c.integer("groups"),
                              .output_padding = c.integer("output_padding")}));
}

Values conv_transpose2d(GoldenCall& c) {
  return run(c, nn::ConvTranspose2d(extent(c, "x", 1), c.integer("out_channels"),
                                    {extent(c, "weight", 2), extent(c, "weight", 3)},
                                    {.stride = c.integer("stride"),
                                     .padding = c.integer("padding"),
                                     .dilation = c.integer("dilation"),
                                     .groups = c.integer("groups"),
                                     .output_padding = c.integer("output_padding")}));
}

Values max_pool2d(GoldenCall& c) {
  return run(c, nn::MaxPool2d(size_of(c.integers("kernel_size")),
                              {.stride = size_of(c.integers("stride")),
                               .padding = size_of(c.integers("padding")),
                               .dilation = size_of(c.integers("dilation")),
                               .ceil_mode = c.flag("ceil_mode")}));
}

Values avg_pool2d(GoldenCall& c) {
  return run(c, nn::AvgPool2d(size_of(c.integers("kernel_size")),
                              {.stride = size_of(c.integers("stride")),
                               .padding = size_of(c.integers("padding")),
                               .ceil_mode = c.flag("ceil_mode"),
                               .count_include_pad = c.flag("count_include_pad")}));
}

// With what the running statistics are afterwards.
template <class M>
Values with_statistics(GoldenCall& c, M module) {
  module.train(c.flag("training"));
  Values outputs = run(c, module);
  for (const auto& [name, buffer] : module.named_buffers()) {
    outputs.push_back(buffer.read(c.builder()));
  }
  return outputs;
}

Values batch_norm(GoldenCall& c) {
  const nn::BatchNormOptions options{
      .eps = c.real("eps"), .momentum = c.real("momentum"), .affine = has(c, "weight")};
  const int64_t features = extent(c, "x", 1);
  return c.in("x").rank() == 4 ? with_statistics(c, nn::BatchNorm2d(features, options))
                               : with_statistics(c, nn::BatchNorm1d(features, options));
}

Values instance_norm(GoldenCall& c) {
  return with_statistics(
      c, nn::InstanceNorm1d(extent(c, "x", 1), {.momentum = 0.25,
                                                .affine = has(c, "weight"),
                                                .track_running_stats = has(c, "running_mean")}));
}

Values embedding(GoldenCall& c, nn::EmbeddingOptions options, bool with_table) {
  nn::Embedding module(extent(c, "weight", 0), extent(c, "weight", 1), options);
  bind(c, module, c.in("weight").dtype());
  Values outputs = {module.forward(c.in("indices"))};
  if (with_table) outputs.push_back(module.weight.read(c.builder()));
  return outputs;
}

// PyTorch's stacked projections, split as load_state splits them.
void bind_attention(GoldenCall& c, nn::MultiHeadAttention& module) {
  module.to(c.in("query").dtype());
  module.name_parameters();
  for (const char* kind : {"weight", "bias"}) {
    const Value packed = c.in(std::string("in_proj_") + kind);
    if (packed.is_null()) continue;
    const Values parts = chunk(packed, 3, 0);
    nn::Linear* const projections[] = {&module.q_proj, &module.k_proj, &module.v_proj};
    for (size_t i = 0; i < parts.size(); ++i) {
      (kind[0] == 'w' ? projections[i]->weight : projections[i]->bias).assign(parts[i]);
    }
  }
  module.out_proj.weight.assign(c.in("out_proj.weight"));
  if (has(c, "out_proj.bias")) module.out_proj.bias.assign(c.in("out_proj.bias"));
}

Values multi_head_attention(GoldenCall& c) {
  const Value query = c.in("query");
  const Value key = has(c, "key") ? c.in("key") : query;
  const Value value = has(c, "value") ? c.in("value") : key;
  nn::MultiHeadAttention module(extent(c, "query", 2), c.integer("num_heads"), 0.0,
                                has(c, "in_proj_bias"), /*batch_first=*/true);
  bind_attention(c, module);
  const nn::MultiHeadAttentionOutputs all =
      module.forward(query, key, value,
                     {.key_padding_mask = c.in("key_padding_mask"),
                      .attn_mask = c.in("attn_mask"),
                      .average_attn_weights = c.flag("average_attn_weights"),
                      .is_causal = c.flag("is_causal")});
  return {all.output, all.weights};
}

// As bind(), for layers that hold attention: its stacked weights are split.
template <class M>
void bind_layer(GoldenCall& c, M& module) {
  module.to(c.in("x").dtype());
  module.name_parameters();
  for (const auto& [name, p] : module.named_parameters()) {
    const size_t projection = name.find("_proj.");
    if (projection == std::string::npos || name[projection - 1] == 't') {  // out_proj
      p.assign(c.in(name));
      continue;
    }
    const size_t part = std::string("qkv").find(name[projection - 1]);
    const std::string packed =
        name.substr(0, projection - 1) + "in_proj_" + name.substr(projection + 6);
    p.assign(chunk(c.in(packed), 3, 0).at(part));
  }
}

Values encoder_layer(GoldenCall& c) {
  nn::TransformerEncoderLayer module(
      extent(c, "x", 2), c.integer("num_heads"),
      {.dim_feedforward = c.integer("dim_feedforward"),
       .dropout = 0.0,
       .activation = nn::ActivationFunction::named(c.text("activation")),
       .batch_first = c.flag("batch_first"),
       .norm_first = c.flag("norm_first")});
  bind_layer(c, module);
  return {module.forward(
      c.in("x"),
      {.mask = {}, .key_padding_mask = c.in("padding"), .is_causal = c.flag("is_causal")})};
}

Values decoder_layer(GoldenCall& c) {
  nn::TransformerDecoderLayer module(extent(c, "x", 2), c.integer("num_heads"),
                                     {.dim_feedforward = c.integer("dim_feedforward"),
                                      .dropout = 0.0,
                                      .batch_first = true,
                                      .norm_first = c.flag("norm_first")});
  bind_layer(c, module);
  return {module.forward(c.in("x"), c.in("memory"),
                         {.memory_key_padding_mask = c.in("padding"), .target_is_causal = true})};
}

nn::RecurrentOptions recurrent_options(GoldenCall& c) {
  return {.num_layers = c.integer("num_layers"),
          .batch_first = true,
          .bidirectional = c.flag("bidirectional")};
}

Values lstm(GoldenCall& c) {
  nn::LSTM module(extent(c, "x", 2), c.integer("hidden_size"), recurrent_options(c));
  bind(c, module, c.in("x").dtype());
  const nn::LstmSequence all = module.forward(c.in("x"), {c.in("h0"), c.in("c0")});
  return {all.output, all.state.h, all.state.c};
}

Values gru(GoldenCall& c) {
  nn::GRU module(extent(c, "x", 2), c.integer("hidden_size"), recurrent_options(c));
  bind(c, module, c.in("x").dtype());
  const nn::GruSequence all = module.forward(c.in("x"), c.in("h0"));
  return {all.output, all.hidden};
}

Values lstm_cell(GoldenCall& c) {
  nn::LSTMCell module(extent(c, "x", 1), c.integer("hidden_size"), has(c, "bias_ih"));
  bind(c, module, c.in("x").dtype());
  const LstmState next = module.forward(c.in("x"), {c.in("h0"), c.in("c0")});
  return {next.h, next.c};
}

Values gru_cell(GoldenCall& c) {
  nn::GRUCell module(extent(c, "x", 1), c.integer("hidden_size"), has(c, "bias_ih"));
  bind(c, module, c.in("x").dtype());
  return {module.forward(c.in("x"), c.in("h0"))};
}

const std::vector<GoldenEntry>& entries() {
  static const auto* const all = new std::vector<GoldenEntry>{
      {"relu", plain<nn::ReLU>()},
      {"relu6", plain<nn::ReLU6>()},
      {"selu", plain<nn::SELU>()},
      {"silu", plain<nn::SiLU>()},
      {"mish", plain<nn::Mish>()},
      {"sigmoid", plain<nn::Sigmoid>()},
      {"log_sigmoid", plain<nn::LogSigmoid>()},
      {"tanh", plain<nn::Tanh>()},
      {"softsign", plain<nn::Softsign>()},
      {"hard_sigmoid", plain<nn::HardSigmoid>()},
      {"hardswish", plain<nn::HardSwish>()},
      {"gelu", [](GoldenCall& c) { return run(c, nn::GELU(c.text("approximate") == "tanh")); }},
      {"elu", [](GoldenCall& c) { return run(c, nn::ELU(c.real("alpha"))); }},
      {"leaky_relu", [](GoldenCall& c) { return run(c, nn::LeakyReLU(c.real("negative_slope"))); }},
      {"hard_tanh",
       [](GoldenCall& c) { return run(c, nn::HardTanh(c.real("min_val"), c.real("max_val"))); }},
      {"softplus",
       [](GoldenCall& c) { return run(c, nn::Softplus(c.real("beta"), c.real("threshold"))); }},
      {"softmax", [](GoldenCall& c) { return run(c, nn::Softmax(c.integer("dim"))); }},
      {"log_softmax", [](GoldenCall& c) { return run(c, nn::LogSoftmax(c.integer("dim"))); }},
      {"glu", [](GoldenCall& c) { return run(c, nn::GLU(c.integer("dim"))); }},
      {"prelu", [](GoldenCall& c) { return run(c, nn::PReLU(extent(c, "weight", 0))); }},
      {"linear",
       [](GoldenCall& c) {
         return run(c, nn::Linear(extent(c, "weight", 1), extent(c, "weight", 0), has(c, "bias")));
       }},
      {"conv1d", conv1d},
      {"conv2d", conv2d},
      {"conv_transpose1d", conv_transpose1d},
      {"conv_transpose2d", conv_transpose2d},
      {"max_pool2d", max_pool2d},
      {"avg_pool2d", avg_pool2d},
      {"adaptive_avg_pool2d",
       [](GoldenCall& c) {
         return run(c, nn::AdaptiveAvgPool2d(size_of(c.integers("output_size"))));
       }},
      {"adaptive_max_pool2d",
       [](GoldenCall& c) {
         return run(c, nn::AdaptiveMaxPool2d(size_of(c.integers("output_size"))));
       }},
      {"batch_norm", batch_norm},
      {"instance_norm", instance_norm},
      {"group_norm",
       [](GoldenCall& c) {
         return run(c, nn::GroupNorm(c.integer("num_groups"), extent(c, "x", 1), c.real("eps")));
       }},
      {"layer_norm",
       [](GoldenCall& c) {
         return run(c,
                    nn::LayerNorm(c.integers("normalized_shape"), c.real("eps"), has(c, "weight")));
       }},
      {"rms_norm",
       [](GoldenCall& c) {
         return run(c,
                    nn::RMSNorm(c.integers("normalized_shape"), c.real("eps"), has(c, "weight")));
       }},
      {"embedding",
       [](GoldenCall& c) {
         nn::EmbeddingOptions options;
         if (c.attrs().has("padding_idx")) options.padding_idx = c.integer("padding_idx");
         return embedding(c, options, false);
       }},
      {"embedding_max_norm",
       [](GoldenCall& c) {
         return embedding(c, {.max_norm = c.real("max_norm"), .norm_type = c.real("norm_type")},
                          true);
       }},
      {"multi_head_attention", multi_head_attention},
      {"transformer_encoder_layer", encoder_layer},
      {"transformer_decoder_layer", decoder_layer},
      {"lstm_cell", lstm_cell},
      {"gru_cell", gru_cell},
      {"lstm", lstm},
      {"gru", gru},
  };
  return *all;
}

class LayerGolden : public testing::TestWithParam<GoldenEntry> {};

TEST_P(LayerGolden, ValuesAndGradientsArePyTorchs) { check_golden(GetParam()); }

INSTANTIATE_TEST_SUITE_P(File, LayerGolden, testing::ValuesIn(entries()),
                         [](const auto& info) { return info.param.file; });

}  // namespace

// For gtest's messages: a std::function has no text.
std::ostream& operator<<(std::ostream& out, const GoldenEntry& e) { return out << e.file; }

}  // namespace modellib
