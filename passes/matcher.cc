#include "modellib/passes/matcher.h"

#include <algorithm>
#include <cmath>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/tensor.h"
#include "modellib/passes/rebuild.h"

namespace modellib {

struct Pattern::Node {
  enum class Kind { kAny, kAbsent, kOp, kNumber, kEither };
  struct TypeCondition {
    std::string what;
    std::function<bool(const TensorType&)> holds;
  };
  struct NodeCondition {
    std::string what;
    std::function<bool(const Graph&, const Graph::Node&)> holds;
  };

  Kind kind = Kind::kAny;
  std::string op;
  std::vector<Pattern> parts;  // operands, or alternatives
  std::optional<double> near;
  double relative = 0;
  std::string capture;
  bool used_once = false;
  std::vector<TypeCondition> types;
  std::vector<NodeCondition> conditions;
};

Pattern Pattern::changed(const std::function<void(Node&)>& change) const {
  auto copy = std::make_shared<Node>(*node_);
  change(*copy);
  return Pattern(std::move(copy));
}
Pattern Pattern::as(absl::string_view capture) const {
  return changed([&](Node& n) { n.capture = std::string(capture); });
}
Pattern Pattern::used_once() const {
  return changed([](Node& n) { n.used_once = true; });
}
Pattern Pattern::typed(absl::string_view what, std::function<bool(const TensorType&)> holds) const {
  return changed([&](Node& n) { n.types.push_back({std::string(what), std::move(holds)}); });
}
Pattern Pattern::where(absl::string_view what,
                       std::function<bool(const Graph&, const Graph::Node&)> holds) const {
  return changed([&](Node& n) { n.conditions.push_back({std::string(what), std::move(holds)}); });
}

namespace pattern {
namespace {
Pattern made(Pattern::Node node) {
  return Pattern(std::make_shared<const Pattern::Node>(std::move(node)));
}
}  // namespace

Pattern any() { return made({}); }
Pattern any(absl::string_view capture) { return any().as(capture); }
Pattern absent() { return made({.kind = Pattern::Node::Kind::kAbsent}); }
Pattern op(absl::string_view name, std::vector<Pattern> operands) {
  return made(
      {.kind = Pattern::Node::Kind::kOp, .op = std::string(name), .parts = std::move(operands)});
}
Pattern number() { return made({.kind = Pattern::Node::Kind::kNumber}); }
Pattern number(double near, double relative) {
  return made({.kind = Pattern::Node::Kind::kNumber, .near = near, .relative = relative});
}
Pattern either(std::vector<Pattern> alternatives) {
  return made({.kind = Pattern::Node::Kind::kEither, .parts = std::move(alternatives)});
}
Pattern product(const Pattern& a, const Pattern& b, const Pattern& c) {
  return either({op("mul", {op("mul", {a, b}), c}), op("mul", {op("mul", {a, c}), b}),
                 op("mul", {a, op("mul", {b, c})})});
}
}  // namespace pattern

ValueId Match::at(absl::string_view capture) const {
  for (const auto& [name, value] : captures) {
    if (name == capture) return value;
  }
  return kNoValue;
}

namespace {

// What a constant of the type holds of `number`.
double rounded(double number, DType dtype) {
  absl::StatusOr<Tensor> held = Tensor::zeros(dtype, {});
  if (!held.ok()) return number;
  held->set(0, number);
  return held->at(0);
}

// One search. Patterns are matched in depth-first order with the rest of the work as a continuation
// (`next`), so that a choice can be taken back when something later fails.
class Search {
 public:
  Search(const Matcher& matcher, bool explaining)
      : matcher_(matcher), graph_(matcher.graph()), explaining_(explaining) {}

  bool run(const Pattern& pattern, ValueId value) {
    match_.root = value;
    return at(pattern.node(), value, {}, [] { return true; });
  }
  Match take() { return std::move(match_); }
  Matcher::Miss take_miss() { return std::move(miss_); }

 private:
  using Next = absl::FunctionRef<bool()>;
  using Node = Pattern::Node;
  // Where a value stands, for messages; no node: the root.
  struct Place {
    const Graph::Node* node = nullptr;
    int operand = 0;
  };

