// Element types of tensors, and the 16-bit floats that C++20 lacks.
#ifndef MODELLIB_GRAPH_DTYPE_H_
#define MODELLIB_GRAPH_DTYPE_H_

#include <bit>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace modellib {

// The numbers are stored in files (formats/plan.fbs has the same list): never reorder.
enum class DType : uint8_t {
  kInvalid = 0,
  kF64,
  kF32,
  kF16,
  kBF16,
  kI4,
  kI8,
  kI16,
  kI32,
  kI64,
  kU4,
  kU8,
  kU16,
  kU32,
  kU64,
  kBool,    // one byte, 0 or 1
  kF8E4M3,  // storage only
  kF8E5M2,  // storage only
  kString,  // a name for what files may say; no tensor, attribute or op of ours has it
};
inline constexpr int kDTypeCount = 19;

// Bits of one element in memory; 4-bit types are packed two to a byte, low nibble first. 0: no
// size.
int bits_of(DType dtype);
// Bytes of `count` elements, rounded up to whole bytes.
int64_t bytes_of(DType dtype, int64_t count);

absl::string_view to_string(DType dtype);
// InvalidArgument for a name that is none of "f64", "f32", "f16", "bf16", "i4" ... "u64", "bool", …
absl::StatusOr<DType> parse_dtype(absl::string_view name);

bool is_floating(DType dtype);
bool is_integer(DType dtype);  // signed or unsigned, not bool
bool is_signed_integer(DType dtype);

// IEEE binary16, for storage; arithmetic is done in float.
struct Float16 {
  uint16_t bits = 0;
};
// The upper half of a binary32.
struct BFloat16 {
  uint16_t bits = 0;
};

// Conversions round to nearest even; NaN stays NaN; too large becomes infinity.
Float16 to_f16(float value);
float to_f32(Float16 value);
BFloat16 to_bf16(float value);
inline float to_f32(BFloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}
// OCP 8-bit floats. E4M3 has no infinity: too large becomes NaN. Round to nearest even.
uint8_t to_f8e4m3(float value);
float f8e4m3_to_f32(uint8_t bits);
uint8_t to_f8e5m2(float value);
float f8e5m2_to_f32(uint8_t bits);

// The DType of a C++ type: dtype_of<float> == DType::kF32.
template <class T>
inline constexpr DType dtype_of = DType::kInvalid;
template <>
inline constexpr DType dtype_of<double> = DType::kF64;
template <>
inline constexpr DType dtype_of<float> = DType::kF32;
template <>
inline constexpr DType dtype_of<Float16> = DType::kF16;
template <>
inline constexpr DType dtype_of<BFloat16> = DType::kBF16;
template <>
inline constexpr DType dtype_of<int8_t> = DType::kI8;
template <>
inline constexpr DType dtype_of<int16_t> = DType::kI16;
template <>
inline constexpr DType dtype_of<int32_t> = DType::kI32;
template <>
inline constexpr DType dtype_of<int64_t> = DType::kI64;
template <>
inline constexpr DType dtype_of<uint8_t> = DType::kU8;
template <>
inline constexpr DType dtype_of<uint16_t> = DType::kU16;
template <>
inline constexpr DType dtype_of<uint32_t> = DType::kU32;
template <>
inline constexpr DType dtype_of<uint64_t> = DType::kU64;
template <>
inline constexpr DType dtype_of<bool> = DType::kBool;

}  // namespace modellib

#endif  // MODELLIB_GRAPH_DTYPE_H_
