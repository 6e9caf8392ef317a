// What the families of conversions share.
#ifndef MODELLIB_FRONTENDS_ONNX_CONVERSIONS_H_
#define MODELLIB_FRONTENDS_ONNX_CONVERSIONS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "modellib/frontends/onnx/node_view.h"
#include "modellib/graph/status_macros.h"

namespace modellib::onnx {

// Products of extents and of what else a node says are far from overflow, whether a tensor has such
// an extent or it is only declared: no memory holds so many elements.
inline constexpr int64_t kMostExtent = int64_t{1} << 48;
// Sizes, strides, dilations and pads of windows.
inline constexpr int64_t kMostOfWindow = int64_t{1} << 31;

// Ops that are one function of ours.
template <Value (*kFunction)(Value)>
absl::StatusOr<Values> unary(NodeView& n) {
  return Values{kFunction(n.in(0))};
}
template <Value (*kFunction)(Value, Value)>
absl::StatusOr<Values> binary(NodeView& n) {
  return Values{kFunction(n.in(0), n.in(1))};
}
// a op b op c …
template <Value (*kFunction)(Value, Value)>
absl::StatusOr<Values> variadic(NodeView& n) {
  Value result = n.in(0);
  for (int i = 1; i < n.inputs(); ++i) result = kFunction(result, n.in(i));
  return Values{result};
}

// A constant number of the element type of `like`.
inline Value number(Value like, double value) {
  return like.builder()->scalar(value, like.dtype());
}

// InvalidArgument unless -rank <= axis < rank; from the front.
inline absl::StatusOr<int64_t> front_axis(int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) {
    return absl::InvalidArgumentError(absl::StrCat("axis ", axis, " of an operand of rank ", rank));
  }
  return axis < 0 ? axis + rank : axis;
}

// The axes of Squeeze, ReduceSum and their like: an attribute in old versions, an operand in new
// ones.
enum class AxesFrom { kAttribute, kOperand };
inline absl::StatusOr<std::vector<int64_t>> axes_of(NodeView& n, AxesFrom from) {
  if (from == AxesFrom::kAttribute) return n.integers("axes");
  if (!n.has(1)) return std::vector<int64_t>();
  return n.known_integers(1);
}

// x cut along an axis (from the front) into pieces of these extents, which must come to its own.
absl::StatusOr<Values> pieces_of(Value x, int64_t axis, const Shape& extents);

// Quotient of integers, rounded towards zero as in C.
Value truncated_quotient(Value a, Value b);
// Inside a region (a branch, a loop's body) what is required of extents cannot be a constraint of
// the graph: the region may never run. `x`, whose first axis has one element at least, without that
// axis: its element 0, and the run ends with OutOfRange if a and b differ.
Value first_if_equal(Value x, const Dim& a, const Dim& b);

// The one element of operand `i`, of whatever type: a number that is whole and not large, or an
// expression. Unimplemented if it is not known ahead.
absl::StatusOr<Dim> known_whole_number(NodeView& n, int i);

// The extents of a value as i64 [rank], or of axes of it.
Value extents_of(GraphBuilder& builder, const Shape& dims);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_CONVERSIONS_H_
