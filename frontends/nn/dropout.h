// Dropout, as torch.nn.Dropout: in training each element is zero with probability p, the others are
// scaled by 1/(1-p); in evaluation nothing happens. Srivastava et al., 2014.
#ifndef MODELLIB_FRONTENDS_NN_DROPOUT_H_
#define MODELLIB_FRONTENDS_NN_DROPOUT_H_

#include "modellib/frontends/nn/module.h"

namespace modellib::nn {

class Dropout : public Module {
 public:
  // 0 <= p <= 1. `inplace` changes nothing: the planner decides.
  explicit Dropout(double p = 0.5, bool inplace = false);

  // Any shape. Each call draws its own numbers, also of one module used twice.
  Value forward(Value input) override;

  double p;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_DROPOUT_H_
