// The registry list: the one line that a new op family adds. Each family is a function
// `std::vector<OpDef> NAME_ops()`, defined in the family's own file.
#ifndef MODELLIB_OPS_FAMILIES_H_
#define MODELLIB_OPS_FAMILIES_H_

#include <vector>

#include "modellib/graph/op_def.h"

// clang-format off
#define MODELLIB_OP_FAMILIES(FAMILY) \
  FAMILY(activation) \
  FAMILY(attention) \
  FAMILY(batch_norm) \
  FAMILY(collective) \
  FAMILY(cond) \
  FAMILY(constant) \
  FAMILY(conv_epilogue) \
  FAMILY(conv) \
  FAMILY(cross_entropy) \
  FAMILY(dim_value) \
  FAMILY(dropout) \
  FAMILY(embedding) \
  FAMILY(fused) \
  FAMILY(gather_scatter) \
  FAMILY(loss) \
  FAMILY(matmul_epilogue) \
  FAMILY(matmul) \
  FAMILY(normalization) \
  FAMILY(optimizer) \
  FAMILY(order) \
  FAMILY(pointwise_binary) \
  FAMILY(pointwise_other) \
  FAMILY(pointwise_unary) \
  FAMILY(pool) \
  FAMILY(random) \
  FAMILY(recurrent) \
  FAMILY(reduce) \
  FAMILY(repeat) \
  FAMILY(scan) \
  FAMILY(shape) \
  FAMILY(softmax) \
  FAMILY(statistics) \
  FAMILY(while)
// clang-format on

namespace modellib {

#define MODELLIB_DECLARE_FAMILY(name) std::vector<OpDef> name##_ops();
MODELLIB_OP_FAMILIES(MODELLIB_DECLARE_FAMILY)
#undef MODELLIB_DECLARE_FAMILY

}  // namespace modellib

#endif  // MODELLIB_OPS_FAMILIES_H_
