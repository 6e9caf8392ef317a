// Pooling over [batch, channels, height, width], as torch.nn.MaxPool2d, AvgPool2d and their
// adaptive forms.
#ifndef MODELLIB_FRONTENDS_NN_POOLING_H_
#define MODELLIB_FRONTENDS_NN_POOLING_H_

#include <optional>

#include "modellib/frontends/nn/module.h"
#include "modellib/frontends/nn/spatial.h"

namespace modellib::nn {

struct MaxPool2dOptions {
  std::optional<Size2d> stride = std::nullopt;  // default: the kernel
  Size2d padding = 0;                           // never the largest
  Size2d dilation = 1;
  bool ceil_mode = false;  // count a last window that ends beyond the padding
};
class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(Size2d kernel_size, const MaxPool2dOptions& options = {})
      : kernel_size(kernel_size), options(options) {}
  Value forward(Value input) override;

  Size2d kernel_size;
  MaxPool2dOptions options;
};

struct AvgPool2dOptions {
  std::optional<Size2d> stride = std::nullopt;  // default: the kernel
  Size2d padding = 0;
  bool ceil_mode = false;
  bool count_include_pad = true;  // padding counts as zeros
};
class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(Size2d kernel_size, const AvgPool2dOptions& options = {})
      : kernel_size(kernel_size), options(options) {}
  Value forward(Value input) override;

  Size2d kernel_size;
  AvgPool2dOptions options;
};

// To the given extents, whatever those of the input are; those must be known when the graph is
// built.
class AdaptiveAvgPool2d : public Module {
 public:
  explicit AdaptiveAvgPool2d(Size2d output_size) : output_size(output_size) {}
  Value forward(Value input) override;

  Size2d output_size;
};
class AdaptiveMaxPool2d : public Module {
 public:
  explicit AdaptiveMaxPool2d(Size2d output_size) : output_size(output_size) {}
  Value forward(Value input) override;

  Size2d output_size;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_POOLING_H_
