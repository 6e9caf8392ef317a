#include "modellib/graph/verifier.h"

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/op_def.h"

namespace modellib {
namespace {

absl::Status at_node(size_t index, const Graph::Node& node, absl::string_view what) {
  return absl::InternalError(
      absl::StrCat("node ", index, " (", node.op == nullptr ? "?" : node.op->name, "): ", what));
}

bool exists(const Graph& g, ValueId id) {
  return id >= 0 && static_cast<size_t>(id) < g.values().size();
}

absl::Status values_exist(const Graph& g) {
  const auto check = [&](ValueId id, absl::string_view what) {
    return exists(g, id) ? absl::OkStatus()
                         : absl::InternalError(absl::StrCat(what, " names value ", id));
  };
  for (ValueId id : g.inputs()) {
    if (auto s = check(id, "an input"); !s.ok()) return s;
  }
  for (const Graph::Output& out : g.outputs()) {
    if (auto s = check(out.value, "an output"); !s.ok()) return s;
  }
  for (const Graph::VariableUse& use : g.variables()) {
    if (use.variable == nullptr) return absl::InternalError("a use of no variable");
    for (ValueId id : {use.value, use.assigned}) {
      if (id == kNoValue) continue;
      if (auto s = check(id, use.variable->name); !s.ok()) return s;
    }
  }
  return absl::OkStatus();
}

absl::Status nodes_have_ops(const Graph& g) {
  for (size_t n = 0; n < g.nodes().size(); ++n) {
    const Graph::Node& node = g.nodes()[n];
    if (node.op == nullptr) return at_node(n, node, "no op");
    if (node.scope < 0 || static_cast<size_t>(node.scope) >= g.scopes().size()) {
      return at_node(n, node, "no such scope");
    }
  }
  return absl::OkStatus();
}

// Each value is defined once, and before it is read.
absl::Status single_assignment(const Graph& g) {
  std::vector<bool> defined(g.values().size(), false);
  const auto define = [&](ValueId id) {
    if (!exists(g, id) || defined[static_cast<size_t>(id)]) return false;
    return defined[static_cast<size_t>(id)] = true, true;
  };
  for (ValueId id : g.inputs()) {
    if (!define(id) || g.value(id).producer != -1)
      return absl::InternalError("an input is defined twice");
  }
  for (const Graph::VariableUse& use : g.variables()) {
    if (use.value == kNoValue) continue;
    if (!define(use.value) || g.value(use.value).producer != -1) {
      return absl::InternalError(
          absl::StrCat("variable ", use.variable->name, " is defined twice"));
    }
  }
  for (size_t n = 0; n < g.nodes().size(); ++n) {
    const Graph::Node& node = g.nodes()[n];
    for (ValueId in : node.inputs) {
      if (in == kNoValue) continue;
      if (!exists(g, in) || !defined[static_cast<size_t>(in)]) {
        return at_node(n, node, absl::StrCat("reads value ", in, " before it is defined"));
      }
    }
    for (int i = 0; i < node.num_outputs; ++i) {
      const ValueId out = node.output(i);
      if (!define(out) || g.value(out).producer != static_cast<NodeId>(n) ||
          g.value(out).output_index != i) {
        return at_node(n, node, absl::StrCat("output ", i, " is not its own"));
      }
    }
  }
  for (size_t id = 0; id < defined.size(); ++id) {
    if (!defined[id]) return absl::InternalError(absl::StrCat("value ", id, " is never defined"));
  }
  return absl::OkStatus();
}

absl::Status types_follow(const Graph& g) {
  for (ValueId id : g.inputs()) {
    if (absl::Status s = check_shape(g.type(id).shape); !s.ok()) {
      return absl::InternalError(absl::StrCat("input '", g.value(id).name, "': ", s.message()));
    }
  }
  for (size_t n = 0; n < g.nodes().size(); ++n) {
    const Graph::Node& node = g.nodes()[n];
    const std::vector<const TensorType*> inputs = operand_types(g, node.inputs);
    InferenceContext context{inputs, node.attributes, {}, {}};
    if (absl::Status s = infer_types(*node.op, context); !s.ok())
      return at_node(n, node, s.message());
    if (static_cast<int>(context.outputs.size()) != node.num_outputs) {
      return at_node(n, node, "another number of outputs than inferred");
    }
    for (int i = 0; i < node.num_outputs; ++i) {
      const TensorType& inferred = context.outputs[static_cast<size_t>(i)];
      if (!(inferred == g.type(node.output(i)))) {
        return at_node(n, node,
                       absl::StrCat("output ", i, " is ", to_string(g.type(node.output(i))),
                                    ", inferred ", to_string(inferred)));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status variables_are_sound(const Graph& g) {
  absl::flat_hash_set<std::string> names;
  for (const Graph::VariableUse& use : g.variables()) {
    const Variable& v = *use.variable;
    if (!names.insert(v.name).second) {
      return absl::InternalError(absl::StrCat("variable ", v.name, " stands twice"));
    }
    if (!is_static(v.type.shape)) {
      return absl::InternalError(absl::StrCat("variable ", v.name, " has a free dimension"));
    }
    if (absl::Status s = check_shape(v.type.shape); !s.ok()) {
      return absl::InternalError(absl::StrCat("variable ", v.name, ": ", s.message()));
    }
    for (ValueId id : {use.value, use.assigned}) {
      if (id != kNoValue && !(g.type(id) == v.type)) {
        return absl::InternalError(absl::StrCat("variable ", v.name, " is ", to_string(v.type),
                                                ", its value ", to_string(g.type(id))));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status names_are_unique(const Graph& g) {
  absl::flat_hash_set<std::string> names;
  for (ValueId id : g.inputs()) {
    if (!names.insert(g.value(id).name).second) {
      return absl::InternalError(absl::StrCat("two inputs are named '", g.value(id).name, "'"));
    }
  }
  names.clear();
  for (const Graph::Output& out : g.outputs()) {
    if (!names.insert(out.name).second) {
      return absl::InternalError(absl::StrCat("two outputs are named '", out.name, "'"));
    }
  }
  return absl::OkStatus();
}

constexpr VerifierRule kRules[] = {
    {"values-exist", values_exist},
    {"nodes-have-ops", nodes_have_ops},
    {"single-assignment", single_assignment},
    {"types-follow", types_follow},
    {"variables-are-sound", variables_are_sound},
    {"names-are-unique", names_are_unique},
};

}  // namespace

absl::Span<const VerifierRule> verifier_rules() { return kRules; }

absl::Status verify(const Graph& graph) {
  for (const VerifierRule& rule : kRules) {
    if (absl::Status s = rule.check(graph); !s.ok()) {
      return absl::InternalError(
          absl::StrCat("graph '", graph.name(), "' breaks rule ", rule.name, ": ", s.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace modellib
