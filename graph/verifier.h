// Checks that a graph obeys the rules of the IR. Runs after every build and every pass.
#ifndef MODELLIB_GRAPH_VERIFIER_H_
#define MODELLIB_GRAPH_VERIFIER_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "modellib/graph/graph.h"

namespace modellib {

// One rule: what must hold, and the check of it.
struct VerifierRule {
  const char* name;
  absl::Status (*check)(const Graph&);
};
// All rules, in the order in which they run; a later rule may rely on the earlier ones.
absl::Span<const VerifierRule> verifier_rules();

// Internal, naming the rule and the node, for the first rule that is broken.
absl::Status verify(const Graph& graph);

}  // namespace modellib

#endif  // MODELLIB_GRAPH_VERIFIER_H_
