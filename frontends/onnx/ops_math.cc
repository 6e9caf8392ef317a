// Arithmetic, comparisons and logic; matrix products.
#include <cmath>
#include <limits>
#include <numbers>

#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/element_types.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {

Value truncated_quotient(Value a, Value b) {
  const Value q = floor_div(a, b);
  if (!is_signed_integer(a.dtype())) return q;
  const Value inexact = not_equal(mul(q, b), a);
  const Value mixed = logical_xor(less(a, 0), less(b, 0));
  return where(logical_and(inexact, mixed), add(q, 1), q);
}

namespace {

bool is_unsigned(DType dtype) { return is_integer(dtype) && !is_signed_integer(dtype); }

absl::StatusOr<Values> magnitude(NodeView& n) {
  const Value x = n.in(0);
  return Values{is_unsigned(x.dtype()) ? x : abs(x)};
}

absl::StatusOr<Values> sign_of(NodeView& n) {
  const Value x = n.in(0);
  return Values{is_unsigned(x.dtype()) ? minimum(x, 1) : sign(x)};
}

absl::StatusOr<Values> divide(NodeView& n) {
  const Value a = n.in(0), b = n.in(1);
  return Values{is_floating(a.dtype()) ? div(a, b) : truncated_quotient(a, b)};
}

// The exponent may be of another type; the result has the base's.
absl::StatusOr<Values> power(NodeView& n) {
  Value x = n.in(0), y = n.in(1);
  const auto exponent = n.known_real(1);
  if (exponent.ok() && y.rank() == 0) {
    if (*exponent == 1) return Values{x};
    if (*exponent == 2) return Values{square(x)};
    if (*exponent == 0.5 && is_real(x.dtype())) return Values{sqrt(x)};
  }
  if (x.dtype() == y.dtype()) return Values{pow(x, y)};
  if (is_floating(x.dtype()) || is_integer(y.dtype())) return Values{pow(x, cast(y, x.dtype()))};
  // f32 does not hold the integers above 2^24.
  return Values{cast(pow(cast(x, DType::kF64), cast(y, DType::kF64)), x.dtype())};
}

absl::StatusOr<Values> modulo(NodeView& n) {
  const Value a = n.in(0), b = n.in(1);
  if (!n.flag("fmod", false)) {
    constexpr int kFloatsSince = 28;
    if (is_floating(a.dtype()) && n.version() < kFloatsSince) {
      return absl::InvalidArgumentError("fmod must be 1 for floats");
    }
    return Values{mod(a, b)};
  }
  if (is_floating(a.dtype())) {
    // C's fmod: the sign of the dividend.
    const Value rest = mod(abs(a), abs(b));
    return Values{where(less(a, 0), neg(rest), rest)};
  }
  return Values{sub(a, mul(truncated_quotient(a, b), b))};
}

absl::StatusOr<Values> mean_of_all(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const Values sum, variadic<add>(n));
  return Values{div(sum[0], static_cast<double>(n.inputs()))};
}

absl::StatusOr<Values> is_inf(NodeView& n) {
  const Value x = n.in(0);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const bool up = n.flag("detect_positive", true), down = n.flag("detect_negative", true);
  if (up && down) return Values{equal(abs(x), kInfinity)};
  if (!up && !down) return Values{logical_and(is_nan(x), logical_not(is_nan(x)))};
  return Values{equal(x, up ? kInfinity : -kInfinity)};
}

absl::StatusOr<Values> tangent(NodeView& n) { return Values{sin(n.in(0)) / cos(n.in(0))}; }

// 2 sinh(x / 2), with expm1, which keeps what is small. By way of the half nothing overflows before
// the result does.
Value twice_sine_of_half(Value x) {
  const Value half = x * 0.5;
  return expm1(half) - expm1(neg(half));
}
absl::StatusOr<Values> hyperbolic_sine(NodeView& n) {
  const Value half = n.in(0) * 0.5;
  return Values{twice_sine_of_half(n.in(0)) * 0.5 * (exp(half) + exp(neg(half)))};
}
absl::StatusOr<Values> hyperbolic_cosine(NodeView& n) {
  const Value s = twice_sine_of_half(n.in(0));
  return Values{s * 0.5 * s + 1.0};
}

