#include "modellib/frontends/nn/dropout.h"

#include "modellib/frontends/nn/random_state.h"
#include "modellib/ops/dropout.h"

namespace modellib::nn {

Dropout::Dropout(double p, bool /*inplace*/) : p(p) {}

Value Dropout::forward(Value input) {
  if (!is_training() || input.is_null()) return input;
  const ModuleScope scope(*this, input);
  return dropout(input, random_key(*input.builder()), {.p = p});
}

}  // namespace modellib::nn
