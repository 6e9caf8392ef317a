#include "modellib/frontends/models/vision/resnet.h"

#include "absl/strings/str_cat.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib::vision {
namespace {

constexpr int64_t kStemChannels = 64;

// He et al., 2015, by the number of outputs.
nn::Conv2d conv(int64_t in, int64_t out, int64_t kernel, nn::Conv2dOptions options = {}) {
  options.bias = false;
  nn::Conv2d layer(in, out, kernel, options);
  layer.weight.set_initializer(nn::init::kaiming_normal(out * kernel * kernel));
  return layer;
}
nn::Conv2d conv3x3(int64_t in, int64_t out, int64_t stride, int64_t dilation = 1,
                   int64_t groups = 1) {
  return conv(in, out, 3,
              {.stride = stride, .padding = dilation, .dilation = dilation, .groups = groups});
}

nn::Sequential shortcut(const ResNetBlockOptions& o, int64_t out) {
  if (!o.project) return nn::Sequential();
  return nn::Sequential(conv(o.in_channels, out, 1, {.stride = o.stride}), nn::BatchNorm2d(out));
}

// The channels inside a bottleneck.
int64_t width(const ResNetBlockOptions& o) {
  return o.channels * o.width_per_group / 64 * o.groups;
}

}  // namespace

BasicBlock::BasicBlock(const ResNetBlockOptions& o)
    : conv1(conv3x3(o.in_channels, o.channels, o.stride)),
      bn1(o.channels),
      conv2(conv3x3(o.channels, o.channels, 1)),
      bn2(o.channels),
      downsample(shortcut(o, o.channels)),
      options(o) {
  register_module("conv1", conv1);
  register_module("bn1", bn1);
  register_module("conv2", conv2);
  register_module("bn2", bn2);
  register_module("downsample", downsample);
}

Value BasicBlock::forward(Value x) {
  const ModuleScope scope(*this, x);
  const bool plain = options.groups == 1 && options.width_per_group == 64 && options.dilation == 1;
  if (!plain && !x.is_null() && !x.is_poisoned()) {
    return x.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("a basic block has one group of width 64 and no dilation, not ",
                     options.groups, " groups, width_per_group ", options.width_per_group,
                     " and a dilation of ", options.dilation, ": those are for bottlenecks")));
  }
  const Value y = relu(bn1.forward(conv1.forward(x)));
  return relu(bn2.forward(conv2.forward(y)) + downsample.forward(x));
}

Bottleneck::Bottleneck(const ResNetBlockOptions& o)
    : conv1(conv(o.in_channels, width(o), 1)),
      bn1(width(o)),
      conv2(conv3x3(width(o), width(o), o.stride, o.dilation, o.groups)),
      bn2(width(o)),
      conv3(conv(width(o), o.channels * kExpansion, 1)),
      bn3(o.channels * kExpansion),
      downsample(shortcut(o, o.channels * kExpansion)) {
  register_module("conv1", conv1);
  register_module("bn1", bn1);
  register_module("conv2", conv2);
  register_module("bn2", bn2);
  register_module("conv3", conv3);
  register_module("bn3", bn3);
  register_module("downsample", downsample);
}

Value Bottleneck::forward(Value x) {
  const ModuleScope scope(*this, x);
  const Value y = relu(bn1.forward(conv1.forward(x)));
  const Value z = relu(bn2.forward(conv2.forward(y)));
  return relu(bn3.forward(conv3.forward(z)) + downsample.forward(x));
}

ResNet::ResNet(const ResNetOptions& options)
    : conv1(conv(3, kStemChannels, 7, {.stride = 2, .padding = 3})),
      bn1(kStemChannels),
      maxpool(3, {.stride = 2, .padding = 1}),
      avgpool(1),
      fc(512 * (options.bottleneck ? Bottleneck::kExpansion : BasicBlock::kExpansion),
         options.num_classes) {
  register_module("conv1", conv1);
  register_module("bn1", bn1);
  register_module("maxpool", maxpool);
  options.bottleneck ? add_stages<Bottleneck>(options) : add_stages<BasicBlock>(options);
  register_module("layer1", layer1);
  register_module("layer2", layer2);
  register_module("layer3", layer3);
  register_module("layer4", layer4);
  register_module("avgpool", avgpool);
  register_module("fc", fc);
}

template <class Block>
void ResNet::add_stages(const ResNetOptions& options) {
  nn::Sequential* const stages[] = {&layer1, &layer2, &layer3, &layer4};
  int64_t in = kStemChannels, dilation = 1;
  for (size_t s = 0; s < 4; ++s) {
    const int64_t channels = kStemChannels << s;
    int64_t stride = s == 0 ? 1 : 2;
    const int64_t dilation_before = dilation;
    if (s > 0 && options.replace_stride_with_dilation[s - 1]) {
      dilation *= stride;
      stride = 1;
    }
    for (int64_t i = 0; i < options.layers[s]; ++i) {
      const bool first = i == 0;
      Block block({.in_channels = in,
                   .channels = channels,
                   .stride = first ? stride : 1,
                   .dilation = first ? dilation_before : dilation,
                   .groups = options.groups,
                   .width_per_group = options.width_per_group,
                   .project = first && (stride != 1 || in != channels * Block::kExpansion)});
      if (options.zero_init_residual) {
        if constexpr (Block::kExpansion == 1) {
          block.bn2.weight.set_initializer(nn::init::zeros());
        } else {
          block.bn3.weight.set_initializer(nn::init::zeros());
        }
      }
      stages[s]->append(block);
      in = channels * Block::kExpansion;
    }
  }
}

Value ResNet::forward(Value images) {
  const ModuleScope scope(*this, images);
  Value x = maxpool.forward(relu(bn1.forward(conv1.forward(images))));
  for (nn::Sequential* stage : {&layer1, &layer2, &layer3, &layer4}) x = stage->forward(x);
  return fc.forward(flatten(avgpool.forward(x), 1));
}

ResNet ResNet::resnet18(int64_t num_classes) {
  return ResNet({.layers = {2, 2, 2, 2}, .bottleneck = false, .num_classes = num_classes});
}
ResNet ResNet::resnet34(int64_t num_classes) {
  return ResNet({.layers = {3, 4, 6, 3}, .bottleneck = false, .num_classes = num_classes});
}
ResNet ResNet::resnet50(int64_t num_classes) { return ResNet({.num_classes = num_classes}); }
ResNet ResNet::resnet101(int64_t num_classes) {
  return ResNet({.layers = {3, 4, 23, 3}, .num_classes = num_classes});
}
ResNet ResNet::resnet152(int64_t num_classes) {
  return ResNet({.layers = {3, 8, 36, 3}, .num_classes = num_classes});
}

}  // namespace modellib::vision
