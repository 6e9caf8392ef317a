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

}  // namespace modellib
