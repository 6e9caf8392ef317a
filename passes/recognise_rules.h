// The rules of the pass "recognise": patterns, and what is put in their place.
#ifndef MODELLIB_PASSES_RECOGNISE_RULES_H_
#define MODELLIB_PASSES_RECOGNISE_RULES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/ops/reduce.h"
#include "modellib/passes/matcher.h"
#include "modellib/passes/rebuild.h"

namespace modellib::recognise_rules {

// A match in the old graph, with the values that stand for its captures in the new one.
struct Found {
  const RebuildSite& site;
  const Matcher& matcher;
  const Match& match;

  const Graph& graph() const { return matcher.graph(); }
  bool has(absl::string_view capture) const { return match.at(capture) != kNoValue; }
  Value operator[](absl::string_view capture) const {
    return site.values[static_cast<size_t>(match.at(capture))];
  }
  double number(absl::string_view capture) const { return *matcher.number(match.at(capture)); }
  const TensorType& type(absl::string_view capture) const {
    return graph().type(match.at(capture));
  }
  const TensorType& result() const { return graph().type(match.root); }
  // The node that made the captured value.
  const Graph::Node& node(absl::string_view capture) const {
    return graph().node(graph().value(match.at(capture)).producer);
  }
};

struct Rule {
  const char* op;  // what it finds
  Pattern pattern;
  // What stands for the root. FailedPrecondition, before anything is emitted, says what no pattern
  // can: "the sum runs over another axis than the maximum".
  absl::StatusOr<Value> (*build)(const Found&);
  // From which closeness on (Matcher::Miss) a miss is worth a remark.
  int telling;
};

std::vector<Rule> activation_rules();
std::vector<Rule> normalization_rules();  // softmax, layer norm, RMS norm
std::vector<Rule> attention_rules();

// Axes of a reduction, from the front, sorted.
std::vector<int> reduced_axes(const Graph& graph, const Graph::Node& reduction);
// `x` reduced by `op`, keeping its axes, in the usual accumulation type.
Pattern reduction(absl::string_view op, Pattern x);

}  // namespace modellib::recognise_rules

#endif  // MODELLIB_PASSES_RECOGNISE_RULES_H_
