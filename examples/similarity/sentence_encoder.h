// Sentences to vectors of length 1: two that mean the same point the same way, so the product of
// two vectors is how similar the sentences are.
#ifndef MODELLIB_EXAMPLES_SIMILARITY_SENTENCE_ENCODER_H_
#define MODELLIB_EXAMPLES_SIMILARITY_SENTENCE_ENCODER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "modellib/examples/similarity/word_piece.h"
#include "modellib/modellib.hpp"

namespace modellib::examples {

using Embedding = std::vector<float>;

class SentenceEncoder {
 public:
  // A sentence transformer as ONNX, with inputs "input_ids" and "attention_mask" over the
  // dimensions "batch_size" and "sequence_length", and its vocabulary.
  static api::Result<SentenceEncoder> load(const std::string& model, const std::string& vocabulary);

  // One run for each kBatch sentences. They are padded to the longest, and cut at kLength tokens.
  api::Result<std::vector<Embedding>> encode(const std::vector<std::string>& sentences);

  static constexpr int64_t kBatch = 32;
  static constexpr int64_t kLength = 128;

 private:
  SentenceEncoder(WordPiece tokenizer, api::Plan plan, api::Session session)
      : tokenizer_(std::move(tokenizer)), plan_(std::move(plan)), session_(std::move(session)) {}

  api::Status encode_batch(const std::string* sentences, int64_t count,
                           std::vector<Embedding>& embeddings);

  WordPiece tokenizer_;
  api::Plan plan_;
  api::Session session_;
  int32_t ids_input_ = 0, mask_input_ = 0;
  int32_t hidden_output_ = 0;  // what the model makes of each token: [batch, length, size]
};

// The cosine of the angle between two vectors of length 1.
float similarity(const Embedding& a, const Embedding& b);

}  // namespace modellib::examples

#endif  // MODELLIB_EXAMPLES_SIMILARITY_SENTENCE_ENCODER_H_
