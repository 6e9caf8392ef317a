// TensorProto messages and tensors.
#ifndef MODELLIB_FRONTENDS_ONNX_TENSOR_PROTO_H_
#define MODELLIB_FRONTENDS_ONNX_TENSOR_PROTO_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/frontends/onnx/external_data.h"
#include "modellib/graph/tensor.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

// InvalidArgument for extents, data or a location that do not fit: data must be as much as the
// shape says. Unimplemented for element types that we do not have. A size that the shape claims is
// compared to the data before memory is taken. `external`: the files of the model; null: there may
// be none.
absl::StatusOr<Tensor> tensor_of(const onnx_proto::TensorProto& proto, ExternalData* external);

// The content as raw bytes.
onnx_proto::TensorProto proto_of(const Tensor& tensor, absl::string_view name);

// A .pb file that holds tensors: a TensorProto, a SequenceProto of tensors, or an OptionalProto of
// one of these; nothing for an empty sequence or optional. Which message it is the file does not
// say, and of a tensor, an optional of it and a sequence of it alone need not. Unimplemented for
// sequences and optionals of other things. Errors name the path.
absl::StatusOr<std::vector<Tensor>> read_tensor_protos(const std::string& path);
absl::Status write_tensor_proto(const std::string& path, const Tensor& tensor);
absl::Status write_sequence_proto(const std::string& path, absl::Span<const Tensor> tensors);
// Of a tensor, which is not there if there are none, or of a sequence.
absl::Status write_optional_proto(const std::string& path, absl::Span<const Tensor> tensors,
                                  bool sequence);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_TENSOR_PROTO_H_
