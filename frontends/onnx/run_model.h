// Imports and runs small models in tests.
#ifndef MODELLIB_FRONTENDS_ONNX_RUN_MODEL_H_
#define MODELLIB_FRONTENDS_ONNX_RUN_MODEL_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/frontends/onnx/test_model.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/tensor.h"

namespace modellib::onnx {

absl::StatusOr<GraphRef> graph_of(const TestModel& model);

Tensor floats(const std::vector<int64_t>& shape, const std::vector<float>& values);

// The elements of the first output, from the reference executor.
absl::StatusOr<std::vector<float>> run(const TestModel& model, const std::vector<Tensor>& inputs);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_RUN_MODEL_H_
