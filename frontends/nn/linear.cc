#include "modellib/frontends/nn/linear.h"

#include "modellib/ops/linear.h"

namespace modellib::nn {

Linear::Linear(int64_t in_features, int64_t out_features, bool with_bias)
    : weight({out_features, in_features}, init::fan_in_uniform(in_features)),
      in_features(in_features),
      out_features(out_features) {
  if (with_bias) bias = Parameter({out_features}, init::fan_in_uniform(in_features));
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Value Linear::forward(Value input) {
  const ModuleScope scope(*this, input);
  return linear(input, weight.read(input), bias.read(input));
}

}  // namespace modellib::nn
