#include "modellib/frontends/models/language/gpt.h"

#include <cmath>

#include "modellib/frontends/models/language/init.h"
#include "modellib/frontends/nn/random_state.h"
#include "modellib/frontends/nn/spatial.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib::language {
namespace {

// Of the layers that write to the residual stream, two a block: their sum keeps its variance.
double residual_range(const GptOptions& o) {
  return o.initializer_range / std::sqrt(2.0 * static_cast<double>(o.n_layer));
}

}  // namespace

GptBlock::GptBlock(const GptOptions& o)
    : ln_1(o.n_embd, o.layer_norm_epsilon),
      c_attn(normal_linear(o.n_embd, 3 * o.n_embd, o.initializer_range)),
      attn_c_proj(normal_linear(o.n_embd, o.n_embd, residual_range(o))),
      ln_2(o.n_embd, o.layer_norm_epsilon),
      c_fc(normal_linear(o.n_embd, o.inner(), o.initializer_range)),
      mlp_c_proj(normal_linear(o.inner(), o.n_embd, residual_range(o))),
      dropout(o.resid_pdrop),
      activation(nn::ActivationFunction::named(o.activation_function)),
      n_head(o.n_head),
      attn_pdrop(o.attn_pdrop) {
  register_module("ln_1", ln_1);
  register_module("attn.c_attn", c_attn);
  register_module("attn.c_proj", attn_c_proj);
  register_module("ln_2", ln_2);
  register_module("mlp.c_fc", c_fc);
  register_module("mlp.c_proj", mlp_c_proj);
  register_module("dropout", dropout);
}

Value GptBlock::attend(Value x) {
  const std::vector<Value> qkv = chunk(c_attn.forward(x), 3, 2);
  AttentionAttributes attributes{.is_causal = true};
  AttentionOperands operands;
  if (is_training() && attn_pdrop > 0) {
    attributes.dropout_p = attn_pdrop;
    operands.key = nn::random_key(*x.builder());
  }
  const Value seen = attention(nn::split_heads(qkv[0], n_head), nn::split_heads(qkv[1], n_head),
                               nn::split_heads(qkv[2], n_head), attributes, operands);
  return attn_c_proj.forward(nn::join_heads(seen));
}

Value GptBlock::forward(Value x) {
  const ModuleScope scope(*this, x);
  if (!nn::check_rank(x, {3}, "GPT", "[batch, length, features]")) return x;
  x = x + dropout.forward(attend(ln_1.forward(x)));
  const Value inner = activation(c_fc.forward(ln_2.forward(x)));
  return x + dropout.forward(mlp_c_proj.forward(inner));
}

GPT::GPT(const GptOptions& o)
    : options(o),
      wte(normal_embedding(o.vocab_size, o.n_embd, o.initializer_range)),
      wpe(normal_embedding(o.n_positions, o.n_embd, o.initializer_range)),
      drop(o.embd_pdrop),
      ln_f(o.n_embd, o.layer_norm_epsilon),
      lm_head(o.n_embd, o.vocab_size, false) {
  lm_head.weight = wte.weight;
  for (int64_t i = 0; i < o.n_layer; ++i) h.append(GptBlock(o));
  register_module("transformer.wte", wte);
  register_module("transformer.wpe", wpe);
  register_module("transformer.drop", drop);
  register_module("transformer.h", h);
  register_module("transformer.ln_f", ln_f);
  register_module("lm_head", lm_head);
}

GPT GPT::gpt2_medium() { return GPT({.n_embd = 1024, .n_layer = 24, .n_head = 16}); }
GPT GPT::gpt2_large() { return GPT({.n_embd = 1280, .n_layer = 36, .n_head = 20}); }
GPT GPT::gpt2_xl() { return GPT({.n_embd = 1600, .n_layer = 48, .n_head = 25}); }

Value GPT::hidden(Value ids) {
  if (!nn::check_rank(ids, {2}, "GPT", "[batch, length]")) return ids;
  Value x = drop.forward(wte.forward(ids) + first_positions(wpe, ids));
  for (size_t i = 0; i < h.size(); ++i) x = h[i].forward(x);
  return ln_f.forward(x);
}

Value GPT::forward(Value ids) {
  const ModuleScope scope(*this, ids);
  return lm_head.forward(hidden(ids));
}

}  // namespace modellib::language
