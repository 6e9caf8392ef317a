// The gradient of broadcasting.
#ifndef MODELLIB_OPS_SUM_TO_H_
#define MODELLIB_OPS_SUM_TO_H_

#include "modellib/graph/builder.h"

namespace modellib {

// Sums `x` over the dimensions that broadcasting `shape` to its shape would repeat; the result has
// `shape`.
Value sum_to(Value x, const Shape& shape);

}  // namespace modellib

#endif  // MODELLIB_OPS_SUM_TO_H_
