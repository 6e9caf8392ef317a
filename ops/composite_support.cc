#include "modellib/ops/composite_support.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

namespace modellib {

Value as_dtype(Value x, DType dtype) {
  return x.is_null() || x.is_poisoned() || x.dtype() == dtype ? x : cast(x, dtype);
}

Value widened(Value x) { return as_dtype(x, accumulation_type(x.dtype())); }

Value sum_over(Value x, std::vector<int64_t> axes) {
  return axes.empty() ? x : reduce_sum(x, {.axes = std::move(axes), .keepdims = true});
}
Value mean_over(Value x, std::vector<int64_t> axes) {
  return axes.empty() ? x : reduce_mean(x, {.axes = std::move(axes), .keepdims = true});
}
Value max_over(Value x, std::vector<int64_t> axes) {
  return axes.empty() ? x : reduce_max(x, {.axes = std::move(axes), .keepdims = true});
}

std::vector<int64_t> leading_axes(int n) { return trailing_axes(n, n); }
std::vector<int64_t> trailing_axes(int rank, int n) {
  std::vector<int64_t> axes;
  for (int i = rank - n; i < rank; ++i) axes.push_back(i);
  return axes;
}
std::vector<int64_t> axes_but(int rank, int kept) {
  std::vector<int64_t> axes;
  for (int i = 0; i < rank; ++i) {
    if (i != kept) axes.push_back(i);
  }
  return axes;
}

Value per_channel(Value x, int rank) {
  if (x.is_null() || x.is_poisoned()) return x;
  // After a mistake the rank is that of a poisoned value, 0; then the first message stands.
  if (rank < 2) {
    return x.builder()->poison(
        absl::InvalidArgumentError(absl::StrCat("a value of rank ", rank, " has no channels")));
  }
  Shape shape(static_cast<size_t>(rank), Dim(1));
  shape[1] = x.dim(0);
  return reshape(x, shape);
}

Value add_gradients(Value a, Value b) {
  if (a.is_null()) return b;
  return b.is_null() ? a : a + b;
}

bool usable(absl::string_view function, std::initializer_list<Value> operands) {
  GraphBuilder* builder = builder_of({operands.begin(), operands.size()});
  bool good = builder != nullptr;
  int position = 0;
  for (const Value& v : operands) {
    if (v.is_null() && builder != nullptr) {
      builder->poison(absl::InvalidArgumentError(
          absl::StrCat(function, ": operand ", position, " is a null value")));
    }
    good = good && !v.is_null() && !v.is_poisoned();
    ++position;
  }
  return good;
}

Value poisoned(std::initializer_list<Value> operands) {
  for (const Value& v : operands) {
    if (v.is_poisoned()) return v;
  }
  GraphBuilder* builder = builder_of({operands.begin(), operands.size()});
  return builder == nullptr
             ? Value()
             : builder->poison(absl::InvalidArgumentError("an operand is a null value"));
}

Value with_shape(Value x, const Shape& shape, absl::string_view what) {
  if (x.is_null() || x.is_poisoned()) return x;
  GraphBuilder& b = *x.builder();
  const std::string expected =
      absl::StrCat(what, " must have shape ", to_string(shape), ", is ", to_string(x.type()));
  if (x.shape().size() != shape.size()) return b.poison(absl::InvalidArgumentError(expected));
  for (size_t i = 0; i < shape.size(); ++i) b.require_equal(x.shape()[i], shape[i], expected);
  return b.status().ok() ? x : b.poison(b.status());
}

Value reduced(Value loss, absl::string_view reduction, absl::string_view function) {
  if (reduction == "none" || loss.is_null()) return loss;
  if (reduction == "mean") return reduce_mean(loss, {});
  if (reduction == "sum") return reduce_sum(loss, {});
  return loss.builder()->poison(absl::InvalidArgumentError(absl::StrCat(
      function, ": reduction must be \"none\", \"mean\" or \"sum\", is \"", reduction, "\"")));
}

std::vector<Value> emit_outputs(absl::string_view op, size_t count,
                                absl::Span<const Value> operands, Attributes attributes) {
  std::vector<Value> outputs = emit_op(op, operands, std::move(attributes));
  outputs.resize(count, outputs.back());
  return outputs;
}

OpDef composite(absl::string_view name, int min_inputs, int max_inputs,
                decltype(OpDef::infer) infer, decltype(OpDef::decompose) decompose,
                decltype(OpDef::samples) samples) {
  OpDef op;
  op.name = std::string(name);
  op.kind = OpDef::Kind::kComposite;
  op.min_inputs = min_inputs;
  op.max_inputs = max_inputs;
  op.infer = infer;
  op.decompose = decompose;
  op.differentiable = OpDef::Gradient::kDecomposition;
  op.samples = samples;
  return op;
}

absl::Status infer_same_real(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  c.outputs.push_back(c.input(0));
  return absl::OkStatus();
}

absl::Status require_vector(InferenceContext& c, int operand, const Dim& length,
                            absl::string_view what) {
  return require_shape(c, operand, {length}, what);
}

absl::Status require_shape(InferenceContext& c, int operand, const Shape& shape,
                           absl::string_view what) {
  if (!c.has(operand)) return absl::OkStatus();
  const TensorType& type = c.input(operand);
  const std::string expected = absl::StrCat(what, " must be a float tensor of shape ",
                                            to_string(shape), ", is ", to_string(type));
  if (!is_real(type.dtype) || type.shape.size() != shape.size()) {
    return absl::InvalidArgumentError(expected);
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    MODELLIB_RETURN_IF_ERROR(c.require_equal(type.shape[i], shape[i], expected));
  }
  return absl::OkStatus();
}

absl::Status require_between(absl::string_view attribute, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(attribute, " must lie in [", low, ", ", high, "], is ", value));
}

}  // namespace modellib
