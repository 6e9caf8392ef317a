// Normalisation within a sample: layer norm, RMS norm, group norm, instance norm. (Over the batch:
// batch_norm.h.)
//
// Statistics are kept in f32 for f16 and bf16 operands. layer_norm and rms_norm return them too:
// they are what the gradient needs, one number for each row, so the backward pass need not
// recompute them.
#ifndef MODELLIB_OPS_NORMALIZATION_H_
#define MODELLIB_OPS_NORMALIZATION_H_

#include <cstdint>
#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

// How many trailing axes form a row: PyTorch's normalized_shape is the last `normalized_rank`
// extents.
struct LayerNormAttributes {
  int64_t normalized_rank = 1;
  double eps = 1e-5;
  static constexpr auto fields() {
    return std::make_tuple(field("normalized_rank", &LayerNormAttributes::normalized_rank),
                           field("eps", &LayerNormAttributes::eps));
  }
};

struct LayerNormOutputs {
  Value y;     // like x
  Value mean;  // [leading extents of x, 1, …, 1], f32 or f64
  Value rstd;  // the same; 1 / sqrt(variance + eps)
};
// (x - mean) rstd weight + bias, mean and variance (divided by n) over each row. `weight` and
// `bias` have the row's shape and may be null. Ba, Kiros and Hinton, "Layer Normalization", 2016.
Value layer_norm(Value x, Value weight = {}, Value bias = {}, LayerNormAttributes attributes = {});
LayerNormOutputs layer_norm_with_statistics(Value x, Value weight = {}, Value bias = {},
                                            LayerNormAttributes attributes = {});

struct RmsNormAttributes {
  int64_t normalized_rank = 1;
  double eps = 1e-6;
  static constexpr auto fields() {
    return std::make_tuple(field("normalized_rank", &RmsNormAttributes::normalized_rank),
                           field("eps", &RmsNormAttributes::eps));
  }
};
// x / sqrt(mean(x²) + eps) weight, the mean over each row. Zhang and Sennrich, "Root Mean Square
// Layer Normalization", 2019.
Value rms_norm(Value x, Value weight = {}, RmsNormAttributes attributes = {});

struct GroupNormAttributes {
  int64_t num_groups = 1;
  double eps = 1e-5;
  static constexpr auto fields() {
    return std::make_tuple(field("num_groups", &GroupNormAttributes::num_groups),
                           field("eps", &GroupNormAttributes::eps));
  }
};
// x [batch, channels, …]: each sample's channels in `num_groups` groups, each normalised as a row;
// `weight` and `bias` [channels], may be null. The number of channels must be known ahead.
// Wu and He, "Group Normalization", 2018.
Value group_norm(Value x, Value weight, Value bias, GroupNormAttributes attributes);
// Each channel of each sample on its own: group norm with a group for each channel.
Value instance_norm(Value x, Value weight = {}, Value bias = {}, double eps = 1e-5);

}  // namespace modellib

#endif  // MODELLIB_OPS_NORMALIZATION_H_
