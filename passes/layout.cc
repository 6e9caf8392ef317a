#include "modellib/passes/layout.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/channels_last.h"
#include "modellib/passes/fold_constants.h"
#include "modellib/passes/min_cut.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

class LayoutChoice {
 public:
  LayoutChoice(const Graph& graph, PassContext& context)
      : graph_(graph), context_(context), live_(live_nodes(graph)), users_(graph.users()) {
    for (size_t n = 0; n < graph.nodes().size(); ++n) {
      forms_.push_back(live_[n] ? channels_last_form(graph, graph.nodes()[n]) : std::nullopt);
    }
  }

  // Whether each node is to be channels-last; index by NodeId.
  std::vector<bool> choose() {
    cut_node_.assign(graph_.nodes().size(), cut_.sink());
    bool any_gains = false;
    for (size_t n = 0; n < forms_.size(); ++n) {
      if (!forms_[n].has_value()) continue;
      const int64_t gain = gain_of(n);
      any_gains = any_gains || gain > 0;
      cut_node_[n] = cut_.add_node();
      if (gain > 0) cut_.add_edge(cut_.source(), cut_node_[n], gain);
      if (gain < 0) cut_.add_edge(cut_node_[n], cut_.sink(), -gain);
    }
    std::vector<bool> last(graph_.nodes().size(), false);
    if (!any_gains) return last;
    for (size_t v = 0; v < graph_.values().size(); ++v) add_value(static_cast<ValueId>(v));
    const std::vector<bool> side = cut_.source_side();
    for (size_t n = 0; n < last.size(); ++n) {
      last[n] = cut_node_[n] != cut_.sink() && side[static_cast<size_t>(cut_node_[n])];
    }
    return last;
  }

  absl::StatusOr<GraphRef> rewrite(const std::vector<bool>& last) {
    return rebuild(graph_, context_.registry(),
                   [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
                     if (!last[static_cast<size_t>(site.id)] || !context_.may_rewrite())
                       return std::nullopt;
                     return channels_last(site);
                   });
  }

 private:
  // What a copy of the value into the other layout costs, in bytes: nothing if the elements keep
  // their order, or are there ahead of time.
  int64_t cost_of(ValueId id) const {
    const TensorType& type = graph_.type(id);
    if (constant_value(graph_, id) != nullptr) return 0;
    std::vector<int64_t> moving;
    for (const int64_t axis : to_channels_last(type.rank())) {
      if (!(type.shape[static_cast<size_t>(axis)] == Dim(1))) moving.push_back(axis);
    }
    if (std::is_sorted(moving.begin(), moving.end())) return 0;
    return image_bytes(graph_, id);
  }

