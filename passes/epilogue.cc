#include "modellib/passes/epilogue.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "modellib/ops/conv.h"
#include "modellib/ops/conv_epilogue.h"
#include "modellib/ops/epilogue.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/matmul_epilogue.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

// A matmul or convolution of the new graph, perhaps with parts of an epilogue already, and what
// joins it.
class Product {
 public:
  // Nothing if the value was made otherwise.
  static std::optional<Product> of(const Value& value) {
    GraphBuilder& builder = *value.builder();
    const NodeId producer = builder.so_far().value(value.id()).producer;
    if (producer < 0) return std::nullopt;
    const Graph::Node& node = builder.so_far().node(producer);
    Product p;
    p.node_ = producer;
    if (node.op->name == "matmul") {
      const auto& a = node.attributes.as<MatmulAttributes>();
      // The op with an epilogue sums in the type of its operands.
      if (a.accumulate == DType::kF64) return std::nullopt;
      p.matmul_ =
          MatmulEpilogueAttributes{.transpose_a = a.transpose_a, .transpose_b = a.transpose_b};
    } else if (node.op->name == "matmul_epilogue") {
      p.matmul_ = node.attributes.as<MatmulEpilogueAttributes>();
    } else if (node.op->name == "conv") {
      p.conv_ = ConvEpilogueAttributes{node.attributes.as<ConvAttributes>(), "none"};
    } else if (node.op->name == "conv_epilogue") {
      p.conv_ = node.attributes.as<ConvEpilogueAttributes>();
    } else {
      return std::nullopt;
    }
    for (size_t i = 0; i < 4; ++i) {
      if (i < node.inputs.size() && node.inputs[i] != kNoValue)
        p.operands_[i] = builder.value(node.inputs[i]);
    }
    p.shape_ = value.shape();
    return p;
  }

  const Shape& shape() const { return shape_; }
  bool is_conv() const { return conv_.has_value(); }
  bool has_bias() const { return !operands_[2].is_null(); }
  bool has_residual() const { return !operands_[3].is_null(); }
  std::string& activation() { return is_conv() ? conv_->activation : matmul_.activation; }
  bool& residual_after() { return is_conv() ? conv_->residual_after : matmul_.residual_after; }

  // The axis of the result that a bias goes along.
  size_t bias_axis() const { return is_conv() && conv_->layout != "NHWC" ? 1 : shape_.size() - 1; }
  void set_bias(Value bias) { operands_[2] = bias; }
  // Behind the activation if there is one already.
  void set_residual(Value residual) {
    operands_[3] = residual;
    residual_after() = activation() != "none";
  }

  bool fits(const Backend& backend, const Graph& graph) {
    return backend.takes_epilogue(graph, graph.node(node_),
                                  {has_bias(), has_residual(), activation(), residual_after()});
  }
  Value emit() const {
    return is_conv()
               ? conv_epilogue(operands_[0], operands_[1], operands_[2], operands_[3], *conv_)
               : matmul_epilogue(operands_[0], operands_[1], operands_[2], operands_[3], matmul_);
  }

 private:
  NodeId node_ = -1;
  Value operands_[4];  // a and b, or x and filter; bias, residual
  Shape shape_;
  MatmulEpilogueAttributes matmul_;
  std::optional<ConvEpilogueAttributes> conv_;
};

class EpilogueFusion {
 public:
  EpilogueFusion(const Graph& graph, PassContext& context)
      : graph_(graph), context_(context), uses_(graph.values().size(), 0) {
    const std::vector<bool> live = live_nodes(graph);
    for (size_t n = 0; n < graph.nodes().size(); ++n) {
      if (!live[n]) continue;
      for (ValueId in : graph.nodes()[n].inputs) {
        if (in != kNoValue) ++uses_[static_cast<size_t>(in)];
      }
    }
    for (const Graph::Output& out : graph.outputs()) ++uses_[static_cast<size_t>(out.value)];
    for (const Graph::VariableUse& use : graph.variables()) {
      if (use.assigned != kNoValue) ++uses_[static_cast<size_t>(use.assigned)];
    }
  }

  absl::StatusOr<GraphRef> run() {
    return rebuild(graph_, context_.registry(), [&](RebuildSite& site) { return replace(site); });
  }

 private:
  std::optional<std::vector<Value>> replace(RebuildSite& site) {
    const std::string activation = epilogue_activation_of(site.node);
    if (!activation.empty()) return join_activation(site, activation);
    if (site.node.op->name == "add") return join_add(site);
    return std::nullopt;
  }

