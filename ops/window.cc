#include "modellib/ops/window.h"

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"

namespace modellib {

absl::Status Window::complete(size_t spatial_axes) {
  if (layout != "NCHW" && layout != "NHWC") {
    return absl::InvalidArgumentError(
        absl::StrCat("layout '", layout, "' is neither NCHW nor NHWC"));
  }
  const auto fill = [&](const char* name, std::vector<int64_t>& list, int64_t standard,
                        int64_t least) -> absl::Status {
    if (list.empty()) list.assign(spatial_axes, standard);
    if (list.size() != spatial_axes) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " has ", list.size(), " entries for ", spatial_axes, " spatial axes"));
    }
    for (int64_t n : list) {
      if (n < least) {
        return absl::InvalidArgumentError(absl::StrCat(name, " has ", n, ", below ", least));
      }
      if (n > kMost) {
        return absl::InvalidArgumentError(absl::StrCat(name, " has ", n, ", above ", kMost));
      }
    }
    return absl::OkStatus();
  };
  MODELLIB_RETURN_IF_ERROR(fill("kernel", kernel, 1, 1));
  MODELLIB_RETURN_IF_ERROR(fill("strides", strides, 1, 1));
  MODELLIB_RETURN_IF_ERROR(fill("dilations", dilations, 1, 1));
  MODELLIB_RETURN_IF_ERROR(fill("padding_low", padding_low, 0, 0));
  return fill("padding_high", padding_high, 0, 0);
}

absl::StatusOr<Dim> Window::extent(size_t i, const Dim& in, bool ceil_mode) const {
  const Dim padded = in + padding_low[i] + padding_high[i];
  const Dim room = padded - reach(i);
  if (room.is_static() && room.value() < 0) {
    return absl::InvalidArgumentError(absl::StrCat("a window of ", reach(i), " over spatial axis ",
                                                   i, " with ", padded.to_string(),
                                                   " elements, padding included"));
  }
  if (!ceil_mode) return room / strides[i] + 1;
  // The last window must begin before the padding behind.
  return min(ceil_div(room, strides[i]) + 1, ceil_div(in + padding_low[i], strides[i]));
}

}  // namespace modellib
