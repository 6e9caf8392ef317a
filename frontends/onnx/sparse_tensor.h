// SparseTensorProto messages as tensors.
#ifndef MODELLIB_FRONTENDS_ONNX_SPARSE_TENSOR_H_
#define MODELLIB_FRONTENDS_ONNX_SPARSE_TENSOR_H_

#include <functional>

#include "absl/status/statusor.h"
#include "modellib/graph/tensor.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

// The dense tensor: nothing here computes on sparse ones. `content` gives that of its two parts.
// InvalidArgument for indices that lie outside, are not ascending, or are not as many as the
// values. Unimplemented for what would take more than 256 MiB: a few bytes can ask for any amount.
absl::StatusOr<Tensor> dense_of(
    const onnx_proto::SparseTensorProto& proto,
    const std::function<absl::StatusOr<Tensor>(const onnx_proto::TensorProto&)>& content);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_SPARSE_TENSOR_H_
