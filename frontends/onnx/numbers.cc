#include "modellib/frontends/onnx/numbers.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace modellib::onnx {
namespace {

using Kind = Number::Kind;

// As the type would hold it.
Number real(double value, DType dtype) {
  return Number::of_real(dtype == DType::kF64 ? value
                                              : static_cast<double>(static_cast<float>(value)));
}

Number boolean(bool value) { return Number::of(value ? 1 : 0); }

// An integer of a type. What does not fit the graph wraps or saturates: it is unknown here.
Number fitting(const Number& n, DType dtype) {
  if (n.kind != Kind::kInteger || !n.integer.is_static() || !is_integer(dtype)) return n;
  const int64_t v = n.integer.value();
  if (bits_of(dtype) == 64) return is_signed_integer(dtype) || v >= 0 ? n : Number();
  const int64_t half = int64_t{1} << (bits_of(dtype) - 1);
  const bool fits = is_signed_integer(dtype) ? -half <= v && v < half : 0 <= v && v < 2 * half;
  return fits ? n : Number();
}

// The sign of a - b, if it is the same whatever the symbols are bound to (extents are not
// negative).
struct Order {
  bool can_be_less, can_be_equal, can_be_greater;
};
Order order_of(const Dim& a, const Dim& b) {
  const DimRange range = (a - b).range({});
  return {range.min < 0, range.min <= 0 && range.max >= 0, range.max > 0};
}

Number from_order(bool yes, bool no) { return yes == no ? Number() : boolean(yes); }

Number compare(absl::string_view op, const Dim& a, const Dim& b) {
  const Order o = order_of(a, b);
  const bool less = o.can_be_less, same = o.can_be_equal, more = o.can_be_greater;
  if (op == "equal") return from_order(same, less || more);
  if (op == "not_equal") return from_order(less || more, same);
  if (op == "less") return from_order(less, same || more);
  if (op == "less_equal") return from_order(less || same, more);
  if (op == "greater") return from_order(more, less || same);
  return from_order(more || same, less);  // greater_equal
}

bool is_comparison(absl::string_view op) {
  return op == "equal" || op == "not_equal" || op == "less" || op == "less_equal" ||
         op == "greater" || op == "greater_equal";
}

Number logic(absl::string_view op, const Number& a, const Number& b) {
  const auto value = [](const Number& n) { return n.constant().value_or(-1); };
  const double x = value(a), y = value(b);
  if (op == "logical_and") {
    if (x == 0 || y == 0) return boolean(false);
    return x > 0 && y > 0 ? boolean(true) : Number();
  }
  if (op == "logical_or") {
    if (x > 0 || y > 0) return boolean(true);
    return x == 0 && y == 0 ? boolean(false) : Number();
  }
  return x < 0 || y < 0 ? Number() : boolean((x > 0) != (y > 0));  // logical_xor
}

Number integers(absl::string_view op, const Dim& a, const Dim& b) {
  if (op == "add") return Number::of(a + b);
  if (op == "sub") return Number::of(a - b);
  if (op == "mul") return Number::of(a * b);
  if (op == "minimum" || op == "maximum") {
    const Order o = order_of(a, b);
    const bool is_min = op == "minimum";
    if (!o.can_be_greater) return Number::of(is_min ? a : b);
    if (!o.can_be_less) return Number::of(is_min ? b : a);
    return Number::of(is_min ? min(a, b) : max(a, b));
  }
  // Divisors of expressions must be positive.
  const bool positive = b.range({}).min > 0;
  if (op == "floor_div" && positive) return Number::of(a / b);
  // The multiple below must be a number as well.
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  const bool far = positive && a.is_static() && b.is_static() && a.value() < kLeast + b.value();
  if (op == "mod" && positive && !far) return Number::of(a % b);
  return {};
}

Number reals(absl::string_view op, double a, double b, DType dtype) {
  if (op == "add") return real(a + b, dtype);
  if (op == "sub") return real(a - b, dtype);
  if (op == "mul") return real(a * b, dtype);
  if (op == "div") return real(a / b, dtype);
  if (op == "floor_div") return real(std::floor(a / b), dtype);
  if (op == "pow") return real(std::pow(a, b), dtype);
  if (op == "minimum") return real(std::isnan(a) || a < b ? a : b, dtype);
  if (op == "maximum") return real(std::isnan(a) || a > b ? a : b, dtype);
  if (op == "equal") return boolean(a == b);
  if (op == "not_equal") return boolean(a != b);
  if (op == "less") return boolean(a < b);
  if (op == "less_equal") return boolean(a <= b);
  if (op == "greater") return boolean(a > b);
  if (op == "greater_equal") return boolean(a >= b);
  return {};
}

}  // namespace