  int64_t gain_of(size_t n) const {
    const Graph::Node& node = graph_.nodes()[n];
    const ChannelsLastForm& form = *forms_[n];
    if (form.is_conversion) return image_bytes(graph_, node.output(0));
    int64_t gain = context_.backend()->channels_last_gain(graph_, node);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (form.inputs[i] != ImageRole::kBroadcast) continue;
      const Shape& shape = graph_.type(node.inputs[i]).shape;
      const auto extended = std::count(shape.begin(), shape.end(), Dim(1));
      // With two axes and more, the elements have to move.
      if (static_cast<int64_t>(shape.size()) - extended > 1)
        gain -= image_bytes(graph_, node.inputs[i]);
    }
    return gain;
  }

  // The copies of one value that a choice needs: into channels-last if its producer is not and a
  // reader is, and the other way round; one copy serves all readers.
  void add_value(ValueId id) {
    const TensorType& type = graph_.type(id);
    if (type.rank() < 3) return;
    const NodeId producer = graph_.value(id).producer;
    int from = cut_.sink();
    if (producer >= 0) {
      if (!live_[static_cast<size_t>(producer)]) return;
      const auto& form = forms_[static_cast<size_t>(producer)];
      const auto output = static_cast<size_t>(id - graph_.node(producer).output(0));
      if (form.has_value() && form->outputs[output] == ImageRole::kImage)
        from = cut_node_[static_cast<size_t>(producer)];
    }
    bool read_plain = false;
    std::vector<int> readers;
    for (const NodeId user : users_[static_cast<size_t>(id)]) {
      if (!live_[static_cast<size_t>(user)]) continue;
      const auto& form = forms_[static_cast<size_t>(user)];
      const Graph::Node& node = graph_.node(user);
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        if (node.inputs[i] != id) continue;
        if (form.has_value() && form->inputs[i] == ImageRole::kImage) {
          readers.push_back(cut_node_[static_cast<size_t>(user)]);
        } else {
          read_plain = true;
        }
      }
    }
    for (const Graph::Output& out : graph_.outputs()) read_plain |= out.value == id;
    for (const Graph::VariableUse& use : graph_.variables()) read_plain |= use.assigned == id;
    const int64_t cost = cost_of(id);
    if (cost == 0) return;
    if (!readers.empty()) {
      const int any_last = cut_.add_node();
      for (const int reader : readers) cut_.add_edge(reader, any_last, MinCut::kInfinite);
      cut_.add_edge(any_last, from, cost);
    }
    if (from == cut_.sink()) return;
    if (read_plain) {
      cut_.add_edge(from, cut_.sink(), cost);
    } else if (!readers.empty()) {
      const int any_first = cut_.add_node();
      for (const int reader : readers) cut_.add_edge(any_first, reader, MinCut::kInfinite);
      cut_.add_edge(from, any_first, cost);
    }
  }

  // The node in its channels-last form. What it gives is bound as channels-first values; those that
  // only channels-last nodes read are not used and vanish.
  std::vector<Value> channels_last(RebuildSite& site) {
    const ChannelsLastForm& form = *forms_[static_cast<size_t>(site.id)];
    std::vector<Value> operands;
    for (size_t i = 0; i < site.inputs.size(); ++i) {
      const Value& in = site.inputs[i];
      operands.push_back(form.inputs[i] == ImageRole::kPlain ? in : as_last(in, form.rank));
    }
    std::vector<Value> results = emit_channels_last(site.builder, site.graph, site.node, operands);
    if (!site.builder.status().ok()) return results;
    for (size_t i = 0; i < results.size(); ++i) {
      if (form.outputs[i] != ImageRole::kImage) continue;
      const Value last = results[i];
      const ValueId old = site.node.output(static_cast<int>(i));
      if (const std::string& name = graph_.value(old).name; !name.empty()) {
        site.builder.set_name(last, absl::StrCat(name, kChannelsLastSuffix));
      }
      results[i] = transpose(last, to_channels_first(form.rank));
      last_[results[i].id()] = last;
    }
    return results;
  }

  Value as_last(const Value& value, int rank) {
    const auto it = last_.find(value.id());
    if (it != last_.end() && value.rank() == rank) return it->second;
    Value image = value;
    if (value.rank() < rank) {
      Shape shape(static_cast<size_t>(rank - value.rank()), Dim(1));
      shape.insert(shape.end(), value.shape().begin(), value.shape().end());
      image = reshape(value, std::move(shape));
    }
    return transpose(image, to_channels_last(rank));
  }

  const Graph& graph_;
  PassContext& context_;
  std::vector<bool> live_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<std::optional<ChannelsLastForm>> forms_;  // by NodeId
  MinCut cut_;
  std::vector<int> cut_node_;                 // by NodeId; the sink: stays channels-first
  absl::flat_hash_map<ValueId, Value> last_;  // channels-last forms of values of the new graph
};

}  // namespace

absl::StatusOr<GraphRef> choose_layout(const GraphRef& graph, PassContext& context) {
  if (context.backend() == nullptr) return graph;
  LayoutChoice choice(*graph, context);
  const std::vector<bool> last = choice.choose();
  if (std::find(last.begin(), last.end(), true) == last.end()) {
    context.explain("no chain of images gains more by channels-last than its copies cost");
    return graph;
  }
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef rewritten, choice.rewrite(last));
  // Copies that nothing reads vanish, those of constants are made now.
  return fold_constants(rewritten, context);
}

}  // namespace modellib
