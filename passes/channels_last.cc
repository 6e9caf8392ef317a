#include "modellib/passes/channels_last.h"

#include <algorithm>
#include <string>
#include <utility>

#include "modellib/graph/op_def.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/conv_epilogue.h"
#include "modellib/ops/pool.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/repeat.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

using Form = ChannelsLastForm;

template <class T>
std::vector<T> moved(const std::vector<T>& by_axis) {
  std::vector<T> out;
  for (const int64_t axis : to_channels_last(static_cast<int>(by_axis.size()))) {
    out.push_back(by_axis[static_cast<size_t>(axis)]);
  }
  return out;
}

int64_t moved_axis(int64_t axis, int rank) {
  if (axis < 0) axis += rank;
  return to_channels_first(rank)[static_cast<size_t>(axis)];
}

const TensorType& result_type(const Graph& graph, const Graph::Node& node) {
  return graph.type(node.output(0));
}

// Every operand and result is an image, smaller operands are broadcast.
Form all_images(const Graph& graph, const Graph::Node& node) {
  Form form;
  form.rank = result_type(graph, node).rank();
  for (const ValueId in : node.inputs) {
    const int rank = in == kNoValue ? 0 : graph.type(in).rank();
    form.inputs.push_back(rank == 0          ? ImageRole::kPlain
                          : rank < form.rank ? ImageRole::kBroadcast
                                             : ImageRole::kImage);
  }
  form.outputs.assign(static_cast<size_t>(node.num_outputs), ImageRole::kImage);
  return form;
}

std::optional<Form> conv_form(const Graph& graph, const Graph::Node& node) {
  if (conv_attributes(node)->layout != "NCHW") return std::nullopt;
  Form form;
  form.rank = graph.type(node.inputs[0]).rank();
  form.inputs.assign(node.inputs.size(), ImageRole::kPlain);
  form.inputs[0] = ImageRole::kImage;
  form.outputs = {ImageRole::kImage};
  if (node.op->name == "conv_filter_gradient") {
    form.inputs[1] = ImageRole::kImage;
    form.outputs[0] = ImageRole::kPlain;
  }
  if (node.inputs.size() > 3 && node.inputs[3] != kNoValue) form.inputs[3] = ImageRole::kImage;
  return form;
}

template <class T>
Attributes conv_layout(const Graph::Node& node) {
  T a = node.attributes.as<T>();
  a.layout = "NHWC";
  if (node.op->name == "conv_input_gradient") a.shape = moved(a.shape);
  return Attributes::of(std::move(a));
}

Attributes pool_layout(const Graph::Node& node) {
  auto a = node.attributes.as<PoolAttributes>();
  a.layout = "NHWC";
  if (!a.shape.empty()) a.shape = moved(a.shape);
  return Attributes::of(std::move(a));
}

Attributes reduce_layout(const Graph::Node& node, int rank) {
  auto a = node.attributes.as<ReduceAttributes>();
  for (int64_t& axis : a.axes) axis = moved_axis(axis, rank);
  std::sort(a.axes.begin(), a.axes.end());
  return Attributes::of(std::move(a));
}

Attributes slice_layout(const Graph::Node& node) {
  auto a = node.attributes.as<SliceAttributes>();
  a.starts = moved(a.starts);
  a.limits = moved(a.limits);
  if (!a.steps.empty()) a.steps = moved(a.steps);
  return Attributes::of(std::move(a));
}

Attributes pad_layout(const Graph::Node& node) {
  auto a = node.attributes.as<PadAttributes>();
  a.low = moved(a.low);
  a.high = moved(a.high);
  return Attributes::of(std::move(a));
}

Attributes repeat_layout(const Graph::Node& node) {
  return Attributes::of(
      RepeatInterleaveAttributes{moved(node.attributes.as<RepeatInterleaveAttributes>().repeats)});
}

// Along one axis of the image, by a list of places.
std::optional<Form> gather_form(const Graph& graph, const Graph::Node& node) {
  if (graph.type(node.inputs[1]).rank() != 1) return std::nullopt;
  Form form;
  form.rank = result_type(graph, node).rank();
  form.inputs = {ImageRole::kImage, ImageRole::kPlain};
  form.outputs = {ImageRole::kImage};
  return form;
}

