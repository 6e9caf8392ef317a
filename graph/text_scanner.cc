#include "modellib/graph/text_scanner.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/text_literals.h"

namespace modellib::text {

void Scanner::skip() {
  while (at_ < text_.size()) {
    if (absl::ascii_isspace(static_cast<unsigned char>(text_[at_]))) {
      ++at_;
    } else if (absl::StartsWith(text_.substr(at_), "//")) {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else {
      return;
    }
  }
}

bool Scanner::at_end() { return skip(), at_ == text_.size(); }
char Scanner::peek() { return at_end() ? '\0' : text_[at_]; }
size_t Scanner::position() { return skip(), at_; }

bool Scanner::take(absl::string_view token) {
  skip();
  if (!absl::StartsWith(text_.substr(at_), token)) return false;
  const size_t end = at_ + token.size();
  if (is_identifier_start(token[0]) && end < text_.size() && is_identifier_part(text_[end])) {
    return false;
  }
  at_ = end;
  return true;
}

absl::Status Scanner::expect(absl::string_view token) {
  if (take(token)) return absl::OkStatus();
  const absl::string_view found = text_.substr(at_, 1);
  return error(
      absl::StrCat("expected '", token, "', found ", found.empty() ? "the end" : quote(found)));
}

absl::string_view Scanner::identifier() {
  if (!is_identifier_start(peek())) return {};
  const size_t start = at_;
  while (at_ < text_.size() && is_identifier_part(text_[at_])) ++at_;
  return text_.substr(start, at_ - start);
}

absl::string_view Scanner::numbered() {
  if (peek() != '%') return {};
  const size_t start = at_++;
  while (at_ < text_.size() && absl::ascii_isdigit(static_cast<unsigned char>(text_[at_]))) ++at_;
  return text_.substr(start, at_ - start);
}

absl::StatusOr<std::string> Scanner::string() {
  const size_t start = position();
  if (!take("\"")) return error("expected a string in double quotes");
  std::string out;
  while (at_ < text_.size()) {
    const char c = text_[at_++];
    if (c == '"') return out;
    if (c == '\n') break;
    if (c != '\\') {
      out += c;
      continue;
    }
    const char escape = at_ < text_.size() ? text_[at_++] : '\0';
    uint32_t code;
    if (escape == 'n') {
      out += '\n';
    } else if (escape == 't') {
      out += '\t';
    } else if (escape == '"' || escape == '\\') {
      out += escape;
    } else if (escape == 'x' && at_ + 2 <= text_.size() && absl::ascii_isxdigit(text_[at_]) &&
               absl::ascii_isxdigit(text_[at_ + 1]) &&
               absl::SimpleHexAtoi(text_.substr(at_, 2), &code)) {
      out += static_cast<char>(code);
      at_ += 2;
    } else {
      return error_at(at_ - 1, "unknown escape in a string");
    }
  }
  return error_at(start, "a string that does not end");
}

absl::StatusOr<int64_t> Scanner::integer() {
  const size_t start = position();
  if (peek() == '-') ++at_;
  while (at_ < text_.size() && absl::ascii_isdigit(static_cast<unsigned char>(text_[at_]))) ++at_;
  int64_t value;
  if (!absl::SimpleAtoi(text_.substr(start, at_ - start), &value)) {
    return error_at(start, "expected a 64-bit integer");
  }
  return value;
}

absl::string_view Scanner::number() {
  const size_t start = position();
  const auto is_part = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '+';
  };
  while (at_ < text_.size() && is_part(text_[at_])) ++at_;
  if (text_.substr(start, at_ - start) == "nan" && absl::StartsWith(text_.substr(at_), "(0x")) {
    at_ = std::min(text_.find(')', at_), text_.size() - 1) + 1;
  }
  return text_.substr(start, at_ - start);
}

absl::StatusOr<absl::string_view> Scanner::raw_until(absl::string_view delimiters) {
  const size_t start = position();
  int depth = 0;
  for (size_t end = start; end < text_.size(); ++end) {
    const char c = text_[end];
    if (depth == 0 && absl::StrContains(delimiters, absl::string_view(&c, 1))) {
      at_ = end;
      return absl::StripAsciiWhitespace(text_.substr(start, end - start));
    }
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
  }
  return error_at(start, absl::StrCat("expected one of '", delimiters, "' after this"));
}

absl::StatusOr<absl::string_view> Scanner::raw_until_token(absl::string_view token) {
  const size_t start = position();
  const absl::string_view line =
      text_.substr(start, std::min(text_.find('\n', start), text_.size()) - start);
  const size_t length = line.find(token);
  if (length == absl::string_view::npos) {
    return error_at(start, absl::StrCat("expected '", token, "' on this line"));
  }
  at_ = start + length;
  return absl::StripAsciiWhitespace(line.substr(0, length));
}

absl::string_view Scanner::trailing_comment() {
  size_t at = at_;
  while (at < text_.size() && (text_[at] == ' ' || text_[at] == '\t')) ++at;
  if (!absl::StartsWith(text_.substr(at), "//")) return {};
  at_ = std::min(text_.find('\n', at), text_.size());
  return absl::StripAsciiWhitespace(text_.substr(at + 2, at_ - at - 2));
}

std::string Scanner::place(size_t position) const {
  const absl::string_view before = text_.substr(0, position);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t last = before.rfind('\n');
  const size_t column = last == absl::string_view::npos ? position + 1 : position - last;
  return absl::StrCat(line, ":", column, ": ");
}

absl::Status Scanner::error_at(size_t position, absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(place(position), what));
}
absl::Status Scanner::locate(size_t position, const absl::Status& status) const {
  return absl::Status(status.code(), absl::StrCat(place(position), status.message()));
}

}  // namespace modellib::text
