// Tokens equal those of Hugging Face's tokenizer, similarities those of ONNX Runtime; goldens.py
// made both.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "modellib/examples/similarity/sentence_encoder.h"
#include "modellib/examples/similarity/word_piece.h"
#include "nlohmann/json.hpp"

namespace modellib::examples {
namespace {

constexpr char kModel[] = "external/models/minilm.onnx";
constexpr char kVocabulary[] = "external/models/minilm_vocab.txt";

nlohmann::json goldens(const char* part) {
  std::ifstream file("examples/similarity/goldens.json");
  return nlohmann::json::parse(file)[part];
}

TEST(WordPiece, SplitsWordsAsBertDoes) {
  EXPECT_THAT(basic_words("Crème-brûlée, 東京!"),
              testing::ElementsAre("creme", "-", "brulee", ",", "東", "京", "!"));
  EXPECT_THAT(basic_words("a\xff\xfe b\xe6\x9d"), testing::ElementsAre("a", "b"));
}

TEST(WordPiece, EqualsHuggingFace) {
  const api::Result<WordPiece> tokenizer = WordPiece::load(kVocabulary);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  const nlohmann::json cases = goldens("tokens");
  ASSERT_GE(cases.size(), 19u);
  for (const nlohmann::json& c : cases) {
    const std::string text = c["text"];
    EXPECT_EQ(tokenizer->encode(text, SentenceEncoder::kLength),
              c["ids"].get<std::vector<int64_t>>())
        << text;
  }
}

TEST(WordPiece, WantsAVocabulary) {
  EXPECT_EQ(WordPiece::load("nowhere").status().code(), MODELLIB_NOT_FOUND);
  EXPECT_EQ(WordPiece::load("examples/similarity/goldens.json").status().code(),
            MODELLIB_INVALID_ARGUMENT);
}

// All sentences in one batch, so most are padded: neither that nor the order changes a vector.
TEST(SentenceEncoder, EqualsOnnxRuntime) {
  api::Result<SentenceEncoder> encoder = SentenceEncoder::load(kModel, kVocabulary);
  ASSERT_TRUE(encoder.ok()) << encoder.status().message();
  const nlohmann::json pairs = goldens("pairs");
  ASSERT_GE(pairs.size(), 6u);
  std::vector<std::string> sentences;
  for (const nlohmann::json& pair : pairs) {
    sentences.push_back(pair["a"]);
    sentences.push_back(pair["b"]);
  }
  const auto embeddings = encoder->encode(sentences);
  ASSERT_TRUE(embeddings.ok()) << embeddings.status().message();
  for (size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_NEAR(similarity((*embeddings)[2 * i], (*embeddings)[2 * i + 1]),
                pairs[i]["cosine"].get<float>(), 1e-4)
        << sentences[2 * i] << " / " << sentences[2 * i + 1];
  }
}

TEST(SentenceEncoder, TakesMoreThanOneBatch) {
  api::Result<SentenceEncoder> encoder = SentenceEncoder::load(kModel, kVocabulary);
  ASSERT_TRUE(encoder.ok()) << encoder.status().message();
  std::vector<std::string> sentences(SentenceEncoder::kBatch + 1, "One of many.");
  sentences.back() = "The last one.";
  const auto embeddings = encoder->encode(sentences);
  ASSERT_TRUE(embeddings.ok()) << embeddings.status().message();
  ASSERT_EQ(embeddings->size(), sentences.size());
  EXPECT_EQ((*embeddings)[0], (*embeddings)[SentenceEncoder::kBatch - 1]);
  EXPECT_LT(similarity((*embeddings)[0], embeddings->back()), 0.99f);
}

}  // namespace
}  // namespace modellib::examples
