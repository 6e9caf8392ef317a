#include "modellib/graph/dim.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/graph/tensor.h"

namespace modellib {

namespace {

enum class AtomKind { kSymbol, kFloorDiv, kMod, kMin, kMax };

// What a polynomial is made of: a symbol, or an operation that did not simplify.
struct Atom {
  AtomKind kind;
  std::string key;  // its text, by which atoms are ordered and compared
  Dim a, b;         // operands; unused for a symbol
};
using AtomPtr = std::shared_ptr<const Atom>;

struct Term {
  int64_t coefficient;
  std::vector<AtomPtr> atoms;  // sorted by key; empty: the constant term
};

bool same_atoms(const Term& x, const Term& y) {
  return std::equal(x.atoms.begin(), x.atoms.end(), y.atoms.begin(), y.atoms.end(),
                    [](const AtomPtr& p, const AtomPtr& q) { return p->key == q->key; });
}
bool atoms_less(const Term& x, const Term& y) {
  // Longer products first and the constant last, as one writes polynomials.
  if (x.atoms.size() != y.atoms.size()) return x.atoms.size() > y.atoms.size();
  return std::lexicographical_compare(
      x.atoms.begin(), x.atoms.end(), y.atoms.begin(), y.atoms.end(),
      [](const AtomPtr& p, const AtomPtr& q) { return p->key < q->key; });
}

absl::string_view function_name(AtomKind kind) {
  switch (kind) {
    case AtomKind::kFloorDiv:
      return "floordiv";
    case AtomKind::kMod:
      return "mod";
    case AtomKind::kMin:
      return "min";
    case AtomKind::kMax:
      return "max";
    case AtomKind::kSymbol:
      break;
  }
  return "";
}

int64_t floor_div(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}
int64_t floor_mod(int64_t a, int64_t b) {
  const int64_t r = a % b;
  return r != 0 && ((r < 0) != (b < 0)) ? r + b : r;
}

// Adds, multiplies with saturation at the ends of int64; the upper end stands for "unbounded".
int64_t saturating_add(int64_t a, int64_t b) {
  int64_t r;
  if (!__builtin_add_overflow(a, b, &r)) return r;
  return a > 0 ? DimRange::kUnbounded : std::numeric_limits<int64_t>::min();
}
int64_t saturating_mul(int64_t a, int64_t b) {
  int64_t r;
  if (!__builtin_mul_overflow(a, b, &r)) return r;
  return (a > 0) == (b > 0) ? DimRange::kUnbounded : std::numeric_limits<int64_t>::min();
}

}  // namespace

struct Dim::Expr {
  std::vector<Term> terms;
  std::string key;
  bool too_large = false;
};

// The arithmetic on canonical forms; a class only so that Dim can befriend it.
class DimAlgebra {
 public:
  static constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();

  static std::vector<Term> terms(const Dim& d) {
    if (!d.is_static()) return d.expr_->terms;
    if (d.value_ == 0) return {};
    return {Term{d.value_, {}}};
  }

  // Stands for whatever passed the bounds: a symbol that no text can name.
  static const Dim& too_large() {
    static const Dim* const dim = [] {
      auto node = std::make_shared<Atom>();
      node->kind = AtomKind::kSymbol;
      node->key = "(too large)";
      auto expr = std::make_shared<Dim::Expr>();
      expr->key = node->key;
      expr->terms = {Term{1, {std::move(node)}}};
      expr->too_large = true;
      return new Dim(std::shared_ptr<const Dim::Expr>(std::move(expr)));
    }();
    return *dim;
  }
  static bool any_too_large(const Dim& a, const Dim& b) {
    return a.is_too_large() || b.is_too_large();
  }

