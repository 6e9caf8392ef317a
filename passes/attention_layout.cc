#include "modellib/passes/attention_layout.h"

#include <optional>
#include <string>
#include <vector>

#include "modellib/ops/attention.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

// The value that `value` swaps heads and positions of, if transposes made it so, one or several
// (exporters turn keys once more for their product with queries); else null.
Value before_swap(const Value& value) {
  const std::vector<int64_t> swap = {0, 2, 1, 3};
  const Graph& graph = value.builder()->so_far();
  std::vector<int64_t> axes = {0, 1, 2, 3};  // of what was found so far, by axis of `value`
  for (ValueId id = value.id();;) {
    const NodeId producer = graph.value(id).producer;
    if (producer < 0 || graph.node(producer).op->name != "transpose") return {};
    const Graph::Node& node = graph.node(producer);
    const std::vector<int64_t> perm = perm_of(node, 4);
    for (int64_t& axis : axes) axis = perm[static_cast<size_t>(axis)];
    id = node.inputs[0];
    if (axes == swap) return value.builder()->value(id);
  }
}

Value swap_axes(const Value& value) { return transpose(value, {0, 2, 1, 3}); }

// `value` with heads and positions swapped: what it was made from, where it is a swap itself.
Value other_layout(const Value& value) {
  const Value before = before_swap(value);
  return before.is_null() ? swap_axes(value) : before;
}

class AttentionLayout {
 public:
  explicit AttentionLayout(RebuildSite& site)
      : site_(site),
        is_gradient_(site.node.op->name == "attention_grad"),
        q_(is_gradient_ ? 1 : 0),
        attributes_(site.node.attributes.as<AttentionAttributes>()) {}

  // The node in a better layout; nothing if it has it already.
  std::optional<std::vector<Value>> improve(PassContext& context) {
    const auto swaps = [&](int i) { return !before_swap(site_.in(i)).is_null(); };
    const bool query = attributes_.query_layout == "BHSD" && swaps(q_);
    // Keys and values share a layout: those of a cache often stay as they are.
    const bool key = attributes_.key_layout == "BHSD" && swaps(q_ + 1) && swaps(q_ + 2);
    if ((!query && !key) || !context.may_rewrite()) return std::nullopt;
    std::vector<Value> operands = site_.inputs;
    const auto change = [&](int i) {
      Value& operand = operands[static_cast<size_t>(i)];
      operand = other_layout(operand);
    };
    if (query) {
      attributes_.query_layout = "BSHD";
      change(q_);
      if (is_gradient_) {
        change(0);  // the gradient of the result, and the result
        change(4);
      }
    }
    if (key) {
      attributes_.key_layout = "BSHD";
      change(q_ + 1);
      change(q_ + 2);
    }
    std::vector<Value> results =
        site_.builder.emit(*site_.node.op, operands, Attributes::of(attributes_));
    if (!site_.builder.status().ok()) return results;
    if (query) results[0] = swap_axes(results[0]);
    if (key && is_gradient_) {
      results[1] = swap_axes(results[1]);
      results[2] = swap_axes(results[2]);
    }
    return results;
  }

 private:
  RebuildSite& site_;
  bool is_gradient_;
  int q_;  // operand; k and v follow
  AttentionAttributes attributes_;
};

}  // namespace

absl::StatusOr<GraphRef> choose_attention_layout(const GraphRef& graph, PassContext& context) {
  if (context.backend() == nullptr) return graph;
  return rebuild(*graph, context.registry(),
                 [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
                   if (!site.node.attributes.is<AttentionAttributes>()) return std::nullopt;
                   if (!context.backend()->takes_composite(site.graph, site.node)) {
                     return std::nullopt;
                   }
                   return AttentionLayout(site).improve(context);
                 });
}

}  // namespace modellib
