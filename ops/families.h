// The registry list: one function for each op family, defined in the family's own file.
#ifndef MODELLIB_OPS_FAMILIES_H_
#define MODELLIB_OPS_FAMILIES_H_

#include <vector>

#include "modellib/graph/op_def.h"

namespace modellib {

std::vector<OpDef> constant_ops();

}  // namespace modellib

#endif  // MODELLIB_OPS_FAMILIES_H_
