#include "modellib/frontends/onnx/tensor_store.h"

#include "modellib/frontends/onnx/sparse_tensor.h"
#include "modellib/frontends/onnx/tensor_proto.h"
#include "modellib/graph/status_macros.h"

namespace modellib::onnx {

absl::StatusOr<Tensor> TensorStore::take(const onnx_proto::TensorProto& proto) {
  const auto it = tensors_.find(&proto);
  if (it != tensors_.end()) return it->second;
  MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, tensor_of(proto, &external_));
  tensors_.emplace(&proto, tensor);
  // Everybody else only reads messages, and of these bytes nobody wants to read any more.
  auto& spent = const_cast<onnx_proto::TensorProto&>(proto);
  delete spent.release_raw_data();
  google::protobuf::RepeatedField<float>().Swap(spent.mutable_float_data());
  google::protobuf::RepeatedField<double>().Swap(spent.mutable_double_data());
  google::protobuf::RepeatedField<int32_t>().Swap(spent.mutable_int32_data());
  google::protobuf::RepeatedField<int64_t>().Swap(spent.mutable_int64_data());
  google::protobuf::RepeatedField<uint64_t>().Swap(spent.mutable_uint64_data());
  return tensor;
}

absl::StatusOr<Tensor> TensorStore::take(const onnx_proto::SparseTensorProto& proto) {
  const auto it = dense_.find(&proto);
  if (it != dense_.end()) return it->second;
  MODELLIB_ASSIGN_OR_RETURN(const Tensor values, take(proto.values()));
  MODELLIB_ASSIGN_OR_RETURN(const Tensor indices, take(proto.indices()));
  const std::vector<int64_t> shape(proto.dims().begin(), proto.dims().end());
  MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, dense_of(values, indices, shape, dense_left_));
  dense_left_ -= tensor.bytes();
  dense_.emplace(&proto, tensor);
  return tensor;
}

}  // namespace modellib::onnx
