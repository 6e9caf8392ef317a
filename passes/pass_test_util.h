// Tests of passes are text: a graph in, the graph that is expected, and the helper that runs one
// pass through the strict runner and compares.
#ifndef MODELLIB_PASSES_PASS_TEST_UTIL_H_
#define MODELLIB_PASSES_PASS_TEST_UTIL_H_

#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/tensor.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/pipeline.h"

namespace modellib::testing {

// A device of which a test decides what it can do. It has no kernels: it is for passes alone.
class FakeBackend final : public Backend {
 public:
  std::set<std::string> composites;  // that it takes whole
  std::set<std::string> fusible;     // ops of regions
  size_t region_limit = 96;          // nodes of a region, constants not counted
  bool epilogues = false;            // of f32 matmuls

  absl::string_view name() const override { return "fake"; }
  bool takes_composite(const Graph& graph, const Graph::Node& node) const override;
  bool takes_epilogue(const Graph& graph, const Graph::Node& product,
                      const Epilogue& epilogue) const override;
  bool can_fuse(const Graph& graph, const Graph::Node& node) const override;
  absl::Status accepts_region(const Graph& region) const override;
  absl::StatusOr<NodeRecipe> recipe(const RecipeSite& site) const override;
  StepRecipe copy(const Dim& bytes) const override;
};

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
