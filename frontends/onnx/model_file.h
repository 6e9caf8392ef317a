// Reads ONNX files into messages.
#ifndef MODELLIB_FRONTENDS_ONNX_MODEL_FILE_H_
#define MODELLIB_FRONTENDS_ONNX_MODEL_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

// InvalidArgument with the byte offset for what is no ModelProto. The file is read in pieces: it
// does not lie in memory beside the message.
absl::StatusOr<std::unique_ptr<onnx_proto::ModelProto>> read_model_proto(const std::string& path);
absl::StatusOr<std::unique_ptr<onnx_proto::ModelProto>> parse_model_proto(absl::string_view bytes);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_MODEL_FILE_H_
