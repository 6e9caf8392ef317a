// One update of one parameter: the formulas of torch.optim's SGD, Adam and AdamW, to the place of
// eps.
//
// Parameter and slots have one shape and one type (f32 master weights, or f64); the gradient has
// the shape. Nothing is changed in place: the result is what the variables are assigned, and the
// memory planner lets the new value take the old one's place.
//
//   OptimizerStep step{.lr = lr, .step = step, .ok = ok, .scale = scale};
//   AdamSlots next = adam_update({param, m, v}, grad, step, {.weight_decay = 0.01});
//
// Scalars that change from step to step (rates, counts, momentum under a cyclic schedule) are
// operands, all others attributes.
#ifndef MODELLIB_OPS_OPTIMIZERS_H_
#define MODELLIB_OPS_OPTIMIZERS_H_

#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

// What each update needs beside its parameter. Scalars; only `lr` and `step` are always needed.
struct OptimizerStep {
  Value lr;     // float
  Value step;   // i64: the number of this update, the first is 1
  Value ok;     // bool: false leaves parameter and slots as they are (an overflow in f16)
  Value scale;  // float: the gradient is multiplied by it first (clipping, 1 / loss scale)
};

struct SgdAttributes {
  double momentum = 0.0;  // not negative, as the decay
  double dampening = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;  // needs momentum, and no dampening
  static constexpr auto fields() {
    return std::make_tuple(field("momentum", &SgdAttributes::momentum),
                           field("dampening", &SgdAttributes::dampening),
                           field("weight_decay", &SgdAttributes::weight_decay),
                           field("nesterov", &SgdAttributes::nesterov));
  }
};
struct SgdSlots {
  Value param;
  Value momentum_buffer = {};  // null without momentum; zeros before the first step
};
// g += weight_decay · p; buffer = momentum · buffer + (1 - dampening) g, in the first step g
// itself; p -= lr · buffer, or lr · (g + momentum · buffer) with Nesterov's form. `momentum` as an
// operand (a float scalar) takes the attribute's place.
SgdSlots sgd_update(const SgdSlots& slots, Value grad, const OptimizerStep& step,
                    SgdAttributes attributes = {}, Value momentum = {});

struct AdamAttributes {
  double beta1 = 0.9;  // both in [0, 1)
  double beta2 = 0.999;
  double eps = 1e-8;  // not negative, as the decay
  double weight_decay = 0.0;
  static constexpr auto fields() {
    return std::make_tuple(
        field("beta1", &AdamAttributes::beta1), field("beta2", &AdamAttributes::beta2),
        field("eps", &AdamAttributes::eps), field("weight_decay", &AdamAttributes::weight_decay));
  }
};
struct AdamSlots {
  Value param, exp_avg, exp_avg_sq;
  Value max_exp_avg_sq = {};  // given: AMSGrad (Reddi et al., 2018)
};
// g += weight_decay · p; m = β₁ m + (1 - β₁) g; v = β₂ v + (1 - β₂) g²;
// p -= lr / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + eps). Kingma and Ba, 2014. `beta1` as an operand (a
// float scalar) takes the attribute's place.
AdamSlots adam_update(const AdamSlots& slots, Value grad, const OptimizerStep& step,
                      AdamAttributes attributes = {}, Value beta1 = {});
// The same with the decay apart from the gradient: p -= lr · weight_decay · p first. Loshchilov and
// Hutter, 2017. torch.optim.AdamW's default decay is 0.01.
AdamSlots adamw_update(const AdamSlots& slots, Value grad, const OptimizerStep& step,
                       AdamAttributes attributes, Value beta1 = {});

}  // namespace modellib

#endif  // MODELLIB_OPS_OPTIMIZERS_H_
