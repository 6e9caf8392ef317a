// Activations as modules, for containers; inside a forward() the functions of ops/activations.h and
// ops/pointwise.h are shorter. All take any shape, where nothing else is said.
#ifndef MODELLIB_FRONTENDS_NN_ACTIVATION_H_
#define MODELLIB_FRONTENDS_NN_ACTIVATION_H_

#include <concepts>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

#include "absl/strings/string_view.h"
#include "modellib/frontends/nn/module.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/pointwise.h"

namespace modellib::nn {

// An activation without options. `inplace`, here and below, changes nothing: the planner decides.
template <Value (*function)(Value)>
class PlainActivation : public Module {
 public:
  explicit PlainActivation(bool /*inplace*/ = false) {}
  Value forward(Value input) override {
    const ModuleScope scope(*this, input);
    return function(input);
  }
};
using ReLU = PlainActivation<modellib::relu>;
using ReLU6 = PlainActivation<modellib::relu6>;
using SELU = PlainActivation<modellib::selu>;
using SiLU = PlainActivation<modellib::silu>;
using Mish = PlainActivation<modellib::mish>;
using Sigmoid = PlainActivation<modellib::sigmoid>;
using LogSigmoid = PlainActivation<modellib::log_sigmoid>;
using Tanh = PlainActivation<modellib::tanh>;
using Softsign = PlainActivation<modellib::softsign>;
using HardSigmoid = PlainActivation<modellib::hard_sigmoid>;
using HardSwish = PlainActivation<modellib::hard_swish>;

// x Φ(x); `approximate`: the form with tanh.
class GELU : public Module {
 public:
  explicit GELU(bool approximate = false) : approximate(approximate) {}
  Value forward(Value input) override;
  bool approximate;
};

class LeakyReLU : public Module {
 public:
  explicit LeakyReLU(double negative_slope = 0.01, bool /*inplace*/ = false)
      : negative_slope(negative_slope) {}
  Value forward(Value input) override;
  double negative_slope;
};

class ELU : public Module {
 public:
  explicit ELU(double alpha = 1.0, bool /*inplace*/ = false) : alpha(alpha) {}
  Value forward(Value input) override;
  double alpha;
};

class HardTanh : public Module {
 public:
  explicit HardTanh(double min_val = -1.0, double max_val = 1.0, bool /*inplace*/ = false)
      : min_val(min_val), max_val(max_val) {}
  Value forward(Value input) override;
  double min_val, max_val;
};

class Softplus : public Module {
 public:
  explicit Softplus(double beta = 1.0, double threshold = 20.0)
      : beta(beta), threshold(threshold) {}
  Value forward(Value input) override;
  double beta, threshold;
};

class Softmax : public Module {
 public:
  explicit Softmax(int64_t dim = -1) : dim(dim) {}
  Value forward(Value input) override;
  int64_t dim;
};

class LogSoftmax : public Module {
 public:
  explicit LogSoftmax(int64_t dim = -1) : dim(dim) {}
  Value forward(Value input) override;
  int64_t dim;
};

// Halves the extent of `dim`, which must be even.
class GLU : public Module {
 public:
  explicit GLU(int64_t dim = -1) : dim(dim) {}
  Value forward(Value input) override;
  int64_t dim;
};

// relu with a learned slope for negative values: one for all, or one for each channel (axis 1).
class PReLU : public Module {
 public:
  explicit PReLU(int64_t num_parameters = 1, double init = 0.25);
  Value forward(Value input) override;

  Parameter weight;  // [num_parameters]
};

// What a layer applies between two products: a module without parameters, or any callable from
// Value to Value.
//
//   ActivationFunction a = GELU(), b = relu, c = [](Value x) { return square(relu(x)); };
class ActivationFunction {
 public:
  template <class F>
    requires(!std::same_as<F, ActivationFunction>)
  // NOLINTNEXTLINE(google-explicit-constructor): options read as GELU() or relu
  ActivationFunction(F function) {
    if constexpr (std::derived_from<F, Module>) {
      static_assert(!std::derived_from<F, PReLU>, "a module with parameters must be registered");
      apply_ = [module = std::move(function)](Value x) mutable { return module.forward(x); };
    } else {
      apply_ = std::move(function);
    }
  }
  // By the name that published configurations give it: "relu", "gelu", "gelu_new" (with tanh),
  // "silu" or "swish", "tanh", "sigmoid". Another name poisons where it is applied.
  static ActivationFunction named(absl::string_view name);

  Value operator()(Value x) const { return apply_(x); }

 private:
  std::function<Value(Value)> apply_;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_ACTIVATION_H_
