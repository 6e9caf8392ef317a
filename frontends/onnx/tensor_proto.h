// TensorProto messages and tensors.
#ifndef MODELLIB_FRONTENDS_ONNX_TENSOR_PROTO_H_
#define MODELLIB_FRONTENDS_ONNX_TENSOR_PROTO_H_

#include <optional>
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

// What a .pb file is to hold. The file itself does not say which message it is.
struct Declaration {
  bool optional = false;
  bool sequence = false;
};
// The tensors in a .pb file: a TensorProto, a SequenceProto of tensors, or an OptionalProto of one
// of these. Nothing for an empty optional. What looks like the message that is declared is read as
// such; other content is read, too, if it holds tensors. Unimplemented for sequences and optionals
// of other things. Errors name the path.
absl::StatusOr<std::optional<std::vector<Tensor>>> read_tensor_protos(const std::string& path,
                                                                      Declaration declared);
absl::StatusOr<std::optional<std::vector<Tensor>>> parse_tensor_protos(const std::string& bytes,
                                                                       Declaration declared);
absl::Status write_tensor_proto(const std::string& path, const Tensor& tensor);
absl::Status write_sequence_proto(const std::string& path, absl::Span<const Tensor> tensors);
// Of a tensor, of a sequence, or empty: without tensors, and no sequence.
absl::Status write_optional_proto(const std::string& path, absl::Span<const Tensor> tensors,
                                  bool sequence);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_TENSOR_PROTO_H_
