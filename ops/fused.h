// fused: a group of ops that is carried out as one, as the fusion pass made it.
#ifndef MODELLIB_OPS_FUSED_H_
#define MODELLIB_OPS_FUSED_H_

#include <tuple>

#include "modellib/graph/attributes.h"

namespace modellib {

// The operands are the region's inputs, the results its outputs. The region holds pointwise ops and
// reductions along its last axis over one iteration space; its meaning is that of its body.
struct FusedAttributes {
  GraphRef region;
  static constexpr auto fields() {
    return std::make_tuple(field("region", &FusedAttributes::region));
  }
};

}  // namespace modellib

#endif  // MODELLIB_OPS_FUSED_H_
