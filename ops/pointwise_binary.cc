// Pointwise ops of two operands: a row of the table each.
#include <cmath>
#include <utility>

#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/sum_to.h"

namespace modellib {
namespace {

enum class Domain { kReal, kNumber, kBool, kAny };

struct Gradients {
  Value a, b;  // of the broadcast shape; null: zero
};

struct Row {
  const char* name;
  Domain domain;
  bool to_bool;
  bool commutative;
  double (*real)(double, double);
  int64_t (*integer)(int64_t, int64_t);     // signed integers and bools
  uint64_t (*natural)(uint64_t, uint64_t);  // u64, whose order is not that of i64
  Gradients (*gradient)(OpCall&, Value g);  // null: no gradient
  double low = -2, high = 2;                // of the samples
  double second_low = -2, second_high = 2;
};

int64_t wrap(uint64_t x) { return static_cast<int64_t>(x); }
uint64_t bits(int64_t x) { return static_cast<uint64_t>(x); }

int64_t integer_floor_div(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return wrap(-bits(a));
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}
int64_t integer_mod(int64_t a, int64_t b) {
  if (b == 0) return a;
  if (b == -1) return 0;
  const int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
uint64_t natural_pow(uint64_t a, uint64_t b) {
  uint64_t result = 1;
  for (; b != 0; b >>= 1, a *= a) {
    if (b & 1) result *= a;
  }
  return result;
}
int64_t integer_pow(int64_t a, int64_t b) {
  if (b >= 0) return wrap(natural_pow(bits(a), bits(b)));
  return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
}
double real_mod(double a, double b) {
  const double r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
// As Python's: consistent with real_mod where a / b rounds up to an integer. From the remainder
// before b is added to it: b may be infinite.
double real_floor_div(double a, double b) {
  if (b == 0) return a / b;
  const double r = std::fmod(a, b);
  double quotient = (a - r) / b;
  if (r != 0 && (r < 0) != (b < 0)) quotient -= 1;
  const double down = std::floor(quotient);
  if (quotient == 0) return std::copysign(0.0, a / b);
  return quotient - down > 0.5 ? down + 1 : down;
}

// Where a wins alone all of g, at a tie half of it, else nothing.
Value share(Value g, Value loses, Value ties) { return where(loses, 0.0, where(ties, g * 0.5, g)); }

constexpr Row kRows[] = {
    {"add", Domain::kNumber, false, true, [](double a, double b) { return a + b; },
     [](int64_t a, int64_t b) { return wrap(bits(a) + bits(b)); },
     [](uint64_t a, uint64_t b) { return a + b; },
     [](OpCall&, Value g) {
       return Gradients{g, g};
     }},
    {"sub", Domain::kNumber, false, false, [](double a, double b) { return a - b; },
     [](int64_t a, int64_t b) { return wrap(bits(a) - bits(b)); },
     [](uint64_t a, uint64_t b) { return a - b; },
     [](OpCall&, Value g) {
       return Gradients{g, neg(g)};
     }},
    {"mul", Domain::kNumber, false, true, [](double a, double b) { return a * b; },
     [](int64_t a, int64_t b) { return wrap(bits(a) * bits(b)); },
     [](uint64_t a, uint64_t b) { return a * b; },
     [](OpCall& c, Value g) {
       return Gradients{g * c.in(1), g * c.in(0)};
     }},
    {"div", Domain::kReal, false, false, [](double a, double b) { return a / b; }, nullptr, nullptr,
     [](OpCall& c, Value g) {
       const Value over = g / c.in(1);
       return Gradients{over, neg(over * c.out(0))};
     },
     -2, 2, 0.5, 3},
    {"floor_div", Domain::kNumber, false, false, real_floor_div, integer_floor_div,
     [](uint64_t a, uint64_t b) { return b == 0 ? 0 : a / b; }, nullptr, -9, 9, 1, 4},
    {"mod", Domain::kNumber, false, false, real_mod, integer_mod,
     [](uint64_t a, uint64_t b) { return b == 0 ? a : a % b; },
     [](OpCall& c, Value g) {
       return Gradients{g, neg(g * floor(c.in(0) / c.in(1)))};
     },
     -9, 9, 1, 4},
    {"pow", Domain::kNumber, false, false, [](double a, double b) { return std::pow(a, b); },
     integer_pow, natural_pow,
     [](OpCall& c, Value g) {
       const Value a = c.in(0), b = c.in(1);
       const Value by_base = where(equal(b, 0), 0.0, g * b * pow(a, b - 1.0));
       // 0^b is flat in b for b >= 0, though log(0) is not finite.
       const Value flat = logical_and(equal(a, 0), greater_equal(b, 0));
       const Value by_exponent = where(flat, 0.0, g * c.out(0) * log(where(flat, 1.0, a)));
       return Gradients{by_base, by_exponent};
     },
     0.3, 3},
    {"minimum", Domain::kNumber, false, true,
     [](double a, double b) { return std::isnan(a) || a < b ? a : b; },
     [](int64_t a, int64_t b) { return a < b ? a : b; },
     [](uint64_t a, uint64_t b) { return a < b ? a : b; },
     [](OpCall& c, Value g) {
       const Value a = c.in(0), b = c.in(1), ties = equal(a, b);
       return Gradients{share(g, greater(a, b), ties), share(g, less(a, b), ties)};
     }},
    {"maximum", Domain::kNumber, false, true,
     [](double a, double b) { return std::isnan(a) || a > b ? a : b; },
     [](int64_t a, int64_t b) { return a > b ? a : b; },
     [](uint64_t a, uint64_t b) { return a > b ? a : b; },
     [](OpCall& c, Value g) {
       const Value a = c.in(0), b = c.in(1), ties = equal(a, b);
       return Gradients{share(g, less(a, b), ties), share(g, greater(a, b), ties)};
     }},
    {"equal", Domain::kAny, true, true, [](double a, double b) { return double(a == b); },
     [](int64_t a, int64_t b) { return int64_t{a == b}; },
     [](uint64_t a, uint64_t b) { return uint64_t{a == b}; }, nullptr},
    {"not_equal", Domain::kAny, true, true, [](double a, double b) { return double(a != b); },
     [](int64_t a, int64_t b) { return int64_t{a != b}; },
     [](uint64_t a, uint64_t b) { return uint64_t{a != b}; }, nullptr},
    {"less", Domain::kNumber, true, false, [](double a, double b) { return double(a < b); },
     [](int64_t a, int64_t b) { return int64_t{a < b}; },
     [](uint64_t a, uint64_t b) { return uint64_t{a < b}; }, nullptr},
    {"less_equal", Domain::kNumber, true, false, [](double a, double b) { return double(a <= b); },
     [](int64_t a, int64_t b) { return int64_t{a <= b}; },
     [](uint64_t a, uint64_t b) { return uint64_t{a <= b}; }, nullptr},
    {"greater", Domain::kNumber, true, false, [](double a, double b) { return double(a > b); },
     [](int64_t a, int64_t b) { return int64_t{a > b}; },
     [](uint64_t a, uint64_t b) { return uint64_t{a > b}; }, nullptr},
    {"greater_equal", Domain::kNumber, true, false,
     [](double a, double b) { return double(a >= b); },
     [](int64_t a, int64_t b) { return int64_t{a >= b}; },
     [](uint64_t a, uint64_t b) { return uint64_t{a >= b}; }, nullptr},
    {"logical_and", Domain::kBool, true, true, nullptr, [](int64_t a, int64_t b) { return a & b; },
     nullptr, nullptr},
    {"logical_or", Domain::kBool, true, true, nullptr, [](int64_t a, int64_t b) { return a | b; },
     nullptr, nullptr},
    {"logical_xor", Domain::kBool, true, true, nullptr, [](int64_t a, int64_t b) { return a ^ b; },
     nullptr, nullptr},
};

template <size_t I>
absl::Status infer(InferenceContext& c) {
  constexpr const Row& row = kRows[I];
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 1));
  const DType dtype = c.input(0).dtype;
  if (row.domain == Domain::kBool) {
    MODELLIB_RETURN_IF_ERROR(require_dtype(c, 0, DType::kBool));
  } else if (row.domain == Domain::kReal) {
    MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  } else if (!(row.domain == Domain::kAny && dtype == DType::kBool)) {
    MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  }
  MODELLIB_ASSIGN_OR_RETURN(Shape shape, broadcast_shapes(c, c.input(0).shape, c.input(1).shape));
  c.outputs.push_back({row.to_bool ? DType::kBool : dtype, std::move(shape)});
  return absl::OkStatus();
}

template <size_t I>
absl::Status reference(ReferenceContext& c) {
  constexpr const Row& row = kRows[I];
  const Tensor &a = c.in(0), &b = c.in(1);
  int64_t i = 0;
  for_each_index(c.out(0).shape(), [&](absl::Span<const int64_t> index) {
    const int64_t p = broadcast_offset(index, a.shape()), q = broadcast_offset(index, b.shape());
    if (is_floating(a.dtype())) {
      c.out(0).set(i++, row.real(a.at(p), b.at(q)));
    } else if (a.dtype() == DType::kU64) {
      c.out(0).set_int(i++, wrap(row.natural(bits(a.int_at(p)), bits(b.int_at(q)))));
    } else {
      c.out(0).set_int(i++, row.integer(a.int_at(p), b.int_at(q)));
    }
  });
  return absl::OkStatus();
}

template <size_t I>
std::vector<Value> gradient(OpCall& c, absl::Span<const Value> g) {
  const Gradients wide = kRows[I].gradient(c, g[0]);
  return {sum_to(wide.a, c.in(0).shape()), sum_to(wide.b, c.in(1).shape())};
}

template <size_t I>
std::vector<OpSample> samples() {
  constexpr const Row& row = kRows[I];
  const auto sample = [](const char* name, TensorType a, TensorType b, double tolerance) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(a), std::move(b)};
    s.low = kRows[I].low;
    s.high = kRows[I].high;
    s.domains = {{1, kRows[I].second_low, kRows[I].second_high}};
    s.tolerance = tolerance;
    return s;
  };
  std::vector<OpSample> result;
  const Dim batch = Dim::symbol("batch");
  if (row.domain == Domain::kBool || row.domain == Domain::kAny) {
    result.push_back(sample("bool", boolean({3, 5}), boolean({5}), 0));
    result.back().low = 0, result.back().high = 1;
    result.back().domains = {};
    if (row.domain == Domain::kBool) return result;
  }
  result.push_back(sample("f32", f32({3, 37}), f32({3, 37}), 1e-5));
  result.push_back(sample("f64", f64({5}), f64({5}), 1e-12));
  result.push_back(sample("f16", f16({2, 9}), f16({2, 9}), 2e-3));
  result.push_back(sample("bf16", bf16({2, 9}), bf16({2, 9}), 1.6e-2));
  result.push_back(sample("row", f32({4, 5}), f32({5}), 1e-5));
  result.push_back(sample("column", f32({4, 5}), f32({4, 1}), 1e-5));
  result.push_back(sample("outer", f32({1, 5}), f32({3, 1}), 1e-5));
  result.push_back(sample("scalar", f32({}), f32({2, 3}), 1e-5));
  result.push_back(sample("symbolic", f32({batch, 5}), f32({1, 5}), 1e-5));
  result.back().binding = {{"batch", 3}};
  if (row.integer != nullptr) {
    result.push_back(sample("i32", i32({3, 5}), i32({5}), 0));
    result.push_back(sample("i64", i64({7}), i64({7}), 0));
  }
  return result;
}

