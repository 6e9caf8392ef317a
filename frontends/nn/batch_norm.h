// Batch normalisation, as torch.nn.BatchNorm1d and BatchNorm2d. Ioffe and Szegedy, 2015.
//
// In training the statistics of the batch normalise, and move the running ones; in evaluation the
// running ones normalise. A module used twice in one graph moves them twice. A training step whose
// batch is known to have one value per channel is refused; where extents are free, such a batch
// does not move the running variance.
#ifndef MODELLIB_FRONTENDS_NN_BATCH_NORM_H_
#define MODELLIB_FRONTENDS_NN_BATCH_NORM_H_

#include <cstdint>
#include <initializer_list>

#include "modellib/frontends/nn/module.h"

namespace modellib::nn {

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;            // share of the batch in the new running statistics
  bool affine = true;               // learn a weight and a bias
  bool track_running_stats = true;  // false: the batch normalises in evaluation too
};

class BatchNorm : public Module {
 public:
  Parameter weight, bias;               // [num_features]; start at 1 and 0
  Parameter running_mean, running_var;  // buffers, [num_features]; start at 0 and 1
  int64_t num_features;
  BatchNormOptions options;

 protected:
  BatchNorm(int64_t num_features, const BatchNormOptions& options);
  Value normalize(Value input);
};

// [batch, features] or [batch, features, length].
class BatchNorm1d : public BatchNorm {
 public:
  explicit BatchNorm1d(int64_t num_features, const BatchNormOptions& options = {})
      : BatchNorm(num_features, options) {}
  Value forward(Value input) override;
};

// [batch, features, height, width].
class BatchNorm2d : public BatchNorm {
 public:
  explicit BatchNorm2d(int64_t num_features, const BatchNormOptions& options = {})
      : BatchNorm(num_features, options) {}
  Value forward(Value input) override;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_BATCH_NORM_H_
