// Tensors whose bytes lie in files beside the model.
//
// A model is untrusted: its files must lie inside its own folder, whatever links and dots the path
// has, and be as long as the tensor needs.
#ifndef MODELLIB_FRONTENDS_ONNX_EXTERNAL_DATA_H_
#define MODELLIB_FRONTENDS_ONNX_EXTERNAL_DATA_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/graph/tensor.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

struct ExternalLocation {
  std::string location;  // a path, relative to the model's folder
  int64_t offset = 0;
  std::optional<int64_t> length;
};
absl::StatusOr<ExternalLocation> external_location(const onnx_proto::TensorProto& proto);

// Reads the bytes, all InvalidArgument: a path that leaves `folder`, no regular file, one that is
// too short, a length that is not that of the shape.
absl::StatusOr<Tensor> read_external(const std::string& folder, const ExternalLocation& location,
                                     DType dtype, absl::Span<const int64_t> shape);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_EXTERNAL_DATA_H_
