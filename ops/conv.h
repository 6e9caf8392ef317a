// Convolution over any number of spatial axes, as PyTorch and ONNX mean it (cross-correlation).
//
// With g the gradient of the result, the sum of g * conv(x, w) is linear in each of x, w and g.
// conv, conv_input_gradient and conv_filter_gradient are its derivatives by g, x and w, so the
// three are closed under differentiation.
#ifndef MODELLIB_OPS_CONV_H_
#define MODELLIB_OPS_CONV_H_

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "modellib/graph/builder.h"

namespace modellib {

// Lists have an entry for each spatial axis, or are empty: 1 for strides and dilations, 0 for
// padding.
struct ConvAttributes {
  std::vector<int64_t> strides = {};
  std::vector<int64_t> padding_low = {};  // zeros before the first element; not negative
  std::vector<int64_t> padding_high = {};
  std::vector<int64_t> dilations = {};
  int64_t groups = 1;
  // Of x and the result: "NCHW" is [batch, channels, spatial…], "NHWC" [batch, spatial…, channels],
  // for any number of spatial axes. The filter is [out channels, in channels / groups, kernel…] in
  // both.
  std::string layout = "NCHW";
  // As in matmul.
  std::optional<DType> accumulate = std::nullopt;
  // The result's shape, for the two gradients: of x, or of the filter.
  Shape shape = {};
  static constexpr auto fields() {
    return std::make_tuple(
        field("strides", &ConvAttributes::strides),
        field("padding_low", &ConvAttributes::padding_low),
        field("padding_high", &ConvAttributes::padding_high),
        field("dilations", &ConvAttributes::dilations), field("groups", &ConvAttributes::groups),
        field("layout", &ConvAttributes::layout), field("accumulate", &ConvAttributes::accumulate),
        field("shape", &ConvAttributes::shape));
  }
};

// x [batch, in channels, spatial…], filter [out channels, in channels / groups, kernel…], reals ->
// [batch, out channels, (spatial + padding - dilation (kernel - 1) - 1) / stride + 1…].
Value conv(Value x, Value filter, ConvAttributes attributes = {});
// The same, for rank 4 only.
Value conv2d(Value x, Value filter, ConvAttributes attributes = {});

// From the gradient of conv's result to that of x, whose shape attributes.shape is.
Value conv_input_gradient(Value g, Value filter, ConvAttributes attributes);
// To that of the filter, whose (static) shape attributes.shape is.
Value conv_filter_gradient(Value x, Value g, ConvAttributes attributes);

// torch.nn.ConvTranspose: filter [in channels, out channels / groups, kernel…] -> spatial extents
// (in - 1) stride - padding + dilation (kernel - 1) + 1 + output_padding.
Value conv_transpose(Value x, Value filter, ConvAttributes attributes = {},
                     std::vector<int64_t> output_padding = {});

}  // namespace modellib

#endif  // MODELLIB_OPS_CONV_H_
