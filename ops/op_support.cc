#include "modellib/ops/op_support.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"

namespace modellib {

GraphBuilder* builder_of(absl::Span<const Value> operands) {
  GraphBuilder* found = nullptr;
  for (const Value& v : operands) {
    if (v.is_null()) continue;
    if (found == nullptr || v.builder()->depth() > found->depth()) found = v.builder();
  }
  return found;
}

std::vector<Value> emit_op(absl::string_view op, absl::Span<const Value> operands,
                           Attributes attributes) {
  GraphBuilder* builder = builder_of(operands);
  if (builder == nullptr) return {Value()};
  return builder->emit(op, operands, std::move(attributes));
}

Value emit_op_one(absl::string_view op, absl::Span<const Value> operands, Attributes attributes) {
  return emit_op(op, operands, std::move(attributes)).front();
}

bool is_real(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 ||
         dtype == DType::kBF16;
}

bool is_number(DType dtype) { return is_real(dtype) || (is_integer(dtype) && bits_of(dtype) >= 8); }

DType accumulation_type(DType dtype) {
  return is_floating(dtype) && bits_of(dtype) < 32 ? DType::kF32 : dtype;
}

DType gradient_type(DType dtype) { return is_real(dtype) ? dtype : accumulation_type(dtype); }

namespace {
absl::Status expected(const InferenceContext& c, int operand, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("operand ", operand, " must be ", what, ", is ", to_string(c.input(operand))));
}
}  // namespace

absl::Status require_real(const InferenceContext& c, int operand) {
  return is_real(c.input(operand).dtype) ? absl::OkStatus()
                                         : expected(c, operand, "f64, f32, f16 or bf16");
}
absl::Status require_number(const InferenceContext& c, int operand) {
  return is_number(c.input(operand).dtype) ? absl::OkStatus()
                                           : expected(c, operand, "a number type");
}
absl::Status require_dtype(const InferenceContext& c, int operand, DType dtype) {
  return c.input(operand).dtype == dtype ? absl::OkStatus()
                                         : expected(c, operand, to_string(dtype));
}
absl::Status require_integer(const InferenceContext& c, int operand) {
  const DType d = c.input(operand).dtype;
  return d == DType::kI64 || d == DType::kI32 ? absl::OkStatus()
                                              : expected(c, operand, "i64 or i32");
}
absl::Status require_same_dtype(const InferenceContext& c, int a, int b) {
  if (c.input(a).dtype == c.input(b).dtype) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "operands ", a, " and ", b, " must have one element type, have ", to_string(c.input(a).dtype),
      " and ", to_string(c.input(b).dtype), "; cast one"));
}
absl::Status require_rank(const InferenceContext& c, int operand, int rank) {
  return c.input(operand).rank() == rank ? absl::OkStatus()
                                         : expected(c, operand, absl::StrCat("of rank ", rank));
}

absl::Status require_type(InferenceContext& c, const TensorType& expected, const TensorType& got,
                          const std::string& what) {
  if (expected.dtype != got.dtype || expected.rank() != got.rank()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " must be ", to_string(expected), ", is ", to_string(got)));
  }
  for (size_t d = 0; d < got.shape.size(); ++d) {
    MODELLIB_RETURN_IF_ERROR(
        c.require_equal(expected.shape[d], got.shape[d], absl::StrCat(what, ", axis ", d)));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> normal_axis(int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) {
    return absl::InvalidArgumentError(absl::StrCat("axis ", axis, " of a tensor of rank ", rank));
  }
  return axis_of(axis, rank);
}

int axis_of(int64_t axis, int rank) { return static_cast<int>(axis < 0 ? axis + rank : axis); }

absl::StatusOr<std::vector<int>> normal_axes(absl::Span<const int64_t> axes, int rank) {
  std::vector<int> result;
  for (int64_t axis : axes) {
    MODELLIB_ASSIGN_OR_RETURN(const int normal, normal_axis(axis, rank));
    result.push_back(normal);
  }
  if (axes.empty()) {
    for (int i = 0; i < rank; ++i) result.push_back(i);
  }
  std::sort(result.begin(), result.end());
  auto twice = std::adjacent_find(result.begin(), result.end());
  if (twice != result.end()) {
    return absl::InvalidArgumentError(absl::StrCat("axis ", *twice, " is given twice"));
  }
  return result;
}

absl::StatusOr<Shape> broadcast_shapes(InferenceContext& c, absl::Span<const Dim> a,
                                       absl::Span<const Dim> b) {
  Shape result(std::max(a.size(), b.size()));
  for (size_t i = 0; i < result.size(); ++i) {  // i counts from the back
    const Dim x = i < a.size() ? a[a.size() - 1 - i] : Dim(1);
    const Dim y = i < b.size() ? b[b.size() - 1 - i] : Dim(1);
    Dim& out = result[result.size() - 1 - i];
    if (x == Dim(1)) {
      out = y;
    } else if (y == Dim(1)) {
      out = x;
    } else {
      MODELLIB_RETURN_IF_ERROR(c.require_equal(
          x, y, absl::StrCat("shapes ", to_string(a), " and ", to_string(b), " do not broadcast")));
      out = y.is_static() ? y : x;
    }
  }
  return result;
}

absl::StatusOr<std::vector<int64_t>> bind_shape(absl::Span<const Dim> shape,
                                                const DimBinding& binding) {
  std::vector<int64_t> result;
  for (const Dim& d : shape) {
    MODELLIB_ASSIGN_OR_RETURN(const int64_t extent, d.evaluate(binding));
    result.push_back(extent);
  }
  return result;
}

std::vector<int64_t> strides_of(absl::Span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

int64_t broadcast_offset(absl::Span<const int64_t> index, absl::Span<const int64_t> shape) {
  int64_t offset = 0;
  const size_t lead = index.size() - shape.size();
  for (size_t i = 0; i < shape.size(); ++i) {
    offset = offset * shape[i] + (shape[i] == 1 ? 0 : index[lead + i]);
  }
  return offset;
}

int64_t offset_of(absl::Span<const int64_t> index, absl::Span<const int64_t> shape) {
  int64_t offset = 0;
  for (size_t i = 0; i < shape.size(); ++i) offset = offset * shape[i] + index[i];
  return offset;
}

void copy_element(const Tensor& source, int64_t from, Tensor& target, int64_t to) {
  const int bits = bits_of(source.dtype());
  if (bits < 8) {
    target.set_int(to, source.int_at(from));
    return;
  }
  const int64_t size = bits / 8;
  std::memcpy(target.mutable_data() + to * size, source.data() + from * size,
              static_cast<size_t>(size));
}

TensorType f32(Shape shape) { return {DType::kF32, std::move(shape)}; }
TensorType f64(Shape shape) { return {DType::kF64, std::move(shape)}; }
TensorType f16(Shape shape) { return {DType::kF16, std::move(shape)}; }
TensorType bf16(Shape shape) { return {DType::kBF16, std::move(shape)}; }
TensorType i32(Shape shape) { return {DType::kI32, std::move(shape)}; }
TensorType i64(Shape shape) { return {DType::kI64, std::move(shape)}; }
TensorType boolean(Shape shape) { return {DType::kBool, std::move(shape)}; }

}  // namespace modellib
