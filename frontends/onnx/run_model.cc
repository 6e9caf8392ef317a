#include "modellib/frontends/onnx/run_model.h"

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/graph/status_macros.h"

namespace modellib::onnx {

absl::StatusOr<GraphRef> graph_of(const TestModel& model) {
  MODELLIB_ASSIGN_OR_RETURN(const Model imported, import_model_bytes(model.bytes()));
  return imported.program.entries[0].graph;
}

Tensor floats(const std::vector<int64_t>& shape, const std::vector<float>& values) {
  return *Tensor::of<float>(shape, values);
}

absl::StatusOr<std::vector<float>> run(const TestModel& model, const std::vector<Tensor>& inputs) {
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef graph, graph_of(model));
  MODELLIB_ASSIGN_OR_RETURN(const ReferenceResult result, run_reference(graph, inputs));
  const auto elements = result.outputs[0].as<float>();
  return std::vector<float>(elements.begin(), elements.end());
}

}  // namespace modellib::onnx