std::optional<Form> transpose_form(const Graph& graph, const Graph::Node& node) {
  const int rank = result_type(graph, node).rank();
  const auto& perm = node.attributes.as<TransposeAttributes>().perm;
  Form form;
  form.rank = rank;
  form.is_conversion = true;
  if (perm == to_channels_last(rank)) {
    form.inputs = {ImageRole::kImage};
    form.outputs = {ImageRole::kPlain};
    return form;
  }
  if (perm == to_channels_first(rank)) {
    form.inputs = {ImageRole::kPlain};
    form.outputs = {ImageRole::kImage};
    return form;
  }
  return std::nullopt;
}

}  // namespace

int64_t image_bytes(const Graph& graph, ValueId id) {
  // Extents without a bound count as one that is usual.
  constexpr int64_t kUsualExtent = 64;
  constexpr int64_t kMost = int64_t{1} << 40;
  const TensorType& type = graph.type(id);
  int64_t bytes = std::max(1, bits_of(type.dtype) / 8);
  for (const Dim& d : type.shape) {
    const int64_t most = d.range(graph.ranges()).max;
    const int64_t extent = most == DimRange::kUnbounded ? kUsualExtent : most;
    bytes = extent > kMost / std::max<int64_t>(1, bytes) ? kMost : bytes * extent;
  }
  return bytes;
}

std::vector<int64_t> to_channels_last(int rank) {
  std::vector<int64_t> perm = {0};
  for (int64_t i = 2; i < rank; ++i) perm.push_back(i);
  perm.push_back(1);
  return perm;
}

std::vector<int64_t> to_channels_first(int rank) {
  std::vector<int64_t> perm = {0, rank - 1};
  for (int64_t i = 1; i + 1 < rank; ++i) perm.push_back(i);
  return perm;
}

std::optional<Form> channels_last_form(const Graph& graph, const Graph::Node& node) {
  const std::string& op = node.op->name;
  if (conv_attributes(node) != nullptr) return conv_form(graph, node);
  if (result_type(graph, node).rank() < 3) return std::nullopt;
  if (node.attributes.is<PoolAttributes>()) {
    if (node.attributes.as<PoolAttributes>().layout != "NCHW") return std::nullopt;
    return all_images(graph, node);
  }
  if (op == "transpose") return transpose_form(graph, node);
  if (op == "gather") return gather_form(graph, node);
  if (node.attributes.is<ReduceAttributes>()) {
    if (!node.attributes.as<ReduceAttributes>().keepdims) return std::nullopt;
    return all_images(graph, node);
  }
  const bool by_axis = op == "concat" || op == "slice" || op == "pad" || op == "broadcast_to" ||
                       op == "repeat_interleave";
  if (node.op->pointwise || by_axis) return all_images(graph, node);
  return std::nullopt;
}

std::vector<Value> emit_channels_last(GraphBuilder& builder, const Graph& graph,
                                      const Graph::Node& node, absl::Span<const Value> operands) {
  const std::string& op = node.op->name;
  const int rank = result_type(graph, node).rank();
  Attributes attributes = node.attributes;
  if (op == "transpose") return {operands[0]};
  if (node.attributes.is<ConvEpilogueAttributes>()) {
    attributes = conv_layout<ConvEpilogueAttributes>(node);
  } else if (node.attributes.is<ConvAttributes>()) {
    attributes = conv_layout<ConvAttributes>(node);
  } else if (node.attributes.is<PoolAttributes>()) {
    attributes = pool_layout(node);
  } else if (node.attributes.is<ReduceAttributes>()) {
    attributes = reduce_layout(node, rank);
  } else if (op == "concat" || op == "gather") {
    const int64_t axis = node.attributes.as<AxisAttributes>().axis;
    attributes = Attributes::of(AxisAttributes{moved_axis(axis, rank)});
  } else if (op == "slice") {
    attributes = slice_layout(node);
  } else if (op == "pad") {
    attributes = pad_layout(node);
  } else if (op == "repeat_interleave") {
    attributes = repeat_layout(node);
  } else if (op == "broadcast_to") {
    attributes = Attributes::of(
        BroadcastToAttributes{moved(node.attributes.as<BroadcastToAttributes>().shape)});
  }
  return builder.emit(*node.op, operands, std::move(attributes));
}

}  // namespace modellib