// An inverse of x >= 0: `f`, which squares x, but for numbers so large that it is log(2 x).
Value with_large(Value x, Value (*f)(Value)) {
  const Value is_large = greater(x, x.dtype() == DType::kF16 ? 128 : 1e9);
  const Value large = log(where(is_large, x, 1.0)) + std::numbers::ln2;
  return where(is_large, large, f(where(is_large, 1.0, x)));
}
absl::StatusOr<Values> area_sine(NodeView& n) {
  const Value y = with_large(
      abs(n.in(0)), [](Value x) { return log1p(x + square(x) / (sqrt(square(x) + 1.0) + 1.0)); });
  return Values{mul(sign(n.in(0)), y)};
}
absl::StatusOr<Values> area_cosine(NodeView& n) {
  return Values{with_large(n.in(0), [](Value x) {
    const Value t = x - 1.0;
    return log1p(t + sqrt(t * (t + 2.0)));
  })};
}
absl::StatusOr<Values> area_tangent(NodeView& n) {
  return Values{(log1p(n.in(0)) - log1p(neg(n.in(0)))) * 0.5};
}

absl::StatusOr<Values> converted(NodeView& n, DType dtype) {
  Value x = n.in(0);
  if (bits_of(dtype) < 8 || bits_of(x.dtype()) < 8) {
    return absl::UnimplementedError("casts of and to 4 bits are not supported");
  }
  // What is too large for 8-bit floats becomes the largest of them, unless told otherwise.
  const bool narrow = dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2;
  if (narrow && is_real(x.dtype()) && n.flag("saturate", true)) {
    const double most = dtype == DType::kF8E4M3 ? 448 : 57344;
    x = where(is_nan(x), x, maximum(minimum(x, most), -most));
  }
  return Values{cast(x, dtype)};
}

absl::StatusOr<Values> to_type(NodeView& n) {
  if (!n.has_attribute("to")) return absl::InvalidArgumentError("attribute 'to' is missing");
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype, dtype_of_onnx(n.integer("to", 0)));
  return converted(n, dtype);
}
absl::StatusOr<Values> like_type(NodeView& n) { return converted(n, n.in(1).dtype()); }

// A matrix product of which vectors are rows or columns.
absl::StatusOr<Values> product(NodeView& n) {
  Value a = n.in(0), b = n.in(1);
  if (a.rank() == 0 || b.rank() == 0) {
    return absl::InvalidArgumentError("the product of a scalar; operands have rank 1 at least");
  }
  const bool row = a.rank() == 1, column = b.rank() == 1;
  if (row) a = unsqueeze(a, {0});
  if (column) b = unsqueeze(b, {1});
  Value y = matmul(a, b);
  if (column) y = squeeze(y, {-1});
  if (row) y = squeeze(y, {column ? -1 : -2});
  return Values{y};
}

absl::StatusOr<Values> gemm(NodeView& n) {
  const double alpha = n.real("alpha", 1), beta = n.real("beta", 1);
  if (n.in(0).rank() != 2 || n.in(1).rank() != 2) {
    return absl::InvalidArgumentError("its matrices must have rank 2");
  }
  const bool whole = alpha == std::floor(alpha) && beta == std::floor(beta);
  if (!is_floating(n.in(0).dtype()) && !whole) {
    return absl::UnimplementedError("integers with a fraction as alpha or beta");
  }
  Value y =
      matmul(n.in(0), n.in(1),
             {.transpose_a = n.flag("transA", false), .transpose_b = n.flag("transB", false)});
  if (alpha != 1) y = mul(y, alpha);
  if (n.has(2) && beta != 0) {
    const Value c = beta == 1 ? n.in(2) : mul(n.in(2), beta);
    const Value sum = add(y, c);
    if (!(sum.shape() == y.shape())) {
      return absl::InvalidArgumentError(
          absl::StrCat("C ", to_string(c.type()), " does not broadcast to ", to_string(y.type())));
    }
    y = sum;
  }
  return Values{y};
}

absl::StatusOr<Values> running_sum(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(int64_t axis, n.known_integer(1));
  MODELLIB_ASSIGN_OR_RETURN(axis, front_axis(axis, n.in(0).rank()));
  return Values{cumsum(n.in(0), {.axis = axis,
                                 .exclusive = n.flag("exclusive", false),
                                 .reverse = n.flag("reverse", false)})};
}

absl::StatusOr<Values> choose(NodeView& n) { return Values{where(n.in(0), n.in(1), n.in(2))}; }

