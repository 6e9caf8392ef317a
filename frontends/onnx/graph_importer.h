// One walk over an ONNX model that makes a graph of it.
#ifndef MODELLIB_FRONTENDS_ONNX_GRAPH_IMPORTER_H_
#define MODELLIB_FRONTENDS_ONNX_GRAPH_IMPORTER_H_

#include "absl/status/statusor.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/frontends/onnx/tensor_store.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/op_def.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

struct ImportedGraph {
  GraphRef graph;
  Signature signature;
};

// The model's graph. `tensors` holds the constants of `model`; the graph shares their bytes.
// `ranges`: what is known of symbols beside the model. Of the options, those about inputs matter
// here. Errors as import_model().
absl::StatusOr<ImportedGraph> import_graph(const onnx_proto::ModelProto& model,
                                           TensorStore& tensors, const OpRegistry& registry,
                                           const DimRanges& ranges, const ImportOptions& options);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_GRAPH_IMPORTER_H_
