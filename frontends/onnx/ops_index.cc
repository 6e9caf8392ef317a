// Ops that find elements by number.
#include <utility>

#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/index.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {
namespace {

absl::StatusOr<Values> pick(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", 0, n.in(0).rank()));
  return Values{gather(n.in(0), n.in(1), axis)};
}

absl::StatusOr<Values> pick_elements(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", 0, n.in(0).rank()));
  return Values{gather_elements(n.in(0), n.in(1), axis)};
}

absl::StatusOr<std::string> reduction_of(NodeView& n) {
  const std::string reduction = n.text("reduction", "none");
  if (reduction == "none" || reduction == "add") return reduction;
  if (reduction == "mul" || reduction == "max" || reduction == "min") {
    return absl::UnimplementedError(absl::StrCat("reduction ", reduction));
  }
  return absl::InvalidArgumentError(absl::StrCat("reduction '", reduction, "'"));
}

absl::StatusOr<Values> place_elements(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", 0, n.in(0).rank()));
  MODELLIB_ASSIGN_OR_RETURN(const std::string reduction, reduction_of(n));
  return Values{
      scatter_elements(n.in(0), n.in(1), n.in(2), {.axis = axis, .reduction = reduction})};
}

// The last axis of `indices` [i…, k] holds coordinates of the axes [from, from + k) of `shape`; the
// number of the element among those axes, i64 [i…]. For coordinates that lie outside, which could
// give the number of another element, `count`: that of all elements, and so the number of none.
Value linear_index(Value indices, const Shape& shape, int from, int64_t k, const Dim& count) {
  GraphBuilder& b = *builder_of({indices});
  indices = cast(indices, DType::kI64);
  Value sum, inside;
  for (int64_t i = 0; i < k; ++i) {
    const Value extent = dim_value(b, shape[static_cast<size_t>(from + i)]);
    Value at = squeeze(slice_axis(indices, -1, i, i + 1), {-1});
    at = where(less(at, 0), at + extent, at);
    const Value fits = logical_and(greater_equal(at, 0), less(at, extent));
    sum = sum.is_null() ? at : sum * extent + at;
    inside = inside.is_null() ? fits : logical_and(inside, fits);
  }
  return where(inside, sum, dim_value(b, count));
}

absl::StatusOr<int64_t> coordinates(Value indices, int most) {
  if (indices.rank() < 1 || !indices.dim(-1).is_static()) {
    return absl::UnimplementedError("the last extent of its indices must be known ahead");
  }
  const int64_t k = indices.dim(-1).value();
  if (k < 1 || k > most) {
    return absl::InvalidArgumentError(absl::StrCat(k, " coordinates for ", most, " axes"));
  }
  return k;
}

absl::StatusOr<Values> pick_nd(NodeView& n) {
  const Value data = n.in(0);
  Value indices = n.in(1);
  const int64_t batch = n.integer("batch_dims", 0);
  if (batch < 0 || batch >= std::min(data.rank(), indices.rank())) {
    return absl::InvalidArgumentError(absl::StrCat("batch_dims is ", batch));
  }
  MODELLIB_ASSIGN_OR_RETURN(const int64_t k,
                            coordinates(indices, data.rank() - static_cast<int>(batch)));
  const Shape& shape = data.shape();
  const Dim count =
      element_count(absl::Span<const Dim>(shape).first(static_cast<size_t>(batch + k)));
  Value at = linear_index(indices, shape, static_cast<int>(batch), k, count);
  // The place in the batch comes before.
  Dim inner = 1;
  for (int64_t i = 0; i < k; ++i) inner = inner * shape[static_cast<size_t>(batch + i)];
  Dim stride = inner;
  for (int64_t d = batch; d-- > 0;) {
    Shape along(at.shape().size(), 1);
    along[static_cast<size_t>(d)] = shape[static_cast<size_t>(d)];
    const Value coordinate = iota(n.builder(), along, {.axis = d});
    at = at + coordinate * dim_value(n.builder(), stride);
    stride = stride * shape[static_cast<size_t>(d)];
  }
  Shape rows = {stride};
  rows.insert(rows.end(), shape.begin() + batch + k, shape.end());
  return Values{gather(reshape(data, std::move(rows)), at, 0)};
}

absl::StatusOr<Values> place_nd(NodeView& n) {
  const Value data = n.in(0), indices = n.in(1), updates = n.in(2);
  MODELLIB_ASSIGN_OR_RETURN(const std::string reduction, reduction_of(n));
  MODELLIB_ASSIGN_OR_RETURN(const int64_t k, coordinates(indices, data.rank()));
  const absl::Span<const Dim> shape = data.shape();
  const Dim rows = element_count(shape.first(static_cast<size_t>(k)));
  const Value at = linear_index(indices, data.shape(), 0, k, rows);
  const Dim count = element_count(at.shape());
  const Dim columns = element_count(shape.subspan(static_cast<size_t>(k)));
  // Each element of a row that is placed has the row's number.
  const Value spread = broadcast_to(reshape(at, {count, 1}), {count, columns});
  const Value placed =
      scatter_elements(reshape(data, {rows, columns}), spread, reshape(updates, {count, columns}),
                       {.axis = 0, .reduction = reduction});
  return Values{reshape(placed, data.shape())};
}

absl::StatusOr<Values> one_hot_of(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const Dim depth, known_whole_number(n, 1));
  Value indices = n.in(0);
  const Value values = n.in(2);
  if (values.rank() != 1) return absl::InvalidArgumentError("values must have rank 1");
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", -1, indices.rank() + 1));
  indices = cast(indices, DType::kI64);
  indices = where(less(indices, 0), indices + dim_value(n.builder(), depth), indices);
  const Value hot = one_hot(indices, depth, {.axis = axis, .dtype = DType::kF32});
  const Value off = reshape(slice_axis(values, 0, 0, 1), {});
  const Value on = reshape(slice_axis(values, 0, 1, 2), {});
  return Values{where(not_equal(hot, 0), on, off)};
}

