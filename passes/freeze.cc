#include "modellib/passes/freeze.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/status_macros.h"

namespace modellib {

absl::StatusOr<GraphRef> freeze(
    const Graph& graph, const OpRegistry& registry,
    const std::function<absl::StatusOr<Tensor>(const Variable&)>& content) {
  GraphBuilder builder(registry, graph.name());
  std::vector<Value> inputs, constants;
  for (ValueId id : graph.inputs()) {
    inputs.push_back(builder.input(graph.value(id).name, graph.type(id)));
  }
  for (const Graph::VariableUse& use : graph.variables()) {
    if (use.value == kNoValue) {
      constants.emplace_back();
      continue;
    }
    MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, content(*use.variable));
    const TensorType type{tensor.dtype(), Shape(tensor.shape().begin(), tensor.shape().end())};
    if (!(type == use.variable->type)) {
      return absl::InvalidArgumentError(absl::StrCat("variable '", use.variable->name, "' is ",
                                                     to_string(use.variable->type),
                                                     ", its content ", to_string(type)));
    }
    constants.push_back(builder.constant(std::move(tensor)));
  }
  const GraphBuilder::Inlined inlined = builder.inline_graph(graph, inputs, constants);
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    builder.output(graph.outputs()[i].name, inlined.outputs[i]);
  }
  return builder.build();
}

}  // namespace modellib