  // Keeps the reason of the attempt that came furthest; of equals the first.
  bool fail(const Place& place, bool right_kind, absl::FunctionRef<std::string()> rest) {
    if (!explaining_) return false;
    const int score = 2 * fitted_ + (right_kind ? 1 : 0);
    if (!miss_.why.empty() && score <= miss_.closeness) return false;
    miss_.closeness = score;
    miss_.why = absl::StrCat(place.node == nullptr ? "the value"
                                                   : absl::StrCat("operand ", place.operand, " of ",
                                                                  place.node->op->name),
                             " ", rest());
    return false;
  }

  bool at(const Node& p, ValueId value, Place place, Next next) {
    if (p.kind == Node::Kind::kAbsent) {
      if (value == kNoValue) return rest(p, next);
      return fail(place, false, [&] { return "is not absent: " + it_is(value); });
    }
    if (value == kNoValue) {
      return fail(place, false, [] { return std::string("is absent"); });
    }
    switch (p.kind) {
      case Node::Kind::kEither:
        for (const Pattern& alternative : p.parts) {
          if (at(alternative.node(), value, place, [&] { return finish(p, value, place, next); }))
            return true;
        }
        return false;
      case Node::Kind::kNumber:
        return number(p, value, place, next);
      case Node::Kind::kOp:
        return op(p, value, place, next);
      default:
        return finish(p, value, place, next);
    }
  }

  bool number(const Node& p, ValueId value, Place place, Next next) {
    const std::optional<double> c = matcher_.number(value);
    // Rounding keeps the order, so this is what it makes of the numbers within the tolerance.
    const auto is_near = [&](double near) {
      const DType dtype = graph_.type(value).dtype;
      const double slack = p.relative * std::abs(near);
      return *c == near ||
             (rounded(near - slack, dtype) <= *c && *c <= rounded(near + slack, dtype));
    };
    if (c.has_value() && (!p.near.has_value() || is_near(*p.near))) {
      return finish(p, value, place, next);
    }
    return fail(place, c.has_value(), [&] {
      return absl::StrCat("is not a scalar constant",
                          p.near.has_value() ? absl::StrCat(" near ", *p.near) : "", ": ",
                          it_is(value));
    });
  }

  bool op(const Node& p, ValueId value, Place place, Next next) {
    const Graph::ValueInfo& info = graph_.value(value);
    const Graph::Node* node = info.producer < 0 ? nullptr : &graph_.node(info.producer);
    if (node == nullptr || node->op->name != p.op || info.output_index != 0) {
      return fail(place, false,
                  [&] { return absl::StrCat("is not made by ", p.op, ": ", it_is(value)); });
    }
    for (size_t i = p.parts.size(); i < node->inputs.size(); ++i) {
      if (node->inputs[i] == kNoValue) continue;
      return fail(place, true, [&] {
        return absl::StrCat("is a ", p.op, " with operand ", i, ", which the pattern has not");
      });
    }
    for (const auto& [what, holds] : p.conditions) {
      if (!holds(graph_, *node)) {
        return fail(place, true, [&what = what] { return absl::StrCat("is not ", what); });
      }
    }
    match_.nodes.push_back(info.producer);
    ++fitted_;
    const auto then = [&] { return finish(p, value, place, next); };
    const bool matched =
        operands(p, *node, /*swapped=*/false, 0, then) ||
        (node->op->commutative && p.parts.size() == 2 && operands(p, *node, true, 0, then));
    if (!matched) match_.nodes.pop_back();
    --fitted_;
    return matched;
  }

  // Pattern `i` and those after it.
  bool operands(const Node& p, const Graph::Node& node, bool swapped, size_t i, Next next) {
    if (i == p.parts.size()) return next();
    const size_t from = swapped ? 1 - i : i;
    const ValueId operand = from < node.inputs.size() ? node.inputs[from] : kNoValue;
    return at(p.parts[i].node(), operand, {&node, static_cast<int>(from)},
              [&] { return operands(p, node, swapped, i + 1, next); });
  }

