#include "modellib/graph/tensor.h"

#include <xxhash.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

constexpr size_t kAlignment = 64;

template <class T>
T load(const std::byte* p, int64_t i) {
  T v;
  std::memcpy(&v, p + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return v;
}
template <class T>
void store(const std::byte* p, int64_t i, T v) {
  std::memcpy(const_cast<std::byte*>(p) + i * static_cast<int64_t>(sizeof(T)), &v, sizeof(T));
}

int nibble(const std::byte* p, int64_t i) {
  const auto byte = std::to_integer<int>(p[i / 2]);
  return i % 2 == 0 ? byte & 15 : byte >> 4;
}

// A double as an integer of the type's range: truncated, as a C++ cast where that is defined.
template <class T>
T truncate(double v) {
  if (std::isnan(v)) return 0;
  const auto lo = static_cast<double>(std::numeric_limits<T>::min());
  const auto hi = static_cast<double>(std::numeric_limits<T>::max());
  if (v <= lo) return std::numeric_limits<T>::min();
  if (v >= hi) return std::numeric_limits<T>::max();
  return static_cast<T>(v);
}

}  // namespace

absl::StatusOr<int64_t> checked_elements(DType dtype, absl::Span<const int64_t> shape) {
  int64_t count = 1;
  bool zero = false;
  for (int64_t extent : shape) {
    if (extent < 0) {
      return absl::OutOfRangeError(
          absl::StrCat("negative extent in shape [", absl::StrJoin(shape, ","), "]"));
    }
    zero = zero || extent == 0;
    if (!zero && (__builtin_mul_overflow(count, extent, &count) || count > kMaxTensorElements)) {
      return absl::OutOfRangeError(
          absl::StrCat("shape [", absl::StrJoin(shape, ","), "] has too many elements"));
    }
  }
  if (bits_of(dtype) == 0) {
    return absl::InvalidArgumentError(absl::StrCat("no tensors of type ", to_string(dtype)));
  }
  return zero ? 0 : count;
}

