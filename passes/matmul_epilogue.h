// Takes bias, residual and activation into the matmul that they follow, where nobody else wants
// what lies between. Runs before legalisation, while activations are still one op.
#ifndef MODELLIB_PASSES_MATMUL_EPILOGUE_H_
#define MODELLIB_PASSES_MATMUL_EPILOGUE_H_

#include "modellib/passes/pass.h"

namespace modellib {

// Only for a backend that takes "matmul_epilogue" whole.
absl::StatusOr<GraphRef> fuse_matmul_epilogues(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_MATMUL_EPILOGUE_H_
