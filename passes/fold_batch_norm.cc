#include "modellib/passes/fold_batch_norm.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "modellib/graph/constant.h"
#include "modellib/ops/batch_norm.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

class BatchNormFolding {
 public:
  BatchNormFolding(const Graph& graph, PassContext& context)
      : graph_(graph), context_(context), users_(graph.users()), wanted_(graph.values().size()) {
    for (const Graph::Output& out : graph.outputs()) wanted_[static_cast<size_t>(out.value)] = true;
    for (const Graph::VariableUse& use : graph.variables()) {
      if (use.assigned != kNoValue) wanted_[static_cast<size_t>(use.assigned)] = true;
    }
  }

  absl::StatusOr<GraphRef> run() {
    return rebuild(graph_, context_.registry(), [&](RebuildSite& site) { return replace(site); });
  }

 private:
  const Graph::Node* producer(ValueId id, const char* op) const {
    const NodeId node = graph_.value(id).producer;
    return node >= 0 && graph_.node(node).op->name == op ? &graph_.node(node) : nullptr;
  }
  bool is_constant(ValueId id) const { return constant_value(graph_, id) != nullptr; }
  bool only_one_reads(ValueId id) const {
    return users_[static_cast<size_t>(id)].size() == 1 && !wanted_[static_cast<size_t>(id)];
  }

  std::optional<std::vector<Value>> replace(RebuildSite& site) {
    if (site.node.op->name != "batch_norm_inference") return std::nullopt;
    for (size_t i = 1; i < site.node.inputs.size(); ++i) {
      const ValueId in = site.node.inputs[i];
      if (in != kNoValue && !is_constant(in)) return std::nullopt;
    }
    // conv(x, w), or conv(x, w) + b along the channels.
    ValueId normalised = site.node.inputs[0];
    ValueId bias = kNoValue;
    if (!only_one_reads(normalised)) return std::nullopt;
    if (const Graph::Node* add = producer(normalised, "add")) {
      const int at = producer(add->inputs[0], "conv") != nullptr ? 0 : 1;
      bias = add->inputs[static_cast<size_t>(1 - at)];
      normalised = add->inputs[static_cast<size_t>(at)];
      if (!is_constant(bias) || !only_one_reads(normalised)) return std::nullopt;
    }
    const Graph::Node* product = producer(normalised, "conv");
    if (product == nullptr || !is_constant(product->inputs[1])) return std::nullopt;
    const auto& attributes = product->attributes.as<ConvAttributes>();
    const TensorType& type = graph_.type(normalised);
    const Shape channels = {type.shape[1]};
    if (attributes.layout != "NCHW" || type.dtype != DType::kF32) return std::nullopt;
    if (bias != kNoValue && !is_per_channel(graph_.type(bias).shape, type.shape))
      return std::nullopt;
    if (!context_.may_rewrite()) return std::nullopt;

    const auto constant = [&](ValueId id) {
      return site.builder.constant(*constant_value(graph_, id));
    };
    const auto has = [&](int i) {
      return static_cast<size_t>(i) < site.inputs.size() && !site.in(i).is_null();
    };
    // The statistics and what follows them may be of another float type than the convolution.
    const auto wide = [&](int i) { return as_dtype(site.in(i), type.dtype); };
    Value factor = rsqrt(wide(2) + site.node.attributes.as<BatchNormAttributes>().eps);
    if (has(3)) factor = factor * wide(3);
    Value mean = wide(1);
    if (bias != kNoValue) mean = mean - reshape(constant(bias), channels);
    Value term = neg(mean * factor);
    if (has(4)) term = term + wide(4);
    Shape along_filter(type.shape.size(), Dim(1));
    along_filter[0] = channels[0];
    const Value filter = constant(product->inputs[1]) * reshape(factor, along_filter);
    // The operand of the convolution, in the new graph: that of the convolution made for it.
    const Value y = conv(operand_of_conv(site, bias != kNoValue), filter, attributes);
    return std::vector<Value>{y + per_channel(term, y.rank())};
  }

  // What the convolution below the batch norm reads.
  static Value operand_of_conv(const RebuildSite& site, bool has_bias) {
    const Graph& graph = site.builder.so_far();
    const Graph::Node* node = &graph.node(graph.value(site.in(0).id()).producer);
    if (has_bias) {
      for (const ValueId in : node->inputs) {
        const NodeId below = graph.value(in).producer;
        if (below >= 0 && graph.node(below).op->name == "conv") {
          node = &graph.node(below);
          break;
        }
      }
    }
    return site.builder.value(node->inputs[0]);
  }

  static bool is_per_channel(const Shape& shape, const Shape& whole) {
    if (shape.size() > whole.size() || shape.size() + 1 < whole.size()) return false;
    const size_t lead = whole.size() - shape.size();
    for (size_t i = 0; i < shape.size(); ++i) {
      if (!(shape[i] == (lead + i == 1 ? whole[1] : Dim(1)))) return false;
    }
    return true;
  }

  const Graph& graph_;
  PassContext& context_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<bool> wanted_;  // by ValueId: an output or assigned
};

}  // namespace

absl::StatusOr<GraphRef> fold_batch_norm(const GraphRef& graph, PassContext& context) {
  return BatchNormFolding(*graph, context).run();
}

}  // namespace modellib
