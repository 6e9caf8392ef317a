// From a region (the body of a "fused" node) to a tile program and the step that runs it.
//
// All values of a region lie in one iteration space. Its dimensions are merged as far as every
// operand allows, so that a pointwise region over dense operands becomes one long row. What the
// columns do not change is loaded and computed once a row, what nothing changes once a chunk.
#ifndef MODELLIB_EXECUTORS_CPU_BACKEND_REGION_COMPILER_H_
#define MODELLIB_EXECUTORS_CPU_BACKEND_REGION_COMPILER_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/passes/backend.h"

namespace modellib::cpu {

// Whether a region may hold the node: a pointwise op with a tile instruction, a reduction along the
// last axis that keeps it, a broadcast, an iota or random numbers, of types that tiles load.
bool can_be_tiled(const Graph& graph, const Graph::Node& node);

// One step: operands are the region's outputs, then its inputs. InvalidArgument if the region's
// values do not share an iteration space or pass a limit of tile programs.
absl::StatusOr<StepRecipe> compile_region(const Graph& region, const DimRanges& ranges);

// The same for a node that stands alone. `operands`: the types of what it reads; they may be what
// the operands of the node are broadcast to.
absl::StatusOr<StepRecipe> compile_single(const RecipeSite& site,
                                          absl::Span<const TensorType> operands);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_BACKEND_REGION_COMPILER_H_
