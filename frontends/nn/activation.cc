#include "modellib/frontends/nn/activation.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "modellib/ops/softmax.h"

namespace modellib::nn {

Value GELU::forward(Value input) {
  const ModuleScope scope(*this, input);
  return gelu(input, {approximate ? "tanh" : "none"});
}

Value LeakyReLU::forward(Value input) {
  const ModuleScope scope(*this, input);
  return leaky_relu(input, {negative_slope});
}

Value ELU::forward(Value input) {
  const ModuleScope scope(*this, input);
  return elu(input, {alpha});
}

Value HardTanh::forward(Value input) {
  const ModuleScope scope(*this, input);
  return hard_tanh(input, {min_val, max_val});
}

Value Softplus::forward(Value input) {
  const ModuleScope scope(*this, input);
  return softplus(input, {beta, threshold});
}

Value Softmax::forward(Value input) {
  const ModuleScope scope(*this, input);
  return softmax(input, {dim});
}

Value LogSoftmax::forward(Value input) {
  const ModuleScope scope(*this, input);
  return log_softmax(input, {dim});
}

Value GLU::forward(Value input) {
  const ModuleScope scope(*this, input);
  return glu(input, dim);
}

PReLU::PReLU(int64_t num_parameters, double init) : weight({num_parameters}, init::constant(init)) {
  register_parameter("weight", weight);
}

Value PReLU::forward(Value input) {
  const ModuleScope scope(*this, input);
  return prelu(input, weight.read(input));
}

ActivationFunction ActivationFunction::named(absl::string_view name) {
  if (name == "relu") return relu;
  if (name == "gelu") return GELU();
  if (name == "gelu_new") return GELU(true);
  if (name == "silu" || name == "swish") return silu;
  if (name == "tanh") return modellib::tanh;
  if (name == "sigmoid") return sigmoid;
  return [unknown = std::string(name)](Value x) {
    if (x.is_null()) return x;
    return x.builder()->poison(
        absl::InvalidArgumentError(absl::StrCat("there is no activation '", unknown, "'")));
  };
}

}  // namespace modellib::nn
