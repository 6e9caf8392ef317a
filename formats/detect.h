// What a file is, by its first bytes rather than by its name.
#ifndef MODELLIB_FORMATS_DETECT_H_
#define MODELLIB_FORMATS_DETECT_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace modellib {

enum class FileFormat {
  kUnknown,
  kPlan,   // container of a plan, .mlplan
  kModel,  // container of a native model, .mlmodel
  kText,   // text form of a graph, .mltxt
  kOnnx,   // begins as an ONNX ModelProto does; only its parser can tell for sure
  kNumpy,  // .npy
};
absl::string_view to_string(FileFormat format);

// The first 4096 bytes, or the whole file if it is shorter, are enough.
FileFormat detect_format(absl::Span<const std::byte> start);
// NotFound and the like for the file; kUnknown for what it does not know.
absl::StatusOr<FileFormat> detect_file_format(const std::string& path);

}  // namespace modellib

#endif  // MODELLIB_FORMATS_DETECT_H_
