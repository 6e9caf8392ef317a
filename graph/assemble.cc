#include "modellib/graph/assemble.h"

#include <utility>

#include "modellib/graph/status_macros.h"
#include "modellib/graph/verifier.h"

namespace modellib {

class GraphAssembler {
 public:
  static absl::StatusOr<GraphRef> assemble(GraphParts parts) {
    auto graph = std::make_shared<Graph>(Graph());
    graph->name_ = std::move(parts.name);
    graph->nodes_ = std::move(parts.nodes);
    graph->values_ = std::move(parts.values);
    graph->inputs_ = std::move(parts.inputs);
    graph->variables_ = std::move(parts.variables);
    graph->outputs_ = std::move(parts.outputs);
    graph->scopes_ = std::move(parts.scopes);
    graph->constraints_ = std::move(parts.constraints);
    graph->ranges_ = std::move(parts.ranges);
    MODELLIB_RETURN_IF_ERROR(verify(*graph));
    return GraphRef(std::move(graph));
  }
};

absl::StatusOr<GraphRef> assemble(GraphParts parts) {
  return GraphAssembler::assemble(std::move(parts));
}

GraphParts disassemble(const Graph& graph) {
  GraphParts parts;
  parts.name = std::string(graph.name());
  parts.nodes.assign(graph.nodes().begin(), graph.nodes().end());
  parts.values = graph.values();
  parts.inputs.assign(graph.inputs().begin(), graph.inputs().end());
  parts.variables.assign(graph.variables().begin(), graph.variables().end());
  parts.outputs.assign(graph.outputs().begin(), graph.outputs().end());
  parts.scopes.assign(graph.scopes().begin(), graph.scopes().end());
  parts.constraints.assign(graph.constraints().begin(), graph.constraints().end());
  parts.ranges = graph.ranges();
  return parts;
}

}  // namespace modellib
