#include "modellib/ops/activations.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

// Formulas. Limits are written with `where`, not minimum and maximum, because it says on which side
// the subgradient of the limit is. A branch that is not taken must stay finite, or its zero
// gradient would become NaN on the way back; so exponents are cut off before they can overflow.

Value gelu_formula(Value x, const Attributes& a) {
  constexpr double kSqrtHalf = 0.70710678118654752440;
  constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
  if (a.as<GeluAttributes>().approximate == "tanh") {
    const Value inner = (x + square(x) * x * 0.044715) * kSqrtTwoOverPi;
    return x * 0.5 * (tanh(inner) + 1.0);
  }
  return x * 0.5 * (erf(x * kSqrtHalf) + 1.0);
}

Value softplus_of(Value x, double beta, double threshold) {
  const Value scaled = beta == 1.0 ? x : x * beta;
  const Value linear = greater(scaled, threshold);
  const Value curve = log1p(exp(where(linear, 0.0, scaled)));
  return where(linear, x, beta == 1.0 ? curve : curve / beta);
}
Value softplus_formula(Value x, const Attributes& a) {
  const auto& s = a.as<SoftplusAttributes>();
  return softplus_of(x, s.beta, s.threshold);
}

Value silu_formula(Value x, const Attributes&) { return x * sigmoid(x); }
Value mish_formula(Value x, const Attributes&) { return x * tanh(softplus_of(x, 1.0, 20.0)); }
Value softsign_formula(Value x, const Attributes&) { return x / (abs(x) + 1.0); }
Value log_sigmoid_formula(Value x, const Attributes&) {
  return minimum(x, 0.0) - log1p(exp(-abs(x)));
}

Value elu_of(Value x, double alpha) {
  const Value positive = greater(x, 0.0);
  return where(positive, x, expm1(where(positive, 0.0, x)) * alpha);
}
Value elu_formula(Value x, const Attributes& a) { return elu_of(x, a.as<EluAttributes>().alpha); }
Value selu_formula(Value x, const Attributes&) {
  constexpr double kAlpha = 1.6732632423543772848170429916717;
  constexpr double kScale = 1.0507009873554804934193349852946;
  return elu_of(x, kAlpha) * kScale;
}
Value leaky_relu_formula(Value x, const Attributes& a) {
  return where(greater(x, 0.0), x, x * a.as<LeakyReluAttributes>().negative_slope);
}

// x within ]low, high[, and the limits outside: no gradient on them.
Value cut(Value x, double low, double high) {
  return where(less_equal(x, low), low, where(greater_equal(x, high), high, x));
}
Value hard_tanh_formula(Value x, const Attributes& a) {
  const auto& h = a.as<HardTanhAttributes>();
  return cut(x, h.min_val, h.max_val);
}
Value relu6_formula(Value x, const Attributes&) { return cut(x, 0.0, 6.0); }
Value hard_sigmoid_formula(Value x, const Attributes&) { return cut(x + 3.0, 0.0, 6.0) / 6.0; }
Value hard_swish_formula(Value x, const Attributes&) {
  return where(less_equal(x, -3.0), 0.0, where(greater_equal(x, 3.0), x, x * (x + 3.0) / 6.0));
}
Value clamp_formula(Value x, const Attributes& a) {
  const auto& limits = a.as<ClampAttributes>();
  if (limits.min.has_value()) x = where(less_equal(x, *limits.min), *limits.min, x);
  if (limits.max.has_value()) x = where(greater_equal(x, *limits.max), *limits.max, x);
  return x;
}

template <Value (*formula)(Value, const Attributes&)>
std::vector<Value> decompose(OpCall& c) {
  return {as_dtype(formula(widened(c.in(0)), c.attributes), c.in(0).dtype())};
}

