#include "modellib/frontends/nn/pooling.h"

#include "modellib/ops/pool.h"

namespace modellib::nn {
namespace {

bool check_image(Value& input) {
  return check_rank(input, {4}, "2-D pooling", "[batch, channels, height, width]");
}

}  // namespace

Value MaxPool2d::forward(Value input) {
  const ModuleScope scope(*this, input);
  if (!check_image(input)) return input;
  return max_pool(input, {.kernel = kernel_size.list(),
                          .strides = options.stride.value_or(kernel_size).list(),
                          .padding_low = options.padding.list(),
                          .padding_high = options.padding.list(),
                          .dilations = options.dilation.list(),
                          .ceil_mode = options.ceil_mode});
}

Value AvgPool2d::forward(Value input) {
  const ModuleScope scope(*this, input);
  if (!check_image(input)) return input;
  return avg_pool(input, {.kernel = kernel_size.list(),
                          .strides = options.stride.value_or(kernel_size).list(),
                          .padding_low = options.padding.list(),
                          .padding_high = options.padding.list(),
                          .ceil_mode = options.ceil_mode,
                          .count_include_pad = options.count_include_pad});
}

Value AdaptiveAvgPool2d::forward(Value input) {
  const ModuleScope scope(*this, input);
  return check_image(input) ? adaptive_avg_pool(input, output_size.list()) : input;
}

Value AdaptiveMaxPool2d::forward(Value input) {
  const ModuleScope scope(*this, input);
  return check_image(input) ? adaptive_max_pool(input, output_size.list()) : input;
}

}  // namespace modellib::nn
