#include "modellib/frontends/cli/tensors_in_files.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/formats/detect.h"
#include "modellib/formats/npy.h"
#include "modellib/frontends/onnx/tensor_proto.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

// What an argument may give.
struct Wanted {
  std::string name;
  std::optional<DType> dtype;     // of each tensor
  std::optional<size_t> tensors;  // how many; nothing: any number
  onnx::Declaration declared = {};
};

using Content = std::optional<std::vector<Tensor>>;

absl::StatusOr<Content> read_tensors(const std::string& path, onnx::Declaration declared) {
  MODELLIB_ASSIGN_OR_RETURN(const FileFormat format, detect_file_format(path));
  if (format == FileFormat::kNumpy) {
    MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, read_npy(path));
    return std::vector<Tensor>{std::move(tensor)};
  }
  if (std::filesystem::path(path).extension() == ".pb") {
    return onnx::read_tensor_protos(path, declared);
  }
  return absl::InvalidArgumentError(absl::StrCat(path, " is neither a .npy nor a .pb file"));
}

std::string count_of(size_t tensors) {
  return tensors == 1 ? "one tensor" : absl::StrCat("a sequence of ", tensors, " tensors");
}

absl::Status check(const Content& content, const Wanted& wanted, const std::string& path) {
  const std::vector<Tensor> tensors = content.value_or(std::vector<Tensor>());
  if (wanted.tensors.has_value() && tensors.size() != *wanted.tensors) {
    return absl::InvalidArgumentError(absl::StrCat(
        "input '", wanted.name, "' takes ", count_of(*wanted.tensors), ", ", path, " holds ",
        tensors.empty() ? "no tensor: a sequence or an optional that is empty"
                        : count_of(tensors.size())));
  }
  for (const Tensor& tensor : tensors) {
    if (!wanted.dtype.has_value() || tensor.dtype() == *wanted.dtype) continue;
    return absl::InvalidArgumentError(absl::StrCat("input '", wanted.name, "' is ",
                                                   to_string(*wanted.dtype), ", ", path, " holds ",
                                                   to_string(tensor.dtype())));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Content>> read_wanted(absl::Span<const std::string> arguments,
                                                 const std::vector<Wanted>& wanted) {
  std::vector<Content> contents(wanted.size());
  std::vector<bool> given(wanted.size(), false);
  for (const std::string& argument : arguments) {
    // A name may hold "=" itself, as may a path: what begins with an input's name and "=" is named.
    size_t at = wanted.size();
    std::string path = argument;
    for (size_t i = 0; i < wanted.size(); ++i) {
      const std::string prefix = wanted[i].name + "=";
      if (argument.compare(0, prefix.size(), prefix) == 0) {
        at = i;
        path = argument.substr(prefix.size());
      }
    }
    if (at == wanted.size()) {
      at = static_cast<size_t>(std::find(given.begin(), given.end(), false) - given.begin());
    }
    if (at == wanted.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", argument, "' is one input too many; the model takes ", wanted.size()));
    }
    if (given[at]) {
      return absl::InvalidArgumentError(
          absl::StrCat("input '", wanted[at].name, "' is given twice"));
    }
    given[at] = true;
    MODELLIB_ASSIGN_OR_RETURN(contents[at], read_tensors(path, wanted[at].declared));
    MODELLIB_RETURN_IF_ERROR(check(contents[at], wanted[at], path));
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    const bool required =
        wanted[i].tensors.has_value() ? *wanted[i].tensors > 0 : !wanted[i].declared.optional;
    if (!given[i] && required) {
      return absl::InvalidArgumentError(absl::StrCat("input '", wanted[i].name, "' is missing"));
    }
  }
  return contents;
}

absl::Status write_message(const std::string& path, absl::Span<const Tensor> tensors,
                           const onnx::Signature::Part& part) {
  const bool is_empty = !part.sequence && tensors.empty();
  if (part.optional || is_empty) return onnx::write_optional_proto(path, tensors, part.sequence);
  if (part.sequence) return onnx::write_sequence_proto(path, tensors);
  return onnx::write_tensor_proto(path, tensors[0]);
}

}  // namespace

absl::StatusOr<std::vector<Tensor>> read_inputs(absl::Span<const std::string> arguments,
                                                absl::Span<const InputSlot> slots,
                                                const onnx::Signature& signature) {
  std::vector<Wanted> wanted;
  if (signature.inputs.empty()) {
    for (const InputSlot& slot : slots) wanted.push_back({slot.name, slot.dtype, 1});
  }
  size_t next = 0;
  for (const onnx::Signature::Part& part : signature.inputs) {
    Wanted input{part.name, std::nullopt, part.tensors, {part.optional, part.sequence}};
    if (part.tensors != 0 && next < slots.size()) input.dtype = slots[next].dtype;
    next += part.tensors;
    wanted.push_back(std::move(input));
  }
  MODELLIB_ASSIGN_OR_RETURN(std::vector<Content> contents, read_wanted(arguments, wanted));
  std::vector<Tensor> all;
  for (Content& content : contents) {
    if (!content.has_value()) continue;
    for (Tensor& tensor : *content) all.push_back(std::move(tensor));
  }
  return all;
}

absl::StatusOr<std::vector<std::optional<std::vector<Tensor>>>> read_declared_inputs(
    absl::Span<const std::string> arguments, absl::Span<const onnx::ModelInput> inputs) {
  std::vector<Wanted> wanted;
  for (const onnx::ModelInput& input : inputs) {
    std::optional<size_t> tensors;
    if (!input.optional && !input.sequence) tensors = 1;
    wanted.push_back({input.name, input.dtype, tensors, {input.optional, input.sequence}});
  }
  return read_wanted(arguments, wanted);
}

absl::Status write_outputs(absl::Span<const Tensor> outputs, const onnx::Signature& signature,
                           const std::string& folder, TensorFormat format) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot make folder ", folder, ": ", error.message()));
  }
  std::vector<onnx::Signature::Part> parts = signature.outputs;
  if (parts.empty()) parts.resize(outputs.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string path = absl::StrCat(folder, "/output_", i);
    const absl::Span<const Tensor> tensors = outputs.subspan(0, parts[i].tensors);
    outputs.remove_prefix(tensors.size());
    if (format == TensorFormat::kOnnx) {
      MODELLIB_RETURN_IF_ERROR(write_message(path + ".pb", tensors, parts[i]));
    } else if (!parts[i].sequence && tensors.size() == 1) {
      MODELLIB_RETURN_IF_ERROR(write_npy(path + ".npy", tensors[0]));
    } else {
      for (size_t t = 0; t < tensors.size(); ++t) {
        MODELLIB_RETURN_IF_ERROR(write_npy(absl::StrCat(path, "_", t, ".npy"), tensors[t]));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace modellib::cli
