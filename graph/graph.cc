#include "modellib/graph/graph.h"

#include <xxhash.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"

namespace modellib {
namespace {

uint64_t hash_text(absl::string_view text) { return XXH3_64bits(text.data(), text.size()); }

class Hasher {
 public:
  Hasher& add(uint64_t v) {
    const uint64_t pair[] = {state_, v};
    state_ = XXH3_64bits(pair, sizeof(pair));
    return *this;
  }
  Hasher& add(absl::string_view text) { return add(hash_text(text)); }
  uint64_t get() const { return state_; }

 private:
  uint64_t state_ = 0x6d6f64656c6c6962;  // "modellib"
};

// A hash for each value from what it is computed from.
std::vector<uint64_t> value_hashes(const Graph& g) {
  std::vector<uint64_t> hash(g.values().size());
  for (size_t i = 0; i < g.inputs().size(); ++i) {
    const ValueId id = g.inputs()[i];
    hash[static_cast<size_t>(id)] =
        Hasher().add("input").add(i).add(g.value(id).name).add(to_string(g.type(id))).get();
  }
  for (const Graph::VariableUse& use : g.variables()) {
    if (use.value == kNoValue) continue;
    hash[static_cast<size_t>(use.value)] =
        Hasher().add("variable").add(use.variable->name).add(to_string(use.variable->type)).get();
  }
  for (const Graph::Node& node : g.nodes()) {
    Hasher h;
    h.add(node.op->name).add(node.attributes.hash()).add(static_cast<uint64_t>(node.num_outputs));
    for (ValueId in : node.inputs) h.add(in == kNoValue ? 0 : hash[static_cast<size_t>(in)]);
    for (int i = 0; i < node.num_outputs; ++i) {
      hash[static_cast<size_t>(node.output(i))] = Hasher(h).add(static_cast<uint64_t>(i)).get();
    }
  }
  return hash;
}

std::vector<const Graph::VariableUse*> sorted_variables(const Graph& g) {
  std::vector<const Graph::VariableUse*> uses;
  for (const Graph::VariableUse& use : g.variables()) uses.push_back(&use);
  std::sort(uses.begin(), uses.end(),
            [](const auto* a, const auto* b) { return a->variable->name < b->variable->name; });
  return uses;
}

// Pairs the values of two graphs, from the outputs down.
class Comparison {
 public:
  Comparison(const Graph& a, const Graph& b)
      : a_(a),
        b_(b),
        paired_(a.values().size(), kNoValue),
        partner_of_(b.values().size(), kNoValue) {}

  bool graphs() {
    if (a_.inputs().size() != b_.inputs().size() || a_.outputs().size() != b_.outputs().size() ||
        a_.variables().size() != b_.variables().size() || a_.ranges() != b_.ranges()) {
      return false;
    }
    for (size_t i = 0; i < a_.inputs().size(); ++i) {
      if (!leaf(a_.inputs()[i], b_.inputs()[i])) return false;
    }
    const auto x = sorted_variables(a_), y = sorted_variables(b_);
    for (size_t i = 0; i < x.size(); ++i) {
      if (!(*x[i]->variable == *y[i]->variable)) return false;
      if ((x[i]->value == kNoValue) != (y[i]->value == kNoValue)) return false;
      if (x[i]->value != kNoValue && !pair(x[i]->value, y[i]->value)) return false;
    }
    for (size_t i = 0; i < a_.outputs().size(); ++i) {
      if (a_.outputs()[i].name != b_.outputs()[i].name) return false;
      if (!values(a_.outputs()[i].value, b_.outputs()[i].value)) return false;
    }
    for (size_t i = 0; i < x.size(); ++i) {
      if (!values(x[i]->assigned, y[i]->assigned)) return false;
    }
    return true;
  }

