#include "modellib/frontends/nn/normalization.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/frontends/nn/spatial.h"
#include "modellib/ops/batch_norm.h"
#include "modellib/ops/normalization.h"
#include "modellib/ops/shape.h"

namespace modellib::nn {
namespace {

// Poisons an input that does not end in `extents`: without a weight the op cannot see it.
bool check_trailing(Value& input, const std::vector<int64_t>& extents, absl::string_view layer) {
  if (input.is_null() || input.is_poisoned()) return false;
  const Shape& shape = input.shape();
  bool fits = !extents.empty() && extents.size() <= shape.size();
  for (size_t i = 0; fits && i < extents.size(); ++i) {
    const Dim& extent = shape[shape.size() - extents.size() + i];
    fits = !extent.is_static() || extent.value() == extents[i];
  }
  if (fits) return true;
  input = input.builder()->poison(absl::InvalidArgumentError(absl::StrCat(
      layer, " over [", absl::StrJoin(extents, ","), "] cannot take ", to_string(input.type()))));
  return false;
}

}  // namespace

LayerNorm::LayerNorm(NormalizedShape shape, double eps, bool elementwise_affine, bool with_bias)
    : normalized_shape(std::move(shape.extents)), eps(eps) {
  if (elementwise_affine) {
    weight = Parameter(normalized_shape, init::ones());
    if (with_bias) bias = Parameter(normalized_shape, init::zeros());
  }
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Value LayerNorm::forward(Value input) {
  const ModuleScope scope(*this, input);
  if (!check_trailing(input, normalized_shape, "LayerNorm")) return input;
  return layer_norm(input, weight.read(input), bias.read(input),
                    {.normalized_rank = static_cast<int64_t>(normalized_shape.size()), .eps = eps});
}

RMSNorm::RMSNorm(NormalizedShape shape, double eps, bool elementwise_affine)
    : normalized_shape(std::move(shape.extents)), eps(eps) {
  if (elementwise_affine) weight = Parameter(normalized_shape, init::ones());
  register_parameter("weight", weight);
}

Value RMSNorm::forward(Value input) {
  const ModuleScope scope(*this, input);
  if (!check_trailing(input, normalized_shape, "RMSNorm")) return input;
  return rms_norm(input, weight.read(input),
                  {.normalized_rank = static_cast<int64_t>(normalized_shape.size()), .eps = eps});
}

GroupNorm::GroupNorm(int64_t num_groups, int64_t num_channels, double eps, bool affine)
    : num_groups(num_groups), num_channels(num_channels), eps(eps) {
  if (affine) {
    weight = Parameter({num_channels}, init::ones());
    bias = Parameter({num_channels}, init::zeros());
  }
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Value GroupNorm::forward(Value input) {
  const ModuleScope scope(*this, input);
  if (!check_channels(input, num_channels, "GroupNorm")) return input;
  return group_norm(input, weight.read(input), bias.read(input), {num_groups, eps});
}

InstanceNorm::InstanceNorm(int64_t num_features, const InstanceNormOptions& options)
    : num_features(num_features), options(options) {
  if (options.affine) {
    weight = Parameter({num_features}, init::ones());
    bias = Parameter({num_features}, init::zeros());
  }
  if (options.track_running_stats) {
    running_mean = Parameter({num_features}, init::zeros());
    running_var = Parameter({num_features}, init::ones());
  }
  register_parameter("weight", weight);
  register_parameter("bias", bias);
  register_buffer("running_mean", running_mean);
  register_buffer("running_var", running_var);
}

Value InstanceNorm::normalize(Value input) {
  if (!check_channels(input, num_features, "InstanceNorm")) return input;
  const Value w = weight.read(input), b = bias.read(input);
  if (running_mean.is_absent()) return instance_norm(input, w, b, options.eps);
  const Value mean = running_mean.read(input), var = running_var.read(input);
  if (!is_training()) return batch_norm_inference(input, mean, var, w, b, {options.eps});
  // The channels of all samples as those of one: each has statistics, whose means are kept.
  const Dim batch = input.dim(0);
  Shape joined = input.shape();
  joined[0] = 1;
  joined[1] = batch * num_features;
  const Value x = reshape(input, joined);
  const BatchNormOutputs all = batch_norm_training(x, {}, {}, {options.eps});
  const auto repeated = [&](Value v) {
    return reshape(broadcast_to(v, {batch, num_features}), {joined[1]});
  };
  const auto averaged = [&](Value v) { return reshape(v, {batch, num_features}).mean(0); };
  const RunningStatistics next =
      update_running_statistics({repeated(mean), repeated(var)}, all, x, options.momentum);
  running_mean.assign(averaged(next.mean));
  running_var.assign(averaged(next.var));
  return instance_norm(input, w, b, options.eps);
}

Value InstanceNorm1d::forward(Value input) {
  const ModuleScope scope(*this, input);
  return check_rank(input, {3}, "InstanceNorm1d", "[batch, features, length]") ? normalize(input)
                                                                               : input;
}

Value InstanceNorm2d::forward(Value input) {
  const ModuleScope scope(*this, input);
  return check_rank(input, {4}, "InstanceNorm2d", "[batch, features, height, width]")
             ? normalize(input)
             : input;
}

}  // namespace modellib::nn
