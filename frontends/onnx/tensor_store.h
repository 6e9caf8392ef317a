// The tensors of one model, moved out of its messages.
#ifndef MODELLIB_FRONTENDS_ONNX_TENSOR_STORE_H_
#define MODELLIB_FRONTENDS_ONNX_TENSOR_STORE_H_

#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "modellib/graph/tensor.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

// Bytes in a message are not aligned as plans want their constants. So a tensor is copied once,
// when it is first asked for, and its message gives up its bytes: the model never lies in memory
// twice.
class TensorStore {
 public:
  // `folder`: of external data; empty: there may be none.
  explicit TensorStore(std::string folder) : folder_(std::move(folder)) {}

  // The content of a tensor of the model, which must be a mutable object that outlives the store.
  // Errors as tensor_of().
  absl::StatusOr<Tensor> take(const onnx_proto::TensorProto& proto);

 private:
  const std::string folder_;
  absl::flat_hash_map<const onnx_proto::TensorProto*, Tensor> tensors_;
};

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_TENSOR_STORE_H_
