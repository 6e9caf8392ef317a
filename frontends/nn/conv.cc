#include "modellib/frontends/nn/conv.h"

#include <functional>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib::nn {
namespace {

// Nonsense gives 0 here, and a mistake when the graph is built.
int64_t divide(int64_t channels, int64_t groups) { return groups > 0 ? channels / groups : 0; }

std::vector<int64_t> filter_shape(int64_t first, int64_t second,
                                  const std::vector<int64_t>& kernel) {
  std::vector<int64_t> shape = {first, second};
  shape.insert(shape.end(), kernel.begin(), kernel.end());
  return shape;
}

}  // namespace

ConvLayer::ConvLayer(int64_t in_channels, int64_t out_channels, Geometry g, int64_t groups,
                     bool with_bias, bool transposed)
    : in_channels(in_channels),
      out_channels(out_channels),
      kernel_size(std::move(g.kernel)),
      stride(std::move(g.stride)),
      padding(std::move(g.padding)),
      dilation(std::move(g.dilation)),
      output_padding(std::move(g.output_padding)),
      groups(groups),
      transposed(transposed) {
  const std::vector<int64_t> shape =
      transposed ? filter_shape(in_channels, divide(out_channels, groups), kernel_size)
                 : filter_shape(out_channels, divide(in_channels, groups), kernel_size);
  // Of a transposed filter too PyTorch counts everything but the first extent.
  const int64_t fan_in =
      std::accumulate(shape.begin() + 1, shape.end(), int64_t{1}, std::multiplies<>());
  weight = Parameter(shape, init::fan_in_uniform(fan_in));
  if (with_bias) bias = Parameter({out_channels}, init::fan_in_uniform(fan_in));
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Value ConvLayer::forward(Value input) {
  const ModuleScope scope(*this, input);
  const auto spatial = static_cast<int>(kernel_size.size());
  if (!check_rank(
          input, {spatial + 2}, transposed ? "a transposed convolution" : "a convolution",
          spatial == 1 ? "[batch, channels, length]" : "[batch, channels, height, width]")) {
    return input;
  }
  if (groups < 1 || in_channels % groups != 0 || out_channels % groups != 0) {
    return input.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("a convolution from ", in_channels, " to ", out_channels,
                     " channels cannot have ", groups, " groups")));
  }
  const ConvAttributes attributes{.strides = stride,
                                  .padding_low = padding,
                                  .padding_high = padding,
                                  .dilations = dilation,
                                  .groups = groups};
  const Value filter = weight.read(input);
  const Value y = transposed ? conv_transpose(input, filter, attributes, output_padding)
                             : conv(input, filter, attributes);
  if (bias.is_absent() || y.is_poisoned()) return y;
  Shape along_channels(static_cast<size_t>(y.rank()), 1);
  along_channels[1] = out_channels;
  return y + reshape(bias.read(input), along_channels);
}

Conv1d::Conv1d(int64_t in_channels, int64_t out_channels, int64_t kernel_size,
               const Conv1dOptions& o)
    : ConvLayer(in_channels, out_channels,
                {{kernel_size}, {o.stride}, {o.padding}, {o.dilation}, {}}, o.groups, o.bias,
                false) {}

Conv2d::Conv2d(int64_t in_channels, int64_t out_channels, Size2d kernel_size,
               const Conv2dOptions& o)
    : ConvLayer(in_channels, out_channels,
                {kernel_size.list(), o.stride.list(), o.padding.list(), o.dilation.list(), {}},
                o.groups, o.bias, false) {}

ConvTranspose1d::ConvTranspose1d(int64_t in_channels, int64_t out_channels, int64_t kernel_size,
                                 const Conv1dOptions& o)
    : ConvLayer(in_channels, out_channels,
                {{kernel_size}, {o.stride}, {o.padding}, {o.dilation}, {o.output_padding}},
                o.groups, o.bias, true) {}

ConvTranspose2d::ConvTranspose2d(int64_t in_channels, int64_t out_channels, Size2d kernel_size,
                                 const Conv2dOptions& o)
    : ConvLayer(in_channels, out_channels,
                {kernel_size.list(), o.stride.list(), o.padding.list(), o.dilation.list(),
                 o.output_padding.list()},
                o.groups, o.bias, true) {}

}  // namespace modellib::nn
