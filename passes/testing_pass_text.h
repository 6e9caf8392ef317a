// Pass tests as text: a graph goes in as text, and what the pass makes of it is compared with text.
#ifndef MODELLIB_PASSES_TESTING_PASS_TEXT_H_
#define MODELLIB_PASSES_TESTING_PASS_TEXT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/text.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/pass.h"

namespace modellib::testing {

// The graph's text as it is printed, or what is wrong with it.
inline std::string printed(const absl::StatusOr<GraphRef>& graph) {
  return graph.ok() ? print(**graph) : std::string(graph.status().message());
}
inline std::string printed(absl::string_view text) {
  return printed(parse_graph(text, builtin_ops()));
}

// What the passes make of the graph, one after another.
inline absl::StatusOr<GraphRef> run_passes(
    std::initializer_list<absl::StatusOr<GraphRef> (*)(const GraphRef&, PassContext&)> passes,
    absl::string_view text, const Backend* backend) {
  absl::StatusOr<GraphRef> graph = parse_graph(text, builtin_ops());
  for (const auto pass : passes) {
    if (!graph.ok()) return graph;
    PassContext context(builtin_ops(), backend);
    graph = pass(*graph, context);
  }
  return graph;
}

// A device without kernels; tests override what they ask for.
class TestBackend : public Backend {
 public:
  absl::string_view name() const override { return "test"; }
  bool takes_composite(const Graph&, const Graph::Node&) const override { return true; }
  bool can_fuse(const Graph&, const Graph::Node&) const override { return false; }
  absl::Status accepts_region(const Graph&) const override {
    return absl::UnimplementedError("no regions");
  }
  absl::StatusOr<NodeRecipe> recipe(const RecipeSite&) const override {
    return absl::UnimplementedError("no kernels");
  }
  StepRecipe copy(const Dim&) const override { return {}; }
};

}  // namespace modellib::testing

#endif  // MODELLIB_PASSES_TESTING_PASS_TEXT_H_
