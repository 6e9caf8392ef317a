// What the op families share: finding the builder of operands, checks of types and axes, and plain
// loops over tensors for the reference kernels.
#ifndef MODELLIB_OPS_OP_SUPPORT_H_
#define MODELLIB_OPS_OP_SUPPORT_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/graph/op_def.h"

namespace modellib {

// The builder that a node with these operands belongs to: that of the innermost region among them.
// Null if all are null.
GraphBuilder* builder_of(absl::Span<const Value> operands);

// Emits on the builder of the operands; a null Value if all operands are null (the mistake shows
// where that value is used).
std::vector<Value> emit_op(absl::string_view op, absl::Span<const Value> operands,
                           Attributes attributes = {});
Value emit_op_one(absl::string_view op, absl::Span<const Value> operands,
                  Attributes attributes = {});

// Types that arithmetic is defined on: f64, f32, f16, bf16.
bool is_real(DType dtype);
// Those and the integers of at least a byte.
bool is_number(DType dtype);
// `dtype`, or f32 where that is a narrower float.
DType accumulation_type(DType dtype);
// Of the gradient of a value of type `dtype`: the same, but f32 for the f8 types, which are for
// storage alone.
DType gradient_type(DType dtype);

absl::Status require_real(const InferenceContext& c, int operand);
absl::Status require_number(const InferenceContext& c, int operand);
absl::Status require_dtype(const InferenceContext& c, int operand, DType dtype);
absl::Status require_integer(const InferenceContext& c, int operand);
absl::Status require_same_dtype(const InferenceContext& c, int a, int b);
absl::Status require_rank(const InferenceContext& c, int operand, int rank);
// InvalidArgument unless the types agree; free dimensions give constraints. `what` names the
// second.
absl::Status require_type(InferenceContext& c, const TensorType& expected, const TensorType& got,
                          const std::string& what);

// Axis counted from the front; InvalidArgument unless -rank <= axis < rank.
absl::StatusOr<int> normal_axis(int64_t axis, int rank);
// Sorted, from the front, each once; none given: all. InvalidArgument for one out of range or
// twice.
absl::StatusOr<std::vector<int>> normal_axes(absl::Span<const int64_t> axes, int rank);
// Without validation, for gradients of nodes that have been inferred.
int axis_of(int64_t axis, int rank);

// NumPy's broadcasting. A free dimension meets another as equal (a constraint) or meets a 1.
absl::StatusOr<Shape> broadcast_shapes(InferenceContext& c, absl::Span<const Dim> a,
                                       absl::Span<const Dim> b);

// Extents with the symbols bound.
absl::StatusOr<std::vector<int64_t>> bind_shape(absl::Span<const Dim> shape,
                                                const DimBinding& binding);

// Elements from one step of each dimension to the next, C order.
std::vector<int64_t> strides_of(absl::Span<const int64_t> shape);
// Where the element at `index` of a result lies in an operand of `shape` that is broadcast to it.
int64_t broadcast_offset(absl::Span<const int64_t> index, absl::Span<const int64_t> shape);
int64_t offset_of(absl::Span<const int64_t> index, absl::Span<const int64_t> shape);

// Calls `f(index)` for every index of `shape`, in C order.
template <class F>
void for_each_index(absl::Span<const int64_t> shape, F f) {
  for (int64_t extent : shape) {
    if (extent == 0) return;
  }
  std::vector<int64_t> index(shape.size(), 0);
  while (true) {
    f(absl::MakeConstSpan(index));
    size_t d = shape.size();
    while (d > 0 && ++index[d - 1] == shape[d - 1]) index[--d] = 0;
    if (d == 0) return;
  }
}

// Copies element `from` of one tensor to `to` of another of the same type, bits and all.
void copy_element(const Tensor& source, int64_t from, Tensor& target, int64_t to);

// Tensor types for samples: f32({2, 3}).
TensorType f32(Shape shape);
TensorType f64(Shape shape);
TensorType f16(Shape shape);
TensorType bf16(Shape shape);
TensorType i32(Shape shape);
TensorType i64(Shape shape);
TensorType boolean(Shape shape);

}  // namespace modellib

#endif  // MODELLIB_OPS_OP_SUPPORT_H_