template <size_t I>
OpDef definition() {
  constexpr const Row& row = kRows[I];
  OpDef op;
  op.name = row.name;
  op.min_inputs = op.max_inputs = 2;
  op.infer = infer<I>;
  op.reference = reference<I>;
  op.differentiable = OpDef::Gradient::kNone;
  op.samples = samples<I>;
  op.pointwise = true;
  op.commutative = row.commutative;
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

// A number as an operand beside `other`.
Value number(double x, const Value& other) {
  return other.is_null() || other.is_poisoned() ? other : other.builder()->scalar(x, other.dtype());
}

}  // namespace

std::vector<OpDef> pointwise_binary_ops() {
  return definitions(std::make_index_sequence<std::size(kRows)>());
}

Value add(Value a, Value b) { return emit_op_one("add", {a, b}); }
Value sub(Value a, Value b) { return emit_op_one("sub", {a, b}); }
Value mul(Value a, Value b) { return emit_op_one("mul", {a, b}); }
Value div(Value a, Value b) { return emit_op_one("div", {a, b}); }
Value floor_div(Value a, Value b) { return emit_op_one("floor_div", {a, b}); }
Value mod(Value a, Value b) { return emit_op_one("mod", {a, b}); }
Value pow(Value a, Value b) { return emit_op_one("pow", {a, b}); }
Value minimum(Value a, Value b) { return emit_op_one("minimum", {a, b}); }
Value maximum(Value a, Value b) { return emit_op_one("maximum", {a, b}); }
Value equal(Value a, Value b) { return emit_op_one("equal", {a, b}); }
Value not_equal(Value a, Value b) { return emit_op_one("not_equal", {a, b}); }
Value less(Value a, Value b) { return emit_op_one("less", {a, b}); }
Value less_equal(Value a, Value b) { return emit_op_one("less_equal", {a, b}); }
Value greater(Value a, Value b) { return emit_op_one("greater", {a, b}); }
Value greater_equal(Value a, Value b) { return emit_op_one("greater_equal", {a, b}); }
Value logical_and(Value a, Value b) { return emit_op_one("logical_and", {a, b}); }
Value logical_or(Value a, Value b) { return emit_op_one("logical_or", {a, b}); }
Value logical_xor(Value a, Value b) { return emit_op_one("logical_xor", {a, b}); }

