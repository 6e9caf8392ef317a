// Reads the tokens of the text form one by one, and knows where it stands. There is no look-ahead
// buffer: a reader may also take raw text up to a delimiter, where another grammar begins (dims).
#ifndef MODELLIB_GRAPH_TEXT_SCANNER_H_
#define MODELLIB_GRAPH_TEXT_SCANNER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace modellib::text {

class Scanner {
 public:
  explicit Scanner(absl::string_view text) : text_(text) {}

  // Every method below first skips blanks, line ends and comments, unless it says otherwise.

  bool at_end();
  // The next character; 0 at the end.
  char peek();
  // Takes `token`, if it is next. A word must end there.
  bool take(absl::string_view token);
  // InvalidArgument "expected ..." if it is not next.
  absl::Status expect(absl::string_view token);

  // An identifier, "_" and words included; empty if there is none.
  absl::string_view identifier();
  // "%12"; empty if there is none.
  absl::string_view numbered();
  // A string in double quotes, unescaped.
  absl::StatusOr<std::string> string();
  // A decimal integer with an optional minus.
  absl::StatusOr<int64_t> integer();
  // A number as it is spelled: digits, sign, point, exponent, "nan(0x…)". Empty if there is none.
  absl::string_view number();
  // The text up to, not including, the first of `delimiters` outside parentheses, without blanks
  // around it.
  absl::StatusOr<absl::string_view> raw_until(absl::string_view delimiters);
  // The text up to a token on the same line.
  absl::StatusOr<absl::string_view> raw_until_token(absl::string_view token);
  // The comment that follows on the same line, without its slashes and blanks; empty if there is
  // none. Skips nothing else.
  absl::string_view trailing_comment();

  // Where the next token stands: for error_at().
  size_t position();
  // Where the last token ended; and back to such a place.
  size_t mark() const { return at_; }
  void rewind(size_t mark) { at_ = mark; }
  // InvalidArgument "LINE:COLUMN: what".
  absl::Status error(absl::string_view what) { return error_at(position(), what); }
  absl::Status error_at(size_t position, absl::string_view what) const;
  // The same code, the place before the message.
  absl::Status locate(size_t position, const absl::Status& status) const;

 private:
  void skip();
  std::string place(size_t position) const;

  absl::string_view text_;
  size_t at_ = 0;
};

}  // namespace modellib::text

#endif  // MODELLIB_GRAPH_TEXT_SCANNER_H_
