// Reductions over axes, ArgMax and ArgMin.
#include <cstdint>
#include <numeric>

#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/statistics.h"

namespace modellib::onnx {
namespace {

using Reduction = Value (*)(Value, const ReduceAttributes&);

Value sum(Value x, const ReduceAttributes& a) { return reduce_sum(x, a); }
Value mean(Value x, const ReduceAttributes& a) { return reduce_mean(x, a); }
Value prod(Value x, const ReduceAttributes& a) { return reduce_prod(x, a); }
Value largest(Value x, const ReduceAttributes& a) {
  return x.dtype() == DType::kBool ? reduce_any(x, a) : reduce_max(x, a);
}
Value least(Value x, const ReduceAttributes& a) {
  return x.dtype() == DType::kBool ? reduce_all(x, a) : reduce_min(x, a);
}
Value l1(Value x, const ReduceAttributes& a) { return reduce_sum(abs(x), a); }
Value sum_of_squares(Value x, const ReduceAttributes& a) { return reduce_sum(square(x), a); }
Value l2(Value x, const ReduceAttributes& a) {
  if (is_real(x.dtype())) return sqrt(sum_of_squares(x, a));
  return cast(sqrt(sum_of_squares(cast(x, DType::kF64), a)), x.dtype());
}
Value log_sum(Value x, const ReduceAttributes& a) { return log(reduce_sum(x, a)); }
Value log_sum_exp(Value x, const ReduceAttributes& a) {
  return logsumexp(x, {.axes = a.axes, .keepdims = a.keepdims});
}

template <AxesFrom kFrom, Reduction kFunction>
absl::StatusOr<Values> reduce(NodeView& n) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(std::vector<int64_t> axes, axes_of(n, kFrom));
  const bool keepdims = n.flag("keepdims", true);
  // With noop_with_empty_axes the elementwise part of the op remains: a reduction over nothing.
  if (axes.empty() && n.flag("noop_with_empty_axes", false)) {
    const Value one = unsqueeze(x, {-1});
    return Values{kFunction(one, {.axes = {-1}, .keepdims = false})};
  }
  if (axes.empty()) {
    axes.resize(static_cast<size_t>(x.rank()));
    std::iota(axes.begin(), axes.end(), 0);
  }
  // A scalar has no axis to reduce over.
  if (x.rank() == 0) {
    return Values{kFunction(unsqueeze(x, {0}), {.axes = {0}, .keepdims = false})};
  }
  return Values{kFunction(x, {.axes = std::move(axes), .keepdims = keepdims})};
}

template <Value (*kFunction)(Value, ArgReduceAttributes)>
absl::StatusOr<Values> place(NodeView& n) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", 0, x.rank()));
  const bool keepdims = n.flag("keepdims", true);
  if (!n.flag("select_last_index", false)) {
    return Values{kFunction(x, {.axis = axis, .keepdims = keepdims})};
  }
  // The first from behind.
  const Value from_end = kFunction(flip(x, {axis}), {.axis = axis, .keepdims = keepdims});
  return Values{sub(dim_value(n.builder(), x.dim(static_cast<int>(axis)) - 1), from_end)};
}

constexpr auto kAttribute = AxesFrom::kAttribute;
constexpr auto kOperand = AxesFrom::kOperand;

constexpr OpEntry kEntries[] = {
    {"ArgMax", 1, kNow, 1, 1, Takes::kNumber, place<argmax>},
    {"ArgMin", 1, kNow, 1, 1, Takes::kNumber, place<argmin>},
    {"ReduceL1", 1, 18, 1, 1, Takes::kSigned, reduce<kAttribute, l1>},
    {"ReduceL1", 18, kNow, 1, 2, Takes::kSigned, reduce<kOperand, l1>},
    {"ReduceL2", 1, 18, 1, 1, Takes::kNumber, reduce<kAttribute, l2>},
    {"ReduceL2", 18, kNow, 1, 2, Takes::kNumber, reduce<kOperand, l2>},
    {"ReduceLogSum", 1, 18, 1, 1, Takes::kReal, reduce<kAttribute, log_sum>},
    {"ReduceLogSum", 18, kNow, 1, 2, Takes::kReal, reduce<kOperand, log_sum>},
    {"ReduceLogSumExp", 1, 18, 1, 1, Takes::kReal, reduce<kAttribute, log_sum_exp>},
    {"ReduceLogSumExp", 18, kNow, 1, 2, Takes::kReal, reduce<kOperand, log_sum_exp>},
    {"ReduceMax", 1, 18, 1, 1, Takes::kNumber, reduce<kAttribute, largest>},
    {"ReduceMax", 18, kNow, 1, 2, Takes::kAny, reduce<kOperand, largest>},
    {"ReduceMean", 1, 18, 1, 1, Takes::kReal, reduce<kAttribute, mean>},
    {"ReduceMean", 18, kNow, 1, 2, Takes::kReal, reduce<kOperand, mean>},
    {"ReduceMin", 1, 18, 1, 1, Takes::kNumber, reduce<kAttribute, least>},
    {"ReduceMin", 18, kNow, 1, 2, Takes::kAny, reduce<kOperand, least>},
    {"ReduceProd", 1, 18, 1, 1, Takes::kNumber, reduce<kAttribute, prod>},
    {"ReduceProd", 18, kNow, 1, 2, Takes::kNumber, reduce<kOperand, prod>},
    {"ReduceSum", 1, 13, 1, 1, Takes::kNumber, reduce<kAttribute, sum>},
    {"ReduceSum", 13, kNow, 1, 2, Takes::kNumber, reduce<kOperand, sum>},
    {"ReduceSumSquare", 1, 18, 1, 1, Takes::kNumber, reduce<kAttribute, sum_of_squares>},
    {"ReduceSumSquare", 18, kNow, 1, 2, Takes::kNumber, reduce<kOperand, sum_of_squares>},
};

}  // namespace

absl::Span<const OpEntry> reduction_entries() { return kEntries; }

}  // namespace modellib::onnx
