#include "modellib/graph/text_literals.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace modellib::text {
namespace {

// Sign, exponent and fraction of a binary format, and how it becomes a float and back.
template <class Bits>
struct NanBits {
  Bits exponent;  // mask
  Bits quiet;     // the fraction of the plain NaN
  Bits sign;
};
constexpr NanBits<uint64_t> kF64Nan{0x7ff0000000000000, 0x0008000000000000, 0x8000000000000000};
constexpr NanBits<uint32_t> kF32Nan{0x7f800000, 0x00400000, 0x80000000};
constexpr NanBits<uint32_t> kF16Nan{0x7c00, 0x0200, 0x8000};
constexpr NanBits<uint32_t> kBF16Nan{0x7f80, 0x0040, 0x8000};
// One pattern apart from the sign: all bits of exponent and fraction set.
constexpr NanBits<uint32_t> kF8E4M3Nan{0x78, 0x07, 0x80};
constexpr NanBits<uint32_t> kF8E5M2Nan{0x7c, 0x02, 0x80};

template <class Bits>
std::string format_nan(Bits bits, const NanBits<Bits>& format) {
  if ((bits & ~format.sign) == (format.exponent | format.quiet)) {
    return (bits & format.sign) != 0 ? "-nan" : "nan";
  }
  return absl::StrCat("nan(0x", absl::Hex(bits), ")");
}

// "inf" and "nan" without sign; none if the text is neither. `is_nan` tells whether the bits are
// those of a NaN in the format at hand.
template <class Bits, class IsNan>
bool parse_special(absl::string_view text, const NanBits<Bits>& format, bool has_infinity,
                   IsNan is_nan, Bits& bits) {
  const bool negative = absl::ConsumePrefix(&text, "-");
  const Bits sign = negative ? format.sign : 0;
  if (text == "inf" && has_infinity) return bits = format.exponent | sign, true;
  if (text == "nan") return bits = format.exponent | format.quiet | sign, true;
  uint64_t given = 0;
  if (negative || !absl::ConsumePrefix(&text, "nan(0x") || !absl::ConsumeSuffix(&text, ")") ||
      !absl::SimpleHexAtoi(text, &given)) {
    return false;
  }
  bits = static_cast<Bits>(given);
  return bits == given && is_nan(bits);
}

template <class Float>
std::string shortest(Float value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

template <class Float>
bool parse_finite(absl::string_view text, Float& value) {
  // No "inf", "nan" or hexadecimal.
  if (text.find_first_not_of("+-.0123456789eE") != absl::string_view::npos) return false;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && at == end;
}

template <class T>
T load(const Tensor& t, int64_t i) {
  T value;
  std::memcpy(&value, t.data() + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}
template <class T>
bool store(Tensor& t, int64_t i, T value) {
  std::memcpy(t.mutable_data() + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
  return true;
}

bool f32_is_nan(uint32_t bits) { return std::isnan(std::bit_cast<float>(bits)); }
bool f64_is_nan(uint64_t bits) { return std::isnan(std::bit_cast<double>(bits)); }

std::string format_f32(float value) {
  if (std::isnan(value)) return format_nan(std::bit_cast<uint32_t>(value), kF32Nan);
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  return shortest(value);
}

// The formats below 32 bits, whose values are all floats.
struct SmallFloat {
  const NanBits<uint32_t>& nan;
  uint32_t largest;  // pattern
  bool has_infinity;
  float (*widen)(uint32_t);
  uint32_t (*narrow)(float);
};
const SmallFloat* small_float(DType dtype) {
  static constexpr SmallFloat kF16{
      kF16Nan, 0xffff, true, [](uint32_t b) { return to_f32(Float16{static_cast<uint16_t>(b)}); },
      [](float v) { return static_cast<uint32_t>(to_f16(v).bits); }};
  static constexpr SmallFloat kBF16{
      kBF16Nan, 0xffff, true, [](uint32_t b) { return to_f32(BFloat16{static_cast<uint16_t>(b)}); },
      [](float v) { return static_cast<uint32_t>(to_bf16(v).bits); }};
  static constexpr SmallFloat kF8E4M3{
      kF8E4M3Nan, 0xff, false, [](uint32_t b) { return f8e4m3_to_f32(static_cast<uint8_t>(b)); },
      [](float v) { return static_cast<uint32_t>(to_f8e4m3(v)); }};
  static constexpr SmallFloat kF8E5M2{
      kF8E5M2Nan, 0xff, true, [](uint32_t b) { return f8e5m2_to_f32(static_cast<uint8_t>(b)); },
      [](float v) { return static_cast<uint32_t>(to_f8e5m2(v)); }};
  switch (dtype) {
    case DType::kF16:
      return &kF16;
    case DType::kBF16:
      return &kBF16;
    case DType::kF8E4M3:
      return &kF8E4M3;
    case DType::kF8E5M2:
      return &kF8E5M2;
    default:
      return nullptr;
  }
}

bool parse_small_float(absl::string_view text, const SmallFloat& format, uint32_t& bits) {
  const auto is_nan = [&](uint32_t b) {
    return b <= format.largest && std::isnan(format.widen(b));
  };
  if (parse_special(text, format.nan, format.has_infinity, is_nan, bits)) return true;
  float value;
  if (!parse_finite(text, value)) return false;
  bits = format.narrow(value);
  return true;
}

}  // namespace

bool is_identifier_start(char c) { return absl::ascii_isalpha(c) || c == '_' || c == '$'; }
bool is_identifier_part(char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.'; }
bool is_identifier(absl::string_view text) {
  if (text.empty() || !is_identifier_start(text[0])) return false;
  for (char c : text) {
    if (!is_identifier_part(c)) return false;
  }
  return true;
}

std::string quote(absl::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      absl::StrAppend(&out, "\\x", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string format_float(double value) {
  if (std::isnan(value)) return format_nan(std::bit_cast<uint64_t>(value), kF64Nan);
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  return shortest(value);
}

bool parse_float(absl::string_view text, double& value) {
  uint64_t bits;
  if (parse_special(text, kF64Nan, true, f64_is_nan, bits)) {
    value = std::bit_cast<double>(bits);
    return true;
  }
  return parse_finite(text, value);
}

bool looks_like_float(absl::string_view text) {
  double value;
  return text.find_first_of(".enf") != absl::string_view::npos && parse_float(text, value);
}

std::string format_element(const Tensor& tensor, int64_t i) {
  if (tensor.dtype() == DType::kF64) return format_float(load<double>(tensor, i));
  if (tensor.dtype() == DType::kF32) return format_f32(load<float>(tensor, i));
  if (const SmallFloat* format = small_float(tensor.dtype())) {
    const uint32_t bits =
        bits_of(tensor.dtype()) == 8 ? load<uint8_t>(tensor, i) : load<uint16_t>(tensor, i);
    const float value = format->widen(bits);
    return std::isnan(value) ? format_nan(bits, format->nan) : format_f32(value);
  }
  if (tensor.dtype() == DType::kU64) return absl::StrCat(load<uint64_t>(tensor, i));
  if (tensor.dtype() == DType::kBool) return load<uint8_t>(tensor, i) != 0 ? "true" : "false";
  return absl::StrCat(tensor.int_at(i));
}

bool parse_element(absl::string_view text, Tensor& tensor, int64_t i) {
  const DType dtype = tensor.dtype();
  if (dtype == DType::kF64) {
    double value;
    return parse_float(text, value) && store(tensor, i, value);
  }
  if (dtype == DType::kF32) {
    uint32_t bits;
    if (parse_special(text, kF32Nan, true, f32_is_nan, bits)) return store(tensor, i, bits);
    float value;
    return parse_finite(text, value) && store(tensor, i, value);
  }
  if (const SmallFloat* format = small_float(dtype)) {
    uint32_t bits;
    if (!parse_small_float(text, *format, bits)) return false;
    return bits_of(dtype) == 8 ? store(tensor, i, static_cast<uint8_t>(bits))
                               : store(tensor, i, static_cast<uint16_t>(bits));
  }
  if (dtype == DType::kU64) {
    uint64_t value;
    return absl::SimpleAtoi(text, &value) && store(tensor, i, value);
  }
  if (dtype == DType::kBool) {
    return (text == "true" || text == "false") && store(tensor, i, uint8_t{text == "true"});
  }
  int64_t value;
  if (!is_integer(dtype) || !absl::SimpleAtoi(text, &value)) return false;
  tensor.set_int(i, value);
  return tensor.int_at(i) == value;  // it fits
}

}  // namespace modellib::text
