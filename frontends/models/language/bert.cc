#include "modellib/frontends/models/language/bert.h"

#include "modellib/frontends/models/language/init.h"
#include "modellib/frontends/nn/random_state.h"
#include "modellib/frontends/nn/spatial.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib::language {

BertEmbeddings::BertEmbeddings(const BertOptions& o)
    : word_embeddings(o.vocab_size, o.hidden_size, {.padding_idx = o.pad_token_id}),
      position_embeddings(
          normal_embedding(o.max_position_embeddings, o.hidden_size, o.initializer_range)),
      token_type_embeddings(
          normal_embedding(o.type_vocab_size, o.hidden_size, o.initializer_range)),
      norm(o.hidden_size, o.layer_norm_eps),
      dropout(o.hidden_dropout_prob) {
  const nn::Initializer wide = word_embeddings.weight.initializer();
  word_embeddings.weight.set_initializer(
      [wide, std = o.initializer_range](GraphBuilder& b, Value key, const TensorType& type) {
        return wide(b, key, type) * std;
      });
  register_module("word_embeddings", word_embeddings);
  register_module("position_embeddings", position_embeddings);
  register_module("token_type_embeddings", token_type_embeddings);
  register_module("LayerNorm", norm);
  register_module("dropout", dropout);
}

Value BertEmbeddings::forward(Value ids, const BertInputs& inputs) {
  const ModuleScope scope(*this, ids);
  const Value types = inputs.token_type_ids.is_null()
                          ? slice_axis(token_type_embeddings.weight.read(ids), 0, 0, 1)
                          : token_type_embeddings.forward(inputs.token_type_ids);
  const Value sum =
      word_embeddings.forward(ids) + types + first_positions(position_embeddings, ids);
  return dropout.forward(norm.forward(sum));
}

BertSelfAttention::BertSelfAttention(const BertOptions& o)
    : query(normal_linear(o.hidden_size, o.hidden_size, o.initializer_range)),
      key(normal_linear(o.hidden_size, o.hidden_size, o.initializer_range)),
      value(normal_linear(o.hidden_size, o.hidden_size, o.initializer_range)),
      heads(o.num_attention_heads),
      dropout(o.attention_probs_dropout_prob) {
  register_module("query", query);
  register_module("key", key);
  register_module("value", value);
}

Value BertSelfAttention::forward(Value hidden, Value seen) {
  const ModuleScope scope(*this, hidden);
  const Value q = nn::split_heads(query.forward(hidden), heads);
  const Value k = nn::split_heads(key.forward(hidden), heads);
  const Value v = nn::split_heads(value.forward(hidden), heads);
  AttentionAttributes attributes;
  AttentionOperands operands{.mask = seen, .lengths = {}, .key = {}};
  if (is_training() && dropout > 0 && !hidden.is_null()) {
    attributes.dropout_p = dropout;
    operands.key = nn::random_key(*hidden.builder());
  }
  return nn::join_heads(attention(q, k, v, attributes, operands));
}

BertOutput::BertOutput(int64_t in_features, const BertOptions& o)
    : dense(normal_linear(in_features, o.hidden_size, o.initializer_range)),
      norm(o.hidden_size, o.layer_norm_eps),
      dropout(o.hidden_dropout_prob) {
  register_module("dense", dense);
  register_module("LayerNorm", norm);
  register_module("dropout", dropout);
}

Value BertOutput::forward(Value x, Value shortcut) {
  const ModuleScope scope(*this, x);
  return norm.forward(dropout.forward(dense.forward(x)) + shortcut);
}

BertLayer::BertLayer(const BertOptions& o)
    : self(o),
      attention_output(o.hidden_size, o),
      intermediate(normal_linear(o.hidden_size, o.intermediate_size, o.initializer_range)),
      output(o.intermediate_size, o),
      activation(nn::ActivationFunction::named(o.hidden_act)) {
  register_module("attention.self", self);
  register_module("attention.output", attention_output);
  register_module("intermediate.dense", intermediate);
  register_module("output", output);
}

Value BertLayer::forward(Value hidden, Value seen) {
  const ModuleScope scope(*this, hidden);
  const Value attended = attention_output.forward(self.forward(hidden, seen), hidden);
  return output.forward(activation(intermediate.forward(attended)), attended);
}

BERT::BERT(const BertOptions& o)
    : options(o),
      embeddings(o),
      pooler(normal_linear(o.hidden_size, o.hidden_size, o.initializer_range)) {
  for (int64_t i = 0; i < o.num_hidden_layers; ++i) layers.append(BertLayer(o));
  register_module("embeddings", embeddings);
  register_module("encoder.layer", layers);
  register_module("pooler.dense", pooler);
}

BERT BERT::bert_large_uncased() {
  return BERT({.hidden_size = 1024,
               .num_hidden_layers = 24,
               .num_attention_heads = 16,
               .intermediate_size = 4096});
}

BertOutputs BERT::forward(Value ids, const BertInputs& inputs) {
  const ModuleScope scope(*this, ids);
  if (!nn::check_rank(ids, {2}, "BERT", "[batch, length]")) return {ids, ids};
  Value seen = inputs.attention_mask;
  if (!seen.is_null()) seen = unsqueeze(seen.to(DType::kBool), {1, 2});
  Value hidden = embeddings.forward(ids, inputs);
  for (size_t i = 0; i < layers.size(); ++i) hidden = layers[i].forward(hidden, seen);
  const Value first = squeeze(slice_axis(hidden, 1, 0, 1), {1});
  return {hidden, modellib::tanh(pooler.forward(first))};
}

BertClassifier::BertClassifier(int64_t num_labels, const BertOptions& o)
    : bert(o),
      dropout(o.hidden_dropout_prob),
      classifier(normal_linear(o.hidden_size, num_labels, o.initializer_range)) {
  register_module("bert", bert);
  register_module("dropout", dropout);
  register_module("classifier", classifier);
}

Value BertClassifier::forward(Value ids, const BertInputs& inputs) {
  const ModuleScope scope(*this, ids);
  return classifier.forward(dropout.forward(bert.forward(ids, inputs).pooler_output));
}

}  // namespace modellib::language
