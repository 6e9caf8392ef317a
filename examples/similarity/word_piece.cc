#include "modellib/examples/similarity/word_piece.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <utility>

namespace modellib::examples {
namespace {

constexpr size_t kLongestWord = 100;  // in characters

// Calls f(code point) for each character; what is no UTF-8 is skipped byte by byte.
template <class F>
void for_each_character(std::string_view text, const F& f) {
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t size = utf8proc_iterate(at, left, &c);
    if (size > 0) f(c);
    const utf8proc_ssize_t step = std::max<utf8proc_ssize_t>(size, 1);
    at += step;
    left -= step;
  }
}

void append(utf8proc_int32_t c, std::string& to) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t size = utf8proc_encode_char(c, bytes);
  to.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

bool is_space(utf8proc_int32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return true;
  const utf8proc_category_t category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

// Control, format, private and unassigned characters, and what stands for a character that was
// lost.
bool vanishes(utf8proc_int32_t c) {
  if (c == 0xFFFD) return true;
  const utf8proc_category_t category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_CN || category == UTF8PROC_CATEGORY_CO ||
         category == UTF8PROC_CATEGORY_CS;
}

// All of ASCII that is neither letter, digit nor space, and what Unicode calls punctuation.
bool is_punctuation(utf8proc_int32_t c) {
  if (c < 128) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }
  const utf8proc_category_t category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

// Unified ideographs and their extensions: written without spaces, and a token each.
bool is_ideograph(utf8proc_int32_t c) {
  constexpr std::pair<utf8proc_int32_t, utf8proc_int32_t> kBlocks[] = {
      {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},   {0x20000, 0x2A6DF},
      {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(kBlocks), std::end(kBlocks),
                     [c](const auto& block) { return c >= block.first && c <= block.second; });
}

// Canonical decomposition: accents become characters of their own.
std::string decomposed(const std::string& text) {
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &result,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE));
  if (size < 0) return {};
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(result, std::free);
  return {reinterpret_cast<const char*>(result), static_cast<size_t>(size)};
}

}  // namespace

std::vector<std::string> basic_words(std::string_view text) {
  std::string clean;
  for_each_character(text, [&](utf8proc_int32_t c) {
    if (is_space(c)) {
      clean += ' ';
    } else if (is_ideograph(c)) {
      clean += ' ';
      append(c, clean);
      clean += ' ';
    } else if (!vanishes(c)) {
      append(c, clean);
    }
  });
  std::vector<std::string> words;
  bool within = false;  // a word that goes on
  for_each_character(decomposed(clean), [&](utf8proc_int32_t c) {
    if (utf8proc_category(c) == UTF8PROC_CATEGORY_MN) return;  // an accent
    const bool alone = is_punctuation(c);
    if (c == ' ') {
      within = false;
      return;
    }
    if (alone || !within) words.emplace_back();
    append(utf8proc_tolower(c), words.back());
    within = !alone;
  });
  return words;
}

api::Result<WordPiece> WordPiece::load(const std::string& vocabulary) {
  std::ifstream file(vocabulary);
  if (!file) return api::Status(MODELLIB_NOT_FOUND, vocabulary + ": cannot be read");
  WordPiece result;
  for (std::string line; std::getline(file, line);) {
    const auto number = static_cast<int64_t>(result.pieces_.size());
    result.pieces_.emplace(line, number);
  }
  const std::pair<const char*, int64_t*> special[] = {
      {"[UNK]", &result.unknown_}, {"[CLS]", &result.begin_}, {"[SEP]", &result.end_}};
  for (const auto& [name, number] : special) {
    const auto found = result.pieces_.find(name);
    if (found == result.pieces_.end()) {
      return api::Status(MODELLIB_INVALID_ARGUMENT, vocabulary + ": has no " + name);
    }
    *number = found->second;
  }
  return result;
}

void WordPiece::append_pieces(std::string_view word, std::vector<int64_t>& tokens) const {
  std::vector<size_t> ends;  // of characters: where a piece may end
  for (size_t i = 1; i <= word.size(); ++i) {
    if (i == word.size() || (static_cast<unsigned char>(word[i]) & 0xC0) != 0x80) ends.push_back(i);
  }
  const size_t before = tokens.size();
  size_t begin = 0;
  while (begin < word.size() && ends.size() <= kLongestWord) {
    const auto prefix = begin == 0 ? std::string() : std::string("##");
    const auto longest = std::find_if(ends.rbegin(), ends.rend(), [&](size_t end) {
      return end <= begin ||
             pieces_.contains(prefix + std::string(word.substr(begin, end - begin)));
    });
    if (longest == ends.rend() || *longest <= begin) break;
    tokens.push_back(pieces_.at(prefix + std::string(word.substr(begin, *longest - begin))));
    begin = *longest;
  }
  if (begin < word.size()) {
    tokens.resize(before);
    tokens.push_back(unknown_);
  }
}

std::vector<int64_t> WordPiece::encode(std::string_view text, size_t max_length) const {
  std::vector<int64_t> tokens = {begin_};
  for (const std::string& word : basic_words(text)) {
    append_pieces(word, tokens);
    if (tokens.size() >= max_length) break;
  }
  tokens.resize(std::min(tokens.size(), max_length - 1));
  tokens.push_back(end_);
  return tokens;
}

}  // namespace modellib::examples
