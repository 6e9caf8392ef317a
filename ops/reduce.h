// Reductions over axes. Negative axes count from the back; no axes given means all of them.
#ifndef MODELLIB_OPS_REDUCE_H_
#define MODELLIB_OPS_REDUCE_H_

#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

#include "modellib/graph/builder.h"

namespace modellib {

struct ReduceAttributes {
  std::vector<int64_t> axes;
  bool keepdims = false;  // keep reduced axes with extent 1
  // The type in which partial results are kept, at least. Default: f32 for f16 and bf16, else the
  // operand's. The result has the operand's type.
  std::optional<DType> accumulate = std::nullopt;
  static constexpr auto fields() {
    return std::make_tuple(field("axes", &ReduceAttributes::axes),
                           field("keepdims", &ReduceAttributes::keepdims),
                           field("accumulate", &ReduceAttributes::accumulate));
  }
};

Value reduce_sum(Value x, ReduceAttributes attributes = {});   // numbers; integers wrap
Value reduce_mean(Value x, ReduceAttributes attributes = {});  // reals
// Numbers. NaN propagates. Over no element: -inf (inf), or the least (largest) integer of the type,
// as in ONNX. Ties share the gradient evenly, as torch.amax.
Value reduce_max(Value x, ReduceAttributes attributes = {});
Value reduce_min(Value x, ReduceAttributes attributes = {});
// Numbers; integers wrap. The gradient is right where elements are zero; a second derivative is not
// there.
Value reduce_prod(Value x, ReduceAttributes attributes = {});
Value reduce_any(Value x, ReduceAttributes attributes = {});  // bools
Value reduce_all(Value x, ReduceAttributes attributes = {});

struct ArgReduceAttributes {
  int64_t axis = -1;
  bool keepdims = false;
  static constexpr auto fields() {
    return std::make_tuple(field("axis", &ArgReduceAttributes::axis),
                           field("keepdims", &ArgReduceAttributes::keepdims));
  }
};
// Index along the axis, i64, of the first largest (smallest) element, of which there must be one; a
// NaN counts as both.
Value argmax(Value x, ArgReduceAttributes attributes = {});
Value argmin(Value x, ArgReduceAttributes attributes = {});

struct CumsumAttributes {
  int64_t axis = -1;
  bool exclusive = false;  // element i sums those before i
  bool reverse = false;    // from the end
  static constexpr auto fields() {
    return std::make_tuple(field("axis", &CumsumAttributes::axis),
                           field("exclusive", &CumsumAttributes::exclusive),
                           field("reverse", &CumsumAttributes::reverse));
  }
};
// Running sum along an axis; numbers.
Value cumsum(Value x, CumsumAttributes attributes = {});

// Number of elements over which `axes` reduce, as a scalar of x's type; the axes may be free.
Value count_along(Value x, absl::Span<const int64_t> axes);

// The result of a reduction without keepdims, back with extents 1 where `shape` was reduced.
Value restore_axes(Value reduced, const Shape& shape, absl::Span<const int64_t> axes);

}  // namespace modellib

#endif  // MODELLIB_OPS_REDUCE_H_