  // What every kind of pattern may ask beside; then the rest.
  bool finish(const Node& p, ValueId value, Place place, Next next) {
    for (const auto& [what, holds] : p.types) {
      if (!holds(graph_.type(value))) {
        return fail(place, true, [&, &what = what] {
          return absl::StrCat("is not ", what, ": it is ", to_string(graph_.type(value)));
        });
      }
    }
    if (p.used_once && matcher_.uses(value) != 1) {
      return fail(place, true, [&] {
        return absl::StrCat("is used ", matcher_.uses(value), " times, not once");
      });
    }
    if (p.capture.empty()) return rest(p, next);
    const ValueId earlier = match_.at(p.capture);
    if (earlier != kNoValue) {
      if (earlier == value) return rest(p, next);
      return fail(place, true, [&] {
        return absl::StrCat("is not the same value as '", p.capture, "', which is ",
                            matcher_.describe(earlier), ": ", it_is(value));
      });
    }
    match_.captures.emplace_back(p.capture, value);
    if (rest(p, next)) return true;
    match_.captures.pop_back();
    return false;
  }

  // A leaf has fitted (an op counts when its operands are asked, alternatives count by themselves).
  bool rest(const Node& p, Next next) {
    const bool leaf = p.kind != Node::Kind::kOp && p.kind != Node::Kind::kEither;
    fitted_ += leaf;
    const bool matched = next();
    fitted_ -= leaf;
    return matched;
  }

  std::string it_is(ValueId value) const { return "it is " + matcher_.describe(value); }

  const Matcher& matcher_;
  const Graph& graph_;
  const bool explaining_;
  Match match_;
  int fitted_ = 0;  // parts of the attempt under way
  Matcher::Miss miss_;
};

}  // namespace

Matcher::Matcher(const Graph& graph)
    : graph_(graph), users_(graph.values().size()), uses_(graph.values().size(), 0) {
  const std::vector<bool> live = live_nodes(graph);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    if (!live[n]) continue;
    for (ValueId in : graph.nodes()[n].inputs) {
      if (in == kNoValue) continue;
      users_[static_cast<size_t>(in)].push_back(static_cast<NodeId>(n));
      ++uses_[static_cast<size_t>(in)];
    }
  }
  for (const Graph::Output& out : graph.outputs()) ++uses_[static_cast<size_t>(out.value)];
  for (const Graph::VariableUse& use : graph.variables()) {
    if (use.assigned != kNoValue) ++uses_[static_cast<size_t>(use.assigned)];
  }
}

std::optional<Match> Matcher::match(const Pattern& pattern, ValueId value) const {
  Search search(*this, /*explaining=*/false);
  if (!search.run(pattern, value)) return std::nullopt;
  return search.take();
}

Matcher::Miss Matcher::miss(const Pattern& pattern, ValueId value) const {
  Search search(*this, /*explaining=*/true);
  return search.run(pattern, value) ? Miss() : search.take_miss();
}

std::string Matcher::escape(const Match& match) const {
  for (NodeId n : match.nodes) {
    const Graph::Node& node = graph_.node(n);
    for (int i = 0; i < node.num_outputs; ++i) {
      const ValueId out = node.output(i);
      if (out == match.root) continue;
      const std::vector<NodeId>& users = users_[static_cast<size_t>(out)];
      const auto inside = [&](NodeId user) {
        return std::find(match.nodes.begin(), match.nodes.end(), user) != match.nodes.end();
      };
      if (uses(out) != static_cast<int>(users.size()) ||
          !std::all_of(users.begin(), users.end(), inside)) {
        return absl::StrCat("the result of ", node.op->name, " is used outside the pattern");
      }
    }
  }
  return "";
}

std::optional<double> Matcher::number(ValueId value) const {
  const Tensor* tensor = constant_value(graph_, value);
  if (tensor == nullptr || tensor->elements() != 1 || !is_floating(tensor->dtype())) {
    return std::nullopt;
  }
  return tensor->at(0);
}

std::string Matcher::describe(ValueId value) const {
  if (value == kNoValue) return "absent";
  if (const std::optional<double> c = number(value)) return absl::StrCat(*c);
  const Graph::ValueInfo& info = graph_.value(value);
  if (constant_value(graph_, value) != nullptr) {
    return absl::StrCat("a constant ", to_string(info.type));
  }
  if (info.producer < 0) {
    for (const Graph::VariableUse& use : graph_.variables()) {
      if (use.value == value) return "variable " + use.variable->name;
    }
    return "input " + info.name;
  }
  const Graph::Node& node = graph_.node(info.producer);
  return info.output_index == 0 ? absl::StrCat("made by ", node.op->name)
                                : absl::StrCat("output ", info.output_index, " of ", node.op->name);
}

}  // namespace modellib