size_t size_of(const Dim& dim) { return dim.is_static() ? 1 : dim.to_postfix().size(); }

bool is_modest(const Dim& dim) { return size_of(dim) <= 256; }

Number unary_number(absl::string_view op, const Number& x, DType dtype) {
  if (!x.known()) return {};
  if (op == "stop_gradient") return x;
  if (op == "logical_not") {
    const auto c = x.constant();
    return c.has_value() ? boolean(*c == 0) : Number();
  }
  if (x.kind == Kind::kInteger) {
    const bool rounds = op == "floor" || op == "ceil" || op == "round" || op == "trunc";
    if (rounds) return x;
    if (op == "neg") return fitting(Number::of(Dim(0) - x.integer), dtype);
    if (op == "abs" || op == "relu") {
      const DimRange range = x.integer.range({});
      if (range.min >= 0) return x;
      if (op == "abs" && x.integer.is_static()) {
        return fitting(Number::of(Dim(0) - x.integer), dtype);
      }
    }
    return {};
  }
  const double v = x.real;
  if (op == "neg") return real(-v, dtype);
  if (op == "abs") return real(std::fabs(v), dtype);
  if (op == "floor") return real(std::floor(v), dtype);
  if (op == "ceil") return real(std::ceil(v), dtype);
  if (op == "round") return real(std::nearbyint(v), dtype);
  if (op == "trunc") return real(std::trunc(v), dtype);
  if (op == "sqrt") return real(std::sqrt(v), dtype);
  if (op == "reciprocal") return real(1 / v, dtype);
  return {};
}

Number binary_number(absl::string_view op, const Number& a, const Number& b, DType dtype) {
  if (op == "logical_and" || op == "logical_or" || op == "logical_xor") return logic(op, a, b);
  if (!a.known() || !b.known()) return {};
  if (is_floating(dtype)) {
    const auto x = a.constant(), y = b.constant();
    if (x.has_value() && y.has_value()) return reals(op, *x, *y, dtype);
    // An extent as a float stays one under whole numbers.
    const auto whole = [](const Number& n) -> std::optional<Dim> {
      if (n.kind == Kind::kInteger) return n.integer;
      if (n.real == std::floor(n.real) && std::fabs(n.real) < 1e9) {
        return Dim(static_cast<int64_t>(n.real));
      }
      return std::nullopt;
    };
    const auto p = whole(a), q = whole(b);
    if (!p.has_value() || !q.has_value()) return {};
    if (is_comparison(op)) return compare(op, *p, *q);
    if (op == "floor_div" || op == "mod") return {};
    return integers(op, *p, *q);
  }
  if (is_comparison(op)) return compare(op, a.integer, b.integer);
  return fitting(integers(op, a.integer, b.integer), dtype);
}

Number cast_number(const Number& x, DType from, DType to) {
  if (!x.known()) return {};
  if (to == DType::kBool) {
    const auto c = x.constant();
    if (c.has_value()) return boolean(*c != 0);
    return x.integer.range({}).min > 0 ? boolean(true) : Number();
  }
  if (is_floating(to)) {
    const auto c = x.constant();
    return c.has_value() ? real(*c, to) : x;
  }
  if (x.kind == Kind::kInteger) return fitting(x, to);
  if (!(std::fabs(x.real) < 9e18)) return {};
  return fitting(Number::of(static_cast<int64_t>(x.real)), to);
}

Number choose_number(const Number& condition, const Number& a, const Number& b) {
  const auto c = condition.constant();
  if (c.has_value()) return *c != 0 ? a : b;
  // Either way the same.
  const bool same = a.known() && a.kind == b.kind &&
                    (a.kind == Kind::kInteger ? a.integer == b.integer : a.real == b.real);
  return same ? a : Number();
}

}  // namespace modellib::onnx
