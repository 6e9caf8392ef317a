// Fusion: groups pointwise ops, broadcasts and reductions along the last axis into regions, so that
// what passes between them never reaches memory.
//
// A region has one iteration space: the broadcast shape of all its values. A producer joins the
// group of its earliest user if the spaces agree, no dependency leads out of the group and back in,
// and the backend can carry out the whole. What others read of a group becomes a further output.
#ifndef MODELLIB_PASSES_FUSION_H_
#define MODELLIB_PASSES_FUSION_H_

#include "modellib/passes/pass.h"

namespace modellib {

absl::StatusOr<GraphRef> fuse_regions(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_FUSION_H_