  // Sorts, merges equal products, drops zeros.
  static Dim make(std::vector<Term> terms) {
    std::sort(terms.begin(), terms.end(), atoms_less);
    std::vector<Term> merged;
    for (Term& t : terms) {
      if (!merged.empty() && same_atoms(merged.back(), t)) {
        merged.back().coefficient = saturating_add(merged.back().coefficient, t.coefficient);
      } else {
        merged.push_back(std::move(t));
      }
    }
    std::erase_if(merged, [](const Term& t) { return t.coefficient == 0; });
    if (merged.empty()) return Dim(0);
    if (merged.size() == 1 && merged[0].atoms.empty()) return Dim(merged[0].coefficient);
    auto expr = std::make_shared<Dim::Expr>();
    expr->terms = std::move(merged);
    expr->key = print(expr->terms);
    if (expr->key.size() > Dim::kMaxText) return too_large();
    return Dim(std::shared_ptr<const Dim::Expr>(std::move(expr)));
  }

  static Dim add(const Dim& a, const Dim& b, int64_t sign) {
    if (any_too_large(a, b)) return too_large();
    std::vector<Term> sum = terms(a);
    for (Term t : terms(b)) {
      t.coefficient = saturating_mul(t.coefficient, sign);
      sum.push_back(std::move(t));
    }
    return make(std::move(sum));
  }

  static Dim mul(const Dim& a, const Dim& b) {
    if (any_too_large(a, b)) return too_large();
    const std::vector<Term> left = terms(a), right = terms(b);
    if (left.size() * right.size() > Dim::kMaxProducts) return too_large();
    std::vector<Term> product;
    for (const Term& x : left) {
      for (const Term& y : right) {
        Term t{saturating_mul(x.coefficient, y.coefficient), x.atoms};
        t.atoms.insert(t.atoms.end(), y.atoms.begin(), y.atoms.end());
        std::sort(t.atoms.begin(), t.atoms.end(),
                  [](const AtomPtr& p, const AtomPtr& q) { return p->key < q->key; });
        product.push_back(std::move(t));
      }
    }
    return make(std::move(product));
  }

  // Splits a = quotient * b + rest where the quotient takes all terms that b, a single product,
  // divides exactly.
  static std::pair<Dim, Dim> divide(const Dim& a, const Dim& b) {
    const std::vector<Term> divisor = terms(b);
    if (a == b) return {Dim(1), Dim(0)};
    if (divisor.size() != 1 || divisor[0].coefficient <= 0) return {Dim(0), a};
    std::vector<Term> quotient, rest;
    for (const Term& t : terms(a)) {
      Term q{t.coefficient / divisor[0].coefficient, t.atoms};
      bool exact = t.coefficient % divisor[0].coefficient == 0;
      for (const AtomPtr& atom : divisor[0].atoms) {
        auto it = std::find_if(q.atoms.begin(), q.atoms.end(),
                               [&](const AtomPtr& p) { return p->key == atom->key; });
        if (it == q.atoms.end()) {
          exact = false;
          break;
        }
        q.atoms.erase(it);
      }
      if (exact) {
        quotient.push_back(std::move(q));
      } else {
        rest.push_back(t);
      }
    }
    return {make(std::move(quotient)), make(std::move(rest))};
  }

  static Dim atom(AtomKind kind, Dim a, Dim b) {
    auto node = std::make_shared<Atom>();
    node->kind = kind;
    node->key = absl::StrCat(function_name(kind), "(", a.to_string(), ", ", b.to_string(), ")");
    node->a = std::move(a);
    node->b = std::move(b);
    return make({Term{1, {std::move(node)}}});
  }

  static Dim symbol(absl::string_view name) {
    const bool is_name = !name.empty() &&
                         !absl::ascii_isdigit(static_cast<unsigned char>(name[0])) &&
                         std::all_of(name.begin(), name.end(), Dim::is_name_character);
    if (!is_name) return too_large();
    auto node = std::make_shared<Atom>();
    node->kind = AtomKind::kSymbol;
    node->key = std::string(name);
    return make({Term{1, {std::move(node)}}});
  }

