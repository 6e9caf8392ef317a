// Pointwise ops of one operand: a row of the table each.
#include <array>
#include <cmath>
#include <utility>

#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"

namespace modellib {
namespace {

enum class Domain { kReal, kSigned, kBool };

struct Row {
  const char* name;
  Domain domain;
  bool to_bool;
  double (*real)(double);               // reals, computed in f64 and rounded once
  int64_t (*integer)(int64_t);          // integers and bools; null: not for them
  Value (*gradient)(OpCall&, Value g);  // null: no gradient
  double low = -2, high = 2;            // of the samples
};

int64_t wrapping_neg(int64_t x) { return static_cast<int64_t>(-static_cast<uint64_t>(x)); }

constexpr Row kRows[] = {
    {"neg", Domain::kSigned, false, [](double x) { return -x; }, wrapping_neg,
     [](OpCall&, Value g) { return neg(g); }},
    {"abs", Domain::kSigned, false, [](double x) { return std::fabs(x); },
     [](int64_t x) { return x < 0 ? wrapping_neg(x) : x; },
     [](OpCall& c, Value g) { return g * sign(c.in(0)); }},
    {"sign", Domain::kSigned, false,
     [](double x) { return static_cast<double>((x > 0) - (x < 0)); },
     [](int64_t x) { return static_cast<int64_t>((x > 0) - (x < 0)); }, nullptr},
    {"relu", Domain::kSigned, false, [](double x) { return x <= 0 ? 0.0 : x; },
     [](int64_t x) { return x < 0 ? 0 : x; },
     [](OpCall& c, Value g) { return where(greater(c.out(0), 0), g, 0.0); }},
    {"exp", Domain::kReal, false, [](double x) { return std::exp(x); }, nullptr,
     [](OpCall& c, Value g) { return g * c.out(0); }},
    {"expm1", Domain::kReal, false, [](double x) { return std::expm1(x); }, nullptr,
     [](OpCall& c, Value g) { return g * (c.out(0) + 1.0); }},
    {"log", Domain::kReal, false, [](double x) { return std::log(x); }, nullptr,
     [](OpCall& c, Value g) { return g / c.in(0); }, 0.1, 4},
    {"log1p", Domain::kReal, false, [](double x) { return std::log1p(x); }, nullptr,
     [](OpCall& c, Value g) { return g / (c.in(0) + 1.0); }, -0.8, 4},
    {"sqrt", Domain::kReal, false, [](double x) { return std::sqrt(x); }, nullptr,
     [](OpCall& c, Value g) { return g / (c.out(0) * 2.0); }, 0.1, 4},
    {"rsqrt", Domain::kReal, false, [](double x) { return 1 / std::sqrt(x); }, nullptr,
     [](OpCall& c, Value g) { return g * (c.out(0) * square(c.out(0))) * -0.5; }, 0.1, 4},
    {"reciprocal", Domain::kReal, false, [](double x) { return 1 / x; }, nullptr,
     [](OpCall& c, Value g) { return neg(g * square(c.out(0))); }, 0.3, 3},
    {"sin", Domain::kReal, false, [](double x) { return std::sin(x); }, nullptr,
     [](OpCall& c, Value g) { return g * cos(c.in(0)); }, -6, 6},
    {"cos", Domain::kReal, false, [](double x) { return std::cos(x); }, nullptr,
     [](OpCall& c, Value g) { return neg(g * sin(c.in(0))); }, -6, 6},
    {"tanh", Domain::kReal, false, [](double x) { return std::tanh(x); }, nullptr,
     [](OpCall& c, Value g) { return g * (1.0 - square(c.out(0))); }, -4, 4},
    {"sigmoid", Domain::kReal, false, [](double x) { return 1 / (1 + std::exp(-x)); }, nullptr,
     [](OpCall& c, Value g) { return g * (c.out(0) * (1.0 - c.out(0))); }, -6, 6},
    {"erf", Domain::kReal, false, [](double x) { return std::erf(x); }, nullptr,
     [](OpCall& c, Value g) {
       constexpr double kTwoOverSqrtPi = 1.12837916709551257390;
       return g * exp(neg(square(c.in(0)))) * kTwoOverSqrtPi;
     },
     -3, 3},
    {"floor", Domain::kReal, false, [](double x) { return std::floor(x); }, nullptr, nullptr, -4,
     4},
    {"ceil", Domain::kReal, false, [](double x) { return std::ceil(x); }, nullptr, nullptr, -4, 4},
    {"round", Domain::kReal, false, [](double x) { return std::nearbyint(x); }, nullptr, nullptr,
     -4, 4},
    {"trunc", Domain::kReal, false, [](double x) { return std::trunc(x); }, nullptr, nullptr, -4,
     4},
    {"is_nan", Domain::kReal, true, [](double x) { return static_cast<double>(std::isnan(x)); },
     nullptr, nullptr},
    {"is_finite", Domain::kReal, true,
     [](double x) { return static_cast<double>(std::isfinite(x)); }, nullptr, nullptr},
    {"logical_not", Domain::kBool, true, nullptr,
     [](int64_t x) { return static_cast<int64_t>(x == 0); }, nullptr, 0, 1},
};

template <size_t I>
absl::Status infer(InferenceContext& c) {
  constexpr const Row& row = kRows[I];
  const DType dtype = c.input(0).dtype;
  if (row.domain == Domain::kBool) {
    MODELLIB_RETURN_IF_ERROR(require_dtype(c, 0, DType::kBool));
  } else if (!(row.domain == Domain::kSigned && is_signed_integer(dtype) && bits_of(dtype) >= 8)) {
    MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  }
  c.outputs.push_back({row.to_bool ? DType::kBool : dtype, c.input(0).shape});
  return absl::OkStatus();
}

template <size_t I>
absl::Status reference(ReferenceContext& c) {
  constexpr const Row& row = kRows[I];
  const Tensor& x = c.in(0);
  for (int64_t i = 0; i < x.elements(); ++i) {
    if (is_floating(x.dtype())) {
      c.out(0).set(i, row.real(x.at(i)));
    } else {
      c.out(0).set_int(i, row.integer(x.int_at(i)));
    }
  }
  return absl::OkStatus();
}

template <size_t I>
std::vector<Value> gradient(OpCall& c, absl::Span<const Value> g) {
  return {kRows[I].gradient(c, g[0])};
}

template <size_t I>
std::vector<OpSample> samples() {
  constexpr const Row& row = kRows[I];
  const auto sample = [](const char* name, TensorType type, double tolerance) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(type)};
    s.low = kRows[I].low;
    s.high = kRows[I].high;
    s.tolerance = tolerance;
    return s;
  };
  std::vector<OpSample> result;
  if (row.domain == Domain::kBool) {
    result.push_back(sample("bool", boolean({3, 5}), 0));
    return result;
  }
  result.push_back(sample("f32", f32({3, 37}), 1e-5));
  result.push_back(sample("f64", f64({5}), 1e-12));
  result.push_back(sample("f16", f16({2, 9}), 2e-3));
  result.push_back(sample("bf16", bf16({2, 9}), 1.6e-2));
  result.push_back(sample("scalar", f32({}), 1e-5));
  result.push_back(sample("symbolic", f32({Dim::symbol("batch"), 5}), 1e-5));
  result.back().binding = {{"batch", 3}};
  if (row.integer != nullptr) result.push_back(sample("i32", i32({3, 5}), 0));
  return result;
}

