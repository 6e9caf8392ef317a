// Normalisation of each sample on its own: LayerNorm, RMSNorm, GroupNorm and InstanceNorm, as
// PyTorch's layers of these names. That over the batch is in batch_norm.h.
#ifndef MODELLIB_FRONTENDS_NN_NORMALIZATION_H_
#define MODELLIB_FRONTENDS_NN_NORMALIZATION_H_

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "modellib/frontends/nn/module.h"

namespace modellib::nn {

// The trailing extents over which a layer normalises: `768`, or `{32, 32}`.
struct NormalizedShape {
  // NOLINTNEXTLINE(google-explicit-constructor): reads as a number
  NormalizedShape(int64_t last) : extents{last} {}
  NormalizedShape(std::initializer_list<int64_t> extents) : extents(extents) {}
  // NOLINTNEXTLINE(google-explicit-constructor): reads as a list
  NormalizedShape(std::vector<int64_t> extents) : extents(std::move(extents)) {}
  std::vector<int64_t> extents;
};

// Ba, Kiros and Hinton, 2016. Any shape that ends in normalized_shape.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(NormalizedShape normalized_shape, double eps = 1e-5,
                     bool elementwise_affine = true, bool bias = true);
  Value forward(Value input) override;

  Parameter weight, bias;  // normalized_shape; start at 1 and 0
  std::vector<int64_t> normalized_shape;
  double eps;
};

// Zhang and Sennrich, 2019. Any shape that ends in normalized_shape.
class RMSNorm : public Module {
 public:
  explicit RMSNorm(NormalizedShape normalized_shape, double eps = 1e-6,
                   bool elementwise_affine = true);
  Value forward(Value input) override;

  Parameter weight;  // normalized_shape; starts at 1
  std::vector<int64_t> normalized_shape;
  double eps;
};

// Wu and He, 2018. [batch, num_channels, …]; num_groups must divide num_channels.
class GroupNorm : public Module {
 public:
  GroupNorm(int64_t num_groups, int64_t num_channels, double eps = 1e-5, bool affine = true);
  Value forward(Value input) override;

  Parameter weight, bias;  // [num_channels]; start at 1 and 0
  int64_t num_groups, num_channels;
  double eps;
};

struct InstanceNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;             // share of the batch in the new running statistics
  bool affine = false;               // learn a weight and a bias
  bool track_running_stats = false;  // false: samples normalise in evaluation too
};

// Each channel of each sample on its own. Ulyanov, Vedaldi and Lempitsky, 2016. With
// track_running_stats the means over the batch of the samples' statistics are gathered in training,
// as those of BatchNorm, from more than one value per channel and sample, and normalise in
// evaluation.
class InstanceNorm : public Module {
 public:
  Parameter weight, bias;               // [num_features]; start at 1 and 0
  Parameter running_mean, running_var;  // buffers, [num_features]; start at 0 and 1
  int64_t num_features;
  InstanceNormOptions options;

 protected:
  InstanceNorm(int64_t num_features, const InstanceNormOptions& options);
  Value normalize(Value input);
};

// [batch, features, length].
class InstanceNorm1d : public InstanceNorm {
 public:
  explicit InstanceNorm1d(int64_t num_features, const InstanceNormOptions& options = {})
      : InstanceNorm(num_features, options) {}
  Value forward(Value input) override;
};

// [batch, features, height, width].
class InstanceNorm2d : public InstanceNorm {
 public:
  explicit InstanceNorm2d(int64_t num_features, const InstanceNormOptions& options = {})
      : InstanceNorm(num_features, options) {}
  Value forward(Value input) override;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_NORMALIZATION_H_
