// The reference executor: an interpreter of graphs so plain that it is right by reading. Every pass
// and every kernel is judged against it.
//
//   ReferenceExecutor executor(graph);
//   absl::StatusOr<ReferenceResult> result = executor.run({x}, {{"fc.weight", w}});
//   result->outputs[0]
//
// It walks the nodes in order: a primitive runs its reference kernel, a composite the graph of its
// decomposition.
#ifndef MODELLIB_EXECUTORS_REFERENCE_REFERENCE_EXECUTOR_H_
#define MODELLIB_EXECUTORS_REFERENCE_REFERENCE_EXECUTOR_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/tensor.h"

namespace modellib {

using NamedTensors = std::map<std::string, Tensor>;

struct ReferenceResult {
  std::vector<Tensor> outputs;  // in the order of the graph's
  NamedTensors assigned;        // new contents of the variables that the graph assigns
};

struct ReferenceOptions {
  // Where decompositions look up ops; null: the built-in ops.
  const OpRegistry* registry = nullptr;
  // Called with each value of the graph (not of regions and decompositions) when it is known.
  std::function<void(ValueId, const Tensor&)> observe;
};

// Binds the symbols of the graph to the extents of its inputs, on top of `given`. InvalidArgument,
// naming the input, for another number of inputs, an element type or shape that does not fit, a
// symbol that no extent determines, a range or a constraint that is broken.
absl::StatusOr<DimBinding> bind_inputs(const Graph& graph, absl::Span<const Tensor> inputs,
                                       DimBinding given = {});

// Not thread-safe: it keeps the decompositions that it has made.
class ReferenceExecutor {
 public:
  explicit ReferenceExecutor(GraphRef graph, ReferenceOptions options = {});

  // FailedPrecondition for a variable that is read and has no value in `variables`; errors of the
  // inputs as bind_inputs; those of a kernel name the node.
  absl::StatusOr<ReferenceResult> run(absl::Span<const Tensor> inputs,
                                      const NamedTensors& variables = {});

 private:
  absl::StatusOr<ReferenceResult> run_graph(const Graph& graph, absl::Span<const Tensor> inputs,
                                            const NamedTensors& variables, const DimBinding& outer,
                                            bool observed);
  absl::Status run_node(const Graph& graph, const Graph::Node& node, const DimBinding& binding,
                        absl::Span<const Tensor> operands, std::vector<Tensor>& results);
  absl::StatusOr<GraphRef> decomposition(const Graph& graph, const Graph::Node& node);

  const GraphRef graph_;
  const ReferenceOptions options_;
  // Keyed by node; regions live as long as the graph that holds them.
  std::map<const Graph::Node*, GraphRef> decompositions_;
};

// One run, for callers that need no more.
absl::StatusOr<ReferenceResult> run_reference(GraphRef graph, absl::Span<const Tensor> inputs,
                                              const NamedTensors& variables = {});

}  // namespace modellib

#endif  // MODELLIB_EXECUTORS_REFERENCE_REFERENCE_EXECUTOR_H_
