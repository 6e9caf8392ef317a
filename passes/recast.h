// A node in another element type: some operands cast on the way in, results cast back.
#ifndef MODELLIB_PASSES_RECAST_H_
#define MODELLIB_PASSES_RECAST_H_

#include <vector>

#include "absl/functional/function_ref.h"
#include "modellib/graph/dtype.h"
#include "modellib/passes/rebuild.h"

namespace modellib {

// f16 and bf16: floats that are stored, and computed in f32.
bool is_half(DType dtype);

// Emits the site's node with operand i in the type `wanted(i)`, and casts each output to the type
// that it has in the old graph.
std::vector<Value> emit_recast(RebuildSite& site, absl::FunctionRef<DType(int operand)> wanted);

}  // namespace modellib

#endif  // MODELLIB_PASSES_RECAST_H_