// The cases that every activation gets; `attributes` empty: the defaults.
std::vector<OpSample> samples_with(const Attributes& attributes) {
  const auto sample = [&](const char* name, TensorType type, double tolerance) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(type)};
    s.attributes = attributes;
    s.low = -5, s.high = 5;
    s.tolerance = tolerance;
    return s;
  };
  std::vector<OpSample> samples = {sample("f32", f32({3, 37}), 1e-5),
                                   sample("f64", f64({7}), 1e-12), sample("f16", f16({2, 9}), 2e-3),
                                   sample("symbolic", f32({Dim::symbol("batch"), 5}), 1e-5)};
  samples.back().binding = {{"batch", 3}};
  return samples;
}
std::vector<OpSample> plain_samples() { return samples_with({}); }
// Those, and one of f32 for each of `variants`.
template <class T>
std::vector<OpSample> variant_samples(std::initializer_list<std::pair<const char*, T>> variants) {
  std::vector<OpSample> samples = samples_with(Attributes::of(variants.begin()->second));
  for (const auto& [name, attributes] : variants) {
    OpSample s;
    s.name = name;
    s.inputs = {f32({4, 9})};
    s.attributes = Attributes::of(attributes);
    s.low = -5, s.high = 5;
    samples.push_back(std::move(s));
  }
  return samples;
}

template <Value (*formula)(Value, const Attributes&)>
OpDef activation(absl::string_view name, decltype(OpDef::samples) samples = plain_samples) {
  OpDef op = composite(name, 1, 1, infer_same_real, decompose<formula>, samples);
  op.pointwise = true;
  return op;
}
template <class T, Value (*formula)(Value, const Attributes&)>
OpDef activation_with(absl::string_view name, decltype(OpDef::samples) samples,
                      decltype(OpDef::infer) infer = infer_same_real) {
  OpDef op = activation<formula>(name, samples);
  op.attributes = AttributesSchema::of<T>();
  op.infer = infer;
  return op;
}

absl::Status infer_gelu(InferenceContext& c) {
  const std::string& form = c.attributes.as<GeluAttributes>().approximate;
  if (form != "none" && form != "tanh") {
    return absl::InvalidArgumentError(
        absl::StrCat("approximate must be \"none\" or \"tanh\", is \"", form, "\""));
  }
  return infer_same_real(c);
}

absl::Status infer_softplus(InferenceContext& c) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  const auto& a = c.attributes.as<SoftplusAttributes>();
  MODELLIB_RETURN_IF_ERROR(
      require_between("beta", a.beta, std::numeric_limits<double>::min(), kLargest));
  // exp() of what is below the threshold must be finite in f32.
  MODELLIB_RETURN_IF_ERROR(require_between("threshold", a.threshold, -kLargest, 80));
  return infer_same_real(c);
}

absl::Status infer_hard_tanh(InferenceContext& c) {
  const auto& a = c.attributes.as<HardTanhAttributes>();
  if (!(a.min_val <= a.max_val)) {
    return absl::InvalidArgumentError(
        absl::StrCat("min_val ", a.min_val, " lies above max_val ", a.max_val));
  }
  return infer_same_real(c);
}

absl::Status infer_clamp(InferenceContext& c) {
  const auto& a = c.attributes.as<ClampAttributes>();
  if (!a.min.has_value() && !a.max.has_value()) {
    return absl::InvalidArgumentError("clamp needs min, max or both");
  }
  return infer_same_real(c);
}

absl::Status infer_prelu(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_rank(c, 1, 1));
  MODELLIB_RETURN_IF_ERROR(require_real(c, 1));
  if (!(c.input(1).shape[0] == Dim(1))) {
    if (c.input(0).rank() < 2) {
      return absl::InvalidArgumentError("several slopes need an operand with channels on axis 1");
    }
    MODELLIB_RETURN_IF_ERROR(c.require_equal(c.input(1).shape[0], c.input(0).shape[1],
                                             "a slope for each channel on axis 1"));
  }
  return infer_same_real(c);
}

std::vector<Value> decompose_prelu(OpCall& c) {
  const Value x = widened(c.in(0));
  Value slope = as_dtype(c.in(1), x.dtype());
  if (!(slope.shape()[0] == Dim(1))) slope = per_channel(slope, x.rank());
  // A scalar's result must not gain the axis of the slope.
  if (x.rank() == 0) slope = reshape(slope, {});
  return {as_dtype(where(greater(x, 0.0), x, x * slope), c.in(0).dtype())};
}

std::vector<OpSample> samples_prelu() {
  return {{.name = "one", .inputs = {f32({3, 5}), f32({1})}},
          {.name = "channels", .inputs = {f32({2, 3, 4}), f32({3})}},
          {.name = "scalar", .inputs = {f32({}), f32({1})}},
          {.name = "f16", .inputs = {f16({2, 3}), f32({3})}, .tolerance = 2e-3}};
}

}  // namespace