absl::StatusOr<Values> top(NodeView& n, int64_t k) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", -1, x.rank()));
  const ValuesAndIndices result =
      top_k(x, {.k = k, .axis = axis, .largest = n.flag("largest", true)});
  return Values{result.values, result.indices};
}
absl::StatusOr<Values> top_by_attribute(NodeView& n) { return top(n, n.integer("k", 1)); }
absl::StatusOr<Values> top_by_operand(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const int64_t k, n.known_integer(1));
  return top(n, k);
}

// Rows of the batch are turned around up to their length.
absl::StatusOr<Values> reverse_sequence(NodeView& n) {
  const Value x = n.in(0);
  const int64_t time = n.integer("time_axis", 0), batch = n.integer("batch_axis", 1);
  const bool in_turn = (time == 0 && batch == 1) || (time == 1 && batch == 0);
  if (x.rank() < 2 || !in_turn) {
    return absl::InvalidArgumentError("time_axis and batch_axis must be 0 and 1");
  }
  Shape steps(x.shape().size(), 1), rows = steps;
  steps[static_cast<size_t>(time)] = x.dim(static_cast<int>(time));
  rows[static_cast<size_t>(batch)] = x.dim(static_cast<int>(batch));
  const Value t = iota(n.builder(), steps, {.axis = time});
  const Value length = reshape(cast(n.in(1), DType::kI64), rows);
  const Value from = where(less(t, length), length - 1.0 - t, t);
  return Values{gather_elements(x, broadcast_to(from, x.shape()), time)};
}

constexpr OpEntry kEntries[] = {
    {"Gather", 1, kNow, 2, 2, Takes::kAny, pick},
    {"GatherElements", 11, kNow, 2, 2, Takes::kAny, pick_elements},
    {"GatherND", 11, kNow, 2, 2, Takes::kAny, pick_nd},
    {"OneHot", 9, kNow, 3, 3, Takes::kNumber, one_hot_of},
    {"ReverseSequence", 10, kNow, 2, 2, Takes::kAny, reverse_sequence},
    {"Scatter", 9, 11, 3, 3, Takes::kAny, place_elements},
    {"ScatterElements", 11, kNow, 3, 3, Takes::kAny, place_elements},
    {"ScatterND", 11, kNow, 3, 3, Takes::kAny, place_nd},
    {"TopK", 1, 10, 1, 1, Takes::kNumber, top_by_attribute},
    {"TopK", 10, kNow, 2, 2, Takes::kNumber, top_by_operand},
};

}  // namespace

absl::Span<const OpEntry> index_entries() { return kEntries; }

}  // namespace modellib::onnx
