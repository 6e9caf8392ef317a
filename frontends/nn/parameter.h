// A parameter of a module: a variable of the program with a first value and a wish for a gradient.
//
// Parameters are handles: a copy means the same variable, so `decoder.weight = embedding.weight`
// ties two weights. clone() makes an independent one. While graphs are built the variable takes its
// name from the path of the module that holds it first ("encoder.layer0.weight", as in PyTorch's
// state dict).
#ifndef MODELLIB_FRONTENDS_NN_PARAMETER_H_
#define MODELLIB_FRONTENDS_NN_PARAMETER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/tensor.h"

namespace modellib::nn {

// Emits the first value of a variable of the given type. `key` is an i64[2] for random ops.
using Initializer = std::function<Value(GraphBuilder& builder, Value key, const TensorType& type)>;

namespace init {
Initializer zeros();
Initializer ones();
Initializer constant(double value);
// Uniform in [low, high).
Initializer uniform(double low, double high);
Initializer normal(double mean = 0.0, double std = 1.0);
// The tensor itself, whose type must be the parameter's.
Initializer tensor(Tensor value);
// Uniform in ±sqrt(1 / fan_in): what PyTorch's Linear and convolutions draw (kaiming_uniform with a
// = sqrt(5)).
Initializer fan_in_uniform(int64_t fan_in);
// Uniform in ±gain·sqrt(6 / (fan_in + fan_out)). Glorot and Bengio, 2010.
Initializer xavier_uniform(int64_t fan_in, int64_t fan_out, double gain = 1.0);
// Normal with deviation gain·sqrt(1 / fan). He et al., 2015 (gain sqrt(2) for relu).
Initializer kaiming_normal(int64_t fan, double gain = 1.4142135623730951);
}  // namespace init

class Parameter {
 public:
  // An absent parameter: a bias that was not asked for.
  Parameter() = default;
  Parameter(std::vector<int64_t> shape, Initializer initializer, DType dtype = DType::kF32);

  bool is_absent() const { return state_ == nullptr; }
  const std::vector<int64_t>& shape() const { return state_->shape; }
  DType dtype() const { return state_->dtype; }
  const std::string& name() const { return state_->name; }
  const Initializer& initializer() const { return state_->initializer; }
  bool requires_grad() const { return state_ != nullptr && state_->requires_grad; }
  // Read when a graph is built.
  void set_requires_grad(bool on) {
    if (state_ != nullptr) state_->requires_grad = on;
  }
  // Replaces the first value.
  void set_initializer(Initializer initializer) {
    if (state_ != nullptr) state_->initializer = std::move(initializer);
  }

  // Whether a graph can use it: FailedPrecondition until a module that holds it was named,
  // InvalidArgument if another parameter has the same name. Otherwise reading and assigning it
  // poison the build.
  absl::Status status() const;
  // The variable as a program knows it.
  Variable variable() const;
  // Its content in the graph that `like` belongs to; null for an absent parameter.
  Value read(const Value& like) const;
  Value read(GraphBuilder& builder) const;
  // Its content after the run; for running statistics.
  void assign(const Value& value) const;

  // An independent parameter that starts alike.
  Parameter clone() const;
  // The same variable.
  bool same_as(const Parameter& other) const { return state_ == other.state_; }

 private:
  friend class Module;
  struct State {
    std::vector<int64_t> shape;
    DType dtype = DType::kF32;
    Initializer initializer;
    bool requires_grad = true;
    std::string name;          // set when a module tree is named
    bool shares_name = false;  // with another parameter of that tree
  };
  std::shared_ptr<State> state_;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_PARAMETER_H_