std::vector<OpDef> activation_ops() {
  std::vector<OpDef> ops = {
      activation<silu_formula>("silu"),
      activation<mish_formula>("mish"),
      activation<selu_formula>("selu"),
      activation<softsign_formula>("softsign"),
      activation<log_sigmoid_formula>("log_sigmoid"),
      activation<hard_sigmoid_formula>("hard_sigmoid"),
      activation<hard_swish_formula>("hard_swish"),
      activation<relu6_formula>("relu6"),
      activation_with<GeluAttributes, gelu_formula>(
          "gelu",
          [] {
            return variant_samples<GeluAttributes>({{"exact", {"none"}}, {"tanh", {"tanh"}}});
          },
          infer_gelu),
      activation_with<EluAttributes, elu_formula>(
          "elu",
          [] {
            return variant_samples<EluAttributes>({{"one", {1.0}}, {"half", {0.5}}});
          }),
      activation_with<LeakyReluAttributes, leaky_relu_formula>(
          "leaky_relu",
          [] {
            return variant_samples<LeakyReluAttributes>({{"flat", {0.01}}, {"steep", {0.25}}});
          }),
      activation_with<SoftplusAttributes, softplus_formula>(
          "softplus",
          [] {
            return variant_samples<SoftplusAttributes>({{"one", {}}, {"sharp", {2.0, 4.0}}});
          },
          infer_softplus),
      activation_with<HardTanhAttributes, hard_tanh_formula>(
          "hard_tanh",
          [] {
            return variant_samples<HardTanhAttributes>({{"one", {}}, {"lopsided", {-0.5, 2.0}}});
          },
          infer_hard_tanh),
      activation_with<ClampAttributes, clamp_formula>(
          "clamp",
          [] {
            return variant_samples<ClampAttributes>({{"both", {-0.5, 1.0}},
                                                     {"below", {-0.5, std::nullopt}},
                                                     {"above", {std::nullopt, 1.0}}});
          },
          infer_clamp),
  };
  ops.push_back(composite("prelu", 2, 2, infer_prelu, decompose_prelu, samples_prelu));
  return ops;
}

Value gelu(Value x, GeluAttributes attributes) {
  return emit_op_one("gelu", {x}, Attributes::of(std::move(attributes)));
}
Value silu(Value x) { return emit_op_one("silu", {x}); }
Value mish(Value x) { return emit_op_one("mish", {x}); }
Value elu(Value x, EluAttributes attributes) {
  return emit_op_one("elu", {x}, Attributes::of(attributes));
}
Value selu(Value x) { return emit_op_one("selu", {x}); }
Value leaky_relu(Value x, LeakyReluAttributes attributes) {
  return emit_op_one("leaky_relu", {x}, Attributes::of(attributes));
}
Value prelu(Value x, Value weight) { return emit_op_one("prelu", {x, weight}); }
Value softplus(Value x, SoftplusAttributes attributes) {
  return emit_op_one("softplus", {x}, Attributes::of(attributes));
}
Value log_sigmoid(Value x) { return emit_op_one("log_sigmoid", {x}); }
Value softsign(Value x) { return emit_op_one("softsign", {x}); }
Value hard_sigmoid(Value x) { return emit_op_one("hard_sigmoid", {x}); }
Value hard_swish(Value x) { return emit_op_one("hard_swish", {x}); }
Value relu6(Value x) { return emit_op_one("relu6", {x}); }
Value hard_tanh(Value x, HardTanhAttributes attributes) {
  return emit_op_one("hard_tanh", {x}, Attributes::of(attributes));
}
Value clamp(Value x, ClampAttributes attributes) {
  return emit_op_one("clamp", {x}, Attributes::of(attributes));
}

Value glu(Value x, int64_t axis) {
  if (!usable("glu", {x})) return poisoned({x});
  const Dim extent = x.dim(static_cast<int>(axis));
  if (!extent.is_static() || extent.value() % 2 != 0) {
    return x.builder()->poison(
        absl::InvalidArgumentError(absl::StrCat("glu: axis ", axis, " of ", to_string(x.type()),
                                                " must have an even extent, known ahead")));
  }
  const std::vector<Value> halves = chunk(x, 2, axis);
  return halves[0] * sigmoid(halves[1]);
}

}  // namespace modellib
