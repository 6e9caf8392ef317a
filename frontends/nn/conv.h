// Convolutions (cross-correlations), as torch.nn.Conv1d, Conv2d and their transposes.
#ifndef MODELLIB_FRONTENDS_NN_CONV_H_
#define MODELLIB_FRONTENDS_NN_CONV_H_

#include <cstdint>
#include <vector>

#include "modellib/frontends/nn/module.h"
#include "modellib/frontends/nn/spatial.h"

namespace modellib::nn {

struct Conv1dOptions {
  int64_t stride = 1;
  int64_t padding = 0;  // zeros on both sides
  int64_t dilation = 1;
  int64_t groups = 1;  // must divide both numbers of channels
  bool bias = true;
  int64_t output_padding = 0;  // of ConvTranspose1d alone
};

struct Conv2dOptions {
  Size2d stride = 1;
  Size2d padding = 0;
  Size2d dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  Size2d output_padding = 0;  // of ConvTranspose2d alone
};

// What they have in common. Weight and bias start uniform in ±1/sqrt(in channels / groups ·
// kernel).
class ConvLayer : public Module {
 public:
  // Input: [batch, in_channels, spatial…]; with a bias it is added to each channel.
  Value forward(Value input) override;

  // [out_channels, in_channels / groups, kernel…]; transposed: [in_channels, out_channels / groups,
  // kernel…].
  Parameter weight;
  Parameter bias;  // [out_channels], or absent
  int64_t in_channels, out_channels;
  std::vector<int64_t> kernel_size, stride, padding, dilation, output_padding;
  int64_t groups;
  bool transposed;

 protected:
  struct Geometry {
    std::vector<int64_t> kernel, stride, padding, dilation, output_padding;
  };
  ConvLayer(int64_t in_channels, int64_t out_channels, Geometry geometry, int64_t groups,
            bool with_bias, bool transposed);
};

// [batch, in, length] -> [batch, out, (length + 2 padding - dilation (kernel - 1) - 1) / stride +
// 1]
class Conv1d : public ConvLayer {
 public:
  Conv1d(int64_t in_channels, int64_t out_channels, int64_t kernel_size,
         const Conv1dOptions& options = {});
};

// [batch, in, height, width] -> [batch, out, height', width'], each extent as in Conv1d.
class Conv2d : public ConvLayer {
 public:
  Conv2d(int64_t in_channels, int64_t out_channels, Size2d kernel_size,
         const Conv2dOptions& options = {});
};

// [batch, in, length] -> [batch, out, (length - 1) stride - 2 padding + dilation (kernel - 1) +
// output_padding + 1]
class ConvTranspose1d : public ConvLayer {
 public:
  ConvTranspose1d(int64_t in_channels, int64_t out_channels, int64_t kernel_size,
                  const Conv1dOptions& options = {});
};

class ConvTranspose2d : public ConvLayer {
 public:
  ConvTranspose2d(int64_t in_channels, int64_t out_channels, Size2d kernel_size,
                  const Conv2dOptions& options = {});
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_CONV_H_
