// Takes bias, residual and activation into the matmul or convolution that they follow, where nobody
// else wants what lies between. The residual may come before the activation or behind it. Runs
// before legalisation, while activations are still one op.
#ifndef MODELLIB_PASSES_EPILOGUE_H_
#define MODELLIB_PASSES_EPILOGUE_H_

#include "modellib/passes/pass.h"

namespace modellib {

// What joins a product is what the backend says (Backend::takes_epilogue).
absl::StatusOr<GraphRef> fuse_epilogues(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_EPILOGUE_H_
