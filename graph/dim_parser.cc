#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/dim.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

// Recursive descent over sums, products and atoms. `depth` bounds hostile nesting.
class DimParser {
 public:
  explicit DimParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<Dim> parse() {
    if (text_.size() > Dim::kMaxText) {
      return absl::InvalidArgumentError(
          absl::StrCat("dimension of ", text_.size(), " characters: expression too large"));
    }
    MODELLIB_ASSIGN_OR_RETURN(Dim d, sum(0));
    skip();
    if (at_ != text_.size()) return error("unexpected text");
    if (d.is_too_large()) return error("expression too large");
    return d;
  }

 private:
  // A function in a function takes eight characters more, "mod(" and ", n)": whatever can be
  // printed can be read.
  static constexpr int kMaxDepth = static_cast<int>(Dim::kMaxText / 8);

  absl::Status error(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat("dimension '", text_, "', column ", at_ + 1, ": ", what));
  }
  void skip() {
    while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) ++at_;
  }
  bool take(absl::string_view token) {
    skip();
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }

  absl::StatusOr<Dim> sum(int depth) {
    if (depth > kMaxDepth) return error("nested too deeply");
    const bool negative = take("-");
    MODELLIB_ASSIGN_OR_RETURN(Dim left, product(depth));
    if (negative) left = Dim(0) - left;
    while (true) {
      if (take("+")) {
        MODELLIB_ASSIGN_OR_RETURN(Dim right, product(depth));
        left = left + right;
      } else if (take("-")) {
        MODELLIB_ASSIGN_OR_RETURN(Dim right, product(depth));
        left = left - right;
      } else {
        return left;
      }
      if (left.is_too_large()) return error("expression too large");
    }
  }

  absl::StatusOr<Dim> product(int depth) {
    MODELLIB_ASSIGN_OR_RETURN(Dim left, atom(depth));
    while (true) {
      if (take("*")) {
        MODELLIB_ASSIGN_OR_RETURN(Dim right, atom(depth));
        left = left * right;
      } else if (take("//")) {
        MODELLIB_ASSIGN_OR_RETURN(Dim right, atom(depth));
        left = left / right;
      } else if (take("%")) {
        MODELLIB_ASSIGN_OR_RETURN(Dim right, atom(depth));
        left = left % right;
      } else {
        return left;
      }
      if (left.is_too_large()) return error("expression too large");
    }
  }

  absl::StatusOr<Dim> atom(int depth) {
    skip();
    if (take("(")) {
      MODELLIB_ASSIGN_OR_RETURN(Dim inner, sum(depth + 1));
      if (!take(")")) return error("expected ')'");
      return inner;
    }
    const size_t start = at_;
    while (at_ < text_.size() && Dim::is_name_character(text_[at_])) ++at_;
    const absl::string_view word = text_.substr(start, at_ - start);
    if (word.empty()) return error("expected a number, a name or '('");
    if (absl::ascii_isdigit(static_cast<unsigned char>(word[0]))) {
      int64_t value;
      if (!absl::SimpleAtoi(word, &value)) return error("not a 64-bit number");
      return Dim(value);
    }
    if (!take("(")) return Dim::symbol(word);
    MODELLIB_ASSIGN_OR_RETURN(Dim a, sum(depth + 1));
    if (!take(",")) return error("expected ','");
    MODELLIB_ASSIGN_OR_RETURN(Dim b, sum(depth + 1));
    if (!take(")")) return error("expected ')'");
    if (word == "floordiv") return a / b;
    if (word == "mod") return a % b;
    if (word == "min") return min(a, b);
    if (word == "max") return max(a, b);
    return error(absl::StrCat("unknown function '", word, "'"));
  }

  absl::string_view text_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<Dim> parse_dim(absl::string_view text) { return DimParser(text).parse(); }

}  // namespace modellib
