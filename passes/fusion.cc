#include "modellib/passes/fusion.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <queue>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/fused.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

// A region larger than this gains nothing more, and would cost much to try.
constexpr size_t kMaxNodes = 96;

// The shape that both broadcast to, if it is that of one of them: the larger space holds the
// smaller.
std::optional<Shape> common_space(const Shape& a, const Shape& b) {
  const Shape& large = a.size() >= b.size() ? a : b;
  const Shape& small = a.size() >= b.size() ? b : a;
  Shape out = large;
  bool large_holds = true, small_holds = a.size() == b.size();
  const size_t skip = large.size() - small.size();
  for (size_t i = 0; i < small.size(); ++i) {
    const Dim &x = large[skip + i], &y = small[i];
    if (x == y) continue;
    if (y == Dim(1)) {
      small_holds = false;
    } else if (x == Dim(1)) {
      large_holds = false;
      out[skip + i] = y;
    } else {
      return std::nullopt;
    }
  }
  if (!large_holds && !small_holds) return std::nullopt;
  return out;
}

// Whether a value of `shape` in a region over `space` is computed once for each of its elements, so
// that it may be stored: it spans the space, or all of it but the columns.
bool storable(const Shape& shape, const Shape& space) {
  if (shape == space) return true;
  if (space.empty()) return false;
  Shape row = space;
  row.back() = 1;
  return shape == row;
}

class Fusion {
 public:
  Fusion(const Graph& graph, PassContext& context)
      : graph_(graph), context_(context), backend_(*context.backend()), users_(graph.users()) {}

  absl::StatusOr<GraphRef> run() {
    find_candidates();
    for (size_t n = graph_.nodes().size(); n-- > 0;) grow(static_cast<NodeId>(n));
    return emit();
  }

 private:
  struct Group {
    std::vector<NodeId> nodes;  // sorted
    Shape space;
  };

  const Graph::Node& node(NodeId id) const { return graph_.node(id); }
  int& group_of(NodeId id) { return group_of_[static_cast<size_t>(id)]; }
  Group& group(int id) { return groups_[static_cast<size_t>(id)]; }

