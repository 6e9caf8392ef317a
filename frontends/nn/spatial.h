// What layers over images share: pairs of numbers for (height, width), and checks of ranks.
#ifndef MODELLIB_FRONTENDS_NN_SPATIAL_H_
#define MODELLIB_FRONTENDS_NN_SPATIAL_H_

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "absl/strings/string_view.h"
#include "modellib/graph/builder.h"

namespace modellib::nn {

// One number for height and width: `3`, or one for each: `{3, 5}`.
struct Size2d {
  // NOLINTNEXTLINE(google-explicit-constructor): options read as numbers
  Size2d(int64_t both) : height(both), width(both) {}
  Size2d(int64_t height, int64_t width) : height(height), width(width) {}
  std::vector<int64_t> list() const { return {height, width}; }
  int64_t height, width;
};

// False for a null or poisoned value, and for a value of another rank, which is then poisoned with
// "LAYER takes EXPECTED, not f32[…]".
bool check_rank(Value& value, std::initializer_list<int> ranks, absl::string_view layer,
                absl::string_view expected);

// False for a null or poisoned value, and for a value that is known to have another extent on axis
// 1, which is then poisoned: without a weight no op can see it.
bool check_channels(Value& value, int64_t channels, absl::string_view layer);

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_SPATIAL_H_
