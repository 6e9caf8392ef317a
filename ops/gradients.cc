#include "modellib/ops/gradients.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

bool usable(const Value& v) { return !v.is_null() && !v.is_poisoned(); }

// Through the decomposition of `call`, made on `inputs`. One that stands twice among them has its
// whole gradient at its first place.
std::vector<Value> through_decomposition(const OpCall& call, const std::vector<Value>& inputs,
                                         absl::Span<const Value> output_gradients) {
  OpCall forward{call.builder, call.op, call.attributes, inputs, {}};
  std::vector<Value> outputs = call.op.decompose(forward);
  outputs.resize(output_gradients.size());
  return partial_vjp(call.builder, outputs, output_gradients, inputs);
}

// A value with the elements of x that is not x; another one for each `number` from 1.
Value stand_in(Value x, int number) {
  Shape wider(static_cast<size_t>(number), Dim(1));
  wider.insert(wider.end(), x.shape().begin(), x.shape().end());
  return reshape(reshape(x, std::move(wider)), x.shape());
}

bool has_region(const Attributes& attributes) {
  for (const auto& [name, value] : attributes.list(/*all=*/true)) {
    if (std::holds_alternative<GraphRef>(value)) return true;
  }
  return false;
}

// One reverse walk over the nodes between `wrt` and the outputs.
class ReverseWalk {
 public:
  // With `stop`, the values of wrt count as leaves: partial derivatives.
  ReverseWalk(GraphBuilder& builder, absl::Span<const Value> wrt, bool stop)
      : builder_(builder), stop_(stop) {
    for (const Value& v : wrt) {
      if (usable(v)) wrt_.insert(v.id());
    }
  }

