#include "modellib/frontends/onnx/sparse_tensor.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"

namespace modellib::onnx {
namespace {

// The place of element `i` in the dense tensor; InvalidArgument if it lies outside.
absl::StatusOr<int64_t> place(const Tensor& indices, int64_t i, const std::vector<int64_t>& shape,
                              int64_t elements) {
  const auto inside = [&](int64_t index, int64_t extent) {
    return index >= 0 && index < extent ? absl::OkStatus()
                                        : absl::InvalidArgumentError(absl::StrCat(
                                              "index #", i, " is ", index, ", not below ", extent));
  };
  if (indices.rank() == 1) {
    MODELLIB_RETURN_IF_ERROR(inside(indices.int_at(i), elements));
    return indices.int_at(i);
  }
  const auto rank = static_cast<int64_t>(shape.size());
  int64_t at = 0;
  for (int64_t d = 0; d < rank; ++d) {
    const int64_t index = indices.int_at(i * rank + d), extent = shape[static_cast<size_t>(d)];
    MODELLIB_RETURN_IF_ERROR(inside(index, extent));
    at = at * extent + index;
  }
  return at;
}

}  // namespace

absl::StatusOr<Tensor> dense_of(const Tensor& values, const Tensor& indices,
                                const std::vector<int64_t>& shape, int64_t most_bytes) {
  const auto counted = checked_elements(values.dtype(), shape);
  if (!counted.ok()) return absl::InvalidArgumentError(counted.status().message());
  if (bytes_of(values.dtype(), *counted) > most_bytes) {
    return absl::UnimplementedError(absl::StrCat(
        "a sparse tensor that takes ", bytes_of(values.dtype(), *counted), " bytes when dense; ",
        most_bytes, " are left of those that all of a model may take"));
  }
  const int64_t count = values.elements();
  const bool linear = indices.rank() == 1 && indices.elements() == count;
  const bool by_axis = indices.rank() == 2 && indices.shape()[0] == count &&
                       indices.shape()[1] == static_cast<int64_t>(shape.size());
  if (values.rank() != 1 || indices.dtype() != DType::kI64 || !(linear || by_axis)) {
    return absl::InvalidArgumentError("its indices do not fit its values and its shape");
  }
  MODELLIB_ASSIGN_OR_RETURN(Tensor dense, Tensor::zeros(values.dtype(), shape));
  const auto size = static_cast<size_t>(bits_of(values.dtype()) / 8);
  int64_t last = -1;
  for (int64_t i = 0; i < count; ++i) {
    MODELLIB_ASSIGN_OR_RETURN(const int64_t at, place(indices, i, shape, *counted));
    if (at <= last) {
      return absl::InvalidArgumentError(absl::StrCat("index #", i, " is not above the one before"));
    }
    last = at;
    if (size == 0) {  // packed integers
      dense.set_int(at, values.int_at(i));
    } else {
      std::memcpy(dense.mutable_data() + static_cast<size_t>(at) * size,
                  values.data() + static_cast<size_t>(i) * size, size);
    }
  }
  return dense;
}

}  // namespace modellib::onnx