template <size_t I>
OpDef definition() {
  constexpr const Row& row = kRows[I];
  OpDef op;
  op.name = row.name;
  op.infer = infer<I>;
  op.reference = reference<I>;
  op.differentiable = OpDef::Gradient::kNone;
  op.samples = samples<I>;
  op.pointwise = true;
  if (row.gradient != nullptr) {
    op.differentiable = OpDef::Gradient::kRule;
    op.gradient = gradient<I>;
  }
  return op;
}

template <size_t... I>
std::vector<OpDef> definitions(std::index_sequence<I...>) {
  return {definition<I>()...};
}

}  // namespace

std::vector<OpDef> pointwise_unary_ops() {
  return definitions(std::make_index_sequence<std::size(kRows)>());
}

Value neg(Value x) { return emit_op_one("neg", {x}); }
Value abs(Value x) { return emit_op_one("abs", {x}); }
Value sign(Value x) { return emit_op_one("sign", {x}); }
Value relu(Value x) { return emit_op_one("relu", {x}); }
Value exp(Value x) { return emit_op_one("exp", {x}); }
Value expm1(Value x) { return emit_op_one("expm1", {x}); }
Value log(Value x) { return emit_op_one("log", {x}); }
Value log1p(Value x) { return emit_op_one("log1p", {x}); }
Value sqrt(Value x) { return emit_op_one("sqrt", {x}); }
Value rsqrt(Value x) { return emit_op_one("rsqrt", {x}); }
Value reciprocal(Value x) { return emit_op_one("reciprocal", {x}); }
Value sin(Value x) { return emit_op_one("sin", {x}); }
Value cos(Value x) { return emit_op_one("cos", {x}); }
Value tanh(Value x) { return emit_op_one("tanh", {x}); }
Value sigmoid(Value x) { return emit_op_one("sigmoid", {x}); }
Value erf(Value x) { return emit_op_one("erf", {x}); }
Value floor(Value x) { return emit_op_one("floor", {x}); }
Value ceil(Value x) { return emit_op_one("ceil", {x}); }
Value round(Value x) { return emit_op_one("round", {x}); }
Value trunc(Value x) { return emit_op_one("trunc", {x}); }
Value is_nan(Value x) { return emit_op_one("is_nan", {x}); }
Value is_finite(Value x) { return emit_op_one("is_finite", {x}); }
Value logical_not(Value x) { return emit_op_one("logical_not", {x}); }

}  // namespace modellib
