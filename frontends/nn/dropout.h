// Dropout and its kin: layers that drop a part of their input at random in training, and give their
// input in evaluation. `inplace` changes nothing: the planner decides. Each call draws numbers of
// its own, also of one module used twice.
#ifndef MODELLIB_FRONTENDS_NN_DROPOUT_H_
#define MODELLIB_FRONTENDS_NN_DROPOUT_H_

#include "modellib/frontends/nn/module.h"

namespace modellib::nn {

// Each element is zero with probability p, the others are scaled by 1/(1-p). Any shape. Srivastava
// et al., 2014.
class Dropout : public Module {
 public:
  // 0 <= p <= 1, here and below.
  explicit Dropout(double p = 0.5, bool /*inplace*/ = false) : p(p) {}
  Value forward(Value input) override;
  double p;
};

// Whole channels of [batch, channels, …]. Tompson et al., 2015.
class Dropout2d : public Module {
 public:
  explicit Dropout2d(double p = 0.5, bool /*inplace*/ = false) : p(p) {}
  Value forward(Value input) override;
  double p;
};

// Keeps mean and variance of what SELU gives. Klambauer et al., 2017.
class AlphaDropout : public Module {
 public:
  explicit AlphaDropout(double p = 0.5, bool /*inplace*/ = false) : p(p) {}
  Value forward(Value input) override;
  double p;
};

// Whole samples of [batch, …]; those that stay are scaled by 1/(1-p) unless scale_by_keep is off.
// As timm's DropPath. Huang et al., "Deep Networks with Stochastic Depth", 2016.
class DropPath : public Module {
 public:
  explicit DropPath(double drop_prob = 0.0, bool scale_by_keep = true)
      : drop_prob(drop_prob), scale_by_keep(scale_by_keep) {}
  Value forward(Value input) override;
  double drop_prob;
  bool scale_by_keep;
};

// Whole samples (kRow) or the whole batch (kBatch); what stays is scaled by 1/(1-p). As
// torchvision's StochasticDepth.
class StochasticDepth : public Module {
 public:
  enum class Mode { kRow, kBatch };
  explicit StochasticDepth(double p, Mode mode = Mode::kRow) : p(p), mode(mode) {}
  Value forward(Value input) override;
  double p;
  Mode mode;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_DROPOUT_H_