  // The text; cut off soon behind the bound, where nobody will read it.
  static std::string print(const std::vector<Term>& terms) {
    std::string out;
    for (const Term& t : terms) {
      if (out.size() > Dim::kMaxText) break;
      if (t.coefficient == kLeast) {
        // What stands behind its minus would be no number: it is written as two terms.
        append(out, kLeast + 1, t.atoms);
        append(out, -1, t.atoms);
      } else {
        append(out, t.coefficient, t.atoms);
      }
    }
    return out;
  }
  static void append(std::string& out, int64_t c, const std::vector<AtomPtr>& atoms) {
    if (!out.empty()) {
      absl::StrAppend(&out, c < 0 ? " - " : " + ");
      if (c < 0) c = -c;
    }
    if (atoms.empty()) {
      absl::StrAppend(&out, c);
      return;
    }
    if (c == -1) {
      absl::StrAppend(&out, "-");
    } else if (c != 1) {
      absl::StrAppend(&out, c, "*");
    }
    for (size_t i = 0; i < atoms.size(); ++i) {
      absl::StrAppend(&out, i == 0 ? "" : "*", atoms[i]->key);
    }
  }

  static int64_t apply(AtomKind kind, int64_t a, int64_t b) {
    switch (kind) {
      case AtomKind::kFloorDiv:
        return floor_div(a, b);
      case AtomKind::kMod:
        return floor_mod(a, b);
      case AtomKind::kMin:
        return std::min(a, b);
      case AtomKind::kMax:
        return std::max(a, b);
      case AtomKind::kSymbol:
        break;
    }
    return 0;
  }

  static absl::StatusOr<int64_t> evaluate(const Dim& d, const DimBinding& binding) {
    if (d.is_static()) return d.value_;
    if (d.is_too_large()) {
      return absl::InvalidArgumentError("an extent's expression is too large");
    }
    const auto overflow = [&] {
      return absl::OutOfRangeError(absl::StrCat("extent ", d.to_string(), " overflows"));
    };
    int64_t sum = 0;
    for (const Term& t : d.expr_->terms) {
      int64_t product = t.coefficient;
      for (const AtomPtr& a : t.atoms) {
        int64_t value;
        if (a->kind == AtomKind::kSymbol) {
          auto it = binding.find(a->key);
          if (it == binding.end()) {
            return absl::InvalidArgumentError(
                absl::StrCat("dimension '", a->key, "' is not bound"));
          }
          value = it->second;
        } else {
          MODELLIB_ASSIGN_OR_RETURN(const int64_t x, evaluate(a->a, binding));
          MODELLIB_ASSIGN_OR_RETURN(const int64_t y, evaluate(a->b, binding));
          const bool divides = a->kind == AtomKind::kFloorDiv || a->kind == AtomKind::kMod;
          if (divides && y <= 0) {
            return absl::OutOfRangeError(absl::StrCat("extent ", d.to_string(), " divides by ", y));
          }
          value = apply(a->kind, x, y);
        }
        if (__builtin_mul_overflow(product, value, &product)) return overflow();
      }
      if (__builtin_add_overflow(sum, product, &sum)) return overflow();
    }
    return sum;
  }

  // One search for a range. An expression holds the same atom in several places, and factor() makes
  // more: each is searched once, or the time would double with each level of nesting.
  struct RangeSearch {
    const DimRanges& symbols;
    std::unordered_map<const Atom*, DimRange> known = {};  // no symbols
    int slopes = 256;                                      // that may still be looked at
  };

  static DimRange range_of(const Atom& a, RangeSearch& search) {
    if (a.kind == AtomKind::kSymbol) {
      auto it = search.symbols.find(a.key);
      return it == search.symbols.end() ? DimRange{} : it->second;
    }
    if (const auto it = search.known.find(&a); it != search.known.end()) return it->second;
    const DimRange x = range(a.a, search), y = range(a.b, search);
    const DimRange result = range_of(a.kind, x, y);
    search.known.emplace(&a, result);
    return result;
  }

