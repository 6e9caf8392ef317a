// Chooses between channels-first and channels-last for all images of a graph at once.
#ifndef MODELLIB_PASSES_LAYOUT_H_
#define MODELLIB_PASSES_LAYOUT_H_

#include "modellib/passes/pass.h"

namespace modellib {

// The backend says what a node gains by channels-last images (Backend::channels_last_gain); between
// nodes of different layouts an image must be copied. The choice with the largest sum is a minimum
// cut, so it is found exactly: a chain of convolutions has its copies at entry and exit alone, and
// one that gains less than its copies cost stays as it is. Pointwise ops, reductions, pooling,
// concat, slice, pad, repeat_interleave and gather along an axis (which is what images are resized
// by) follow their neighbours. Runs after legalisation, on canonical graphs (reductions keep their
// axes).
absl::StatusOr<GraphRef> choose_layout(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_LAYOUT_H_
