// Batch normalisation. Ioffe and Szegedy, "Batch Normalization", 2015.
//
// x is [batch, channels, …]; statistics, weight and bias are [channels], statistics in f32 for f16
// and bf16 operands. Training and inference are two ops: a graph is built for one of them. What
// happens to the running statistics is said by the graph, with update_running_statistics and
// GraphBuilder::assign.
#ifndef MODELLIB_OPS_BATCH_NORM_H_
#define MODELLIB_OPS_BATCH_NORM_H_

#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

struct BatchNormAttributes {
  double eps = 1e-5;
  static constexpr auto fields() {
    return std::make_tuple(field("eps", &BatchNormAttributes::eps));
  }
};

struct BatchNormOutputs {
  Value y;     // like x
  Value mean;  // [channels]
  Value var;   // [channels], divided by n (biased)
};
// (x - mean) / sqrt(var + eps) weight + bias with the statistics of this batch. `weight` and `bias`
// may be null.
BatchNormOutputs batch_norm_training(Value x, Value weight = {}, Value bias = {},
                                     BatchNormAttributes attributes = {});
// The same with given statistics.
Value batch_norm_inference(Value x, Value mean, Value var, Value weight = {}, Value bias = {},
                           BatchNormAttributes attributes = {});

struct RunningStatistics {
  Value mean, var;
};
// running + momentum (batch - running), where the batch's variance is divided by n - 1, as in
// PyTorch. `x` is the operand of batch_norm_training and `batch` its result; n is how many elements
// of x a channel has. One has no such variance: InvalidArgument if n is known to be less than 2;
// where extents are free, a run with n = 1 leaves the variance as it is, and an empty one both. No
// gradient goes through it.
RunningStatistics update_running_statistics(RunningStatistics running,
                                            const BatchNormOutputs& batch, Value x,
                                            double momentum = 0.1);

}  // namespace modellib

#endif  // MODELLIB_OPS_BATCH_NORM_H_
