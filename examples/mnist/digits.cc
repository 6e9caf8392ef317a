#include "modellib/examples/mnist/digits.h"

#include "absl/strings/str_cat.h"
#include "modellib/formats/npy.h"
#include "modellib/graph/status_macros.h"

namespace modellib::examples {

absl::StatusOr<Digits> read_digits(const std::string& folder, const std::string& part) {
  MODELLIB_ASSIGN_OR_RETURN(const Tensor pixels,
                            read_npy(absl::StrCat(folder, "/", part, "_images.npy")));
  Digits digits;
  MODELLIB_ASSIGN_OR_RETURN(digits.labels,
                            read_npy(absl::StrCat(folder, "/", part, "_labels.npy")));
  if (pixels.dtype() != DType::kU8 || pixels.rank() != 2 || pixels.shape()[1] != 784 ||
      digits.labels.dtype() != DType::kI64 || digits.labels.elements() != pixels.shape()[0]) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": expected u8 [n,784] images and i64 [n] labels"));
  }
  MODELLIB_ASSIGN_OR_RETURN(digits.images, Tensor::zeros(DType::kF32, pixels.shape()));
  const absl::Span<const uint8_t> from = pixels.as<uint8_t>();
  const absl::Span<float> to = digits.images.as_mutable<float>();
  for (size_t i = 0; i < from.size(); ++i) to[i] = static_cast<float>(from[i]) / 255.0f;
  return digits;
}

}  // namespace modellib::examples
