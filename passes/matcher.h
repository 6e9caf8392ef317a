// Patterns over a graph, and why they do not match.
//
//   using pattern::any, pattern::number, pattern::op;
//   const Pattern half = op("mul", {any("x"), number(0.5)});
//   Matcher matcher(graph);
//   if (std::optional<Match> m = matcher.match(half, value)) use(m->at("x"));
//   matcher.explain(half, other);
//     // "operand 1 of mul is not a scalar constant near 0.5: it is 0.7"
//
// A pattern is a tree that composes: an op with patterns for its operands, conditions on
// attributes and types, alternatives, and names for what is captured. A name that occurs twice
// stands for one value. Operands of commutative ops match in either order, and the search goes back
// on every choice, so a pattern matches whenever some way to match it exists. Patterns are
// immutable and shared freely.
#ifndef MODELLIB_PASSES_MATCHER_H_
#define MODELLIB_PASSES_MATCHER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "modellib/graph/graph.h"

namespace modellib {

class Pattern {
 public:
  // The same, captured under this name.
  Pattern as(absl::string_view capture) const;
  // The same, if exactly one operand, output or assignment reads the value.
  Pattern used_once() const;
  // The same, if the type has a property; `what` completes "is not …": "of rank 4".
  Pattern typed(absl::string_view what, std::function<bool(const TensorType&)> holds) const;
  // The same, for a pattern of an op: a condition on the node, with `what` as above.
  Pattern where(absl::string_view what,
                std::function<bool(const Graph&, const Graph::Node&)> holds) const;
  // The same, for a pattern of an op whose attributes are an A.
  template <class A>
  Pattern attributes(absl::string_view what, std::function<bool(const A&)> holds) const {
    return where(what, [holds = std::move(holds)](const Graph&, const Graph::Node& node) {
      return node.attributes.is<A>() && holds(node.attributes.as<A>());
    });
  }

  struct Node;
  explicit Pattern(std::shared_ptr<const Node> node) : node_(std::move(node)) {}
  const Node& node() const { return *node_; }

 private:
  Pattern changed(const std::function<void(Node&)>& change) const;
  std::shared_ptr<const Node> node_;
};

namespace pattern {
Pattern any();
Pattern any(absl::string_view capture);
// An operand that is not there.
Pattern absent();
// The first output of an op with these operands; such as a node lacks at its end are absent.
Pattern op(absl::string_view name, std::vector<Pattern> operands);
// A constant of one element; captured, its number is found by Matcher::number().
Pattern number();
// The same, near a number: what one with |number - near| <= relative |near| is when it is rounded
// to the constant's type.
Pattern number(double near, double relative = 1e-6);
Pattern either(std::vector<Pattern> alternatives);
// a b c in either association, each pair in either order.
Pattern product(const Pattern& a, const Pattern& b, const Pattern& c);
}  // namespace pattern

struct Match {
  ValueId root = kNoValue;
  std::vector<std::pair<std::string, ValueId>> captures;
  std::vector<NodeId> nodes;  // that patterns of ops have matched; the root's is the first

  // kNoValue if nothing was captured under this name.
  ValueId at(absl::string_view capture) const;
};

class Matcher {
 public:
  explicit Matcher(const Graph& graph);

  std::optional<Match> match(const Pattern& pattern, ValueId value) const;
  // One sentence: what stood in the way of the attempt that came furthest. Empty if it matches.
  std::string explain(const Pattern& pattern, ValueId value) const {
    return miss(pattern, value).why;
  }
  // The same, with how far that attempt came: twice the number of parts that fitted, and one more
  // if the part that did not fit was of the right kind (a constant of another number, the right op
  // with other attributes). For those who remark on near misses alone.
  struct Miss {
    std::string why;
    int closeness = 0;
  };
  Miss miss(const Pattern& pattern, ValueId value) const;
  // One sentence that names a value inside the match, the root apart, that something outside of it
  // reads: replacing the root would compute it twice. Empty if there is none.
  std::string escape(const Match& match) const;

  // Readers: operands of live nodes, outputs and assignments.
  int uses(ValueId value) const { return uses_[static_cast<size_t>(value)]; }
  // Of a constant of one element.
  std::optional<double> number(ValueId value) const;
  // "input x", "0.5", "made by mul": what a value is, for explanations.
  std::string describe(ValueId value) const;
  const Graph& graph() const { return graph_; }

 private:
  const Graph& graph_;
  std::vector<std::vector<NodeId>> users_;  // by ValueId; live nodes
  std::vector<int> uses_;                   // by ValueId
};

}  // namespace modellib

#endif  // MODELLIB_PASSES_MATCHER_H_
