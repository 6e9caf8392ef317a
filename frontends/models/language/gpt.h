// GPT-2, with the names of parameters and the first values of Hugging Face's GPT2LMHeadModel.
// Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
//
// Linear layers keep their weights as [out, in]; Hugging Face's Conv1D keeps those of c_attn,
// c_proj and c_fc transposed.
#ifndef MODELLIB_FRONTENDS_MODELS_LANGUAGE_GPT_H_
#define MODELLIB_FRONTENDS_MODELS_LANGUAGE_GPT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "modellib/frontends/nn/nn.h"

namespace modellib::language {

// gpt2, of 124 million parameters.
struct GptOptions {
  int64_t vocab_size = 50257;
  int64_t n_positions = 1024;
  int64_t n_embd = 768;
  int64_t n_layer = 12;
  int64_t n_head = 12;
  std::optional<int64_t> n_inner = std::nullopt;  // default: 4 n_embd
  std::string activation_function = "gelu_new";   // a name of nn::ActivationFunction::named
  double resid_pdrop = 0.1;
  double embd_pdrop = 0.1;
  double attn_pdrop = 0.1;
  double layer_norm_epsilon = 1e-5;
  double initializer_range = 0.02;

  int64_t inner() const { return n_inner.value_or(4 * n_embd); }
};

// Causal self-attention and two linear layers, each on the normalised input and added to it.
class GptBlock : public nn::Module {
 public:
  explicit GptBlock(const GptOptions& options);
  Value forward(Value x) override;

  nn::LayerNorm ln_1;
  nn::Linear c_attn, attn_c_proj;  // "attn.c_attn", "attn.c_proj"
  nn::LayerNorm ln_2;
  nn::Linear c_fc, mlp_c_proj;  // "mlp.c_fc", "mlp.c_proj"
  nn::Dropout dropout;          // of what is added
  nn::ActivationFunction activation;
  int64_t n_head;
  double attn_pdrop;

 private:
  Value attend(Value x);
};

class GPT : public nn::Module {
 public:
  explicit GPT(const GptOptions& options = {});
  static GPT gpt2_small() { return GPT(); }
  static GPT gpt2_medium();
  static GPT gpt2_large();
  static GPT gpt2_xl();

  // ids: i64 [batch, seq], seq at most n_positions -> logits of the next token [batch, seq,
  // vocab_size].
  Value forward(Value ids) override;
  // [batch, seq, n_embd], before the head.
  Value hidden(Value ids);

  GptOptions options;
  nn::Embedding wte, wpe;  // "transformer.wte", "transformer.wpe"
  nn::Dropout drop;
  nn::ModuleList<GptBlock> h;  // "transformer.h"
  nn::LayerNorm ln_f;          // "transformer.ln_f"
  nn::Linear lm_head;          // its weight is that of wte
};

}  // namespace modellib::language

#endif  // MODELLIB_FRONTENDS_MODELS_LANGUAGE_GPT_H_
