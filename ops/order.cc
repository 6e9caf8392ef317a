// sort, top_k, iota, one_hot.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/index.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

bool smaller(const Tensor& x, int64_t i, int64_t j) {
  if (is_floating(x.dtype())) {
    const double a = x.at(i), b = x.at(j);
    return std::isnan(a) ? false : std::isnan(b) || a < b;
  }
  if (x.dtype() == DType::kU64) {
    return static_cast<uint64_t>(x.int_at(i)) < static_cast<uint64_t>(x.int_at(j));
  }
  return x.int_at(i) < x.int_at(j);
}

// Writes the first elements of each line along the axis, in order, and where they came from.
void order_lines(ReferenceContext& c, int64_t axis_attribute, bool descending) {
  const Tensor& x = c.in(0);
  const auto axis = static_cast<size_t>(axis_of(axis_attribute, x.rank()));
  const int64_t extent = x.shape()[axis], kept = c.out(0).shape()[axis];
  const int64_t stride = strides_of(x.shape())[axis];
  std::vector<int64_t> order(static_cast<size_t>(extent));
  for_each_index(x.shape(), [&](absl::Span<const int64_t> index) {
    if (index[axis] != 0) return;
    const int64_t from = offset_of(index, x.shape()), to = offset_of(index, c.out(0).shape());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
      if (descending) std::swap(i, j);
      return smaller(x, from + i * stride, from + j * stride);
    });
    for (int64_t k = 0; k < kept; ++k) {
      const int64_t picked = order[static_cast<size_t>(k)];
      copy_element(x, from + picked * stride, c.out(0), to + k * stride);
      c.out(1).set_int(to + k * stride, picked);
    }
  });
}

std::vector<Value> scatter_back(OpCall& c, Value g, int64_t axis) {
  if (g.is_null()) return {Value()};
  return {scatter_elements(zeros_like(c.in(0)), c.out(1), g, {.axis = axis, .reduction = "add"})};
}

// ---- sort

absl::Status infer_sort(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  MODELLIB_RETURN_IF_ERROR(
      normal_axis(c.attributes.as<SortAttributes>().axis, c.input(0).rank()).status());
  c.outputs.push_back(c.input(0));
  c.outputs.push_back({DType::kI64, c.input(0).shape});
  return absl::OkStatus();
}

absl::Status reference_sort(ReferenceContext& c) {
  const auto& a = c.attributes.as<SortAttributes>();
  order_lines(c, a.axis, a.descending);
  return absl::OkStatus();
}

std::vector<Value> gradient_sort(OpCall& c, absl::Span<const Value> g) {
  return scatter_back(c, g[0], c.attributes.as<SortAttributes>().axis);
}

std::vector<OpSample> samples_sort() {
  return {
      {.name = "rows", .inputs = {f32({3, 17})}, .attributes = Attributes::of(SortAttributes{})},
      {.name = "descending",
       .inputs = {f32({5, 3})},
       .attributes = Attributes::of(SortAttributes{0, true})},
      {.name = "ties",
       .inputs = {i32({2, 9})},
       .attributes = Attributes::of(SortAttributes{1, true})},
      {.name = "symbolic",
       .inputs = {f32({Dim::symbol("batch"), 5})},
       .attributes = Attributes::of(SortAttributes{}),
       .binding = {{"batch", 3}}}};
}

// ---- top_k

absl::Status infer_top_k(InferenceContext& c) {
  const auto& a = c.attributes.as<TopKAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  MODELLIB_ASSIGN_OR_RETURN(const int axis, normal_axis(a.axis, c.input(0).rank()));
  Shape shape = c.input(0).shape;
  Dim& extent = shape[static_cast<size_t>(axis)];
  if (a.k < 0 || (extent.is_static() && a.k > extent.value())) {
    return absl::InvalidArgumentError(
        absl::StrCat("k = ", a.k, " of an axis with extent ", extent.to_string()));
  }
  MODELLIB_RETURN_IF_ERROR(c.require_at_most(a.k, extent, absl::StrCat("the top ", a.k)));
  extent = a.k;
  c.outputs.push_back({c.input(0).dtype, shape});
  c.outputs.push_back({DType::kI64, shape});
  return absl::OkStatus();
}

absl::Status reference_top_k(ReferenceContext& c) {
  const auto& a = c.attributes.as<TopKAttributes>();
  const int64_t extent = c.in(0).shape()[static_cast<size_t>(axis_of(a.axis, c.in(0).rank()))];
  if (a.k > extent) {
    return absl::OutOfRangeError(absl::StrCat("k = ", a.k, " of an axis with extent ", extent));
  }
  order_lines(c, a.axis, a.largest);
  return absl::OkStatus();
}

std::vector<Value> gradient_top_k(OpCall& c, absl::Span<const Value> g) {
  return scatter_back(c, g[0], c.attributes.as<TopKAttributes>().axis);
}

