#include "modellib/formats/npy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "modellib/formats/file_bytes.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

constexpr absl::string_view kMagic("\x93NUMPY", 6);
constexpr size_t kMaxHeader = size_t{1} << 20;
constexpr size_t kMaxRank = 64;

struct TypeCode {
  DType dtype;
  absl::string_view code;  // kind and bytes
};
constexpr TypeCode kTypes[] = {
    {DType::kF64, "f8"}, {DType::kF32, "f4"}, {DType::kF16, "f2"}, {DType::kI8, "i1"},
    {DType::kI16, "i2"}, {DType::kI32, "i4"}, {DType::kI64, "i8"}, {DType::kU8, "u1"},
    {DType::kU16, "u2"}, {DType::kU32, "u4"}, {DType::kU64, "u8"}, {DType::kBool, "b1"},
};

struct Header {
  std::string descr;
  bool fortran = false;
  std::vector<int64_t> shape;
};

// Reads the header: a Python dictionary of exactly three entries.
class HeaderParser {
 public:
  explicit HeaderParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<Header> parse() {
    Header header;
    bool seen[3] = {};
    if (!take("{")) return error("expected a dictionary");
    while (!take("}")) {
      MODELLIB_ASSIGN_OR_RETURN(const std::string key, string());
      if (!take(":")) return error("expected ':'");
      const int which = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
      if (which < 0 || seen[which]) return error(absl::StrCat("unexpected key '", key, "'"));
      seen[which] = true;
      if (which == 0) {
        if (peek() == '[') return absl::UnimplementedError(".npy file of a structured type");
        MODELLIB_ASSIGN_OR_RETURN(header.descr, string());
      } else if (which == 1) {
        header.fortran = take("True");
        if (!header.fortran && !take("False")) return error("expected True or False");
      } else {
        MODELLIB_ASSIGN_OR_RETURN(header.shape, shape());
      }
      if (!take(",") && peek() != '}') return error("expected ',' or '}'");
    }
    if (peek() != '\0') return error("text after the dictionary");
    if (!seen[0] || !seen[1] || !seen[2]) return error("descr, fortran_order or shape is missing");
    return header;
  }

 private:
  absl::Status error(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(".npy header, byte ", at_, ": ", what));
  }
  char peek() {
    while (at_ < text_.size() && absl::ascii_isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(absl::string_view token) {
    peek();
    if (!absl::StartsWith(text_.substr(at_), token)) return false;
    at_ += token.size();
    return true;
  }
  absl::StatusOr<std::string> string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') return error("expected a string");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == absl::string_view::npos) return error("a string that does not end");
    std::string out(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return out;
  }
  absl::StatusOr<std::vector<int64_t>> shape() {
    std::vector<int64_t> extents;
    if (!take("(")) return error("expected a tuple");
    while (!take(")")) {
      peek();
      const size_t start = at_;
      while (at_ < text_.size() && absl::ascii_isdigit(static_cast<unsigned char>(text_[at_])))
        ++at_;
      int64_t extent;
      if (!absl::SimpleAtoi(text_.substr(start, at_ - start), &extent)) {
        return error("expected a 64-bit extent");
      }
      take("L");  // of Python 2
      if (extents.size() == kMaxRank) return error("too many dimensions");
      extents.push_back(extent);
      if (!take(",") && peek() != ')') return error("expected ',' or ')'");
    }
    return extents;
  }

  absl::string_view text_;
  size_t at_ = 0;
};

uint32_t little_endian(absl::Span<const std::byte> bytes) {
  uint32_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | std::to_integer<uint32_t>(bytes[i]);
  return value;
}

void swap_bytes(std::byte* data, size_t count, size_t size) {
  for (size_t i = 0; i < count; ++i) std::reverse(data + i * size, data + (i + 1) * size);
}

// From column-major, where the first index runs fastest, to row-major.
void reorder_columns(const std::byte* from, const std::vector<int64_t>& shape, size_t size,
                     Tensor& to) {
  std::vector<int64_t> index(shape.size(), 0), stride(shape.size(), 1);
  for (size_t d = 1; d < shape.size(); ++d) stride[d] = stride[d - 1] * shape[d - 1];
  int64_t source = 0;
  for (int64_t i = 0; i < to.elements(); ++i) {
    std::memcpy(to.mutable_data() + static_cast<size_t>(i) * size,
                from + static_cast<size_t>(source) * size, size);
    for (size_t d = shape.size(); d-- > 0;) {
      source += stride[d];
      if (++index[d] < shape[d]) break;
      source -= stride[d] * shape[d];
      index[d] = 0;
    }
  }
}

absl::StatusOr<DType> element_type(absl::string_view descr) {
  for (const TypeCode& type : kTypes) {
    if (descr.size() == 3 && descr.substr(1) == type.code) return type.dtype;
  }
  return absl::UnimplementedError(
      absl::StrCat(".npy file of NumPy type '", descr, "', for which there is no element type"));
}

// The type that NumPy has for the tensor's values.
DType widened(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
    case DType::kF8E4M3:
    case DType::kF8E5M2:
      return DType::kF32;
    case DType::kI4:
      return DType::kI8;
    case DType::kU4:
      return DType::kU8;
    default:
      return dtype;
  }
}

}  // namespace

