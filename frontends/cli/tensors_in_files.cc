#include "modellib/frontends/cli/tensors_in_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/formats/detect.h"
#include "modellib/formats/npy.h"
#include "modellib/frontends/onnx/tensor_proto.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

absl::StatusOr<Tensor> read_tensor(const std::string& path) {
  MODELLIB_ASSIGN_OR_RETURN(const FileFormat format, detect_file_format(path));
  if (format == FileFormat::kNumpy) return read_npy(path);
  if (std::filesystem::path(path).extension() == ".pb") {
    return onnx::read_tensor_proto(path);
  }
  return absl::InvalidArgumentError(absl::StrCat(path, " is neither a .npy nor a .pb file"));
}

}  // namespace

absl::StatusOr<std::vector<Tensor>> read_inputs(absl::Span<const std::string> arguments,
                                                absl::Span<const InputSlot> slots) {
  std::vector<Tensor> tensors(slots.size());
  std::vector<bool> given(slots.size(), false);
  for (const std::string& argument : arguments) {
    // A name may hold "=" itself, as may a path: what begins with an input's name and "=" is named.
    size_t slot = slots.size();
    std::string path = argument;
    for (size_t i = 0; i < slots.size(); ++i) {
      const std::string prefix = slots[i].name + "=";
      if (argument.compare(0, prefix.size(), prefix) == 0) {
        slot = i;
        path = argument.substr(prefix.size());
      }
    }
    if (slot == slots.size()) {
      slot = static_cast<size_t>(std::find(given.begin(), given.end(), false) - given.begin());
    }
    if (slot == slots.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", argument, "' is one input too many; the model takes ", slots.size()));
    }
    const InputSlot& input = slots[slot];
    if (given[slot]) {
      return absl::InvalidArgumentError(absl::StrCat("input '", input.name, "' is given twice"));
    }
    given[slot] = true;
    MODELLIB_ASSIGN_OR_RETURN(tensors[slot], read_tensor(path));
    if (tensors[slot].dtype() != input.dtype) {
      return absl::InvalidArgumentError(absl::StrCat("input '", input.name, "' is ",
                                                     to_string(input.dtype), ", ", path, " holds ",
                                                     to_string(tensors[slot].dtype())));
    }
  }
  for (size_t i = 0; i < slots.size(); ++i) {
    if (!given[i]) {
      return absl::InvalidArgumentError(absl::StrCat("input '", slots[i].name, "' is missing"));
    }
  }
  return tensors;
}

absl::Status write_outputs(absl::Span<const Tensor> outputs, const std::string& folder,
                           TensorFormat format) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot make folder ", folder, ": ", error.message()));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string path = absl::StrCat(folder, "/output_", i);
    MODELLIB_RETURN_IF_ERROR(format == TensorFormat::kNpy
                                 ? write_npy(path + ".npy", outputs[i])
                                 : onnx::write_tensor_proto(path + ".pb", outputs[i]));
  }
  return absl::OkStatus();
}

}  // namespace modellib::cli
