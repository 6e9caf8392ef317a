// Flatten: joins axes into one, as torch.nn.Flatten; by default all but the batch.
#ifndef MODELLIB_FRONTENDS_NN_FLATTEN_H_
#define MODELLIB_FRONTENDS_NN_FLATTEN_H_

#include <cstdint>

#include "modellib/frontends/nn/module.h"

namespace modellib::nn {

class Flatten : public Module {
 public:
  explicit Flatten(int64_t start_dim = 1, int64_t end_dim = -1)
      : start_dim(start_dim), end_dim(end_dim) {}
  Value forward(Value input) override;

  int64_t start_dim, end_dim;  // both included
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_FLATTEN_H_
