// The tensors of one model, moved out of its messages.
#ifndef MODELLIB_FRONTENDS_ONNX_TENSOR_STORE_H_
#define MODELLIB_FRONTENDS_ONNX_TENSOR_STORE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "modellib/frontends/onnx/external_data.h"
#include "modellib/graph/tensor.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

// Bytes in a message are not aligned as plans want their constants. So a tensor is copied once,
// when it is first asked for, and its message gives up its bytes: the model never lies in memory
// twice.
class TensorStore {
 public:
  // `folders`: of external data; none: there may be none.
  explicit TensorStore(std::vector<std::string> folders) : external_(std::move(folders)) {}

  // The content of a tensor of the model, which must be a mutable object that outlives the store.
  // Errors as tensor_of().
  absl::StatusOr<Tensor> take(const onnx_proto::TensorProto& proto);
  // The same as a dense tensor: nothing here computes on sparse ones. Errors also as dense_of(),
  // and Unimplemented where all of them come to more than 256 MiB: a few bytes can ask for any
  // amount.
  absl::StatusOr<Tensor> take(const onnx_proto::SparseTensorProto& proto);

 private:
  ExternalData external_;
  absl::flat_hash_map<const onnx_proto::TensorProto*, Tensor> tensors_;
  absl::flat_hash_map<const onnx_proto::SparseTensorProto*, Tensor> dense_;
  int64_t dense_left_ = int64_t{256} << 20;  // bytes
};

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_TENSOR_STORE_H_
