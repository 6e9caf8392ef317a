// Tests of passes are text: a graph in, the graph that is expected, and the helper that runs one
// pass through the strict runner and compares.
#ifndef MODELLIB_PASSES_PASS_TEST_UTIL_H_
#define MODELLIB_PASSES_PASS_TEST_UTIL_H_

#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/tensor.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/pipeline.h"

namespace modellib::testing {

// A device without kernels that takes all composites whole; tests override what they ask for.
class TestBackend : public Backend {
 public:
  absl::string_view name() const override { return "test"; }
  bool takes_composite(const Graph&, const Graph::Node&) const override { return true; }
  bool can_fuse(const Graph&, const Graph::Node&) const override { return false; }
  absl::Status accepts_region(const Graph& region) const override;
  absl::StatusOr<NodeRecipe> recipe(const RecipeSite& site) const override;
  StepRecipe copy(const Dim& bytes) const override;
};

// One of which a test decides by lists what it can do.
class FakeBackend final : public TestBackend {
 public:
  std::set<std::string> composites;  // that it takes whole
  std::set<std::string> fusible;     // ops of regions
  size_t region_limit = 96;          // nodes of a region, constants not counted
  bool epilogues = false;            // of f32 matmuls

  bool takes_composite(const Graph& graph, const Graph::Node& node) const override;
  bool takes_epilogue(const Graph& graph, const Graph::Node& product,
                      const Epilogue& epilogue) const override;
  bool can_fuse(const Graph& graph, const Graph::Node& node) const override;
  absl::Status accepts_region(const Graph& region) const override;
};

// The graph's text as it is printed, or what is wrong with it.
std::string printed(const absl::StatusOr<GraphRef>& graph);
std::string printed(absl::string_view text);

// What the passes make of the graph, one after another, without the runner between them.
absl::StatusOr<GraphRef> run_passes(
    std::initializer_list<absl::StatusOr<GraphRef> (*)(const GraphRef&, PassContext&)> passes,
    absl::string_view text, const Backend* backend);

// The graph of this text, with the built-in ops; a failed test and null on any mistake.
GraphRef graph_of(absl::string_view text);

// What one pass, or a list of them, makes of the graph; null and a failed test on any mistake.
GraphRef after(const std::vector<std::string>& passes, const GraphRef& graph,
               const Backend* backend = nullptr);

// Fails, showing both texts, unless `got` has the structure of the text `expected`.
void expect_graph(const GraphRef& got, absl::string_view expected);

// The pass makes `expected` of `input`.
void expect_pass(absl::string_view pass, absl::string_view input, absl::string_view expected,
                 const Backend* backend = nullptr);
// The pass leaves the graph as it is, and says so.
void expect_unchanged(absl::string_view pass, absl::string_view input,
                      const Backend* backend = nullptr);
// All that the pass remarks on this graph, a line each.
std::string remarks(absl::string_view pass, absl::string_view input,
                    const Backend* backend = nullptr);

// Tensors of pseudo-random numbers in [-2, 2) for the inputs of the graph; integers are 0 or 1, of
// bools every third is false. Free dimensions are 3.
std::vector<Tensor> some_inputs(const Graph& graph);

// The reference executor computes the same before and after, within `tolerance` of the larger of 1
// and the magnitude, on some_inputs().
void expect_same_meaning(const GraphRef& before, const GraphRef& after, double tolerance);

}  // namespace modellib::testing

#endif  // MODELLIB_PASSES_PASS_TEST_UTIL_H_
