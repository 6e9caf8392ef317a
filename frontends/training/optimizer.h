// Optimizers: what a training step does with gradients. An Optimizer describes: it names the slots
// that it keeps for each parameter and emits the update into the graph of the step, where forward,
// backward and update are planned together. Formulas are those of torch.optim (ops/optimizers.h).
#ifndef MODELLIB_FRONTENDS_TRAINING_OPTIMIZER_H_
#define MODELLIB_FRONTENDS_TRAINING_OPTIMIZER_H_

#include <memory>
#include <string>
#include <vector>

#include "modellib/frontends/nn/parameter.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/optimizers.h"

namespace modellib::training {

class Optimizer {
 public:
  explicit Optimizer(double lr) : lr_(lr) {}
  virtual ~Optimizer() = default;

  // The rate is an input of the training step's plan, so it may change between steps without
  // planning again: whoever runs the step passes learning_rate() with it, each time. Setting it
  // changes nothing in a step that was given another number.
  double learning_rate() const { return lr_; }
  void set_learning_rate(double lr) { lr_ = lr; }

  // Slots of one parameter, all of its shape and type, that start as zeros.
  virtual std::vector<std::string> slots() const = 0;
  // New contents: the parameter's, then those of its slots in their order.
  virtual std::vector<Value> update(Value param, absl::Span<const Value> slots, Value gradient,
                                    const OptimizerStep& step) const = 0;

 private:
  double lr_;
};

// torch.optim.SGD.
struct SgdOptions {
  double lr = 1e-3;
  double momentum = 0.0;
  double dampening = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;
};
class SGD final : public Optimizer {
 public:
  explicit SGD(const SgdOptions& options = {}) : Optimizer(options.lr), options_(options) {}
  std::vector<std::string> slots() const override;
  std::vector<Value> update(Value param, absl::Span<const Value> slots, Value gradient,
                            const OptimizerStep& step) const override;

 private:
  SgdOptions options_;
};

// torch.optim.Adam.
struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
  bool amsgrad = false;
};
class Adam : public Optimizer {
 public:
  explicit Adam(const AdamOptions& options = {}) : Optimizer(options.lr), options_(options) {}
  std::vector<std::string> slots() const override;
  std::vector<Value> update(Value param, absl::Span<const Value> slots, Value gradient,
                            const OptimizerStep& step) const override;

 protected:
  AdamOptions options_;
};

// torch.optim.AdamW: the decay does not pass through the moments.
struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  bool amsgrad = false;
};
class AdamW final : public Adam {
 public:
  explicit AdamW(const AdamWOptions& options = {});
  std::vector<Value> update(Value param, absl::Span<const Value> slots, Value gradient,
                            const OptimizerStep& step) const override;
};

}  // namespace modellib::training

#endif  // MODELLIB_FRONTENDS_TRAINING_OPTIMIZER_H_
