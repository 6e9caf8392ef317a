#include "modellib/frontends/nn/batch_norm.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/nn/spatial.h"
#include "modellib/ops/batch_norm.h"

namespace modellib::nn {
namespace {

// Poisons a batch that is known to have one value per channel or none: it has no variance.
bool check_count(Value& input) {
  if (input.is_null() || input.is_poisoned()) return false;
  Dim count = 1;
  for (int axis = 0; axis < input.rank(); ++axis) {
    if (axis != 1) count = count * input.shape()[static_cast<size_t>(axis)];
  }
  if (!count.is_static() || count.value() > 1) return true;
  input = input.builder()->poison(absl::InvalidArgumentError(
      absl::StrCat("BatchNorm needs more than one value per channel in training, the operand is ",
                   to_string(input.type()))));
  return false;
}

}  // namespace

BatchNorm::BatchNorm(int64_t num_features, const BatchNormOptions& options)
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

Value BatchNorm::normalize(Value input) {
  if (!check_channels(input, num_features, "BatchNorm")) return input;
  const Value w = weight.read(input), b = bias.read(input);
  const RunningStatistics running{running_mean.read(input), running_var.read(input)};
  if (!is_training() && !running_mean.is_absent()) {
    return batch_norm_inference(input, running.mean, running.var, w, b, {options.eps});
  }
  if (is_training() && !check_count(input)) return input;
  const BatchNormOutputs batch = batch_norm_training(input, w, b, {options.eps});
  if (is_training() && !running_mean.is_absent()) {
    const RunningStatistics next =
        update_running_statistics(running, batch, input, options.momentum);
    running_mean.assign(next.mean);
    running_var.assign(next.var);
  }
  return batch.y;
}

Value BatchNorm1d::forward(Value input) {
  const ModuleScope scope(*this, input);
  return check_rank(input, {2, 3}, "BatchNorm1d", "[batch, features] or [batch, features, length]")
             ? normalize(input)
             : input;
}

Value BatchNorm2d::forward(Value input) {
  const ModuleScope scope(*this, input);
  return check_rank(input, {4}, "BatchNorm2d", "[batch, features, height, width]")
             ? normalize(input)
             : input;
}

}  // namespace modellib::nn
