// Linear: y = x Wᵀ + b, as torch.nn.Linear.
#ifndef MODELLIB_FRONTENDS_NN_LINEAR_H_
#define MODELLIB_FRONTENDS_NN_LINEAR_H_

#include <cstdint>

#include "modellib/frontends/nn/module.h"

namespace modellib::nn {

class Linear : public Module {
 public:
  // Both start uniform in ±1/sqrt(in_features).
  Linear(int64_t in_features, int64_t out_features, bool bias = true);

  // [..., in_features] -> [..., out_features]
  Value forward(Value input) override;

  Parameter weight;  // [out_features, in_features]
  Parameter bias;    // [out_features], or absent
  int64_t in_features;
  int64_t out_features;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_LINEAR_H_
