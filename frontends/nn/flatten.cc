#include "modellib/frontends/nn/flatten.h"

#include "modellib/ops/shape.h"

namespace modellib::nn {

Value Flatten::forward(Value input) {
  const ModuleScope scope(*this, input);
  return flatten(input, start_dim, end_dim);
}

}  // namespace modellib::nn
