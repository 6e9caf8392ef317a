// Transformer blocks, as torch.nn.TransformerEncoderLayer and its kin. Vaswani et al., 2017.
#ifndef MODELLIB_FRONTENDS_NN_TRANSFORMER_H_
#define MODELLIB_FRONTENDS_NN_TRANSFORMER_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "modellib/frontends/nn/activation.h"
#include "modellib/frontends/nn/attention.h"
#include "modellib/frontends/nn/container.h"
#include "modellib/frontends/nn/dropout.h"
#include "modellib/frontends/nn/linear.h"
#include "modellib/frontends/nn/module.h"
#include "modellib/frontends/nn/normalization.h"

namespace modellib::nn {

struct TransformerLayerOptions {
  int64_t dim_feedforward = 2048;
  double dropout = 0.1;
  ActivationFunction activation = modellib::relu;
  double layer_norm_eps = 1e-5;
  bool batch_first = false;  // [batch, length, d_model]; else [length, batch, d_model]
  // Normalise what goes into each sublayer, and not the sum that comes out. Xiong et al., 2020.
  bool norm_first = false;
  bool bias = true;
};

// Which positions see which; all may be null. Masks are those of MultiHeadAttentionInputs.
struct EncoderMasks {
  Value mask;              // of the source by itself
  Value key_padding_mask;  // of the source
  bool is_causal = false;
};
struct DecoderMasks {
  Value target_mask, memory_mask;
  Value target_key_padding_mask, memory_key_padding_mask;
  bool target_is_causal = false;
};

// Self-attention and two linear layers, each added to what went in and normalised.
class TransformerEncoderLayer : public Module {
 public:
  TransformerEncoderLayer(int64_t d_model, int64_t nhead,
                          const TransformerLayerOptions& options = {});
  Value forward(Value source, const EncoderMasks& masks);
  Value forward(Value source) override { return forward(source, {}); }

  MultiHeadAttention self_attn;
  Linear linear1;
  Dropout dropout;
  Linear linear2;
  LayerNorm norm1, norm2;
  Dropout dropout1, dropout2;
  ActivationFunction activation;
  bool norm_first;

 private:
  Value attend(Value x, const EncoderMasks& masks);
  Value feed_forward(Value x);
};

// Self-attention, attention to what an encoder remembers, and two linear layers.
class TransformerDecoderLayer : public Module {
 public:
  TransformerDecoderLayer(int64_t d_model, int64_t nhead,
                          const TransformerLayerOptions& options = {});
  using Module::forward;
  Value forward(Value target, Value memory, const DecoderMasks& masks = {});

  MultiHeadAttention self_attn, multihead_attn;
  Linear linear1;
  Dropout dropout;
  Linear linear2;
  LayerNorm norm1, norm2, norm3;
  Dropout dropout1, dropout2, dropout3;
  ActivationFunction activation;
  bool norm_first;

 private:
  Value attend(Value x, const DecoderMasks& masks);
  Value remember(Value x, Value memory, const DecoderMasks& masks);
  Value feed_forward(Value x);
};

// num_layers layers of their own weights, each beginning as `layer` does; then `norm`, if there is
// one.
class TransformerEncoder : public Module {
 public:
  TransformerEncoder(const TransformerEncoderLayer& layer, int64_t num_layers,
                     std::optional<LayerNorm> norm = std::nullopt);
  Value forward(Value source, const EncoderMasks& masks);
  Value forward(Value source) override { return forward(source, {}); }

  ModuleList<TransformerEncoderLayer> layers;
  ModuleList<LayerNorm> norm;  // none or one; its parameters are "norm.weight" and "norm.bias"
};

class TransformerDecoder : public Module {
 public:
  TransformerDecoder(const TransformerDecoderLayer& layer, int64_t num_layers,
                     std::optional<LayerNorm> norm = std::nullopt);
  using Module::forward;
  Value forward(Value target, Value memory, const DecoderMasks& masks = {});

  ModuleList<TransformerDecoderLayer> layers;
  ModuleList<LayerNorm> norm;
};

struct TransformerOptions {
  int64_t num_encoder_layers = 6, num_decoder_layers = 6;
  TransformerLayerOptions layer;
};

// Encoder and decoder, each with a norm at its end. Matrices start as xavier_uniform.
class Transformer : public Module {
 public:
  explicit Transformer(int64_t d_model = 512, int64_t nhead = 8,
                       const TransformerOptions& options = {});
  using Module::forward;
  // Source and target -> like the target.
  Value forward(Value source, Value target, const EncoderMasks& source_masks = {},
                const DecoderMasks& masks = {});

  TransformerEncoder encoder;
  TransformerDecoder decoder;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_TRANSFORMER_H_
