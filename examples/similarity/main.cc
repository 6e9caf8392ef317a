// Which sentences of a file mean the same as a question? Prints the best, with their similarity.
//
//   similarity MODEL VOCABULARY SENTENCES QUESTION
//   similarity build/data/models/minilm.onnx build/data/models/minilm_vocab.txt faq.txt "Is it
//   open?"
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "modellib/examples/similarity/sentence_encoder.h"

namespace modellib::examples {
namespace {

api::Status answer(const char* model, const char* vocabulary, const char* sentences_file,
                   const char* question) {
  std::vector<std::string> sentences;
  std::ifstream file(sentences_file);
  for (std::string line; std::getline(file, line);) sentences.push_back(line);
  sentences.emplace_back(question);

  api::Result<SentenceEncoder> encoder = SentenceEncoder::load(model, vocabulary);
  if (!encoder) return encoder.status();
  const api::Result<std::vector<Embedding>> embeddings = encoder->encode(sentences);
  if (!embeddings) return embeddings.status();

  std::vector<std::pair<float, const char*>> ranking;
  for (size_t i = 0; i + 1 < sentences.size(); ++i) {
    ranking.emplace_back(similarity((*embeddings)[i], embeddings->back()), sentences[i].c_str());
  }
  std::sort(ranking.rbegin(), ranking.rend());
  if (ranking.size() > 3) ranking.resize(3);
  for (const auto& [score, sentence] : ranking) std::printf("%.3f  %s\n", score, sentence);
  return {};
}

}  // namespace
}  // namespace modellib::examples

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: similarity MODEL VOCABULARY SENTENCES QUESTION\n");
    return 2;
  }
  const auto status = modellib::examples::answer(argv[1], argv[2], argv[3], argv[4]);
  if (!status) std::fprintf(stderr, "similarity: %s\n", status.message().c_str());
  return status ? 0 : 1;
}
