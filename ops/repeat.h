// Each element several times side by side: what nearest upsampling by whole factors is.
#ifndef MODELLIB_OPS_REPEAT_H_
#define MODELLIB_OPS_REPEAT_H_

#include <cstdint>
#include <tuple>
#include <vector>

#include "modellib/graph/builder.h"

namespace modellib {

struct RepeatInterleaveAttributes {
  std::vector<int64_t> repeats = {};  // one for each axis, 1 at least
  static constexpr auto fields() {
    return std::make_tuple(field("repeats", &RepeatInterleaveAttributes::repeats));
  }
};
// torch.repeat_interleave along all axes at once: axis i of the result is repeats[i] times as long,
// and its element j is element j / repeats[i] of x. Any element type. (`tile` repeats the whole.)
Value repeat_interleave(Value x, std::vector<int64_t> repeats);

}  // namespace modellib

#endif  // MODELLIB_OPS_REPEAT_H_