  std::vector<Value> run(absl::Span<const Value> outputs, absl::Span<const Value> gradients,
                         absl::Span<const Value> wrt) {
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (usable(outputs[i]) && !gradients[i].is_null() && is_floating(outputs[i].dtype())) {
        collect(outputs[i].id());
        accumulate(outputs[i].id(), gradients[i]);
      }
    }
    // Node ids are topological: the largest left has all the gradients of its outputs.
    for (auto it = nodes_.rbegin(); it != nodes_.rend(); ++it) differentiate(*it);
    std::vector<Value> result;
    for (const Value& v : wrt) {
      auto found = usable(v) ? gradient_.find(v.id()) : gradient_.end();
      result.push_back(found == gradient_.end() ? Value() : found->second);
    }
    return result;
  }

 private:
  const Graph& graph() const { return builder_.so_far(); }

  // Finds the nodes on a differentiable path from wrt to `root`, with a stack of its own: graphs
  // may be deeper than the thread's.
  void collect(ValueId root) {
    std::vector<std::pair<ValueId, bool>> todo = {{root, false}};
    while (!todo.empty()) {
      const auto [id, children_done] = todo.back();
      todo.pop_back();
      if (depends_.contains(id)) continue;
      const bool leaf = wrt_.contains(id);
      const NodeId producer = graph().value(id).producer;
      if (producer < 0 || (leaf && stop_) || !is_floating(graph().type(id).dtype) ||
          graph().node(producer).op->differentiable == OpDef::Gradient::kNone) {
        depends_[id] = leaf && is_floating(graph().type(id).dtype);
        continue;
      }
      const Graph::Node& node = graph().node(producer);
      if (!children_done) {
        todo.emplace_back(id, true);
        for (ValueId in : node.inputs) {
          if (in != kNoValue && !depends_.contains(in)) todo.emplace_back(in, false);
        }
        continue;
      }
      const bool through = std::any_of(node.inputs.begin(), node.inputs.end(),
                                       [&](ValueId in) { return in != kNoValue && depends_[in]; });
      depends_[id] = leaf || through;
      if (through) nodes_.insert(producer);
    }
  }

  void accumulate(ValueId id, Value g) {
    if (!g.is_poisoned() && !(g.shape() == graph().type(id).shape)) {
      g = reshape(g, graph().type(id).shape);  // equal only once symbols are bound, or a mistake
    }
    Value& sum = gradient_[id];
    sum = sum.is_null() ? g : add(sum, g);
  }

  // Regions have gradients of what is real alone: what flows through another float would be lost.
  bool check_region(const Graph::Node& node, const std::vector<Value>& upstream) {
    if (!has_region(node.attributes)) return true;
    const auto is_lost = [&](ValueId v) {
      return is_floating(graph().type(v).dtype) && !is_real(graph().type(v).dtype);
    };
    std::vector<ValueId> lost;
    for (ValueId in : node.inputs) {
      if (in != kNoValue && depends_[in] && is_lost(in)) lost.push_back(in);
    }
    for (int i = 0; i < node.num_outputs; ++i) {
      const bool flows = !upstream[static_cast<size_t>(i)].is_null();
      if (flows && is_lost(node.output(i))) lost.push_back(node.output(i));
    }
    if (lost.empty()) return true;
    builder_.poison(absl::UnimplementedError(
        absl::StrCat("no gradient goes through ", to_string(graph().type(lost[0])),
                     " into or out of a ", node.op->name, ": cast it to a wider float there")));
    return false;
  }

  void differentiate(NodeId id) {
    const Graph::Node node = graph().node(id);  // a copy: the graph grows below
    std::vector<Value> upstream;
    bool any = false;
    for (int i = 0; i < node.num_outputs; ++i) {
      auto found = gradient_.find(node.output(i));
      upstream.push_back(found == gradient_.end() ? Value() : found->second);
      any = any || found != gradient_.end();
    }
    if (!any) return;
    const GraphBuilder::ScopeOf scope(
        builder_, std::string(graph().scopes()[static_cast<size_t>(node.scope)]));
    OpCall call{builder_, *node.op, node.attributes, {}, {}};
    for (ValueId in : node.inputs) {
      call.inputs.push_back(in == kNoValue ? Value() : builder_.value(in));
    }
    for (int i = 0; i < node.num_outputs; ++i)
      call.outputs.push_back(builder_.value(node.output(i)));
    if (!check_region(node, upstream)) return;
    const std::vector<Value> gradients = node.op->differentiable == OpDef::Gradient::kRule
                                             ? node.op->gradient(call, upstream)
                                             : through_decomposition(call, call.inputs, upstream);
    for (size_t i = 0; i < node.inputs.size() && i < gradients.size(); ++i) {
      const ValueId in = node.inputs[i];
      const Value g = gradients[i];
      if (in == kNoValue || g.is_null() || !depends_[in]) continue;
      if (!g.is_poisoned() && g.dtype() != gradient_type(graph().type(in).dtype)) {
        builder_.poison(absl::InternalError(
            absl::StrCat("the gradient of ", node.op->name, " for operand ", i, " is ",
                         to_string(g.type()), ", the operand ", to_string(graph().type(in)))));
        return;
      }
      accumulate(in, g);
    }
  }

  GraphBuilder& builder_;
  const bool stop_;
  absl::flat_hash_set<ValueId> wrt_;
  absl::flat_hash_map<ValueId, bool> depends_;
  std::set<NodeId> nodes_;
  absl::flat_hash_map<ValueId, Value> gradient_;
};

bool check_owner(GraphBuilder& builder, absl::Span<const Value> values, absl::string_view what) {
  for (const Value& v : values) {
    if (v.is_null() || v.builder() == &builder) continue;
    builder.poison(absl::InvalidArgumentError(
        absl::StrCat(what, " of the differentiation is a value of another graph")));
    return false;
  }
  return true;
}

