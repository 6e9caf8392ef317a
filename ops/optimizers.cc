#include "modellib/ops/optimizers.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

// Operands of every update: param, grad, lr, step, then slots, then ok?, scale?, and the cyclic
// scalar.
constexpr int kParam = 0, kGrad = 1, kLr = 2, kStep = 3, kFirstSlot = 4;

absl::Status require_scalar(InferenceContext& c, int operand, bool right_type,
                            absl::string_view what) {
  if (!c.has(operand) || (right_type && c.input(operand).rank() == 0)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " scalar, is ", to_string(c.input(operand))));
}

absl::Status require_not_negative(absl::string_view attribute, double value) {
  if (value >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(attribute, " must not be negative, is ", value));
}

// Checks all but the attributes; `slots` slots, present ones become outputs after the parameter.
absl::Status infer_update(InferenceContext& c, int slots) {
  const TensorType& param = c.input(kParam);
  if (param.dtype != DType::kF32 && param.dtype != DType::kF64) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the parameter must be f32 or f64 (a master copy where training is in less), is ",
        to_string(param)));
  }
  MODELLIB_RETURN_IF_ERROR(require_shape(c, kGrad, param.shape, "the gradient"));
  const auto is_float = [&](int i) { return c.has(i) && is_real(c.input(i).dtype); };
  const int ok = kFirstSlot + slots, scale = ok + 1, cyclic = ok + 2;
  MODELLIB_RETURN_IF_ERROR(require_scalar(c, kLr, is_float(kLr), "lr must be a float"));
  MODELLIB_RETURN_IF_ERROR(
      require_scalar(c, kStep, c.input(kStep).dtype == DType::kI64, "step must be an i64"));
  MODELLIB_RETURN_IF_ERROR(
      require_scalar(c, ok, c.has(ok) && c.input(ok).dtype == DType::kBool, "ok must be a bool"));
  MODELLIB_RETURN_IF_ERROR(require_scalar(c, scale, is_float(scale), "scale must be a float"));
  MODELLIB_RETURN_IF_ERROR(
      require_scalar(c, cyclic, is_float(cyclic), "momentum or beta1 must be a float"));
  c.outputs = {param};
  for (int i = kFirstSlot; i < kFirstSlot + slots; ++i) {
    if (!c.has(i)) continue;
    MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, kParam, i));
    MODELLIB_RETURN_IF_ERROR(require_shape(c, i, param.shape, "a slot"));
    c.outputs.push_back(param);
  }
  return absl::OkStatus();
}

// The operands of an update in the parameter's type.
struct Update {
  const OpCall& c;
  int slots;

  Value param() const { return c.in(kParam); }
  DType dtype() const { return param().dtype(); }
  Value slot(int i) const { return c.has(kFirstSlot + i) ? c.in(kFirstSlot + i) : Value(); }
  Value lr() const { return as_dtype(c.in(kLr), dtype()); }
  Value step() const { return cast(c.in(kStep), dtype()); }
  Value grad() const {
    const Value g = as_dtype(c.in(kGrad), dtype());
    const int scale = kFirstSlot + slots + 1;
    return c.has(scale) ? g * as_dtype(c.in(scale), dtype()) : g;
  }
  // The operand that takes an attribute's place; null: it does not.
  Value cyclic() const {
    const int i = kFirstSlot + slots + 2;
    return c.has(i) ? as_dtype(c.in(i), dtype()) : Value();
  }
  Value number(double x) const { return c.builder.scalar(x, dtype()); }
  // New values of parameter and slots; the old ones where the update is not to take place.
  std::vector<Value> results(const std::vector<Value>& fresh) const {
    const int ok = kFirstSlot + slots;
    if (!c.has(ok)) return fresh;
    std::vector<Value> kept;
    for (int i = 0, taken = 0; i <= slots; ++i) {
      const Value old = i == 0 ? param() : slot(i - 1);
      if (!old.is_null()) kept.push_back(where(c.in(ok), fresh[static_cast<size_t>(taken++)], old));
    }
    return kept;
  }
};

// sgd_update(param, grad, lr, step, momentum_buffer?, ok?, scale?, momentum?) -> param,
// momentum_buffer?

absl::Status infer_sgd(InferenceContext& c) {
  const auto& a = c.attributes.as<SgdAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_not_negative("momentum", a.momentum));
  MODELLIB_RETURN_IF_ERROR(require_not_negative("weight_decay", a.weight_decay));
  const int buffer = kFirstSlot, momentum = kFirstSlot + 3;
  const bool moves = a.momentum != 0 || c.has(momentum);
  if (moves != c.has(buffer)) {
    return absl::InvalidArgumentError(moves ? "momentum needs its buffer"
                                            : "a momentum buffer without momentum");
  }
  if (a.nesterov && (!moves || a.dampening != 0)) {
    return absl::InvalidArgumentError("Nesterov's form needs momentum and no dampening");
  }
  return infer_update(c, 1);
}

