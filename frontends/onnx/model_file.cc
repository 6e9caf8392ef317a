#include "modellib/frontends/onnx/model_file.h"

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <cerrno>
#include <cstdio>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/formats/file_bytes.h"
#include "modellib/frontends/onnx/wire_check.h"
#include "modellib/graph/status_macros.h"

namespace modellib::onnx {
namespace {

using onnx_proto::ModelProto;

class FileStream final : public google::protobuf::io::CopyingInputStream {
 public:
  explicit FileStream(std::FILE* file) : file_(file) {}
  int Read(void* buffer, int size) override {
    const size_t n = std::fread(buffer, 1, static_cast<size_t>(size), file_);
    return n == 0 && std::ferror(file_) != 0 ? -1 : static_cast<int>(n);
  }

 private:
  std::FILE* const file_;
};

// Protobuf takes no bytes at all for a message without fields.
absl::Status empty() {
  return absl::InvalidArgumentError("no ONNX model: byte 0: it ends here, the file is empty");
}

absl::Status malformed(absl::string_view bytes) {
  const absl::Status where = check_wire(bytes, WireMessage::kModel);
  if (!where.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("no ONNX model: ", where.message()));
  }
  return absl::InvalidArgumentError("no ONNX model: its messages cannot be parsed");
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelProto>> parse_model_proto(absl::string_view bytes) {
  auto model = std::make_unique<ModelProto>();
  if (bytes.empty()) return empty();
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return absl::InvalidArgumentError(
        absl::StrCat("an ONNX model has 2 GiB at most, this has ", bytes.size(), " bytes"));
  }
  if (!model->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return malformed(bytes);
  }
  return model;
}

absl::StatusOr<std::unique_ptr<ModelProto>> read_model_proto(const std::string& path) {
  auto model = std::make_unique<ModelProto>();
  {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                               &std::fclose);
    if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
    FileStream stream(file.get());
    google::protobuf::io::CopyingInputStreamAdaptor adaptor(&stream, 1 << 16);
    if (model->ParseFromZeroCopyStream(&adaptor)) {
      if (adaptor.ByteCount() == 0) return empty();
      return model;
    }
  }
  model.reset();
  MODELLIB_ASSIGN_OR_RETURN(const std::string bytes, read_file(path));
  return malformed(bytes);
}

}  // namespace modellib::onnx