  // Of an operation whose operands lie in x and y.
  static DimRange range_of(AtomKind kind, const DimRange& x, const DimRange& y) {
    switch (kind) {
      case AtomKind::kMin:
        return {std::min(x.min, y.min), std::min(x.max, y.max)};
      case AtomKind::kMax:
        return {std::max(x.min, y.min), std::max(x.max, y.max)};
      case AtomKind::kMod:
        return {0, y.max == DimRange::kUnbounded ? y.max : std::max<int64_t>(1, y.max) - 1};
      default: {
        // Divisors are positive; an unbounded numerator stays so.
        const int64_t lo = std::max<int64_t>(1, y.min), hi = std::max<int64_t>(lo, y.max);
        const auto div = [](int64_t n, int64_t d) {
          return n == DimRange::kUnbounded ? n : floor_div(n, d);
        };
        return {std::min(div(x.min, lo), div(x.min, hi)), std::max(div(x.max, lo), div(x.max, hi))};
      }
    }
  }

  // d as common * rest + constant, where several terms have an atom in common: "b*s - b" is
  // b*(s - 1), which shows that it is never below 0 where s is not below 1. A null atom: none.
  struct Factored {
    AtomPtr common;
    Dim rest;
    int64_t constant = 0;
  };
  static Factored factor(const Dim& d) {
    std::vector<Term> terms = d.expr_->terms;
    Factored result;
    std::erase_if(terms, [&](const Term& t) {
      if (t.atoms.empty()) result.constant = t.coefficient;
      return t.atoms.empty();
    });
    if (terms.size() < 2) return {};
    for (const AtomPtr& common : terms[0].atoms) {
      auto [rest, none] = divide(make(terms), make({Term{1, {common}}}));
      if (!(none == Dim(0))) continue;
      result.common = common;
      result.rest = std::move(rest);
      return result;
    }
    return {};
  }

  static DimRange times(const DimRange& a, const DimRange& b) {
    const int64_t corners[] = {saturating_mul(a.min, b.min), saturating_mul(a.min, b.max),
                               saturating_mul(a.max, b.min), saturating_mul(a.max, b.max)};
    return {*std::min_element(corners, corners + 4), *std::max_element(corners, corners + 4)};
  }

  static DimRange range(const Dim& d, RangeSearch& search) {
    if (d.is_static()) return {d.value_, d.value_};
    if (d.is_too_large()) return {std::numeric_limits<int64_t>::min(), DimRange::kUnbounded};
    DimRange sum{0, 0};
    for (const Term& t : d.expr_->terms) {
      DimRange product{t.coefficient, t.coefficient};
      for (const AtomPtr& a : t.atoms) product = times(product, range_of(*a, search));
      sum = plus(sum, product);
    }
    if (const Factored f = factor(d); f.common != nullptr) {
      const DimRange product = times(range_of(*f.common, search), range(f.rest, search));
      sum = both(sum, plus(product, {f.constant, f.constant}));
    }
    return is_mixed(d) ? both(sum, range_by_slope(d, search)) : sum;
  }

  // What has no bound has none with anything added.
  static DimRange plus(const DimRange& a, const DimRange& b) {
    constexpr int64_t kLowest = std::numeric_limits<int64_t>::min();
    const bool any_min = a.min == kLowest || b.min == kLowest;
    const bool any_max = a.max == DimRange::kUnbounded || b.max == DimRange::kUnbounded;
    return {any_min ? kLowest : saturating_add(a.min, b.min),
            any_max ? DimRange::kUnbounded : saturating_add(a.max, b.max)};
  }
  static DimRange both(const DimRange& a, const DimRange& b) {
    return {std::max(a.min, b.min), std::min(a.max, b.max)};
  }

  // Whether terms lower and raise the sum at once, so that their extremes alone say too little:
  // "h*w - 2*h - 2*w + 4", which is (h - 2)*(w - 2).
  static bool is_mixed(const Dim& d) {
    constexpr size_t kMaxTerms = 32;
    bool has_product = false, lowers = false, raises = false;
    for (const Term& t : d.expr_->terms) {
      if (t.atoms.empty()) continue;
      has_product = has_product || t.atoms.size() > 1;
      (t.coefficient < 0 ? lowers : raises) = true;
    }
    return has_product && lowers && raises && d.expr_->terms.size() <= kMaxTerms;
  }

