// BERT, with the names of parameters and the first values of Hugging Face's BertModel. Devlin et
// al., "BERT: Pre-training of Deep Bidirectional Transformers", 2018.
#ifndef MODELLIB_FRONTENDS_MODELS_LANGUAGE_BERT_H_
#define MODELLIB_FRONTENDS_MODELS_LANGUAGE_BERT_H_

#include <cstdint>
#include <string>

#include "modellib/frontends/nn/nn.h"

namespace modellib::language {

// bert-base-uncased.
struct BertOptions {
  int64_t vocab_size = 30522;
  int64_t hidden_size = 768;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t intermediate_size = 3072;
  std::string hidden_act = "gelu";  // a name of nn::ActivationFunction::named
  double hidden_dropout_prob = 0.1;
  double attention_probs_dropout_prob = 0.1;
  int64_t max_position_embeddings = 512;
  int64_t type_vocab_size = 2;
  double initializer_range = 0.02;
  double layer_norm_eps = 1e-12;
  int64_t pad_token_id = 0;
};

struct BertInputs {
  Value token_type_ids;  // i64 [batch, seq], segments; null: all 0
  Value attention_mask;  // i64 or bool [batch, seq], 0 hides a token; null: all are seen
};

class BertEmbeddings : public nn::Module {
 public:
  explicit BertEmbeddings(const BertOptions& options);
  using Module::forward;
  Value forward(Value ids, const BertInputs& inputs);

  nn::Embedding word_embeddings, position_embeddings, token_type_embeddings;
  nn::LayerNorm norm;  // "LayerNorm"
  nn::Dropout dropout;
};

class BertSelfAttention : public nn::Module {
 public:
  explicit BertSelfAttention(const BertOptions& options);
  using Module::forward;
  // `seen`: bool, broadcasts to [batch, heads, queries, keys]; may be null.
  Value forward(Value hidden, Value seen);

  nn::Linear query, key, value;
  int64_t heads;
  double dropout;
};

// A product, dropout, and the sum with a shortcut, normalised.
class BertOutput : public nn::Module {
 public:
  BertOutput(int64_t in_features, const BertOptions& options);
  using Module::forward;
  Value forward(Value x, Value shortcut);

  nn::Linear dense;
  nn::LayerNorm norm;  // "LayerNorm"
  nn::Dropout dropout;
};

class BertLayer : public nn::Module {
 public:
  explicit BertLayer(const BertOptions& options);
  using Module::forward;
  Value forward(Value hidden, Value seen);

  BertSelfAttention self;       // "attention.self"
  BertOutput attention_output;  // "attention.output"
  nn::Linear intermediate;      // "intermediate.dense"
  BertOutput output;
  nn::ActivationFunction activation;
};

struct BertOutputs {
  Value last_hidden_state;  // [batch, seq, hidden_size]
  Value pooler_output;      // [batch, hidden_size], from the first token
};

class BERT : public nn::Module {
 public:
  explicit BERT(const BertOptions& options = {});
  static BERT bert_base_uncased() { return BERT(); }
  static BERT bert_large_uncased();

  // ids: i64 [batch, seq], seq at most max_position_embeddings.
  BertOutputs forward(Value ids, const BertInputs& inputs);
  Value forward(Value ids) override { return forward(ids, {}).last_hidden_state; }

  BertOptions options;
  BertEmbeddings embeddings;
  nn::ModuleList<BertLayer> layers;  // "encoder.layer"
  nn::Linear pooler;                 // "pooler.dense"
};

// BERT with dropout and a linear layer on the pooled token: BertForSequenceClassification.
class BertClassifier : public nn::Module {
 public:
  explicit BertClassifier(int64_t num_labels = 2, const BertOptions& options = {});
  // ids [batch, seq] -> logits [batch, num_labels].
  Value forward(Value ids, const BertInputs& inputs);
  Value forward(Value ids) override { return forward(ids, {}); }

  BERT bert;
  nn::Dropout dropout;
  nn::Linear classifier;
};

}  // namespace modellib::language

#endif  // MODELLIB_FRONTENDS_MODELS_LANGUAGE_BERT_H_
