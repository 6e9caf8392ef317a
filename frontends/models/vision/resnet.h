// ResNet, as torchvision builds it: names of parameters, strides (those of a bottleneck are in its
// 3x3 convolution, "v1.5") and first values. He et al., "Deep Residual Learning for Image
// Recognition", 2015.
#ifndef MODELLIB_FRONTENDS_MODELS_VISION_RESNET_H_
#define MODELLIB_FRONTENDS_MODELS_VISION_RESNET_H_

#include <array>
#include <cstdint>

#include "modellib/frontends/nn/nn.h"

namespace modellib::vision {

struct ResNetOptions {
  std::array<int64_t, 4> layers = {3, 4, 6, 3};  // blocks of each stage
  // Blocks of three convolutions that narrow and widen (50 layers and more); else of two.
  bool bottleneck = true;
  int64_t num_classes = 1000;
  bool zero_init_residual = false;  // each block begins as its shortcut: Goyal et al., 2017
  // What follows is for bottlenecks: blocks of two convolutions with other values than these are
  // refused when the graph is built.
  int64_t groups = 1;  // of 3x3 convolutions: ResNeXt
  int64_t width_per_group = 64;
  // Of stages 2 to 4: whether they dilate instead of halving the extents.
  std::array<bool, 3> replace_stride_with_dilation = {false, false, false};
};

// What a block is made of; `downsample` is empty where the shortcut needs no projection.
struct ResNetBlockOptions {
  int64_t in_channels, channels;
  int64_t stride = 1, dilation = 1, groups = 1, width_per_group = 64;
  bool project = false;
};

class BasicBlock : public nn::Module {
 public:
  static constexpr int64_t kExpansion = 1;
  explicit BasicBlock(const ResNetBlockOptions& options);
  Value forward(Value x) override;

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Conv2d conv2;
  nn::BatchNorm2d bn2;
  nn::Sequential downsample;
  ResNetBlockOptions options;
};

class Bottleneck : public nn::Module {
 public:
  static constexpr int64_t kExpansion = 4;
  explicit Bottleneck(const ResNetBlockOptions& options);
  Value forward(Value x) override;

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Conv2d conv2;
  nn::BatchNorm2d bn2;
  nn::Conv2d conv3;
  nn::BatchNorm2d bn3;
  nn::Sequential downsample;
};

// Images [batch, 3, height, width], usually 224x224 -> logits [batch, num_classes].
class ResNet : public nn::Module {
 public:
  explicit ResNet(const ResNetOptions& options = {});
  Value forward(Value images) override;

  static ResNet resnet18(int64_t num_classes = 1000);
  static ResNet resnet34(int64_t num_classes = 1000);
  static ResNet resnet50(int64_t num_classes = 1000);
  static ResNet resnet101(int64_t num_classes = 1000);
  static ResNet resnet152(int64_t num_classes = 1000);

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::MaxPool2d maxpool;
  nn::Sequential layer1, layer2, layer3, layer4;
  nn::AdaptiveAvgPool2d avgpool;
  nn::Linear fc;

 private:
  template <class Block>
  void add_stages(const ResNetOptions& options);
};

}  // namespace modellib::vision

#endif  // MODELLIB_FRONTENDS_MODELS_VISION_RESNET_H_