// Poisons the build, and is false, unless the loss can be differentiated with respect to `wrt`.
bool check_loss(GraphBuilder& builder, const Value& loss, absl::Span<const Value> wrt) {
  if (loss.is_null()) {
    builder.poison(absl::InvalidArgumentError("the loss is a null value"));
  } else if (!loss.is_poisoned() &&
             (!is_real(loss.dtype()) || !(element_count(loss.shape()) == Dim(1)))) {
    builder.poison(absl::InvalidArgumentError(
        absl::StrCat("the loss must be a real of one element, is ", to_string(loss.type()))));
  }
  for (const Value& v : wrt) {
    if (v.is_null() || (!v.is_poisoned() && !is_real(v.dtype()))) {
      builder.poison(absl::InvalidArgumentError(
          v.is_null()
              ? "gradient with respect to a null value"
              : absl::StrCat("gradient with respect to a value of type ", to_string(v.type()))));
    }
  }
  return builder.status().ok() && check_owner(builder, {loss}, "an output") &&
         check_owner(builder, wrt, "a variable");
}

std::vector<Value> poisoned(GraphBuilder& builder, size_t count) {
  return std::vector<Value>(count, builder.poison(builder.status()));
}

}  // namespace

std::vector<Value> vjp(GraphBuilder& builder, absl::Span<const Value> outputs,
                       absl::Span<const Value> output_gradients, absl::Span<const Value> wrt) {
  if (outputs.size() != output_gradients.size()) {
    builder.poison(absl::InvalidArgumentError(absl::StrCat(
        outputs.size(), " outputs to differentiate, ", output_gradients.size(), " gradients")));
    return std::vector<Value>(wrt.size());
  }
  if (!check_owner(builder, outputs, "an output") || !check_owner(builder, wrt, "a variable")) {
    return std::vector<Value>(wrt.size());
  }
  return ReverseWalk(builder, wrt, /*stop=*/false).run(outputs, output_gradients, wrt);
}

std::vector<Value> gradients(GraphBuilder& builder, Value loss, absl::Span<const Value> wrt) {
  if (!check_loss(builder, loss, wrt)) return poisoned(builder, wrt.size());
  std::vector<Value> result = vjp(builder, {loss}, {ones_like(loss)}, wrt);
  for (size_t i = 0; i < result.size(); ++i) {
    if (result[i].is_null()) result[i] = zeros_like(wrt[i]);
  }
  return result;
}

std::vector<Value> partial_gradients(GraphBuilder& builder, Value loss,
                                     absl::Span<const Value> wrt) {
  if (!check_loss(builder, loss, wrt)) return poisoned(builder, wrt.size());
  return ReverseWalk(builder, wrt, /*stop=*/true).run({loss}, {ones_like(loss)}, wrt);
}

std::vector<Value> decomposition_gradient(OpCall& call, absl::Span<const Value> output_gradients) {
  std::vector<Value> inputs = call.inputs;
  absl::flat_hash_set<ValueId> seen, taken;
  for (const Value& in : inputs) {
    if (usable(in)) taken.insert(in.id());
  }
  for (Value& in : inputs) {
    if (!usable(in) || !is_real(in.dtype()) || seen.insert(in.id()).second) continue;
    // Equal nodes are one: what stands in may be an operand already, or stand in for another one.
    Value other = stand_in(in, 1);
    for (int number = 2; usable(other) && !taken.insert(other.id()).second; ++number) {
      other = stand_in(in, number);
    }
    in = other;
  }
  return through_decomposition(call, inputs, output_gradients);
}

std::vector<Value> partial_vjp(GraphBuilder& builder, absl::Span<const Value> outputs,
                               absl::Span<const Value> output_gradients,
                               absl::Span<const Value> wrt) {
  std::vector<Value> result =
      ReverseWalk(builder, wrt, /*stop=*/true).run(outputs, output_gradients, wrt);
  // The operands of one node: a value that stands there twice counts once.
  absl::flat_hash_set<ValueId> seen;
  for (size_t i = 0; i < result.size(); ++i) {
    if (!result[i].is_null() && !seen.insert(wrt[i].id()).second) result[i] = Value();
  }
  return result;
}

}  // namespace modellib