constexpr OpEntry kEntries[] = {
    {"Abs", 6, kNow, 1, 1, Takes::kNumber, magnitude},
    {"Acosh", 9, kNow, 1, 1, Takes::kReal, area_cosine},
    {"Add", 7, kNow, 2, 2, Takes::kNumber, binary<add>},
    {"And", 7, kNow, 2, 2, Takes::kBool, binary<logical_and>},
    {"Asinh", 9, kNow, 1, 1, Takes::kReal, area_sine},
    {"Atanh", 9, kNow, 1, 1, Takes::kReal, area_tangent},
    {"Cast", 6, kNow, 1, 1, Takes::kAny, to_type},
    {"CastLike", 15, kNow, 2, 2, Takes::kAny, like_type},
    {"Ceil", 6, kNow, 1, 1, Takes::kReal, unary<ceil>},
    {"Cos", 7, kNow, 1, 1, Takes::kReal, unary<cos>},
    {"Cosh", 9, kNow, 1, 1, Takes::kReal, hyperbolic_cosine},
    {"CumSum", 11, kNow, 2, 2, Takes::kNumber, running_sum},
    {"Div", 7, kNow, 2, 2, Takes::kNumber, divide},
    {"Equal", 7, kNow, 2, 2, Takes::kAny, binary<equal>},
    {"Erf", 9, kNow, 1, 1, Takes::kReal, unary<erf>},
    {"Exp", 6, kNow, 1, 1, Takes::kReal, unary<exp>},
    {"Floor", 6, kNow, 1, 1, Takes::kReal, unary<floor>},
    {"Gemm", 7, kNow, 2, 3, Takes::kNumber, gemm},
    {"Greater", 7, kNow, 2, 2, Takes::kNumber, binary<greater>},
    {"GreaterOrEqual", 12, kNow, 2, 2, Takes::kNumber, binary<greater_equal>},
    {"IsInf", 10, kNow, 1, 1, Takes::kReal, is_inf},
    {"IsNaN", 9, kNow, 1, 1, Takes::kReal, unary<is_nan>},
    {"Less", 7, kNow, 2, 2, Takes::kNumber, binary<less>},
    {"LessOrEqual", 12, kNow, 2, 2, Takes::kNumber, binary<less_equal>},
    {"Log", 6, kNow, 1, 1, Takes::kReal, unary<log>},
    {"MatMul", 1, kNow, 2, 2, Takes::kNumber, product},
    {"Max", 6, kNow, 1, kMany, Takes::kNumber, variadic<maximum>},
    {"Mean", 6, kNow, 1, kMany, Takes::kReal, mean_of_all},
    {"Min", 6, kNow, 1, kMany, Takes::kNumber, variadic<minimum>},
    {"Mod", 10, kNow, 2, 2, Takes::kNumber, modulo},
    {"Mul", 7, kNow, 2, 2, Takes::kNumber, binary<mul>},
    {"Neg", 6, kNow, 1, 1, Takes::kSigned, unary<neg>},
    {"Not", 1, kNow, 1, 1, Takes::kBool, unary<logical_not>},
    {"Or", 7, kNow, 2, 2, Takes::kBool, binary<logical_or>},
    {"Pow", 7, kNow, 2, 2, Takes::kNumber, power},
    {"Reciprocal", 6, kNow, 1, 1, Takes::kReal, unary<reciprocal>},
    {"Round", 11, kNow, 1, 1, Takes::kReal, unary<round>},
    {"Sign", 9, kNow, 1, 1, Takes::kNumber, sign_of},
    {"Sin", 7, kNow, 1, 1, Takes::kReal, unary<sin>},
    {"Sinh", 9, kNow, 1, 1, Takes::kReal, hyperbolic_sine},
    {"Sqrt", 6, kNow, 1, 1, Takes::kReal, unary<sqrt>},
    {"Sub", 7, kNow, 2, 2, Takes::kNumber, binary<sub>},
    {"Sum", 6, kNow, 1, kMany, Takes::kReal, variadic<add>},
    {"Tan", 7, kNow, 1, 1, Takes::kReal, tangent},
    {"Where", 9, kNow, 3, 3, Takes::kBool, choose},
    {"Xor", 7, kNow, 2, 2, Takes::kBool, binary<logical_xor>},
};

}  // namespace

absl::Span<const OpEntry> math_entries() { return kEntries; }

}  // namespace modellib::onnx
