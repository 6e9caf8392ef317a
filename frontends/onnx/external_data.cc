#include "modellib/frontends/onnx/external_data.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"

namespace modellib::onnx {
namespace {

namespace fs = std::filesystem;

// Tensors that overlap are rare, and models in which many do are made up.
constexpr int64_t kMostTimes = 4;

absl::StatusOr<int64_t> number(absl::string_view key, const std::string& text) {
  int64_t n;
  if (!absl::SimpleAtoi(text, &n) || n < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", key, " '", text, "' of its external data is no number from 0 on"));
  }
  return n;
}

bool lies_in(const fs::path& file, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first ==
         folder.end();
}

// The file, after links are followed, if it lies inside one of the folders.
absl::StatusOr<fs::path> confined(const std::vector<std::string>& folders,
                                  const std::string& location) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("external data '", location, "' ", why));
  };
  if (folders.empty()) return refuse("cannot be found: the model lies in no folder");
  const fs::path relative(location);
  if (location.empty() || relative.is_absolute()) return refuse("is no relative path");
  std::error_code error;
  std::vector<fs::path> roots;
  for (const std::string& folder : folders) {
    roots.push_back(fs::canonical(folder, error));
    if (error) return refuse(absl::StrCat("cannot be found: ", error.message()));
  }
  std::string why;  // for the first of the folders
  for (const fs::path& root : roots) {
    const fs::path file = fs::weakly_canonical(root / relative, error);
    std::string problem;
    if (error) {
      problem = absl::StrCat("cannot be found: ", error.message());
    } else if (std::none_of(roots.begin(), roots.end(),
                            [&](const fs::path& folder) { return lies_in(file, folder); })) {
      problem = "leaves the model's folder";
    } else if (!fs::is_regular_file(file, error)) {
      problem = "is no file";
    } else {
      return file;
    }
    if (why.empty()) why = std::move(problem);
  }
  return refuse(why);
}

}  // namespace

absl::StatusOr<ExternalLocation> external_location(const onnx_proto::TensorProto& proto) {
  ExternalLocation result;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") {
      result.location = entry.value();
    } else if (entry.key() == "offset") {
      MODELLIB_ASSIGN_OR_RETURN(result.offset, number("offset", entry.value()));
    } else if (entry.key() == "length") {
      MODELLIB_ASSIGN_OR_RETURN(result.length, number("length", entry.value()));
    }
  }
  if (result.location.empty()) {
    return absl::InvalidArgumentError("its external data has no location");
  }
  return result;
}

std::vector<std::string> folders_of(const std::string& path) {
  const std::string own = fs::path(path).parent_path().string();
  std::vector<std::string> folders = {own.empty() ? "." : own};
  std::error_code error;
  // Caches that name files by their content have links with the names that models know.
  const fs::path file = fs::canonical(path, error);
  if (!error) folders.push_back(file.parent_path().string());
  return folders;
}

absl::StatusOr<Tensor> ExternalData::read(const ExternalLocation& location, DType dtype,
                                          absl::Span<const int64_t> shape) {
  MODELLIB_ASSIGN_OR_RETURN(const fs::path file, confined(folders_, location.location));
  MODELLIB_ASSIGN_OR_RETURN(const int64_t elements, checked_elements(dtype, shape));
  const int64_t bytes = bytes_of(dtype, elements);
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("external data '", location.location, "': ", why));
  };
  if (location.length.has_value() && *location.length != bytes) {
    return refuse(absl::StrCat("length is ", *location.length, ", its shape says ", bytes));
  }
  std::error_code error;
  const auto size = static_cast<int64_t>(fs::file_size(file, error));
  if (error) return refuse(error.message());
  if (location.offset > size || bytes > size - location.offset) {
    return refuse(absl::StrCat(bytes, " bytes from ", location.offset, " on; the file has ", size));
  }
  Part part(file.string(), location.offset, dtype,
            std::vector<int64_t>(shape.begin(), shape.end()));
  if (const auto it = tensors_.find(part); it != tensors_.end()) return it->second;
  const int64_t most =
      kMostTimes * std::min(size, std::numeric_limits<int64_t>::max() / kMostTimes);
  int64_t& taken = taken_[file.string()];
  if (bytes > most - taken) {
    return refuse(
        absl::StrCat("more than ", kMostTimes, " times its ", size, " bytes are asked for"));
  }
  MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, Tensor::zeros(dtype, shape));
  std::ifstream stream(file, std::ios::binary);
  stream.seekg(location.offset);
  stream.read(reinterpret_cast<char*>(tensor.mutable_data()), bytes);
  if (stream.gcount() != bytes) return refuse("cannot be read");
  if (dtype == DType::kBool) {
    for (int64_t i = 0; i < bytes; ++i) {
      std::byte& b = tensor.mutable_data()[i];
      b = static_cast<std::byte>(b != std::byte{0});
    }
  }
  taken += bytes;
  tensors_.emplace(std::move(part), tensor);
  return tensor;
}

}  // namespace modellib::onnx
