#include "modellib/graph/dtype.h"

#include <array>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace modellib {
namespace {

struct Info {
  absl::string_view name;
  int bits;
};
constexpr std::array<Info, kDTypeCount> kInfo = {{{"invalid", 0},
                                                  {"f64", 64},
                                                  {"f32", 32},
                                                  {"f16", 16},
                                                  {"bf16", 16},
                                                  {"i4", 4},
                                                  {"i8", 8},
                                                  {"i16", 16},
                                                  {"i32", 32},
                                                  {"i64", 64},
                                                  {"u4", 4},
                                                  {"u8", 8},
                                                  {"u16", 16},
                                                  {"u32", 32},
                                                  {"u64", 64},
                                                  {"bool", 8},
                                                  {"f8e4m3", 8},
                                                  {"f8e5m2", 8},
                                                  {"string", 0}}};

const Info& info(DType dtype) {
  const auto i = static_cast<size_t>(dtype);
  return kInfo[i < kInfo.size() ? i : 0];
}

// Rounds `value` to a float of `exponent_bits` and `mantissa_bits` (sign apart), ties to even, and
// returns its bits below the sign. `max_bits` is the largest finite pattern, `overflow` what lies
// above.
uint32_t narrow(float value, int exponent_bits, int mantissa_bits, uint32_t max_bits,
                uint32_t overflow) {
  const double magnitude = std::fabs(static_cast<double>(value));
  if (magnitude == 0) return 0;
  if (std::isinf(value)) return overflow;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  int exponent = std::ilogb(magnitude);
  if (exponent < 1 - bias) exponent = 1 - bias;  // subnormal
  // In units of the last place; nearbyint rounds halves to even.
  const double units = std::nearbyint(std::ldexp(magnitude, mantissa_bits - exponent));
  // A carry into the next binade falls into place by itself.
  const double bits =
      units + static_cast<double>(exponent + bias - 1) * static_cast<double>(1 << mantissa_bits);
  return bits > max_bits ? overflow : static_cast<uint32_t>(bits);
}

float widen(uint32_t magnitude, bool negative, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(magnitude >> mantissa_bits);
  const auto mantissa = static_cast<float>(magnitude & ((1u << mantissa_bits) - 1));
  const float value = exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                                    : std::ldexp(mantissa + static_cast<float>(1 << mantissa_bits),
                                                 exponent - bias - mantissa_bits);
  return negative ? -value : value;
}

uint32_t sign_of(float value) { return std::bit_cast<uint32_t>(value) >> 31; }

}  // namespace

int bits_of(DType dtype) { return info(dtype).bits; }

int64_t bytes_of(DType dtype, int64_t count) {
  const int bits = bits_of(dtype);
  return bits >= 8 ? count * (bits / 8) : (count * bits + 7) / 8;
}

absl::string_view to_string(DType dtype) { return info(dtype).name; }

absl::StatusOr<DType> parse_dtype(absl::string_view name) {
  for (size_t i = 1; i < kInfo.size(); ++i) {
    if (kInfo[i].name == name) return static_cast<DType>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown element type '", name, "'"));
}

bool is_floating(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kF8E4M3:
    case DType::kF8E5M2:
      return true;
    default:
      return false;
  }
}

bool is_integer(DType dtype) { return dtype >= DType::kI4 && dtype <= DType::kU64; }
bool is_signed_integer(DType dtype) { return dtype >= DType::kI4 && dtype <= DType::kI64; }

Float16 to_f16(float value) {
  if (std::isnan(value)) return {0x7e00};
  return {static_cast<uint16_t>(sign_of(value) << 15 | narrow(value, 5, 10, 0x7bff, 0x7c00))};
}

float to_f32(Float16 value) {
  const uint32_t magnitude = value.bits & 0x7fffu;
  if (magnitude > 0x7c00) return std::numeric_limits<float>::quiet_NaN();
  const bool negative = value.bits >> 15;
  if (magnitude == 0x7c00) {
    return negative ? -std::numeric_limits<float>::infinity()
                    : std::numeric_limits<float>::infinity();
  }
  return widen(magnitude, negative, 5, 10);
}

BFloat16 to_bf16(float value) {
  if (std::isnan(value)) return {0x7fc0};
  const auto bits = std::bit_cast<uint32_t>(value);
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

uint8_t to_f8e4m3(float value) {
  if (std::isnan(value)) return 0x7f;
  return static_cast<uint8_t>(sign_of(value) << 7 | narrow(value, 4, 3, 0x7e, 0x7f));
}

float f8e4m3_to_f32(uint8_t bits) {
  if ((bits & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  return widen(bits & 0x7fu, bits >> 7, 4, 3);
}

uint8_t to_f8e5m2(float value) {
  if (std::isnan(value)) return 0x7e;
  return static_cast<uint8_t>(sign_of(value) << 7 | narrow(value, 5, 2, 0x7b, 0x7c));
}

float f8e5m2_to_f32(uint8_t bits) {
  const uint32_t magnitude = bits & 0x7fu;
  if (magnitude > 0x7c) return std::numeric_limits<float>::quiet_NaN();
  if (magnitude == 0x7c) {
    return bits >> 7 ? -std::numeric_limits<float>::infinity()
                     : std::numeric_limits<float>::infinity();
  }
  return widen(magnitude, bits >> 7, 5, 2);
}

}  // namespace modellib