  // The extremes lie at those of an atom along which the sum never falls, or never rises.
  static DimRange range_by_slope(const Dim& d, RangeSearch& search) {
    constexpr DimRange kAll = {std::numeric_limits<int64_t>::min(), DimRange::kUnbounded};
    for (const Term& term : d.expr_->terms) {
      for (const AtomPtr& x : term.atoms) {
        if (search.slopes-- <= 0) return kAll;
        const DimRange values = range_of(*x, search);
        const DimRange slope = range(derivative(d, *x), search);
        if (slope.min < 0 && slope.max > 0) continue;
        const bool rises = slope.min >= 0;
        const auto at = [&](int64_t value) {
          return value == DimRange::kUnbounded ? kAll : range(with_value(d, *x, value), search);
        };
        const DimRange low = at(rises ? values.min : values.max);
        return {low.min, at(rises ? values.max : values.min).max};
      }
    }
    return kAll;
  }

  static Dim dim_of(const AtomPtr& atom) { return make({Term{1, {atom}}}); }

  // With respect to x, as if x were in no other atom.
  static Dim derivative(const Dim& d, const Atom& x) {
    Dim sum = 0;
    for (const Term& t : d.expr_->terms) {
      int64_t power = 0;
      Dim product = t.coefficient;
      for (const AtomPtr& a : t.atoms) {
        if (a->key == x.key && power++ == 0) continue;
        product = product * dim_of(a);
      }
      sum = sum + product * Dim(power);
    }
    return sum;
  }

  static Dim with_value(const Dim& d, const Atom& x, int64_t value) {
    Dim sum = 0;
    for (const Term& t : d.expr_->terms) {
      Dim product = t.coefficient;
      for (const AtomPtr& a : t.atoms)
        product = product * (a->key == x.key ? Dim(value) : dim_of(a));
      sum = sum + product;
    }
    return sum;
  }

  static Dim substitute(const Dim& d, const absl::btree_map<std::string, Dim>& with) {
    if (d.is_static() || d.is_too_large()) return d;
    Dim sum = 0;
    for (const Term& t : d.expr_->terms) {
      Dim product = t.coefficient;
      for (const AtomPtr& a : t.atoms) {
        if (a->kind == AtomKind::kSymbol) {
          auto it = with.find(a->key);
          product = product * (it == with.end() ? symbol(a->key) : it->second);
        } else {
          product = product * operate(a->kind, substitute(a->a, with), substitute(a->b, with));
        }
      }
      sum = sum + product;
    }
    return sum;
  }

  // The atom that d is; null if it is none.
  static const Atom* atom_of(const Dim& d) {
    if (d.is_static() || d.is_too_large()) return nullptr;
    const std::vector<Term>& terms = d.expr_->terms;
    const bool alone = terms.size() == 1 && terms[0].coefficient == 1 && terms[0].atoms.size() == 1;
    return alone ? terms[0].atoms[0].get() : nullptr;
  }

  // What `whole` is the minimum or maximum of beside `part`; null if it is none.
  static const Dim* other_of(AtomKind kind, const Dim& whole, const Dim& part) {
    const Atom* atom = atom_of(whole);
    if (atom == nullptr || atom->kind != kind) return nullptr;
    return atom->b == part ? &atom->a : atom->a == part ? &atom->b : nullptr;
  }

