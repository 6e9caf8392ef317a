// Text to the numbers that BERT's descendants read: WordPiece over a model's own vocabulary, as
// "uncased" models want it. The words are those of BERT's basic tokenizer: control characters
// vanish, text is lower case and without accents, punctuation and Chinese characters stand alone.
// Within a word the longest known piece is taken from the left, each further one spelled "##piece".
#ifndef MODELLIB_EXAMPLES_SIMILARITY_WORD_PIECE_H_
#define MODELLIB_EXAMPLES_SIMILARITY_WORD_PIECE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "modellib/modellib.hpp"

namespace modellib::examples {

class WordPiece {
 public:
  // A file with one token a line; its number is its line, from 0. NOT_FOUND; INVALID_ARGUMENT if
  // [UNK], [CLS] or [SEP] is not among them.
  static api::Result<WordPiece> load(const std::string& vocabulary);

  // [CLS], the pieces, [SEP]: `max_length` numbers at most, of which there are 2 at least. What is
  // no UTF-8 is skipped; a word that cannot be spelled, or is longer than 100 characters, is [UNK].
  std::vector<int64_t> encode(std::string_view text, size_t max_length) const;

 private:
  WordPiece() = default;

  void append_pieces(std::string_view word, std::vector<int64_t>& tokens) const;

  std::unordered_map<std::string, int64_t> pieces_;
  int64_t unknown_ = 0, begin_ = 0, end_ = 0;
};

// The words as `encode` sees them.
std::vector<std::string> basic_words(std::string_view text);

}  // namespace modellib::examples

#endif  // MODELLIB_EXAMPLES_SIMILARITY_WORD_PIECE_H_
