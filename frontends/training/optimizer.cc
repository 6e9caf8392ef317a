#include "modellib/frontends/training/optimizer.h"

namespace modellib::training {
namespace {

AdamSlots adam_slots(Value param, absl::Span<const Value> slots) {
  return {param, slots[0], slots[1], slots.size() > 2 ? slots[2] : Value()};
}

std::vector<Value> as_list(const AdamSlots& s) {
  std::vector<Value> list = {s.param, s.exp_avg, s.exp_avg_sq};
  if (!s.max_exp_avg_sq.is_null()) list.push_back(s.max_exp_avg_sq);
  return list;
}

AdamAttributes attributes_of(const AdamOptions& o) {
  return {.beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .weight_decay = o.weight_decay};
}

}  // namespace

std::vector<std::string> SGD::slots() const {
  return options_.momentum != 0 ? std::vector<std::string>{"momentum_buffer"}
                                : std::vector<std::string>{};
}

std::vector<Value> SGD::update(Value param, absl::Span<const Value> slots, Value gradient,
                               const OptimizerStep& step) const {
  const SgdSlots next = sgd_update({param, slots.empty() ? Value() : slots[0]}, gradient, step,
                                   {.momentum = options_.momentum,
                                    .dampening = options_.dampening,
                                    .weight_decay = options_.weight_decay,
                                    .nesterov = options_.nesterov});
  if (slots.empty()) return {next.param};
  return {next.param, next.momentum_buffer};
}

std::vector<std::string> Adam::slots() const {
  if (options_.amsgrad) return {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
  return {"exp_avg", "exp_avg_sq"};
}

std::vector<Value> Adam::update(Value param, absl::Span<const Value> slots, Value gradient,
                                const OptimizerStep& step) const {
  return as_list(adam_update(adam_slots(param, slots), gradient, step, attributes_of(options_)));
}

AdamW::AdamW(const AdamWOptions& o)
    : Adam({.lr = o.lr,
            .beta1 = o.beta1,
            .beta2 = o.beta2,
            .eps = o.eps,
            .weight_decay = o.weight_decay,
            .amsgrad = o.amsgrad}) {}

std::vector<Value> AdamW::update(Value param, absl::Span<const Value> slots, Value gradient,
                                 const OptimizerStep& step) const {
  return as_list(adamw_update(adam_slots(param, slots), gradient, step, attributes_of(options_)));
}

}  // namespace modellib::training
