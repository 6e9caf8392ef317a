#include "modellib/frontends/nn/transformer.h"

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "modellib/ops/pointwise.h"

namespace modellib::nn {
namespace {

// A module under a name of its own: optional members are lists, whose element "0" would show.
ModuleList<LayerNorm> list_of(std::optional<LayerNorm> norm) {
  ModuleList<LayerNorm> list;
  if (norm.has_value()) list.append(*std::move(norm), "");
  return list;
}

bool is_stacked_projection(absl::string_view name) {
  return absl::EndsWith(name, "q_proj.weight") || absl::EndsWith(name, "k_proj.weight") ||
         absl::EndsWith(name, "v_proj.weight");
}

}  // namespace

TransformerEncoderLayer::TransformerEncoderLayer(int64_t d_model, int64_t nhead,
                                                 const TransformerLayerOptions& o)
    : self_attn(d_model, nhead, o.dropout, o.bias, o.batch_first),
      linear1(d_model, o.dim_feedforward, o.bias),
      dropout(o.dropout),
      linear2(o.dim_feedforward, d_model, o.bias),
      norm1(d_model, o.layer_norm_eps, true, o.bias),
      norm2(d_model, o.layer_norm_eps, true, o.bias),
      dropout1(o.dropout),
      dropout2(o.dropout),
      activation(o.activation),
      norm_first(o.norm_first) {
  register_module("self_attn", self_attn);
  register_module("linear1", linear1);
  register_module("dropout", dropout);
  register_module("linear2", linear2);
  register_module("norm1", norm1);
  register_module("norm2", norm2);
  register_module("dropout1", dropout1);
  register_module("dropout2", dropout2);
}

Value TransformerEncoderLayer::attend(Value x, const EncoderMasks& masks) {
  const Value y = self_attn
                      .forward(x, x, x,
                               {.key_padding_mask = masks.key_padding_mask,
                                .need_weights = false,
                                .attn_mask = masks.mask,
                                .is_causal = masks.is_causal})
                      .output;
  return dropout1.forward(y);
}

Value TransformerEncoderLayer::feed_forward(Value x) {
  return dropout2.forward(linear2.forward(dropout.forward(activation(linear1.forward(x)))));
}

Value TransformerEncoderLayer::forward(Value source, const EncoderMasks& masks) {
  const ModuleScope scope(*this, source);
  if (norm_first) {
    const Value x = source + attend(norm1.forward(source), masks);
    return x + feed_forward(norm2.forward(x));
  }
  const Value x = norm1.forward(source + attend(source, masks));
  return norm2.forward(x + feed_forward(x));
}

TransformerDecoderLayer::TransformerDecoderLayer(int64_t d_model, int64_t nhead,
                                                 const TransformerLayerOptions& o)
    : self_attn(d_model, nhead, o.dropout, o.bias, o.batch_first),
      multihead_attn(d_model, nhead, o.dropout, o.bias, o.batch_first),
      linear1(d_model, o.dim_feedforward, o.bias),
      dropout(o.dropout),
      linear2(o.dim_feedforward, d_model, o.bias),
      norm1(d_model, o.layer_norm_eps, true, o.bias),
      norm2(d_model, o.layer_norm_eps, true, o.bias),
      norm3(d_model, o.layer_norm_eps, true, o.bias),
      dropout1(o.dropout),
      dropout2(o.dropout),
      dropout3(o.dropout),
      activation(o.activation),
      norm_first(o.norm_first) {
  register_module("self_attn", self_attn);
  register_module("multihead_attn", multihead_attn);
  register_module("linear1", linear1);
  register_module("dropout", dropout);
  register_module("linear2", linear2);
  register_module("norm1", norm1);
  register_module("norm2", norm2);
  register_module("norm3", norm3);
  register_module("dropout1", dropout1);
  register_module("dropout2", dropout2);
  register_module("dropout3", dropout3);
}

Value TransformerDecoderLayer::attend(Value x, const DecoderMasks& masks) {
  const Value y = self_attn
                      .forward(x, x, x,
                               {.key_padding_mask = masks.target_key_padding_mask,
                                .need_weights = false,
                                .attn_mask = masks.target_mask,
                                .is_causal = masks.target_is_causal})
                      .output;
  return dropout1.forward(y);
}

Value TransformerDecoderLayer::remember(Value x, Value memory, const DecoderMasks& masks) {
  const Value y = multihead_attn
                      .forward(x, memory, memory,
                               {.key_padding_mask = masks.memory_key_padding_mask,
                                .need_weights = false,
                                .attn_mask = masks.memory_mask})
                      .output;
  return dropout2.forward(y);
}

Value TransformerDecoderLayer::feed_forward(Value x) {
  return dropout3.forward(linear2.forward(dropout.forward(activation(linear1.forward(x)))));
}

Value TransformerDecoderLayer::forward(Value target, Value memory, const DecoderMasks& masks) {
  const ModuleScope scope(*this, target);
  if (norm_first) {
    const Value x = target + attend(norm1.forward(target), masks);
    const Value y = x + remember(norm2.forward(x), memory, masks);
    return y + feed_forward(norm3.forward(y));
  }
  const Value x = norm1.forward(target + attend(target, masks));
  const Value y = norm2.forward(x + remember(x, memory, masks));
  return norm3.forward(y + feed_forward(y));
}

TransformerEncoder::TransformerEncoder(const TransformerEncoderLayer& layer, int64_t num_layers,
                                       std::optional<LayerNorm> norm)
    : norm(list_of(std::move(norm))) {
  for (int64_t i = 0; i < num_layers; ++i) {
    TransformerEncoderLayer copy = layer;
    copy.clone_parameters();
    layers.append(std::move(copy));
  }
  register_module("layers", layers);
  register_module("norm", this->norm);
}

Value TransformerEncoder::forward(Value source, const EncoderMasks& masks) {
  const ModuleScope scope(*this, source);
  for (size_t i = 0; i < layers.size(); ++i) source = layers[i].forward(source, masks);
  return norm.empty() ? source : norm[0].forward(source);
}

TransformerDecoder::TransformerDecoder(const TransformerDecoderLayer& layer, int64_t num_layers,
                                       std::optional<LayerNorm> norm)
    : norm(list_of(std::move(norm))) {
  for (int64_t i = 0; i < num_layers; ++i) {
    TransformerDecoderLayer copy = layer;
    copy.clone_parameters();
    layers.append(std::move(copy));
  }
  register_module("layers", layers);
  register_module("norm", this->norm);
}

Value TransformerDecoder::forward(Value target, Value memory, const DecoderMasks& masks) {
  const ModuleScope scope(*this, target);
  for (size_t i = 0; i < layers.size(); ++i) target = layers[i].forward(target, memory, masks);
  return norm.empty() ? target : norm[0].forward(target);
}

Transformer::Transformer(int64_t d_model, int64_t nhead, const TransformerOptions& o)
    : encoder(TransformerEncoderLayer(d_model, nhead, o.layer), o.num_encoder_layers,
              LayerNorm(d_model, o.layer.layer_norm_eps, true, o.layer.bias)),
      decoder(TransformerDecoderLayer(d_model, nhead, o.layer), o.num_decoder_layers,
              LayerNorm(d_model, o.layer.layer_norm_eps, true, o.layer.bias)) {
  register_module("encoder", encoder);
  register_module("decoder", decoder);
  // As PyTorch draws all its matrices. The projections of attention are so drawn already, as parts
  // of a stacked one.
  for (auto& [name, p] : named_parameters()) {
    if (p.shape().size() == 2 && !is_stacked_projection(name)) {
      p.set_initializer(init::xavier_uniform(p.shape()[1], p.shape()[0]));
    }
  }
}

Value Transformer::forward(Value source, Value target, const EncoderMasks& source_masks,
                           const DecoderMasks& masks) {
  const ModuleScope scope(*this, source);
  return decoder.forward(target, encoder.forward(source, source_masks), masks);
}

}  // namespace modellib::nn
