#include "modellib/formats/detect.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "modellib/formats/container.h"
#include "modellib/formats/container_layout.h"

namespace modellib {
namespace {

// Text of a graph begins, after comments and blanks, with one of these words.
bool looks_like_text(absl::string_view text) {
  while (true) {
    text = absl::StripLeadingAsciiWhitespace(text);
    if (!absl::StartsWith(text, "//")) break;
    const size_t end = text.find('\n');
    if (end == absl::string_view::npos) return false;
    text.remove_prefix(end);
  }
  for (absl::string_view word : {"graph", "program", "module"}) {
    if (absl::StartsWith(text, word) && text.size() > word.size() &&
        (absl::ascii_isspace(static_cast<unsigned char>(text[word.size()])) ||
         text[word.size()] == '"' || text[word.size()] == '{')) {
      return true;
    }
  }
  return false;
}

// A ModelProto's first field is nearly always ir_version (field 1, varint, small), followed by
// another field of the message with its right wire type.
bool looks_like_onnx(absl::Span<const std::byte> bytes) {
  const auto at = [&](size_t i) { return std::to_integer<unsigned>(bytes[i]); };
  if (bytes.size() < 4 || at(0) != 0x08 || at(1) == 0 || at(1) > 0x7f) return false;
  const unsigned tag = at(2);
  const unsigned field = tag >> 3;
  const unsigned wire = tag & 7;
  // 2 producer, 3 its version, 4 domain, 6 doc, 7 graph, 8 opset, 14 metadata; 5 model version.
  if (field == 5) return wire == 0;
  return wire == 2 && (field == 2 || field == 3 || field == 4 || field == 6 || field == 7 ||
                       field == 8 || field == 14);
}

}  // namespace

absl::string_view to_string(FileFormat format) {
  switch (format) {
    case FileFormat::kPlan:
      return "plan";
    case FileFormat::kModel:
      return "model";
    case FileFormat::kText:
      return "text";
    case FileFormat::kOnnx:
      return "onnx";
    case FileFormat::kNumpy:
      return "npy";
    case FileFormat::kUnknown:
      break;
  }
  return "unknown";
}

FileFormat detect_format(absl::Span<const std::byte> start) {
  using container_layout::Header;
  const absl::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  if (start.size() >= sizeof(Header) &&
      std::memcmp(start.data(), container_layout::kMagic, sizeof(container_layout::kMagic)) == 0) {
    Header header;
    std::memcpy(&header, start.data(), sizeof(header));
    if (header.kind == static_cast<uint32_t>(ContainerKind::kPlan)) return FileFormat::kPlan;
    if (header.kind == static_cast<uint32_t>(ContainerKind::kModel)) return FileFormat::kModel;
    return FileFormat::kUnknown;
  }
  if (absl::StartsWith(text, "\x93NUMPY")) return FileFormat::kNumpy;
  if (looks_like_text(text)) return FileFormat::kText;
  if (looks_like_onnx(start)) return FileFormat::kOnnx;
  return FileFormat::kUnknown;
}

absl::StatusOr<FileFormat> detect_file_format(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  std::byte start[4096];
  const size_t n = std::fread(start, 1, sizeof(start), file.get());
  if (std::ferror(file.get()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("reading ", path));
  }
  return detect_format(absl::MakeConstSpan(start, n));
}

}  // namespace modellib