 private:
  // One to one, or a graph that computes something twice would equal one that computes it once.
  bool pair(ValueId x, ValueId y) {
    ValueId &there = paired_[static_cast<size_t>(x)], &back = partner_of_[static_cast<size_t>(y)];
    if (there != kNoValue || back != kNoValue) return there == y && back == x;
    there = y;
    back = x;
    return true;
  }

  bool leaf(ValueId x, ValueId y) {
    return pair(x, y) && a_.value(x).name == b_.value(y).name && a_.type(x) == b_.type(y);
  }

  // An explicit stack: graphs may be deeper than a thread's stack.
  bool values(ValueId x, ValueId y) {
    std::vector<std::pair<ValueId, ValueId>> todo = {{x, y}};
    while (!todo.empty()) {
      const auto [p, q] = todo.back();
      todo.pop_back();
      if (p == kNoValue || q == kNoValue) {
        if (p != q) return false;
        continue;
      }
      if (paired_[static_cast<size_t>(p)] == q) continue;
      if (!pair(p, q)) return false;
      const Graph::ValueInfo &u = a_.value(p), &v = b_.value(q);
      if (u.producer < 0 || v.producer < 0 || u.output_index != v.output_index) return false;
      const Graph::Node &m = a_.node(u.producer), &n = b_.node(v.producer);
      if (m.op->name != n.op->name || m.num_outputs != n.num_outputs ||
          m.inputs.size() != n.inputs.size() || !(m.attributes == n.attributes) ||
          !(u.type == v.type)) {
        return false;
      }
      for (size_t i = 0; i < m.inputs.size(); ++i) todo.emplace_back(m.inputs[i], n.inputs[i]);
    }
    return true;
  }

  const Graph &a_, &b_;
  std::vector<ValueId> paired_;      // by value of a: its partner in b
  std::vector<ValueId> partner_of_;  // by value of b: its partner in a
};

}  // namespace

std::string to_string(const TensorType& type) {
  return absl::StrCat(to_string(type.dtype), to_string(type.shape));
}

absl::string_view to_string(Variable::Kind kind) {
  switch (kind) {
    case Variable::Kind::kShared:
      return "shared";
    case Variable::Kind::kSession:
      return "session";
    case Variable::Kind::kShard:
      return "shard";
  }
  return "";
}

std::vector<std::vector<NodeId>> Graph::users() const {
  std::vector<std::vector<NodeId>> users(values_.size());
  for (size_t n = 0; n < nodes_.size(); ++n) {
    for (ValueId in : nodes_[n].inputs) {
      if (in != kNoValue) users[static_cast<size_t>(in)].push_back(static_cast<NodeId>(n));
    }
  }
  return users;
}

uint64_t structural_hash(const Graph& g) {
  const std::vector<uint64_t> hash = value_hashes(g);
  Hasher h;
  for (ValueId id : g.inputs()) h.add(hash[static_cast<size_t>(id)]);
  for (const Graph::Output& out : g.outputs()) {
    h.add(out.name).add(hash[static_cast<size_t>(out.value)]);
  }
  for (const Graph::VariableUse* use : sorted_variables(g)) {
    h.add(use->variable->name)
        .add(to_string(use->variable->type))
        .add(to_string(use->variable->kind))
        .add(use->value != kNoValue)
        .add(use->assigned == kNoValue ? 0 : hash[static_cast<size_t>(use->assigned)]);
  }
  for (const auto& [symbol, range] : g.ranges()) {
    h.add(symbol).add(static_cast<uint64_t>(range.min)).add(static_cast<uint64_t>(range.max));
  }
  return h.get();
}

const Tensor* constant_value(const Graph& graph, ValueId value) {
  if (value == kNoValue || graph.value(value).producer < 0) return nullptr;
  const Graph::Node& node = graph.node(graph.value(value).producer);
  return node.attributes.is<ConstantAttributes>() ? &node.attributes.as<ConstantAttributes>().value
                                                  : nullptr;
}

bool structurally_equal(const Graph& a, const Graph& b) { return Comparison(a, b).graphs(); }

}  // namespace modellib