  // Every live fusible node starts as a group of its own.
  void find_candidates() {
    const std::vector<bool> live = live_nodes(graph_);
    group_of_.assign(graph_.nodes().size(), -1);
    wanted_.assign(graph_.values().size(), false);
    for (const Graph::Output& out : graph_.outputs())
      wanted_[static_cast<size_t>(out.value)] = true;
    for (const Graph::VariableUse& use : graph_.variables()) {
      if (use.assigned != kNoValue) wanted_[static_cast<size_t>(use.assigned)] = true;
    }
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const Graph::Node& node = graph_.nodes()[n];
      live_.push_back(live[n]);
      farthest_.push_back(static_cast<NodeId>(n));
      if (!live[n] || constant_value(graph_, node.output(0)) != nullptr) continue;
      if (!backend_.can_fuse(graph_, node)) continue;
      std::optional<Shape> space = graph_.type(node.output(0)).shape;
      for (ValueId in : node.inputs) {
        if (in != kNoValue && space.has_value())
          space = common_space(*space, graph_.type(in).shape);
      }
      if (!space.has_value()) continue;
      group_of(static_cast<NodeId>(n)) = static_cast<int>(groups_.size());
      groups_.push_back({{static_cast<NodeId>(n)}, *std::move(space)});
    }
  }

  // Tries to join the group of `id` with that of its earliest user.
  void grow(NodeId id) {
    const int mine = group_of(id);
    if (mine < 0) return;
    std::vector<int> tried;
    NodeId earliest = -1;
    for (int i = 0; i < node(id).num_outputs; ++i) {
      for (NodeId user : users_[static_cast<size_t>(node(id).output(i))]) {
        if (live_[static_cast<size_t>(user)] && (earliest < 0 || user < earliest)) earliest = user;
      }
    }
    if (earliest < 0 || group_of(earliest) < 0) return;
    try_join(mine, group_of(earliest));
  }

  void try_join(int producer, int consumer) {
    if (producer == consumer) return;
    const std::optional<Shape> space = common_space(group(producer).space, group(consumer).space);
    if (!space.has_value()) return;
    if (group(producer).nodes.size() + group(consumer).nodes.size() > kMaxNodes) return;
    std::vector<NodeId> merged;
    std::merge(group(producer).nodes.begin(), group(producer).nodes.end(),
               group(consumer).nodes.begin(), group(consumer).nodes.end(),
               std::back_inserter(merged));
    if (!outputs_storable(merged, producer, consumer, *space)) return;
    if (path_between(producer, consumer)) return;
    const absl::StatusOr<Region> region = make_region(merged);
    if (!region.ok()) return;
    if (absl::Status s = backend_.accepts_region(*region->graph); !s.ok()) {
      context_.explain(absl::StrCat("node ", merged.front(), ": ", s.message()));
      return;
    }
    if (!context_.may_rewrite()) return;
    for (NodeId n : group(producer).nodes) group_of(n) = consumer;
    for (size_t n = static_cast<size_t>(merged.front()); farthest_[n] < merged.back(); ++n) {
      farthest_[n] = merged.back();
    }
    group(producer).nodes.clear();
    group(consumer).nodes = std::move(merged);
    group(consumer).space = *space;
  }

  bool inside(NodeId n, int a, int b) { return n >= 0 && (group_of(n) == a || group_of(n) == b); }

  bool outputs_storable(const std::vector<NodeId>& nodes, int a, int b, const Shape& space) {
    for (NodeId n : nodes) {
      for (int i = 0; i < node(n).num_outputs; ++i) {
        const ValueId out = node(n).output(i);
        bool outside = wanted_[static_cast<size_t>(out)];
        for (NodeId user : users_[static_cast<size_t>(out)]) {
          outside = outside || (live_[static_cast<size_t>(user)] && !inside(user, a, b));
        }
        if (outside && !storable(graph_.type(out).shape, space)) return false;
      }
    }
    return true;
  }

  // Whether something outside both groups depends on `producer` and is needed by `consumer`.
  bool path_between(int producer, int consumer) {
    // Edges lead to later nodes, but a group that is entered at its end leads on from its start.
    // Behind the limit nothing leads back.
    NodeId limit = group(consumer).nodes.back();
    while (farthest_[static_cast<size_t>(limit)] > limit) {
      limit = farthest_[static_cast<size_t>(limit)];
    }
    absl::flat_hash_set<int> seen_groups;
    absl::flat_hash_set<NodeId> seen_nodes;
    std::vector<NodeId> todo;
    const auto visit_users = [&](NodeId n, bool from_producer) {
      for (int i = 0; i < node(n).num_outputs; ++i) {
        for (NodeId user : users_[static_cast<size_t>(node(n).output(i))]) {
          if (!live_[static_cast<size_t>(user)] || user > limit) continue;
          const int g = group_of(user);
          if (g == consumer) {
            if (!from_producer) return true;
            continue;
          }
          if (g == producer) continue;
          if (g >= 0) {
            if (!seen_groups.insert(g).second) continue;
            todo.insert(todo.end(), group(g).nodes.begin(), group(g).nodes.end());
          } else if (seen_nodes.insert(user).second) {
            todo.push_back(user);
          }
        }
      }
      return false;
    };
    for (NodeId n : group(producer).nodes) visit_users(n, true);
    while (!todo.empty()) {
      const NodeId n = todo.back();
      todo.pop_back();
      if (visit_users(n, false)) return true;
    }
    return false;
  }

  struct Region {
    GraphRef graph;
    std::vector<ValueId> inputs, outputs;  // of the region, as values of the graph
  };

  absl::StatusOr<Region> make_region(const std::vector<NodeId>& nodes) {
    Region region;
    absl::flat_hash_set<NodeId> members(nodes.begin(), nodes.end());
    GraphBuilder builder(context_.registry(), "region");
    absl::flat_hash_map<ValueId, Value> map;
    for (NodeId n : nodes) {
      for (ValueId in : node(n).inputs) {
        if (in == kNoValue || map.contains(in)) continue;
        const NodeId producer = graph_.value(in).producer;
        if (producer >= 0 && members.contains(producer)) continue;
        const Tensor* constant = constant_value(graph_, in);
        if (constant != nullptr && constant->elements() == 1) {
          map[in] = builder.constant(*constant);
          continue;
        }
        map[in] = builder.input(absl::StrCat("in", region.inputs.size()), graph_.type(in));
        region.inputs.push_back(in);
      }
      std::vector<Value> operands;
      for (ValueId in : node(n).inputs) operands.push_back(in == kNoValue ? Value() : map.at(in));
      const std::vector<Value> outputs = builder.emit(*node(n).op, operands, node(n).attributes);
      if (!builder.status().ok()) return builder.status();
      for (int i = 0; i < node(n).num_outputs; ++i) {
        map[node(n).output(i)] = outputs[static_cast<size_t>(i)];
      }
    }
    for (NodeId n : nodes) {
      for (int i = 0; i < node(n).num_outputs; ++i) {
        const ValueId out = node(n).output(i);
        bool outside = wanted_[static_cast<size_t>(out)];
        for (NodeId user : users_[static_cast<size_t>(out)]) {
          outside = outside || (live_[static_cast<size_t>(user)] && !members.contains(user));
        }
        if (!outside) continue;
        builder.output(absl::StrCat("out", region.outputs.size()), map.at(out));
        region.outputs.push_back(out);
      }
    }
    for (const auto& [symbol, range] : graph_.ranges()) builder.set_range(symbol, range);
    MODELLIB_ASSIGN_OR_RETURN(region.graph, builder.build());
    return region;
  }

  // Copies the graph, group by group, each once all that it reads is there.
  absl::StatusOr<GraphRef> emit() {
    GraphBuilder builder(context_.registry(), graph_.name());
    std::vector<Value> map(graph_.values().size());
    const auto mapped = [&](ValueId id) -> Value& { return map[static_cast<size_t>(id)]; };
    for (const auto& [symbol, range] : graph_.ranges()) builder.set_range(symbol, range);
    for (ValueId id : graph_.inputs()) {
      mapped(id) = builder.input(graph_.value(id).name, graph_.type(id));
    }
    for (const Graph::VariableUse& use : graph_.variables()) {
      if (use.value != kNoValue) mapped(use.value) = builder.variable(*use.variable);
    }
    // Ahead of the nodes, as rebuild does.
    for (const Graph::Constraint& c : graph_.constraints()) {
      builder.require_equal(c.left, c.right, c.reason);
    }
    for (const std::vector<NodeId>& unit : units_in_order()) {
      const Graph::Node& last = node(unit.back());
      const GraphBuilder::ScopeOf scope(builder, graph_.scopes()[static_cast<size_t>(last.scope)]);
      if (unit.size() == 1) {
        std::vector<Value> operands;
        for (ValueId in : last.inputs) operands.push_back(in == kNoValue ? Value() : mapped(in));
        const std::vector<Value> outputs = builder.emit(*last.op, operands, last.attributes);
        for (int i = 0; i < last.num_outputs && builder.status().ok(); ++i) {
          bind(builder, mapped(last.output(i)), last.output(i), outputs[static_cast<size_t>(i)]);
        }
        continue;
      }
      MODELLIB_ASSIGN_OR_RETURN(const Region region, make_region(unit));
      std::vector<Value> operands;
      for (ValueId in : region.inputs) operands.push_back(mapped(in));
      const std::vector<Value> outputs =
          builder.emit("fused", operands, Attributes::of(FusedAttributes{region.graph}));
      if (!builder.status().ok()) return builder.status();
      for (size_t i = 0; i < region.outputs.size(); ++i) {
        bind(builder, mapped(region.outputs[i]), region.outputs[i], outputs[i]);
      }
    }
    for (const Graph::Output& out : graph_.outputs()) builder.output(out.name, mapped(out.value));
    for (const Graph::VariableUse& use : graph_.variables()) {
      if (use.assigned != kNoValue) builder.assign(*use.variable, mapped(use.assigned));
    }
    return builder.build();
  }

  void bind(GraphBuilder& builder, Value& slot, ValueId old, Value value) {
    slot = value;
    if (!graph_.value(old).name.empty()) builder.set_name(value, graph_.value(old).name);
  }

  // Groups and single nodes in topological order; among those that are ready, the one whose first
  // node came first.
  std::vector<std::vector<NodeId>> units_in_order() {
    std::vector<std::vector<NodeId>> units;
    std::vector<int> unit_of(graph_.nodes().size(), -1);
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      if (!live_[n] || unit_of[n] >= 0) continue;
      const int g = group_of_[n];
      units.push_back(g >= 0 ? group(g).nodes : std::vector<NodeId>{static_cast<NodeId>(n)});
      for (NodeId member : units.back()) {
        unit_of[static_cast<size_t>(member)] = static_cast<int>(units.size()) - 1;
      }
    }
    std::vector<std::vector<int>> next(units.size());
    std::vector<int> waiting(units.size(), 0);
    for (size_t u = 0; u < units.size(); ++u) {
      absl::flat_hash_set<int> before;
      for (NodeId n : units[u]) {
        for (ValueId in : node(n).inputs) {
          if (in == kNoValue || graph_.value(in).producer < 0) continue;
          const int p = unit_of[static_cast<size_t>(graph_.value(in).producer)];
          if (p != static_cast<int>(u) && before.insert(p).second) {
            next[static_cast<size_t>(p)].push_back(static_cast<int>(u));
            ++waiting[u];
          }
        }
      }
    }
    std::priority_queue<int, std::vector<int>, std::greater<>> ready;
    for (size_t u = 0; u < units.size(); ++u) {
      if (waiting[u] == 0) ready.push(static_cast<int>(u));
    }
    std::vector<std::vector<NodeId>> order;
    while (!ready.empty()) {
      const int u = ready.top();
      ready.pop();
      order.push_back(units[static_cast<size_t>(u)]);
      for (int v : next[static_cast<size_t>(u)]) {
        if (--waiting[static_cast<size_t>(v)] == 0) ready.push(v);
      }
    }
    return order;
  }

  const Graph& graph_;
  PassContext& context_;
  const Backend& backend_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<bool> live_;
  std::vector<NodeId> farthest_;  // by node: the last one of all groups that begin up to there
  std::vector<int> group_of_;     // by NodeId; -1: not fusible
  std::vector<Group> groups_;
  std::vector<bool> wanted_;  // by ValueId: an output or assigned
};

}  // namespace

absl::StatusOr<GraphRef> fuse_regions(const GraphRef& graph, PassContext& context) {
  if (context.backend() == nullptr) return graph;
  return Fusion(*graph, context).run();
}

}  // namespace modellib
