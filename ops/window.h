// The geometry that convolution and pooling share: windows that slide over spatial axes.
#ifndef MODELLIB_OPS_WINDOW_H_
#define MODELLIB_OPS_WINDOW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/graph/dim.h"

namespace modellib {

struct Window {
  // What an entry may be at most: what is computed with extents and two of them lies in an int64.
  static constexpr int64_t kMost = int64_t{1} << 24;

  // One entry for each spatial axis.
  std::vector<int64_t> kernel, strides, padding_low, padding_high, dilations;
  std::string layout = "NCHW";

  // Fills in lists that are empty and checks the others; InvalidArgument names the one at fault.
  absl::Status complete(size_t spatial_axes);

  bool channels_last() const { return layout == "NHWC"; }
  size_t channel_axis(size_t rank) const { return channels_last() ? rank - 1 : 1; }
  size_t spatial_axis(size_t i) const { return channels_last() ? i + 1 : i + 2; }
  // Elements from the first to the last that a window touches.
  int64_t reach(size_t i) const { return dilations[i] * (kernel[i] - 1) + 1; }
  // Where tap `tap` of window `out` of axis i lies; outside [0, extent): in the padding.
  int64_t source(size_t i, int64_t out, int64_t tap) const {
    return out * strides[i] - padding_low[i] + tap * dilations[i];
  }
  // Number of windows along axis i of an operand. With ceil_mode also those that begin inside and
  // end beyond the padding. InvalidArgument if there can be none.
  absl::StatusOr<Dim> extent(size_t i, const Dim& in, bool ceil_mode) const;
};

}  // namespace modellib

#endif  // MODELLIB_OPS_WINDOW_H_