  bool only_here(ValueId id) const { return uses_[static_cast<size_t>(id)] == 1; }

  // A product whose result only this node reads; perhaps through a reshape.
  struct Found {
    Product product;
    bool reshaped;
  };
  std::optional<Found> product_of(const RebuildSite& site, int operand) {
    const ValueId old = site.node.inputs[static_cast<size_t>(operand)];
    Value now = site.in(operand);
    if (now.dtype() != DType::kF32 || !only_here(old)) return std::nullopt;
    const Graph& so_far = site.builder.so_far();
    const NodeId producer = so_far.value(now.id()).producer;
    bool reshaped = false;
    if (producer >= 0 && so_far.node(producer).op->name == "reshape") {
      const NodeId old_node = graph_.value(old).producer;
      if (old_node < 0 || graph_.node(old_node).op->name != "reshape") return std::nullopt;
      if (!only_here(graph_.node(old_node).inputs[0])) return std::nullopt;
      // A bias along the columns is the same before and after only if the columns stay.
      const Value inner = site.builder.value(so_far.node(producer).inputs[0]);
      if (inner.rank() == 0 || now.rank() == 0 || !(inner.dim(-1) == now.dim(-1)))
        return std::nullopt;
      now = inner;
      reshaped = true;
    }
    std::optional<Product> product = Product::of(now);
    if (!product.has_value()) return std::nullopt;
    if (reshaped && product->is_conv()) return std::nullopt;
    return Found{*std::move(product), reshaped};
  }

  std::optional<std::vector<Value>> finish(const RebuildSite& site, Found& found) {
    if (!found.product.fits(*context_.backend(), site.builder.so_far()) ||
        !context_.may_rewrite()) {
      return std::nullopt;
    }
    Value y = found.product.emit();
    if (found.reshaped) y = reshape(y, graph_.type(site.node.output(0)).shape);
    return std::vector<Value>{y};
  }

  std::optional<std::vector<Value>> join_activation(RebuildSite& site,
                                                    const std::string& activation) {
    std::optional<Found> found = product_of(site, 0);
    if (!found.has_value() || found->product.activation() != "none") return std::nullopt;
    found->product.activation() = activation;
    return finish(site, *found);
  }

  // To a product without activation rather than behind one: an activation may follow.
  std::optional<std::vector<Value>> join_add(RebuildSite& site) {
    for (const bool activated : {false, true}) {
      for (int operand = 0; operand < 2; ++operand) {
        if (auto joined = join_add(site, operand, activated)) return joined;
      }
    }
    return std::nullopt;
  }

  std::optional<std::vector<Value>> join_add(RebuildSite& site, int operand, bool activated) {
    const Value other = site.in(1 - operand);
    const Value result = site.in(operand);
    if (!(result.type() == graph_.type(site.node.output(0)))) return std::nullopt;
    std::optional<Found> found = product_of(site, operand);
    if (!found.has_value() || found->product.has_residual()) return std::nullopt;
    Product& product = found->product;
    if ((product.activation() != "none") != activated) return std::nullopt;
    // Aligned from the right, as it broadcasts; a reshaped product keeps its columns.
    const size_t axis = found->reshaped ? result.shape().size() - 1 : product.bias_axis();
    if (!activated && !product.has_bias() && is_along(other.shape(), result.shape(), axis)) {
      product.set_bias(reshape(other, {result.shape()[axis]}));
    } else if (other.type() == result.type()) {
      product.set_residual(found->reshaped ? reshape(other, product.shape()) : other);
    } else {
      return std::nullopt;
    }
    return finish(site, *found);
  }

  // Whether a value of `shape` varies along one axis of `whole` alone, and spans that.
  static bool is_along(const Shape& shape, const Shape& whole, size_t axis) {
    if (shape.size() > whole.size() || axis + shape.size() < whole.size()) return false;
    const size_t lead = whole.size() - shape.size();
    for (size_t i = 0; i < shape.size(); ++i) {
      if (!(shape[i] == (lead + i == axis ? whole[axis] : Dim(1)))) return false;
    }
    return true;
  }

  const Graph& graph_;
  PassContext& context_;
  std::vector<int> uses_;  // by ValueId
};

}  // namespace

absl::StatusOr<GraphRef> fuse_epilogues(const GraphRef& graph, PassContext& context) {
  if (context.backend() == nullptr) return graph;
  return EpilogueFusion(*graph, context).run();
}

}  // namespace modellib
