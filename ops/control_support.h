// What the control flow ops share.
#ifndef MODELLIB_OPS_CONTROL_SUPPORT_H_
#define MODELLIB_OPS_CONTROL_SUPPORT_H_

#include <string>
#include <vector>

#include "modellib/graph/op_def.h"

namespace modellib {

// The region must exist and take operands of these types.
absl::Status require_region(InferenceContext& c, const GraphRef& region, absl::string_view name,
                            absl::Span<const TensorType> inputs);
TensorType output_type(const Graph& region, size_t i);

std::vector<TensorType> types_of(absl::Span<const Value> values);
// The real ones' gradients of a region's outputs for its inputs, as further nodes of `builder`: the
// region is inlined with `inputs`, then differentiated. Zeros where nothing flows. One value for
// each real input, in order; of a value that stands there twice, the whole at its first place and
// zeros at the others, so that they add up.
std::vector<Value> region_gradient(GraphBuilder& builder, const Graph& region,
                                   absl::Span<const Value> inputs,
                                   absl::Span<const Value> output_gradients);

}  // namespace modellib

#endif  // MODELLIB_OPS_CONTROL_SUPPORT_H_
