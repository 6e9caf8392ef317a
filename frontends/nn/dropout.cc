#include "modellib/frontends/nn/dropout.h"

#include "modellib/frontends/nn/random_state.h"
#include "modellib/ops/dropout.h"

namespace modellib::nn {
namespace {

bool is_usable(const Value& v) { return !v.is_null() && !v.is_poisoned(); }

}  // namespace

Value Dropout::forward(Value input) {
  if (!is_training() || p == 0 || !is_usable(input)) return input;
  const ModuleScope scope(*this, input);
  return dropout(input, random_key(*input.builder()), {.p = p});
}

Value Dropout2d::forward(Value input) {
  if (!is_training() || p == 0 || !is_usable(input)) return input;
  const ModuleScope scope(*this, input);
  return dropout2d(input, random_key(*input.builder()), p);
}

Value AlphaDropout::forward(Value input) {
  if (!is_training() || p == 0 || !is_usable(input)) return input;
  const ModuleScope scope(*this, input);
  return alpha_dropout(input, random_key(*input.builder()), p);
}

Value DropPath::forward(Value input) {
  if (!is_training() || drop_prob == 0 || !is_usable(input)) return input;
  const ModuleScope scope(*this, input);
  return drop_path(input, random_key(*input.builder()), drop_prob, scale_by_keep);
}

Value StochasticDepth::forward(Value input) {
  if (!is_training() || p == 0 || !is_usable(input)) return input;
  const ModuleScope scope(*this, input);
  const Value key = random_key(*input.builder());
  return mode == Mode::kRow ? drop_path(input, key, p) : drop_batch(input, key, p);
}

}  // namespace modellib::nn
