// The affine map of a layer.
#ifndef MODELLIB_OPS_LINEAR_H_
#define MODELLIB_OPS_LINEAR_H_

#include "modellib/graph/builder.h"

namespace modellib {

// x wᵀ + b for x [..., in], w [out, in], b [out] or null: [..., out]. All leading axes of x are
// rows of one product. Operands have one type.
Value linear(Value x, Value w, Value b = {});

}  // namespace modellib

#endif  // MODELLIB_OPS_LINEAR_H_
