// Sparse tensors as dense ones.
#ifndef MODELLIB_FRONTENDS_ONNX_SPARSE_TENSOR_H_
#define MODELLIB_FRONTENDS_ONNX_SPARSE_TENSOR_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/graph/tensor.h"

namespace modellib::onnx {

// The parts of a SparseTensorProto: `values` [count], `indices` i64 [count] as places in C order,
// or [count, rank], and the shape of the whole. InvalidArgument for indices that lie outside, are
// not ascending, or are not as many as the values. Unimplemented for what takes more than
// `most_bytes`.
absl::StatusOr<Tensor> dense_of(const Tensor& values, const Tensor& indices,
                                const std::vector<int64_t>& shape, int64_t most_bytes);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_SPARSE_TENSOR_H_
