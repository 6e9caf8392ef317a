// Tensors whose bytes lie in files beside the model.
//
// A model is untrusted: its files must lie inside its own folder or that of the file which it is a
// link to, whatever links and dots the path has, and be as long as the tensor needs. Nor can a
// small model fill the memory: tensors that are the same part of a file share its bytes, and all
// that is taken from a file comes to a few times what it has.
#ifndef MODELLIB_FRONTENDS_ONNX_EXTERNAL_DATA_H_
#define MODELLIB_FRONTENDS_ONNX_EXTERNAL_DATA_H_

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/graph/tensor.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

struct ExternalLocation {
  std::string location;  // a path, relative to the model's folder
  int64_t offset = 0;
  std::optional<int64_t> length;
};
absl::StatusOr<ExternalLocation> external_location(const onnx_proto::TensorProto& proto);

// The folders in which the files of the model at `path` may lie.
std::vector<std::string> folders_of(const std::string& path);

// The files of one model.
class ExternalData {
 public:
  // No folders: the model may have no files. A path may be relative to any of them.
  explicit ExternalData(std::vector<std::string> folders) : folders_(std::move(folders)) {}

  // Reads the bytes, all InvalidArgument: a path that leaves the folders, no regular file, one that
  // is too short or was read too often, a length that is not that of the shape.
  absl::StatusOr<Tensor> read(const ExternalLocation& location, DType dtype,
                              absl::Span<const int64_t> shape);

 private:
  // The file, where it begins, and what it is.
  using Part = std::tuple<std::string, int64_t, DType, std::vector<int64_t>>;

  const std::vector<std::string> folders_;
  absl::flat_hash_map<Part, Tensor> tensors_;
  absl::flat_hash_map<std::string, int64_t> taken_;  // bytes, by file
};

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_EXTERNAL_DATA_H_