absl::StatusOr<Tensor> Tensor::zeros(DType dtype, absl::Span<const int64_t> shape) {
  MODELLIB_ASSIGN_OR_RETURN(const int64_t count, checked_elements(dtype, shape));
  const auto size = static_cast<size_t>(bytes_of(dtype, count));
  const size_t padded = (size + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = padded == 0 ? nullptr : std::aligned_alloc(kAlignment, padded);
  if (padded != 0 && memory == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot allocate ", size, " bytes"));
  }
  if (memory != nullptr) std::memset(memory, 0, padded);
  Tensor t;
  t.dtype_ = dtype;
  t.mutable_ = true;
  t.shape_.assign(shape.begin(), shape.end());
  t.elements_ = count;
  t.data_ = static_cast<const std::byte*>(memory);
  t.owner_ =
      std::shared_ptr<const void>(memory, [](const void* p) { std::free(const_cast<void*>(p)); });
  return t;
}

absl::StatusOr<Tensor> Tensor::copy_of(DType dtype, absl::Span<const int64_t> shape,
                                       const void* bytes, size_t size) {
  MODELLIB_ASSIGN_OR_RETURN(Tensor t, zeros(dtype, shape));
  if (static_cast<size_t>(t.bytes()) != size) {
    return absl::InvalidArgumentError(absl::StrCat(to_string(dtype), "[", absl::StrJoin(shape, ","),
                                                   "] takes ", t.bytes(), " bytes, got ", size));
  }
  if (size != 0) std::memcpy(t.mutable_data(), bytes, size);
  return t;
}

absl::StatusOr<Tensor> Tensor::borrowed(DType dtype, absl::Span<const int64_t> shape,
                                        const void* bytes, size_t size,
                                        std::shared_ptr<const void> keep_alive) {
  MODELLIB_ASSIGN_OR_RETURN(const int64_t count, checked_elements(dtype, shape));
  if (static_cast<size_t>(bytes_of(dtype, count)) != size) {
    return absl::InvalidArgumentError(absl::StrCat(to_string(dtype), "[", absl::StrJoin(shape, ","),
                                                   "] takes ", bytes_of(dtype, count),
                                                   " bytes, got ", size));
  }
  Tensor t;
  t.dtype_ = dtype;
  t.shape_.assign(shape.begin(), shape.end());
  t.elements_ = count;
  t.data_ = static_cast<const std::byte*>(bytes);
  t.owner_ = std::move(keep_alive);
  return t;
}

absl::StatusOr<Tensor> Tensor::reshaped(absl::Span<const int64_t> shape) const {
  MODELLIB_ASSIGN_OR_RETURN(const int64_t count, checked_elements(dtype_, shape));
  if (count != elements_) {
    return absl::InvalidArgumentError(absl::StrCat("cannot reshape [", absl::StrJoin(shape_, ","),
                                                   "] to [", absl::StrJoin(shape, ","), "]"));
  }
  Tensor t = *this;
  t.shape_.assign(shape.begin(), shape.end());
  return t;
}

double Tensor::at(int64_t i) const {
  switch (dtype_) {
    case DType::kF64:
      return load<double>(data_, i);
    case DType::kF32:
      return load<float>(data_, i);
    case DType::kF16:
      return to_f32(load<Float16>(data_, i));
    case DType::kBF16:
      return to_f32(load<BFloat16>(data_, i));
    case DType::kF8E4M3:
      return f8e4m3_to_f32(load<uint8_t>(data_, i));
    case DType::kF8E5M2:
      return f8e5m2_to_f32(load<uint8_t>(data_, i));
    case DType::kU64:
      return static_cast<double>(load<uint64_t>(data_, i));
    default:
      return static_cast<double>(int_at(i));
  }
}

int64_t Tensor::int_at(int64_t i) const {
  switch (dtype_) {
    case DType::kI4: {
      const int n = nibble(data_, i);
      return n >= 8 ? n - 16 : n;
    }
    case DType::kU4:
      return nibble(data_, i);
    case DType::kI8:
      return load<int8_t>(data_, i);
    case DType::kI16:
      return load<int16_t>(data_, i);
    case DType::kI32:
      return load<int32_t>(data_, i);
    case DType::kI64:
      return load<int64_t>(data_, i);
    case DType::kU8:
      return load<uint8_t>(data_, i);
    case DType::kU16:
      return load<uint16_t>(data_, i);
    case DType::kU32:
      return load<uint32_t>(data_, i);
    case DType::kU64:
      return static_cast<int64_t>(load<uint64_t>(data_, i));
    case DType::kBool:
      return load<uint8_t>(data_, i) != 0;
    case DType::kInvalid:
    case DType::kString:
      return 0;
    default:
      return truncate<int64_t>(at(i));
  }
}

void Tensor::set(int64_t i, double value) {
  switch (dtype_) {
    case DType::kF64:
      return store<double>(data_, i, value);
    case DType::kF32:
      return store<float>(data_, i, static_cast<float>(value));
    case DType::kF16:
      return store<Float16>(data_, i, to_f16(static_cast<float>(value)));
    case DType::kBF16:
      return store<BFloat16>(data_, i, to_bf16(static_cast<float>(value)));
    case DType::kF8E4M3:
      return store<uint8_t>(data_, i, to_f8e4m3(static_cast<float>(value)));
    case DType::kF8E5M2:
      return store<uint8_t>(data_, i, to_f8e5m2(static_cast<float>(value)));
    case DType::kU64:
      return store<uint64_t>(data_, i, truncate<uint64_t>(value));
    case DType::kBool:
      return store<uint8_t>(data_, i, value != 0);
    default:
      return set_int(i, truncate<int64_t>(value));
  }
}

void Tensor::set_int(int64_t i, int64_t value) {
  switch (dtype_) {
    case DType::kI4:
    case DType::kU4: {
      const auto byte = std::to_integer<unsigned>(data_[i / 2]);
      const auto low = static_cast<unsigned>(value) & 15u;
      const unsigned merged = i % 2 == 0 ? (byte & 0xf0u) | low : (byte & 0x0fu) | (low << 4);
      return store<uint8_t>(data_, i / 2, static_cast<uint8_t>(merged));
    }
    case DType::kI8:
    case DType::kU8:
      return store<uint8_t>(data_, i, static_cast<uint8_t>(value));
    case DType::kI16:
    case DType::kU16:
      return store<uint16_t>(data_, i, static_cast<uint16_t>(value));
    case DType::kI32:
    case DType::kU32:
      return store<uint32_t>(data_, i, static_cast<uint32_t>(value));
    case DType::kI64:
    case DType::kU64:
      return store<int64_t>(data_, i, value);
    case DType::kBool:
      return store<uint8_t>(data_, i, value != 0);
    case DType::kInvalid:
    case DType::kString:
      return;
    case DType::kF64:
      return store<double>(data_, i, static_cast<double>(value));
    default:
      // By way of f32 alone: a double in between would round once more.
      return set(i, static_cast<float>(value));
  }
}

bool Tensor::identical(const Tensor& other) const {
  if (dtype_ != other.dtype_ || shape_ != other.shape_) return false;
  return data_ == other.data_ || bytes() == 0 ||
         std::memcmp(data_, other.data_, static_cast<size_t>(bytes())) == 0;
}

uint64_t Tensor::content_hash() const {
  XXH64_hash_t seed = XXH3_64bits(shape_.data(), shape_.size() * sizeof(int64_t));
  seed += static_cast<uint64_t>(dtype_);
  return XXH3_64bits_withSeed(data_, static_cast<size_t>(bytes()), seed);
}

}  // namespace modellib
