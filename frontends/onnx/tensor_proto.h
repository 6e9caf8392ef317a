// TensorProto messages and tensors.
#ifndef MODELLIB_FRONTENDS_ONNX_TENSOR_PROTO_H_
#define MODELLIB_FRONTENDS_ONNX_TENSOR_PROTO_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/tensor.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

// InvalidArgument for extents, data or a location that do not fit: data must be as much as the
// shape says, a file of external data lie inside `folder` (empty: there may be none). Unimplemented
// for element types that we do not have. A size that the shape claims is compared to the data
// before memory is taken.
absl::StatusOr<Tensor> tensor_of(const onnx_proto::TensorProto& proto, const std::string& folder);

// The content as raw bytes.
onnx_proto::TensorProto proto_of(const Tensor& tensor, absl::string_view name);

// A .pb file that holds one tensor: a TensorProto, or an OptionalProto with a tensor in it.
// InvalidArgument for an empty optional, and for a sequence of other than one tensor, which looks
// like an optional. Errors name the path.
absl::StatusOr<Tensor> read_tensor_proto(const std::string& path);
absl::Status write_tensor_proto(const std::string& path, const Tensor& tensor);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_TENSOR_PROTO_H_