  static Dim operate(AtomKind kind, const Dim& a, const Dim& b) {
    if (any_too_large(a, b)) return too_large();
    const bool both = a.is_static() && b.is_static();
    switch (kind) {
      case AtomKind::kFloorDiv: {
        if (b == Dim(1) || a == Dim(0)) return a;
        if (both && b.value_ > 0) return floor_div(a.value_, b.value_);
        if (b.is_static() && b.value_ <= 0) return atom(kind, a, b);  // an error once evaluated
        // (q*b + r) // b == q + r // b for every positive b.
        auto [quotient, rest] = divide(a, b);
        if (rest == Dim(0)) return quotient;
        if (!(quotient == Dim(0))) return quotient + operate(kind, rest, b);
        return atom(kind, a, b);
      }
      case AtomKind::kMod: {
        if (b == Dim(1) || a == Dim(0)) return Dim(0);
        if (both && b.value_ > 0) return floor_mod(a.value_, b.value_);
        if (b.is_static() && b.value_ <= 0) return atom(kind, a, b);
        auto [quotient, rest] = divide(a, b);
        if (rest == Dim(0)) return Dim(0);
        if (!(quotient == Dim(0))) return operate(kind, rest, b);
        return atom(kind, a, b);
      }
      case AtomKind::kMin:
      case AtomKind::kMax: {
        if (a == b) return a;
        if (both) return apply(kind, a.value_, b.value_);
        const Dim difference = a - b;
        if (difference.is_static()) {
          return (difference.value_ < 0) == (kind == AtomKind::kMin) ? a : b;
        }
        // min(min(x, y), y) is min(x, y).
        if (other_of(kind, a, b) != nullptr) return a;
        if (other_of(kind, b, a) != nullptr) return b;
        return a.to_string() < b.to_string() ? atom(kind, a, b) : atom(kind, b, a);
      }
      case AtomKind::kSymbol:
        break;
    }
    return a;
  }

  static void collect(const Dim& d, std::vector<std::string>& names) {
    if (d.is_static()) return;
    for (const Term& t : d.expr_->terms) {
      for (const AtomPtr& a : t.atoms) {
        if (a->kind == AtomKind::kSymbol) {
          names.push_back(a->key);
        } else {
          collect(a->a, names);
          collect(a->b, names);
        }
      }
    }
  }

  static void postfix(const Atom& a, std::vector<Dim::Instruction>& code) {
    using Op = Dim::Opcode;
    if (a.kind == AtomKind::kSymbol) {
      code.push_back({Op::kSymbol, 0, a.key});
      return;
    }
    postfix(a.a, code);
    postfix(a.b, code);
    const Op op = a.kind == AtomKind::kFloorDiv ? Op::kFloorDiv
                  : a.kind == AtomKind::kMod    ? Op::kMod
                  : a.kind == AtomKind::kMin    ? Op::kMin
                                                : Op::kMax;
    code.push_back({op, 0, ""});
  }