Value add(Value a, double b) { return add(a, number(b, a)); }
Value sub(Value a, double b) { return sub(a, number(b, a)); }
Value sub(double a, Value b) { return sub(number(a, b), b); }
Value mul(Value a, double b) { return mul(a, number(b, a)); }
Value div(Value a, double b) { return div(a, number(b, a)); }
Value div(double a, Value b) { return div(number(a, b), b); }
Value pow(Value a, double b) { return pow(a, number(b, a)); }
Value minimum(Value a, double b) { return minimum(a, number(b, a)); }
Value maximum(Value a, double b) { return maximum(a, number(b, a)); }
Value equal(Value a, double b) { return equal(a, number(b, a)); }
Value not_equal(Value a, double b) { return not_equal(a, number(b, a)); }
Value less(Value a, double b) { return less(a, number(b, a)); }
Value less_equal(Value a, double b) { return less_equal(a, number(b, a)); }
Value greater(Value a, double b) { return greater(a, number(b, a)); }
Value greater_equal(Value a, double b) { return greater_equal(a, number(b, a)); }
Value where(Value condition, Value a, double b) {
  GraphBuilder* builder = builder_of({condition, a});
  return builder == nullptr ? Value() : where(condition, a, builder->scalar(b, a.dtype()));
}
Value where(Value condition, double a, Value b) {
  GraphBuilder* builder = builder_of({condition, b});
  return builder == nullptr ? Value() : where(condition, builder->scalar(a, b.dtype()), b);
}

}  // namespace modellib
