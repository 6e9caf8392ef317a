// Integers that stand for floats: x = (q - zero point) scale.
#include <cmath>
#include <limits>
#include <utility>

#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/element_types.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {
namespace {

// A scale or zero point for each step of `axis`, or one for all, as it broadcasts against x.
absl::StatusOr<Value> along(NodeView& n, Value v, Value x) {
  if (v.rank() == 0 || (v.rank() == 1 && v.dim(0) == Dim(1))) return reshape(v, {});
  if (v.rank() != 1 || n.integer("block_size", 0) != 0) {
    return absl::UnimplementedError("scales of blocks");
  }
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", 1, x.rank()));
  Shape shape(x.shape().size(), 1);
  shape[static_cast<size_t>(axis)] = v.dim(0);
  return reshape(v, std::move(shape));
}

struct Limits {
  double low, high;
};
absl::StatusOr<Limits> limits_of(DType dtype) {
  if (dtype == DType::kU8) return Limits{0, 255};
  if (dtype == DType::kI8) return Limits{-128, 127};
  if (dtype == DType::kU16) return Limits{0, 65535};
  if (dtype == DType::kI16) return Limits{-32768, 32767};
  return absl::UnimplementedError(absl::StrCat("quantisation to ", to_string(dtype)));
}

// round(x / scale) + zero, halves to even, cut off at the type's limits.
absl::StatusOr<Value> quantized(Value x, Value scale, Value zero, DType dtype) {
  MODELLIB_ASSIGN_OR_RETURN(const Limits limits, limits_of(dtype));
  Value q = round(x / scale);
  if (!zero.is_null()) q = q + cast(zero, q.dtype());
  return cast(minimum(maximum(q, limits.low), limits.high), dtype);
}

// The element type that an attribute names; `standard` if it is not there.
absl::StatusOr<DType> dtype_attribute(NodeView& n, const char* name, DType standard) {
  const int64_t type = n.integer(name, 0);
  if (type == 0) return standard;
  return dtype_of_onnx(type);
}
// The same of those that the standard gives for it.
absl::StatusOr<DType> real_attribute(NodeView& n, const char* name, DType standard) {
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype, dtype_attribute(n, name, standard));
  if (is_real(dtype)) return dtype;
  return absl::InvalidArgumentError(absl::StrCat(name, " is ", to_string(dtype), ", no float"));
}

absl::StatusOr<Values> quantize(NodeView& n) {
  // The division is one of the scale's type, or of another that is named.
  MODELLIB_ASSIGN_OR_RETURN(const DType precision, real_attribute(n, "precision", n.in(1).dtype()));
  if (!is_real(n.in(0).dtype()) && n.in(0).dtype() != DType::kI32) {
    return absl::InvalidArgumentError(
        absl::StrCat("its operand is ", to_string(n.in(0).dtype()), ", no float or i32"));
  }
  const Value x = cast(n.in(0), precision);
  const DType standard = n.has(2) ? n.in(2).dtype() : DType::kU8;
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype, dtype_attribute(n, "output_dtype", standard));
  if (n.has(2) && dtype != standard) {
    return absl::InvalidArgumentError(absl::StrCat("output_dtype ", to_string(dtype),
                                                   " with a zero point of ", to_string(standard)));
  }
  MODELLIB_ASSIGN_OR_RETURN(const Value scale, along(n, cast(n.in(1), precision), x));
  Value zero;
  if (n.has(2)) {
    MODELLIB_ASSIGN_OR_RETURN(zero, along(n, n.in(2), x));
  }
  MODELLIB_ASSIGN_OR_RETURN(const Value q, quantized(x, scale, zero, dtype));
  return Values{q};
}

absl::StatusOr<Values> dequantize(NodeView& n) {
  const Value q = n.in(0);
  // Of the type of the result, which is what the product is computed in.
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype, real_attribute(n, "output_dtype", n.in(1).dtype()));
  MODELLIB_ASSIGN_OR_RETURN(const Value scale, along(n, cast(n.in(1), dtype), q));
  Value difference = cast(q, DType::kI32);
  if (n.has(2)) {
    MODELLIB_ASSIGN_OR_RETURN(const Value zero, along(n, n.in(2), q));
    difference = difference - cast(zero, DType::kI32);
  }
  return Values{cast(difference, dtype) * scale};
}

absl::StatusOr<Values> quantize_dynamically(NodeView& n) {
  const Value x = n.in(0);
  Value flat = reshape(x, {element_count(x.shape())});
  const Value low = minimum(reduce_min(flat, {.axes = {0}}), 0);
  const Value high = maximum(reduce_max(flat, {.axes = {0}}), 0);
  // Of zeros alone any scale will do but 0.
  const Value scale = where(equal(high, low), 1.0, high - low) / 255.0;
  const Value zero = minimum(maximum(round(neg(low) / scale), 0), 255);
  MODELLIB_ASSIGN_OR_RETURN(const Value q, quantized(x, scale, zero, DType::kU8));
  return Values{q, scale, cast(zero, DType::kU8)};
}

// An integer operand less its zero point, in 32 bits. Zero points of a are for rows, of b for
// columns.
absl::StatusOr<Value> centred(Value q, Value zero, bool rows) {
  const Value wide = cast(q, DType::kI32);
  if (zero.is_null()) return wide;
  Value z = cast(zero, DType::kI32);
  if (z.rank() == 1 && z.dim(0) == Dim(1)) z = reshape(z, {});
  if (z.rank() == 1 && rows) z = unsqueeze(z, {1});
  if (z.rank() > 2) return absl::UnimplementedError("zero points of each matrix");
  return wide - z;
}

absl::StatusOr<Values> integer_product(NodeView& n) {
  if (n.in(0).rank() < 2 || n.in(1).rank() < 2) {
    return absl::UnimplementedError("products of vectors");
  }
  MODELLIB_ASSIGN_OR_RETURN(const Value a, centred(n.in(0), n.in(2), true));
  MODELLIB_ASSIGN_OR_RETURN(const Value b, centred(n.in(1), n.in(3), false));
  return Values{matmul(a, b)};
}

constexpr OpEntry kEntries[] = {
    {"DequantizeLinear", 10, kNow, 2, 3, Takes::kInteger, dequantize},
    {"DynamicQuantizeLinear", 11, kNow, 1, 1, Takes::kReal, quantize_dynamically},
    {"MatMulInteger", 10, kNow, 2, 4, Takes::kInteger, integer_product},
    {"QuantizeLinear", 10, kNow, 2, 3, Takes::kNumber, quantize},
};

}  // namespace

absl::Span<const OpEntry> quantization_entries() { return kEntries; }

}  // namespace modellib::onnx