  static void postfix(const Dim& d, std::vector<Dim::Instruction>& code) {
    using Op = Dim::Opcode;
    const auto constant = [&](int64_t v) { code.push_back({Op::kConst, v, ""}); };
    if (d.is_static()) return constant(d.value_);
    // As range() takes it apart: who checks the code finds the same range.
    if (const Factored f = factor(d); f.common != nullptr) {
      postfix(*f.common, code);
      postfix(f.rest, code);
      code.push_back({Op::kMul, 0, ""});
      if (f.constant == 0) return;
      constant(f.constant);
      code.push_back({Op::kAdd, 0, ""});
      return;
    }
    bool first_term = true;
    for (const Term& t : d.expr_->terms) {
      bool first = t.coefficient == 1 && !t.atoms.empty();
      if (!first) constant(t.coefficient);
      for (const AtomPtr& a : t.atoms) {
        postfix(*a, code);
        if (!first) code.push_back({Op::kMul, 0, ""});
        first = false;
      }
      if (!first_term) code.push_back({Op::kAdd, 0, ""});
      first_term = false;
    }
  }
};

Dim Dim::symbol(absl::string_view name) { return DimAlgebra::symbol(name); }

bool Dim::is_name_character(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '$';
}

bool Dim::is_too_large() const { return !is_static() && expr_->too_large; }

bool Dim::is_symbol() const {
  const Atom* atom = DimAlgebra::atom_of(*this);
  return atom != nullptr && atom->kind == AtomKind::kSymbol;
}

std::string Dim::symbol_name() const { return is_symbol() ? expr_->key : ""; }

std::vector<std::string> Dim::symbols() const {
  std::vector<std::string> names;
  DimAlgebra::collect(*this, names);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

absl::StatusOr<int64_t> Dim::evaluate(const DimBinding& binding) const {
  return DimAlgebra::evaluate(*this, binding);
}
DimRange Dim::range(const DimRanges& symbols) const {
  DimAlgebra::RangeSearch search{symbols};
  return DimAlgebra::range(*this, search);
}
Dim Dim::substitute(const absl::btree_map<std::string, Dim>& replacements) const {
  return DimAlgebra::substitute(*this, replacements);
}

std::string Dim::to_string() const {
  if (!is_static()) return expr_->key;
  return value_ == DimAlgebra::kLeast ? DimAlgebra::print({Term{value_, {}}})
                                      : absl::StrCat(value_);
}

std::vector<Dim::Instruction> Dim::to_postfix() const {
  std::vector<Instruction> code;
  DimAlgebra::postfix(*this, code);
  return code;
}

bool operator==(const Dim& a, const Dim& b) {
  if (a.is_static() || b.is_static()) {
    return a.is_static() && b.is_static() && a.value_ == b.value_;
  }
  return a.expr_ == b.expr_ || a.expr_->key == b.expr_->key;
}
Dim operator+(const Dim& a, const Dim& b) { return DimAlgebra::add(a, b, 1); }
Dim operator-(const Dim& a, const Dim& b) { return DimAlgebra::add(a, b, -1); }
Dim operator*(const Dim& a, const Dim& b) { return DimAlgebra::mul(a, b); }
Dim operator/(const Dim& a, const Dim& b) { return DimAlgebra::operate(AtomKind::kFloorDiv, a, b); }
Dim operator%(const Dim& a, const Dim& b) { return DimAlgebra::operate(AtomKind::kMod, a, b); }
bool is_at_most(const Dim& a, const Dim& b, const DimRanges& ranges) {
  return (b - a).range(ranges).min >= 0;
}

bool are_equal_within(const Dim& a, const Dim& b, const DimRanges& ranges) {
  const auto is_less_of_two = [&](const Dim& whole, const Dim& part) {
    const Dim* other = DimAlgebra::other_of(AtomKind::kMin, whole, part);
    return other != nullptr && is_at_most(part, *other, ranges);
  };
  return a == b || is_less_of_two(a, b) || is_less_of_two(b, a);
}

Dim min(const Dim& a, const Dim& b) { return DimAlgebra::operate(AtomKind::kMin, a, b); }
Dim max(const Dim& a, const Dim& b) { return DimAlgebra::operate(AtomKind::kMax, a, b); }
Dim ceil_div(const Dim& a, const Dim& b) { return (a + b - 1) / b; }

Dim element_count(absl::Span<const Dim> shape) {
  Dim count = 1;
  for (const Dim& d : shape) count = count * d;
  return count;
}

std::string to_string(absl::Span<const Dim> shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ",", shape[i].to_string());
  }
  return out + "]";
}

bool is_static(absl::Span<const Dim> shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_static(); });
}

absl::Status check_shape(absl::Span<const Dim> shape) {
  int64_t count = 1;
  for (const Dim& d : shape) {
    if (d.is_too_large()) {
      return absl::InvalidArgumentError(
          "an extent is too large an expression, or a symbol in it has no proper name");
    }
    if (!d.is_static()) continue;
    if (d.value() < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("extent ", d.to_string(), " of ", to_string(shape), " is negative"));
    }
    if (__builtin_mul_overflow(count, std::max<int64_t>(1, d.value()), &count) ||
        count > kMaxTensorElements) {
      return absl::InvalidArgumentError(absl::StrCat(to_string(shape), " has too many elements"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> static_extents(absl::Span<const Dim> shape) {
  std::vector<int64_t> extents;
  for (const Dim& d : shape) {
    if (!d.is_static()) {
      return absl::FailedPreconditionError(
          absl::StrCat("dimension ", d.to_string(), " of ", to_string(shape), " is not bound"));
    }
    extents.push_back(d.value());
  }
  return extents;
}

}  // namespace modellib