std::vector<OpSample> samples_top_k() {
  return {
      {.name = "rows", .inputs = {f32({3, 17})}, .attributes = Attributes::of(TopKAttributes{4})},
      {.name = "smallest",
       .inputs = {f32({6, 3})},
       .attributes = Attributes::of(TopKAttributes{2, 0, false})},
      {.name = "ties", .inputs = {i32({2, 9})}, .attributes = Attributes::of(TopKAttributes{5})},
      {.name = "symbolic",
       .inputs = {f32({Dim::symbol("batch"), 5})},
       .attributes = Attributes::of(TopKAttributes{1}),
       .binding = {{"batch", 3}}}};
}

// ---- iota

absl::Status infer_iota(InferenceContext& c) {
  const auto& a = c.attributes.as<IotaAttributes>();
  MODELLIB_RETURN_IF_ERROR(normal_axis(a.axis, static_cast<int>(a.shape.size())).status());
  if (!is_number(a.dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("dtype must be a number type, is ", to_string(a.dtype)));
  }
  c.outputs.push_back({a.dtype, a.shape});
  return absl::OkStatus();
}

absl::Status reference_iota(ReferenceContext& c) {
  const auto& a = c.attributes.as<IotaAttributes>();
  const auto axis = static_cast<size_t>(axis_of(a.axis, static_cast<int>(a.shape.size())));
  int64_t i = 0;
  for_each_index(c.out(0).shape(),
                 [&](absl::Span<const int64_t> index) { c.out(0).set_int(i++, index[axis]); });
  return absl::OkStatus();
}

std::vector<OpSample> samples_iota() {
  const auto sample = [](const char* name, IotaAttributes a) {
    OpSample s;
    s.name = name;
    s.attributes = Attributes::of(std::move(a));
    s.tolerance = 0;
    return s;
  };
  return {sample("vector", {{7}}), sample("rows", {{3, 4}, 0, DType::kF32}),
          sample("columns", {{2, 1, 5}, -1, DType::kI32}), sample("one_row", {{1, 4}, 0})};
}

ValuesAndIndices pair(std::vector<Value> values) { return {values.front(), values.back()}; }

}  // namespace

std::vector<OpDef> order_ops() {
  OpDef sort;
  sort.name = "sort";
  sort.attributes = AttributesSchema::of<SortAttributes>();
  sort.infer = infer_sort;
  sort.reference = reference_sort;
  sort.differentiable = OpDef::Gradient::kRule;
  sort.gradient = gradient_sort;
  sort.samples = samples_sort;

  OpDef top_k;
  top_k.name = "top_k";
  top_k.attributes = AttributesSchema::of<TopKAttributes>();
  top_k.infer = infer_top_k;
  top_k.reference = reference_top_k;
  top_k.differentiable = OpDef::Gradient::kRule;
  top_k.gradient = gradient_top_k;
  top_k.samples = samples_top_k;

  OpDef iota;
  iota.name = "iota";
  iota.attributes = AttributesSchema::of<IotaAttributes>();
  iota.min_inputs = iota.max_inputs = 0;
  iota.infer = infer_iota;
  iota.reference = reference_iota;
  iota.differentiable = OpDef::Gradient::kNone;
  iota.samples = samples_iota;
  return {sort, top_k, iota};
}

ValuesAndIndices top_k(Value x, TopKAttributes attributes) {
  return pair(emit_op("top_k", {x}, Attributes::of(attributes)));
}

ValuesAndIndices sort(Value x, SortAttributes attributes) {
  return pair(emit_op("sort", {x}, Attributes::of(attributes)));
}

Value iota(GraphBuilder& builder, Shape shape, IotaOptions options) {
  return builder.emit_one(
      "iota", {}, Attributes::of(IotaAttributes{std::move(shape), options.axis, options.dtype}));
}

Value one_hot(Value indices, Dim depth, OneHotOptions options) {
  if (indices.is_null() || indices.is_poisoned()) return indices;
  // The numbers of the classes are of this type too: in a narrower one they would wrap.
  if (indices.dtype() != DType::kI64 && indices.dtype() != DType::kI32) {
    return indices.builder()->poison(absl::InvalidArgumentError(absl::StrCat(
        "one_hot: indices must be i64 or i32, are ", to_string(indices.type()), "; cast them")));
  }
  const int rank = indices.rank() + 1;
  const auto axis = normal_axis(options.axis, rank);
  if (!axis.ok()) return indices.builder()->poison(axis.status());
  Shape classes(static_cast<size_t>(rank), 1);
  classes[static_cast<size_t>(*axis)] = std::move(depth);
  const Value number =
      iota(*indices.builder(), std::move(classes), {.axis = *axis, .dtype = indices.dtype()});
  return cast(equal(unsqueeze(indices, {*axis}), number), options.dtype);
}

}  // namespace modellib