absl::StatusOr<Tensor> parse_npy(absl::Span<const std::byte> bytes) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!absl::StartsWith(text, kMagic) || text.size() < 10) {
    return absl::InvalidArgumentError("not an .npy file");
  }
  const int major = static_cast<unsigned char>(text[6]);
  if (major < 1 || major > 3) {
    return absl::UnimplementedError(
        absl::StrCat(".npy format version ", major, "; 1 to 3 are known"));
  }
  const size_t prefix = major == 1 ? 10 : 12;
  if (bytes.size() < prefix) return absl::InvalidArgumentError(".npy file cut short");
  const size_t header_bytes = little_endian(bytes.subspan(8, prefix - 8));
  if (header_bytes > bytes.size() - prefix || header_bytes > kMaxHeader) {
    return absl::InvalidArgumentError(
        absl::StrCat(".npy header of ", header_bytes, " bytes in a file of ", bytes.size()));
  }
  MODELLIB_ASSIGN_OR_RETURN(const Header header,
                            HeaderParser(text.substr(prefix, header_bytes)).parse());
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype, element_type(header.descr));
  const char order = header.descr[0];
  if (order != '<' && order != '>' && order != '|' && order != '=') {
    return absl::InvalidArgumentError(absl::StrCat(".npy byte order '", header.descr, "'"));
  }
  MODELLIB_ASSIGN_OR_RETURN(const int64_t count, checked_elements(dtype, header.shape));
  const absl::Span<const std::byte> data = bytes.subspan(prefix + header_bytes);
  const int64_t needed = bytes_of(dtype, count);
  if (static_cast<int64_t>(data.size()) != needed) {
    return absl::InvalidArgumentError(absl::StrCat(".npy file of ", to_string(dtype), "[",
                                                   absl::StrJoin(header.shape, ","), "] needs ",
                                                   needed, " bytes, has ", data.size()));
  }
  MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, Tensor::zeros(dtype, header.shape));
  if (count == 0) return tensor;
  const auto size = static_cast<size_t>(bits_of(dtype) / 8);
  if (header.fortran && header.shape.size() > 1) {
    reorder_columns(data.data(), header.shape, size, tensor);
  } else {
    std::memcpy(tensor.mutable_data(), data.data(), data.size());
  }
  if (order == '>') swap_bytes(tensor.mutable_data(), static_cast<size_t>(count), size);
  if (dtype == DType::kBool) {
    for (int64_t i = 0; i < count; ++i) {
      std::byte& b = tensor.mutable_data()[i];
      b = b == std::byte{0} ? b : std::byte{1};
    }
  }
  return tensor;
}

absl::StatusOr<Tensor> read_npy(const std::string& path) {
  MODELLIB_ASSIGN_OR_RETURN(const std::string bytes, read_file(path));
  absl::StatusOr<Tensor> tensor =
      parse_npy({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
  if (!tensor.ok()) {
    return absl::Status(tensor.status().code(),
                        absl::StrCat(path, ": ", tensor.status().message()));
  }
  return tensor;
}

absl::StatusOr<std::string> npy_bytes(const Tensor& given) {
  Tensor tensor = given;
  if (const DType wide = widened(given.dtype()); wide != given.dtype()) {
    MODELLIB_ASSIGN_OR_RETURN(tensor, Tensor::zeros(wide, given.shape()));
    for (int64_t i = 0; i < given.elements(); ++i) tensor.set(i, given.at(i));
  }
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const TypeCode& t) { return t.dtype == tensor.dtype(); });
  if (type == std::end(kTypes)) {
    return absl::UnimplementedError(
        absl::StrCat("NumPy files of ", to_string(tensor.dtype()), " are not written"));
  }
  std::string header =
      absl::StrCat("{'descr': '", bits_of(tensor.dtype()) == 8 ? "|" : "<", type->code,
                   "', 'fortran_order': False, 'shape': (", absl::StrJoin(tensor.shape(), ", "),
                   tensor.rank() == 1 ? ",), }" : "), }");
  // The data begin on a multiple of 64.
  header.append((64 - (10 + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  if (header.size() > 0xffff) return absl::InvalidArgumentError("too many dimensions for .npy");
  std::string out(kMagic);
  out += '\1';
  out += '\0';
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  out += header;
  if (tensor.bytes() != 0) {
    out.append(reinterpret_cast<const char*>(tensor.data()), static_cast<size_t>(tensor.bytes()));
  }
  return out;
}

absl::Status write_npy(const std::string& path, const Tensor& tensor) {
  MODELLIB_ASSIGN_OR_RETURN(const std::string bytes, npy_bytes(tensor));
  return write_file(path, bytes);
}

}  // namespace modellib