std::vector<Value> decompose_sgd(OpCall& c) {
  const auto& a = c.attributes.as<SgdAttributes>();
  const Update u{c, 1};
  Value g = u.grad();
  if (a.weight_decay != 0) g = g + u.param() * a.weight_decay;
  const Value old = u.slot(0);
  if (old.is_null()) return u.results({u.param() - u.lr() * g});
  const Value momentum = u.cyclic().is_null() ? u.number(a.momentum) : u.cyclic();
  Value buffer = momentum * old + (a.dampening == 0 ? g : g * (1.0 - a.dampening));
  // The first gradient is not dampened. (Without dampening the zeros of the buffer do the same.)
  if (a.dampening != 0) buffer = where(equal(c.in(kStep), 1.0), g, buffer);
  const Value direction = a.nesterov ? g + momentum * buffer : buffer;
  return u.results({u.param() - u.lr() * direction, buffer});
}

// adam_update(param, grad, lr, step, m, v, max_v?, ok?, scale?, beta1?) -> param, m, v, max_v?

absl::Status infer_adam(InferenceContext& c) {
  const auto& a = c.attributes.as<AdamAttributes>();
  for (auto [name, beta] : {std::pair("beta1", a.beta1), std::pair("beta2", a.beta2)}) {
    if (!(beta >= 0 && beta < 1)) {
      return absl::InvalidArgumentError(absl::StrCat(name, " must lie in [0, 1), is ", beta));
    }
  }
  MODELLIB_RETURN_IF_ERROR(require_not_negative("eps", a.eps));
  MODELLIB_RETURN_IF_ERROR(require_not_negative("weight_decay", a.weight_decay));
  return infer_update(c, 3);
}

// 1 - βᵗ as -expm1(t log β): in f32 the difference itself would lose what a β near 1 has to say.
Value bias_correction(Value log_beta, Value step) { return neg(expm1(step * log_beta)); }

template <bool Decoupled>
std::vector<Value> decompose_adam(OpCall& c) {
  const auto& a = c.attributes.as<AdamAttributes>();
  const Update u{c, 3};
  const Value lr = u.lr(), step = u.step(), cyclic = u.cyclic();
  Value param = u.param(), g = u.grad();
  if (a.weight_decay != 0) {
    if (Decoupled) {
      param = param * (1.0 - lr * a.weight_decay);
    } else {
      g = g + param * a.weight_decay;
    }
  }
  // Numbers that are known are computed in double and rounded once, as PyTorch does.
  const Value rest = cyclic.is_null() ? u.number(1.0 - a.beta1) : 1.0 - cyclic;
  const Value log_beta1 = cyclic.is_null() ? u.number(std::log(a.beta1)) : log(cyclic);
  const Value m = u.slot(0) + (g - u.slot(0)) * rest;
  const Value v = u.slot(1) * a.beta2 + square(g) * (1.0 - a.beta2);
  std::vector<Value> fresh = {Value(), m, v};
  Value second = v;
  if (!u.slot(2).is_null()) {
    second = maximum(u.slot(2), v);
    fresh.push_back(second);
  }
  const Value step_size = lr / bias_correction(log_beta1, step);
  const Value correction = bias_correction(u.number(std::log(a.beta2)), step);
  const Value denominator = sqrt(second) / sqrt(correction) + a.eps;
  fresh[0] = param - step_size * (m / denominator);
  return u.results(fresh);
}

OpSample sample(const char* name, std::vector<TensorType> inputs, Attributes attributes) {
  OpSample s;
  s.name = name;
  s.inputs = std::move(inputs);
  s.attributes = std::move(attributes);
  s.domains = {{kLr, 0.01, 0.1}, {kStep, 1, 9}};
  s.check_gradient = false;
  return s;
}

std::vector<OpSample> sgd_samples() {
  const TensorType p = f32({3, 37}), scalar = f32({}), none;
  const auto with = [](double momentum, double dampening, double decay, bool nesterov) {
    return Attributes::of(SgdAttributes{momentum, dampening, decay, nesterov});
  };
  std::vector<OpSample> samples = {
      sample("plain", {p, p, scalar, i64({})}, with(0, 0, 0, false)),
      sample("decay", {p, p, scalar, i64({})}, with(0, 0, 0.1, false)),
      sample("momentum", {p, p, scalar, i64({}), p}, with(0.9, 0, 0, false)),
      sample("dampening", {p, p, scalar, i64({}), p}, with(0.9, 0.25, 0.1, false)),
      sample("nesterov", {p, p, scalar, i64({}), p}, with(0.9, 0, 0.1, true)),
      sample("predicated", {p, p, scalar, i64({}), p, boolean({}), scalar, scalar},
             with(0.9, 0, 0, false)),
      sample("f16_gradient", {p, f16({3, 37}), scalar, i64({}), none, none, scalar},
             with(0, 0, 0, false))};
  samples[5].domains.push_back({5, 0, 1});
  return samples;
}

