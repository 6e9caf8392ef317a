// A dense array in host memory: element type, extents, and bytes that it owns, borrows or has
// mapped. Rows follow each other without gaps (C order). Copies of a Tensor share the bytes.
#ifndef MODELLIB_GRAPH_TENSOR_H_
#define MODELLIB_GRAPH_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/graph/dtype.h"

namespace modellib {

// Elements that a tensor may have: at 8 bytes each 2^62 bytes.
inline constexpr int64_t kMaxTensorElements = int64_t{1} << 59;

class Tensor {
 public:
  // An empty tensor of no type.
  Tensor() = default;

  // Owns its bytes, 64-byte aligned, all zero. InvalidArgument for a negative extent or a size
  // above 2^62 bytes, ResourceExhausted if memory cannot be had.
  static absl::StatusOr<Tensor> zeros(DType dtype, absl::Span<const int64_t> shape);
  // Copies `values`, which must be as many as `shape` says.
  template <class T>
  static absl::StatusOr<Tensor> of(absl::Span<const int64_t> shape, absl::Span<const T> values) {
    return copy_of(dtype_of<T>, shape, values.data(), values.size() * sizeof(T));
  }
  template <class T>
  static Tensor scalar(T value) {
    return *of<T>({}, absl::MakeConstSpan(&value, 1));
  }
  static absl::StatusOr<Tensor> copy_of(DType dtype, absl::Span<const int64_t> shape,
                                        const void* bytes, size_t size);
  // Shares bytes that somebody else owns. `keep_alive` (may be null: the caller keeps them) is
  // released with the last copy. Mapped files come in this way.
  static absl::StatusOr<Tensor> borrowed(DType dtype, absl::Span<const int64_t> shape,
                                         const void* bytes, size_t size,
                                         std::shared_ptr<const void> keep_alive);

  DType dtype() const { return dtype_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  int rank() const { return static_cast<int>(shape_.size()); }
  int64_t elements() const { return elements_; }
  int64_t bytes() const { return bytes_of(dtype_, elements_); }
  const std::byte* data() const { return data_; }
  // Null for borrowed bytes. Writing is seen by all copies.
  std::byte* mutable_data() { return mutable_ ? const_cast<std::byte*>(data_) : nullptr; }

  // Typed views; empty if T is not the tensor's type.
  template <class T>
  absl::Span<const T> as() const {
    if (dtype_of<T> != dtype_) return {};
    return {reinterpret_cast<const T*>(data_), static_cast<size_t>(elements_)};
  }
  template <class T>
  absl::Span<T> as_mutable() {
    if (dtype_of<T> != dtype_ || !mutable_) return {};
    return {reinterpret_cast<T*>(const_cast<std::byte*>(data_)), static_cast<size_t>(elements_)};
  }

  // The same bytes under another shape of as many elements; InvalidArgument otherwise.
  absl::StatusOr<Tensor> reshaped(absl::Span<const int64_t> shape) const;

  // Element `i` (C order) as a double or an integer, whatever the type; slow, for plain code.
  double at(int64_t i) const;
  int64_t int_at(int64_t i) const;
  // Rounds to the tensor's type; integers to floats narrower than f32 by way of f32, as kernels do.
  // Owned tensors only.
  void set(int64_t i, double value);
  void set_int(int64_t i, int64_t value);

  // Same type, shape and bits.
  bool identical(const Tensor& other) const;
  // XXH3 of type, shape and bits: stable between processes and machines.
  uint64_t content_hash() const;

 private:
  DType dtype_ = DType::kInvalid;
  bool mutable_ = false;
  std::vector<int64_t> shape_;
  int64_t elements_ = 0;
  const std::byte* data_ = nullptr;
  std::shared_ptr<const void> owner_;
};

// Number of elements; OutOfRange for a negative extent or when their bytes pass 2^62.
absl::StatusOr<int64_t> checked_elements(DType dtype, absl::Span<const int64_t> shape);

}  // namespace modellib

#endif  // MODELLIB_GRAPH_TENSOR_H_
