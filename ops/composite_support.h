// What the composites share: arithmetic in the accumulation type, reductions that keep their axes,
// and the outline of a composite's OpDef.
#ifndef MODELLIB_OPS_COMPOSITE_SUPPORT_H_
#define MODELLIB_OPS_COMPOSITE_SUPPORT_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/graph/op_def.h"

namespace modellib {

// `x` in the type that sums over its elements are kept in: f32 for f16 and bf16. No node if it is
// that.
Value widened(Value x);
// `x` as `dtype`. No node if it is that; null stays null.
Value as_dtype(Value x, DType dtype);

// Reductions that keep the reduced axes as extents of 1, so that the result broadcasts against x.
Value sum_over(Value x, std::vector<int64_t> axes);
Value mean_over(Value x, std::vector<int64_t> axes);
Value max_over(Value x, std::vector<int64_t> axes);
// 0 … n-1; the last n of `rank`; and all of `rank` but one.
std::vector<int64_t> leading_axes(int n);
std::vector<int64_t> trailing_axes(int rank, int n);
std::vector<int64_t> axes_but(int rank, int kept);

// [c] as [1, c, 1, …] of `rank`: aligned with axis 1 of [batch, channels, …].
// Poisons the build if the rank is less than 2.
Value per_channel(Value x, int rank);
// a + b where null is zero; null if both are.
Value add_gradients(Value a, Value b);

// True if all are neither poisoned nor null: their shapes may be looked at. If one is null, the
// build is poisoned in the name of `function`. Free functions that derive shapes start with it and
// return `poisoned(operands)` otherwise.
bool usable(absl::string_view function, std::initializer_list<Value> operands);
Value poisoned(std::initializer_list<Value> operands);
// `x` if it has the shape, otherwise a poisoned value; free extents are compared when they are
// bound. For operands that are not to be broadcast: `what` names it. Null stays null.
Value with_shape(Value x, const Shape& shape, absl::string_view what);
// A loss of each element as `reduction` says: "none", "mean" or "sum". Poisons for another, in the
// name of `function`.
Value reduced(Value loss, absl::string_view reduction, absl::string_view function);

// As emit_op, with as many values as the op has outputs even if it was poisoned.
std::vector<Value> emit_outputs(absl::string_view op, size_t count,
                                absl::Span<const Value> operands, Attributes attributes = {});

// An OpDef of kind composite whose gradient is that of its decomposition; override what differs.
OpDef composite(absl::string_view name, int min_inputs, int max_inputs,
                decltype(OpDef::infer) infer, decltype(OpDef::decompose) decompose,
                decltype(OpDef::samples) samples);

// Inference of one output that has the type of operand 0, which must be a float.
absl::Status infer_same_real(InferenceContext& c);
// `operand`, if present, must be a float vector with the extent `length`; `what` names it.
absl::Status require_vector(InferenceContext& c, int operand, const Dim& length,
                            absl::string_view what);
// `operand`, if present, must have the shape.
absl::Status require_shape(InferenceContext& c, int operand, const Shape& shape,
                           absl::string_view what);
// InvalidArgument unless low <= value <= high.
absl::Status require_between(absl::string_view attribute, double value, double low, double high);

}  // namespace modellib

#endif  // MODELLIB_OPS_COMPOSITE_SUPPORT_H_