std::vector<OpSample> adam_samples() {
  const TensorType p = f32({3, 37}), scalar = f32({}), none;
  const auto with = [](double beta2, double eps, double decay) {
    return Attributes::of(AdamAttributes{0.9, beta2, eps, decay});
  };
  std::vector<OpSample> samples = {
      sample("plain", {p, p, scalar, i64({}), p, p}, with(0.999, 1e-8, 0)),
      sample("decay", {p, p, scalar, i64({}), p, p}, with(0.99, 1e-3, 0.1)),
      sample("amsgrad", {p, p, scalar, i64({}), p, p, p}, with(0.5, 1e-8, 0)),
      sample("predicated", {p, p, scalar, i64({}), p, p, none, boolean({}), scalar, scalar},
             with(0.999, 1e-8, 0)),
      sample("f64", {f64({5}), f64({5}), scalar, i64({}), f64({5}), f64({5})},
             with(0.999, 1e-8, 0))};
  for (OpSample& s : samples) {
    s.domains.push_back({5, 0.1, 2.0});  // second moments are not negative
    s.domains.push_back({6, 0.1, 2.0});
    if (s.name == "predicated") {
      s.domains.back() = {7, 0, 1};
      s.domains.push_back({9, 0.5, 0.95});
    }
  }
  return samples;
}

std::vector<Value> emit_update(absl::string_view op, Value param, Value grad,
                               const OptimizerStep& step, std::vector<Value> slots, Value cyclic,
                               Attributes attributes) {
  std::vector<Value> operands = {param, grad, step.lr, step.step};
  operands.insert(operands.end(), slots.begin(), slots.end());
  operands.insert(operands.end(), {step.ok, step.scale, cyclic});
  return emit_outputs(op, slots.size() + 1, operands, std::move(attributes));
}

AdamSlots emit_adam(absl::string_view op, const AdamSlots& slots, Value grad,
                    const OptimizerStep& step, AdamAttributes attributes, Value beta1) {
  const std::vector<Value> next = emit_update(
      op, slots.param, grad, step, {slots.exp_avg, slots.exp_avg_sq, slots.max_exp_avg_sq}, beta1,
      Attributes::of(attributes));
  return {next[0], next[1], next[2], slots.max_exp_avg_sq.is_null() ? Value() : next[3]};
}

OpDef update(absl::string_view name, int slots, int required_slots, decltype(OpDef::infer) infer,
             decltype(OpDef::decompose) decompose, decltype(OpDef::samples) samples) {
  OpDef op = composite(name, kFirstSlot + required_slots, kFirstSlot + slots + 3, infer, decompose,
                       samples);
  op.differentiable = OpDef::Gradient::kNone;
  return op;
}

}  // namespace

std::vector<OpDef> optimizer_ops() {
  OpDef sgd = update("sgd_update", 1, 0, infer_sgd, decompose_sgd, sgd_samples);
  sgd.attributes = AttributesSchema::of<SgdAttributes>();
  OpDef adam = update("adam_update", 3, 2, infer_adam, decompose_adam<false>, adam_samples);
  OpDef adamw = update("adamw_update", 3, 2, infer_adam, decompose_adam<true>, adam_samples);
  adam.attributes = adamw.attributes = AttributesSchema::of<AdamAttributes>();
  return {sgd, adam, adamw};
}

SgdSlots sgd_update(const SgdSlots& slots, Value grad, const OptimizerStep& step,
                    SgdAttributes attributes, Value momentum) {
  const std::vector<Value> next =
      emit_update("sgd_update", slots.param, grad, step, {slots.momentum_buffer}, momentum,
                  Attributes::of(attributes));
  return {next[0], slots.momentum_buffer.is_null() ? Value() : next[1]};
}

AdamSlots adam_update(const AdamSlots& slots, Value grad, const OptimizerStep& step,
                      AdamAttributes attributes, Value beta1) {
  return emit_adam("adam_update", slots, grad, step, attributes, beta1);
}
AdamSlots adamw_update(const AdamSlots& slots, Value grad, const OptimizerStep& step,
                       AdamAttributes attributes, Value beta1) {
  return emit_adam("adamw_update", slots, grad, step, attributes, beta1);
}

}  // namespace modellib
