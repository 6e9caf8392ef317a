#include "modellib/passes/matmul_epilogue.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/matmul_epilogue.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

// Name of the activation that the node applies, or empty.
std::string activation_of(const Graph::Node& node) {
  const std::string& op = node.op->name;
  if (op == "relu" || op == "silu" || op == "sigmoid" || op == "tanh") return op;
  if (op == "gelu") {
    return node.attributes.as<GeluAttributes>().approximate == "tanh" ? "gelu_tanh" : "gelu";
  }
  return "";
}

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
    const std::string activation = activation_of(site.node);
    if (!activation.empty()) return join_activation(site, activation);
    if (site.node.op->name == "add") return join_add(site);
    return std::nullopt;
  }

  // Seen from the old graph: a matmul, or one with an epilogue that is still without activation,
  // whose result only this node reads; perhaps through a reshape.
  struct Product {
    Value a, b, bias, residual;
    MatmulEpilogueAttributes attributes;
    bool reshaped = false;
  };

  bool only_here(ValueId id) const { return uses_[static_cast<size_t>(id)] == 1; }

  std::optional<Product> product_of(const RebuildSite& site, int operand) {
    ValueId old = site.node.inputs[static_cast<size_t>(operand)];
    Value now = site.in(operand);
    Product p;
    const Graph& so_far = site.builder.so_far();
    const auto producer = [&](const Value& v) -> const Graph::Node* {
      const NodeId id = so_far.value(v.id()).producer;
      return id < 0 ? nullptr : &so_far.node(id);
    };
    if (!only_here(old) || now.rank() == 0) return std::nullopt;
    const Graph::Node* node = producer(now);
    if (node != nullptr && node->op->name == "reshape") {
      const NodeId old_node = graph_.value(old).producer;
      if (old_node < 0 || graph_.node(old_node).op->name != "reshape") return std::nullopt;
      if (!only_here(graph_.node(old_node).inputs[0])) return std::nullopt;
      // A bias along the columns is the same before and after only if the columns stay.
      now = site.builder.value(node->inputs[0]);
      if (now.rank() == 0 || site.in(operand).rank() == 0 ||
          !(now.dim(-1) == site.in(operand).dim(-1))) {
        return std::nullopt;
      }
      p.reshaped = true;
      node = producer(now);
    }
    if (node == nullptr || now.dtype() != DType::kF32) return std::nullopt;
    const auto input = [&](size_t i) {
      return i < node->inputs.size() && node->inputs[i] != kNoValue
                 ? site.builder.value(node->inputs[i])
                 : Value();
    };
    p.a = input(0);
    p.b = input(1);
    if (node->op->name == "matmul") {
      const auto& t = node->attributes.as<MatmulAttributes>();
      p.attributes = {t.transpose_a, t.transpose_b, "none"};
    } else if (node->op->name == "matmul_epilogue") {
      p.attributes = node->attributes.as<MatmulEpilogueAttributes>();
      if (p.attributes.activation != "none") return std::nullopt;
      p.bias = input(2);
      p.residual = input(3);
    } else {
      return std::nullopt;
    }
    return p;
  }

  std::vector<Value> finish(const RebuildSite& site, const Product& p) {
    Value y = matmul_epilogue(p.a, p.b, p.bias, p.residual, p.attributes);
    if (p.reshaped) y = reshape(y, graph_.type(site.node.output(0)).shape);
    return {y};
  }

  std::optional<std::vector<Value>> join_activation(RebuildSite& site,
                                                    const std::string& activation) {
    std::optional<Product> p = product_of(site, 0);
    if (!p.has_value() || !context_.may_rewrite()) return std::nullopt;
    p->attributes.activation = activation;
    return finish(site, *p);
  }

  std::optional<std::vector<Value>> join_add(RebuildSite& site) {
    for (int operand = 0; operand < 2; ++operand) {
      const Value other = site.in(1 - operand);
      if (!(site.in(operand).type() == graph_.type(site.node.output(0)))) continue;
      std::optional<Product> p = product_of(site, operand);
      if (!p.has_value()) continue;
      const bool is_bias = other.rank() == 1 && other.dim(0) == site.in(operand).dim(-1);
      if (is_bias && p->bias.is_null() && p->residual.is_null()) {
        if (!context_.may_rewrite()) return std::nullopt;
        p->bias = other;
        return finish(site, *p);
      }
      if (other.type() == site.in(operand).type() && p->residual.is_null()) {
        if (!context_.may_rewrite()) return std::nullopt;
        p->residual = p->reshaped ? reshape(other, product_shape(site, *p)) : other;
        return finish(site, *p);
      }
    }
    return std::nullopt;
  }

  static Shape product_shape(const RebuildSite& site, const Product& p) {
    return matmul(
               p.a, p.b,
               {.transpose_a = p.attributes.transpose_a, .transpose_b = p.attributes.transpose_b})
        .shape();
  }

  const Graph& graph_;
  PassContext& context_;
  std::vector<int> uses_;  // by ValueId
};

}  // namespace

absl::StatusOr<GraphRef> fuse_matmul_epilogues(const GraphRef& graph, PassContext& context) {
  if (context.backend() == nullptr || !context.backend()->takes_epilogues()) return graph;
  return EpilogueFusion(*graph, context).run();
}

}  // namespace modellib
