#include "modellib/frontends/nn/parameter.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/random.h"
#include "modellib/ops/shape.h"

namespace modellib::nn {
namespace init {

Initializer constant(double value) {
  return [value](GraphBuilder& builder, Value, const TensorType& type) {
    return broadcast_to(builder.scalar(value, type.dtype), type.shape);
  };
}
Initializer zeros() { return constant(0.0); }
Initializer ones() { return constant(1.0); }

Initializer uniform(double low, double high) {
  return [=](GraphBuilder&, Value key, const TensorType& type) {
    return random_uniform(key, {.shape = type.shape, .dtype = type.dtype}) * (high - low) + low;
  };
}

Initializer normal(double mean, double std) {
  return [=](GraphBuilder&, Value key, const TensorType& type) {
    return random_normal(key, {.shape = type.shape, .dtype = type.dtype}) * std + mean;
  };
}

Initializer tensor(Tensor value) {
  return [value = std::move(value)](GraphBuilder& builder, Value, const TensorType&) {
    return builder.constant(value);
  };
}

Initializer fan_in_uniform(int64_t fan_in) {
  const double bound = fan_in > 0 ? 1.0 / std::sqrt(static_cast<double>(fan_in)) : 0.0;
  return uniform(-bound, bound);
}

Initializer xavier_uniform(int64_t fan_in, int64_t fan_out, double gain) {
  const double bound = gain * std::sqrt(6.0 / static_cast<double>(fan_in + fan_out));
  return uniform(-bound, bound);
}

Initializer kaiming_normal(int64_t fan, double gain) {
  return normal(0.0, gain / std::sqrt(static_cast<double>(fan)));
}

}  // namespace init

Parameter::Parameter(std::vector<int64_t> shape, Initializer initializer, DType dtype)
    : state_(std::make_shared<State>()) {
  state_->shape = std::move(shape);
  state_->dtype = dtype;
  state_->initializer = std::move(initializer);
}

absl::Status Parameter::status() const {
  if (is_absent()) return absl::OkStatus();
  if (state_->name.empty()) {
    return absl::FailedPreconditionError(
        "a parameter is used that no module registered: call register_parameter and "
        "register_module in the constructors");
  }
  if (state_->shares_name) {
    return absl::InvalidArgumentError(absl::StrCat(
        "two parameters are called '", state_->name,
        "': register each under a name of its own, or tie them by assigning one to the other"));
  }
  return absl::OkStatus();
}

Variable Parameter::variable() const {
  return {state_->name,
          {state_->dtype, Shape(state_->shape.begin(), state_->shape.end())},
          Variable::Kind::kShared};
}

Value Parameter::read(GraphBuilder& builder) const {
  if (is_absent()) return {};
  if (absl::Status s = status(); !s.ok()) return builder.poison(std::move(s));
  return builder.variable(variable());
}

Value Parameter::read(const Value& like) const {
  return like.is_null() ? Value() : read(*like.builder());
}

void Parameter::assign(const Value& value) const {
  if (is_absent() || value.is_null()) return;
  if (absl::Status s = status(); !s.ok()) {
    value.builder()->poison(std::move(s));
    return;
  }
  value.builder()->assign(variable(), value);
}

Parameter Parameter::clone() const {
  Parameter copy;
  if (state_ != nullptr) copy.state_ = std::make_shared<State>(*state_);
  return copy;
}

}  // namespace modellib::nn
