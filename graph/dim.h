// Extents of tensors as integer expressions over named symbols, in a canonical form.
//
//   Dim batch = Dim::symbol("batch");
//   Dim n = (batch * 4 + 8) / 4;             // prints "batch + 2"
//   n.evaluate({{"batch", 3}})               // 5
//
// An expression is kept as a polynomial over atoms (a symbol, or a floordiv, mod, min or max that
// does not simplify), so two expressions that are equal as polynomials compare equal. Divisors are
// taken to be positive. A plain number costs no allocation.
//
// Expressions are bounded: see Dim::is_too_large.
#ifndef MODELLIB_GRAPH_DIM_H_
#define MODELLIB_GRAPH_DIM_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace modellib {

// What each symbol is bound to.
using DimBinding = absl::btree_map<std::string, int64_t>;

// The smallest and largest value of a symbol or expression, inclusive.
struct DimRange {
  static constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
  int64_t min = 0;
  int64_t max = kUnbounded;
  bool operator==(const DimRange&) const = default;
};
using DimRanges = absl::btree_map<std::string, DimRange>;

class Dim {
 public:
  // Bounds of an expression: characters of its text, and pairs of terms that a product multiplies.
  static constexpr size_t kMaxText = 4096;
  static constexpr size_t kMaxProducts = 1024;

  // NOLINTNEXTLINE(google-explicit-constructor): a number is a Dim
  Dim(int64_t value = 0) : value_(value) {}
  // `name` is what parse_dim reads as one: name characters, no digit first, up to kMaxText of them.
  // Any other gives a Dim that is too large, which nobody takes. "$rank" and "$world" are the
  // number of this rank and of all, which a session binds.
  static Dim symbol(absl::string_view name);
  // Letters, digits, '_', '.' and '$'.
  static bool is_name_character(char c);

  bool is_static() const { return expr_ == nullptr; }
  // The number; meaningful only when static.
  int64_t value() const { return value_; }
  // Whether some operation passed the bounds, far beyond what a model's extents need: text from
  // elsewhere could multiply without end; or a symbol's name was none. All such are one and the
  // same; whatever is computed from it is it again, it has no value and no maximum, and builders
  // and parsers refuse it.
  bool is_too_large() const;
  bool is_symbol() const;
  // The name of the symbol, when this is just one; else empty.
  std::string symbol_name() const;
  // Names of all symbols in it, sorted, each once.
  std::vector<std::string> symbols() const;

  // InvalidArgument for a symbol that is not bound or an expression that is too large, OutOfRange
  // on overflow or division by zero.
  absl::StatusOr<int64_t> evaluate(const DimBinding& binding) const;
  // Bounds by interval arithmetic; symbols that are missing have [0, unbounded]. Saturates.
  DimRange range(const DimRanges& symbols) const;
  // Replaces symbols by expressions.
  Dim substitute(const absl::btree_map<std::string, Dim>& replacements) const;

  // "4*batch + floordiv(seq, 2)": `parse_dim` gives the same Dim back.
  std::string to_string() const;

  // Postfix code for the plan; the numbers are those of fb::DimOpcode in formats/plan.fbs.
  enum class Opcode : uint8_t { kConst, kSymbol, kAdd, kSub, kMul, kFloorDiv, kMod, kMin, kMax };
  struct Instruction {
    Opcode opcode;
    int64_t value;       // kConst
    std::string symbol;  // kSymbol
  };
  std::vector<Instruction> to_postfix() const;

  friend bool operator==(const Dim& a, const Dim& b);
  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  // Rounds towards minus infinity.
  friend Dim operator/(const Dim& a, const Dim& b);
  friend Dim operator%(const Dim& a, const Dim& b);
  friend Dim min(const Dim& a, const Dim& b);
  friend Dim max(const Dim& a, const Dim& b);
  friend Dim ceil_div(const Dim& a, const Dim& b);

  template <typename H>
  friend H AbslHashValue(H h, const Dim& dim) {
    return dim.is_static() ? H::combine(std::move(h), dim.value_)
                           : H::combine(std::move(h), dim.to_string());
  }

 private:
  friend class DimAlgebra;
  struct Expr;
  explicit Dim(std::shared_ptr<const Expr> expr) : expr_(std::move(expr)) {}

  int64_t value_ = 0;
  std::shared_ptr<const Expr> expr_;
};

Dim min(const Dim& a, const Dim& b);
Dim max(const Dim& a, const Dim& b);
// Whether it is certain, for all values in the ranges of the symbols, that a <= b; that a == b,
// where one may be the minimum of the other and of something else.
bool is_at_most(const Dim& a, const Dim& b, const DimRanges& ranges);
bool are_equal_within(const Dim& a, const Dim& b, const DimRanges& ranges);
Dim ceil_div(const Dim& a, const Dim& b);

// Reads what Dim::to_string writes, and ordinary infix: "batch*4 + 1", "floordiv(n, 2)", "n // 2",
// "n % 2", "min(a, b)". InvalidArgument with the column on anything else.
absl::StatusOr<Dim> parse_dim(absl::string_view text);

// A shape: extents from the outermost dimension to the innermost.
using Shape = std::vector<Dim>;
Dim element_count(absl::Span<const Dim> shape);
std::string to_string(absl::Span<const Dim> shape);  // "[batch,784]"
bool is_static(absl::Span<const Dim> shape);
// What must hold of the shape of any tensor: InvalidArgument for an extent that is negative or too
// large an expression, and for static extents whose product passes kMaxTensorElements. Those of 0
// count as 1 there: who computes with extents multiplies the others all the same.
absl::Status check_shape(absl::Span<const Dim> shape);
// The extents of a static shape; FailedPrecondition naming the first that is not.
absl::StatusOr<std::vector<int64_t>> static_extents(absl::Span<const Dim> shape);

}  // namespace modellib

#endif  // MODELLIB_GRAPH_DIM_H_
