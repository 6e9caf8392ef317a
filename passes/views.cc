#include "modellib/passes/views.h"

#include "modellib/graph/op_def.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

// A slice is a view if it takes a contiguous stretch: every axis before the cut one has extent 1,
// every axis after it is taken whole, and the start is a number.
absl::optional<View> slice_view(const Graph& graph, const Graph::Node& node) {
  const auto& a = node.attributes.as<SliceAttributes>();
  const TensorType& source = graph.type(node.inputs[0]);
  const TensorType& result = graph.type(node.output(0));
  for (int64_t step : a.steps) {
    if (step != 1) return absl::nullopt;
  }
  const int bits = bits_of(source.dtype);
  if (bits % 8 != 0) return absl::nullopt;
  Dim offset = 0;
  bool cut = false;
  for (size_t i = 0; i < source.shape.size(); ++i) {
    const bool whole = source.shape[i] == result.shape[i];
    if (!whole && cut) return absl::nullopt;
    if (!whole) {
      for (size_t j = 0; j < i; ++j) {
        if (!(result.shape[j] == Dim(1))) return absl::nullopt;
      }
      cut = true;
    }
    Dim inner = 1;
    for (size_t j = i + 1; j < source.shape.size(); ++j) inner = inner * source.shape[j];
    offset = offset + a.starts[i] * inner;
    // Axes before the cut: extent 1 in the result, so they may start anywhere, at a fixed place.
    if (!whole && result.shape[i] == Dim(1)) cut = false;
  }
  if (!offset.is_static() || offset.value() < 0) return absl::nullopt;
  return View{0, offset.value() * (bits / 8)};
}

}  // namespace

absl::optional<View> view_of(const Graph& graph, const Graph::Node& node) {
  if (node.op->name == "reshape" || node.op->name == "stop_gradient") return View{0, 0};
  if (node.op->name == "slice") return slice_view(graph, node);
  return absl::nullopt;
}

absl::optional<std::vector<int64_t>> parts_of(const Graph& graph, const Graph::Node& node) {
  if (node.op->name != "concat") return absl::nullopt;
  const TensorType& whole = graph.type(node.output(0));
  const int64_t given = node.attributes.as<AxisAttributes>().axis;
  const auto axis = static_cast<size_t>(given < 0 ? given + whole.rank() : given);
  for (size_t i = 0; i < axis; ++i) {
    if (!(whole.shape[i] == Dim(1))) return absl::nullopt;
  }
  if (bits_of(whole.dtype) % 8 != 0) return absl::nullopt;
  std::vector<int64_t> offsets;
  Dim offset = 0;
  for (ValueId input : node.inputs) {
    if (!offset.is_static()) return absl::nullopt;
    offsets.push_back(offset.value());
    offset = offset + byte_size(graph.type(input));
  }
  return offsets;
}

Dim byte_size(const TensorType& type) {
  const int bits = bits_of(type.dtype);
  const Dim count = element_count(type.shape);
  return bits % 8 == 0 ? count * (bits / 8) : ceil_div(count * bits, Dim(8));
}

}  // namespace modellib
