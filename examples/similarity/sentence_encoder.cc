#include "modellib/examples/similarity/sentence_encoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace modellib::examples {

api::Result<SentenceEncoder> SentenceEncoder::load(const std::string& model,
                                                   const std::string& vocabulary) {
  api::Result<WordPiece> tokenizer = WordPiece::load(vocabulary);
  if (!tokenizer) return tokenizer.status();
  api::CompileOptions options;
  options.dims = {{"batch_size", 1, kBatch}, {"sequence_length", 2, kLength}};
  api::Result<api::Plan> plan = api::compile(model, options);
  if (!plan) return plan.status();
  const api::Result<int32_t> ids = plan->input(0, "input_ids");
  if (!ids) return ids.status();
  const api::Result<int32_t> mask = plan->input(0, "attention_mask");
  if (!mask) return mask.status();
  const api::Result<modellib_entry_info> entry = plan->entry_info(0);
  if (!entry) return entry.status();
  // Exporters give outputs names of their own; the one wanted has three dimensions.
  int32_t hidden = 0;
  for (; hidden < entry->outputs; ++hidden) {
    const api::Result<modellib_tensor_info> info = plan->output_info(0, hidden);
    if (info && info->rank == 3 && info->dtype == MODELLIB_F32) break;
  }
  if (hidden == entry->outputs) {
    return api::Status(MODELLIB_INVALID_ARGUMENT, model + ": gives no values for each token");
  }
  api::Result<api::Session> session = api::Session::create(*plan);
  if (!session) return session.status();
  SentenceEncoder encoder(*std::move(tokenizer), *std::move(plan), *std::move(session));
  encoder.ids_input_ = *ids;
  encoder.mask_input_ = *mask;
  encoder.hidden_output_ = hidden;
  return encoder;
}

api::Status SentenceEncoder::encode_batch(const std::string* sentences, int64_t count,
                                          std::vector<Embedding>& embeddings) {
  std::vector<std::vector<int64_t>> tokens;
  size_t length = 0;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back(tokenizer_.encode(sentences[i], kLength));
    length = std::max(length, tokens.back().size());
  }
  const std::vector<int64_t> extents = {count, static_cast<int64_t>(length)};
  std::vector<int64_t> ids(tokens.size() * length), mask(ids.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::copy(tokens[i].begin(), tokens[i].end(), ids.data() + i * length);
    std::fill_n(mask.data() + i * length, tokens[i].size(), 1);
  }
  if (api::Status s = session_.bind_input(0, ids_input_, ids.data(), extents); !s) return s;
  if (api::Status s = session_.bind_input(0, mask_input_, mask.data(), extents); !s) return s;
  if (api::Status s = session_.run(0); !s) return s;
  const api::Result<api::Tensor> hidden = session_.output(0, hidden_output_);
  if (!hidden) return hidden.status();

  // The mean over the tokens of a sentence, padding left out, made to length 1.
  const auto size = static_cast<size_t>(hidden->extents[2]);
  const float* row = hidden->as<float>();
  for (const std::vector<int64_t>& sentence : tokens) {
    Embedding sum(size);
    for (size_t t = 0; t < sentence.size(); ++t) {
      for (size_t i = 0; i < size; ++i) sum[i] += row[t * size + i];
    }
    row += length * size;
    const float norm = std::sqrt(std::inner_product(sum.begin(), sum.end(), sum.begin(), 0.0f));
    for (float& x : sum) x /= norm;
    embeddings.push_back(std::move(sum));
  }
  return {};
}

api::Result<std::vector<Embedding>> SentenceEncoder::encode(
    const std::vector<std::string>& sentences) {
  std::vector<Embedding> embeddings;
  const auto total = static_cast<int64_t>(sentences.size());
  for (int64_t i = 0; i < total; i += kBatch) {
    const int64_t count = std::min(kBatch, total - i);
    if (api::Status s = encode_batch(sentences.data() + i, count, embeddings); !s) return s;
  }
  return embeddings;
}

float similarity(const Embedding& a, const Embedding& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0f);
}

}  // namespace modellib::examples
