// gather, scatter_add, gather_elements, scatter_elements, update_slice.
#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/index.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

absl::StatusOr<int64_t> checked_index(const Tensor& indices, int64_t at, int64_t extent) {
  const int64_t i = indices.int_at(at);
  if (i < -extent || i >= extent) {
    return absl::OutOfRangeError(
        absl::StrCat("index ", i, " (element ", at, ") of an axis with extent ", extent));
  }
  return i < 0 ? i + extent : i;
}

void accumulate(Tensor& t, int64_t at, const Tensor& source, int64_t from) {
  if (is_floating(t.dtype())) {
    t.set(at, t.at(at) + source.at(from));
  } else {
    t.set_int(at, static_cast<int64_t>(static_cast<uint64_t>(t.int_at(at)) +
                                       static_cast<uint64_t>(source.int_at(from))));
  }
}

// A tensor of a wider type in which sums of many terms are formed.
absl::StatusOr<Tensor> wide_copy(const Tensor& t) {
  const DType wide = is_floating(t.dtype()) ? DType::kF64 : DType::kI64;
  MODELLIB_ASSIGN_OR_RETURN(Tensor copy, Tensor::zeros(wide, t.shape()));
  for (int64_t i = 0; i < t.elements(); ++i) {
    if (is_floating(t.dtype())) {
      copy.set(i, t.at(i));
    } else {
      copy.set_int(i, t.int_at(i));
    }
  }
  return copy;
}

void narrow_to(const Tensor& wide, Tensor& out) {
  for (int64_t i = 0; i < out.elements(); ++i) {
    if (is_floating(out.dtype())) {
      out.set(i, wide.at(i));
    } else {
      out.set_int(i, wide.int_at(i));
    }
  }
}

OpSample sample(const char* name, std::vector<TensorType> inputs, Attributes attributes, double low,
                double high) {
  OpSample s;
  s.name = name;
  s.inputs = std::move(inputs);
  s.attributes = std::move(attributes);
  s.domains = {{1, low, high}};
  s.binding = {{"batch", 3}};
  return s;
}

const Dim kBatch = Dim::symbol("batch");

// For the gradient of x.
Value zeros_for(Value x) { return as_dtype(zeros_like(x), gradient_type(x.dtype())); }

// ---- gather and scatter_add

// [a…, n, b…] with n replaced by the extents of the indices.
Shape gathered_shape(const Shape& data, const Shape& indices, int axis) {
  Shape shape(data.begin(), data.begin() + axis);
  shape.insert(shape.end(), indices.begin(), indices.end());
  shape.insert(shape.end(), data.begin() + axis + 1, data.end());
  return shape;
}

absl::Status infer_gather(InferenceContext& c) {
  MODELLIB_ASSIGN_OR_RETURN(const int axis,
                            normal_axis(c.attributes.as<AxisAttributes>().axis, c.input(0).rank()));
  MODELLIB_RETURN_IF_ERROR(require_integer(c, 1));
  c.outputs.push_back({c.input(0).dtype, gathered_shape(c.input(0).shape, c.input(1).shape, axis)});
  return absl::OkStatus();
}

// Calls f(element of data, element of the gathered) for each of the latter.
template <class F>
absl::Status for_each_gathered(const Tensor& data, const Tensor& indices, int axis,
                               absl::Span<const int64_t> gathered, F f) {
  absl::Status status;
  const size_t before = static_cast<size_t>(axis), count = indices.shape().size();
  const int64_t extent = data.shape()[before];
  std::vector<int64_t> from(data.shape().size());
  int64_t i = 0;
  for_each_index(gathered, [&](absl::Span<const int64_t> index) {
    const auto picked =
        checked_index(indices, offset_of(index.subspan(before, count), indices.shape()), extent);
    if (!picked.ok()) {
      status.Update(picked.status());
      return;
    }
    for (size_t d = 0; d < from.size(); ++d) {
      from[d] = d < before ? index[d] : d == before ? *picked : index[d + count - 1];
    }
    f(offset_of(from, data.shape()), i++);
  });
  return status;
}

absl::Status reference_gather(ReferenceContext& c) {
  const int axis = axis_of(c.attributes.as<AxisAttributes>().axis, c.in(0).rank());
  return for_each_gathered(
      c.in(0), c.in(1), axis, c.out(0).shape(),
      [&](int64_t data, int64_t out) { copy_element(c.in(0), data, c.out(0), out); });
}

std::vector<Value> gradient_gather(OpCall& c, absl::Span<const Value> g) {
  return {scatter_add(zeros_for(c.in(0)), c.in(1), g[0], c.attributes.as<AxisAttributes>().axis),
          Value()};
}

std::vector<OpSample> samples_gather() {
  return {
      sample("rows", {f32({7, 5}), i64({4})}, Attributes::of(AxisAttributes{0}), 0, 6),
      sample("embedding", {f32({11, 3}), i64({kBatch, 4})}, Attributes::of(AxisAttributes{0}), 0,
             10),
      sample("columns", {f32({2, 6, 3}), i64({2, 2})}, Attributes::of(AxisAttributes{-2}), -6, 5),
      sample("scalar", {f32({5, 3}), i64({})}, Attributes::of(AxisAttributes{1}), 0, 2),
      sample("i32", {i64({5}), i32({3})}, Attributes::of(AxisAttributes{0}), 0, 4)};
}

absl::Status infer_scatter_add(InferenceContext& c) {
  MODELLIB_ASSIGN_OR_RETURN(const int axis,
                            normal_axis(c.attributes.as<AxisAttributes>().axis, c.input(0).rank()));
  MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  MODELLIB_RETURN_IF_ERROR(require_integer(c, 1));
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 2));
  const Shape expected = gathered_shape(c.input(0).shape, c.input(1).shape, axis);
  MODELLIB_RETURN_IF_ERROR(require_rank(c, 2, static_cast<int>(expected.size())));
  for (size_t d = 0; d < expected.size(); ++d) {
    MODELLIB_RETURN_IF_ERROR(c.require_equal(expected[d], c.input(2).shape[d],
                                             absl::StrCat("axis ", d, " of the updates")));
  }
  c.outputs.push_back(c.input(0));
  return absl::OkStatus();
}

absl::Status reference_scatter_add(ReferenceContext& c) {
  const int axis = axis_of(c.attributes.as<AxisAttributes>().axis, c.in(0).rank());
  MODELLIB_ASSIGN_OR_RETURN(Tensor sum, wide_copy(c.in(0)));
  MODELLIB_RETURN_IF_ERROR(for_each_gathered(
      c.in(0), c.in(1), axis, c.in(2).shape(),
      [&](int64_t data, int64_t update) { accumulate(sum, data, c.in(2), update); }));
  narrow_to(sum, c.out(0));
  return absl::OkStatus();
}

std::vector<Value> gradient_scatter_add(OpCall& c, absl::Span<const Value> g) {
  return {g[0], Value(), gather(g[0], c.in(1), c.attributes.as<AxisAttributes>().axis)};
}

std::vector<OpSample> samples_scatter_add() {
  return {
      sample("rows", {f32({7, 5}), i64({4}), f32({4, 5})}, Attributes::of(AxisAttributes{0}), 0, 6),
      sample("repeated", {f32({3, 2}), i64({9}), f32({9, 2})}, Attributes::of(AxisAttributes{0}), 0,
             2),
      sample("columns", {f32({2, 6, 3}), i64({2, 2}), f32({2, 2, 2, 3})},
             Attributes::of(AxisAttributes{1}), -6, 5),
      sample("symbolic", {f32({11, 3}), i64({kBatch}), f32({kBatch, 3})},
             Attributes::of(AxisAttributes{0}), 0, 10),
      sample("i64", {i64({5}), i32({3}), i64({3})}, Attributes::of(AxisAttributes{0}), 0, 4)};
}

// ---- gather_elements and scatter_elements

absl::Status check_elements(InferenceContext& c, int64_t axis_attribute) {
  const Shape &data = c.input(0).shape, &indices = c.input(1).shape;
  MODELLIB_ASSIGN_OR_RETURN(const int axis, normal_axis(axis_attribute, c.input(0).rank()));
  MODELLIB_RETURN_IF_ERROR(require_integer(c, 1));
  MODELLIB_RETURN_IF_ERROR(require_rank(c, 1, c.input(0).rank()));
  for (size_t d = 0; d < data.size(); ++d) {
    if (static_cast<int>(d) == axis) continue;
    MODELLIB_RETURN_IF_ERROR(
        c.require_at_most(indices[d], data[d], absl::StrCat("axis ", d, " of the indices")));
  }
  return absl::OkStatus();
}

absl::Status infer_gather_elements(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(check_elements(c, c.attributes.as<AxisAttributes>().axis));
  c.outputs.push_back({c.input(0).dtype, c.input(1).shape});
  return absl::OkStatus();
}

// Calls f(element of data, element of indices) for each of the latter.
template <class F>
absl::Status for_each_element(const Tensor& data, const Tensor& indices, int64_t axis_attribute,
                              F f) {
  absl::Status status;
  const auto axis = static_cast<size_t>(axis_of(axis_attribute, data.rank()));
  std::vector<int64_t> from(data.shape().size());
  int64_t i = 0;
  for_each_index(indices.shape(), [&](absl::Span<const int64_t> index) {
    const auto picked = checked_index(indices, i, data.shape()[axis]);
    if (!picked.ok()) {
      status.Update(picked.status());
      return;
    }
    from.assign(index.begin(), index.end());
    from[axis] = *picked;
    f(offset_of(from, data.shape()), i++);
  });
  return status;
}

absl::Status reference_gather_elements(ReferenceContext& c) {
  return for_each_element(
      c.in(0), c.in(1), c.attributes.as<AxisAttributes>().axis,
      [&](int64_t data, int64_t out) { copy_element(c.in(0), data, c.out(0), out); });
}

std::vector<Value> gradient_gather_elements(OpCall& c, absl::Span<const Value> g) {
  return {scatter_elements(zeros_for(c.in(0)), c.in(1), g[0],
                           {.axis = c.attributes.as<AxisAttributes>().axis, .reduction = "add"}),
          Value()};
}

std::vector<OpSample> samples_gather_elements() {
  return {
      sample("classes", {f32({kBatch, 10}), i64({kBatch, 1})}, Attributes::of(AxisAttributes{1}), 0,
             9),
      sample("rows", {f32({4, 5}), i64({3, 2})}, Attributes::of(AxisAttributes{0}), -4, 3),
      sample("middle", {f32({2, 6, 3}), i32({2, 4, 3})}, Attributes::of(AxisAttributes{-2}), 0, 5),
      sample("part_of_batch", {f32({kBatch, 4}), i64({2, 3})}, Attributes::of(AxisAttributes{1}), 0,
             3)};
}

absl::Status infer_scatter_elements(InferenceContext& c) {
  const auto& a = c.attributes.as<ScatterElementsAttributes>();
  MODELLIB_RETURN_IF_ERROR(check_elements(c, a.axis));
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 2));
  MODELLIB_RETURN_IF_ERROR(require_rank(c, 2, c.input(0).rank()));
  if (a.reduction == "add") {
    MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  } else if (a.reduction != "none") {
    return absl::InvalidArgumentError(
        absl::StrCat("reduction '", a.reduction, "' is neither none nor add"));
  }
  for (size_t d = 0; d < c.input(1).shape.size(); ++d) {
    MODELLIB_RETURN_IF_ERROR(c.require_equal(c.input(1).shape[d], c.input(2).shape[d],
                                             absl::StrCat("axis ", d, " of the updates")));
  }
  c.outputs.push_back(c.input(0));
  return absl::OkStatus();
}

absl::Status reference_scatter_elements(ReferenceContext& c) {
  const auto& a = c.attributes.as<ScatterElementsAttributes>();
  if (a.reduction == "none") {
    for (int64_t i = 0; i < c.in(0).elements(); ++i) copy_element(c.in(0), i, c.out(0), i);
    return for_each_element(c.in(0), c.in(1), a.axis, [&](int64_t data, int64_t update) {
      copy_element(c.in(2), update, c.out(0), data);
    });
  }
  MODELLIB_ASSIGN_OR_RETURN(Tensor sum, wide_copy(c.in(0)));
  MODELLIB_RETURN_IF_ERROR(for_each_element(
      c.in(0), c.in(1), a.axis,
      [&](int64_t data, int64_t update) { accumulate(sum, data, c.in(2), update); }));
  narrow_to(sum, c.out(0));
  return absl::OkStatus();
}

std::vector<Value> gradient_scatter_elements(OpCall& c, absl::Span<const Value> g) {
  const auto& a = c.attributes.as<ScatterElementsAttributes>();
  const Value updates = gather_elements(g[0], c.in(1), a.axis);
  if (a.reduction == "add") return {g[0], Value(), updates};
  return {scatter_elements(g[0], c.in(1), zeros_for(c.in(2)), a), Value(), updates};
}

std::vector<OpSample> samples_scatter_elements() {
  using A = ScatterElementsAttributes;
  std::vector<OpSample> samples = {
      sample("add", {f32({4, 5}), i64({3, 5}), f32({3, 5})}, Attributes::of(A{0, "add"}), -4, 3),
      sample("add_columns", {f32({kBatch, 10}), i64({kBatch, 1}), f32({kBatch, 1})},
             Attributes::of(A{1, "add"}), 0, 9),
      sample("replace", {f32({kBatch, 10}), i64({kBatch, 1}), f32({kBatch, 1})},
             Attributes::of(A{1, "none"}), 0, 9),
      sample("last_stands", {f32({4, 5}), i64({3, 5}), f32({3, 5})}, Attributes::of(A{1, "none"}),
             0, 4),
      sample("i64", {i64({5}), i64({3}), i64({3})}, Attributes::of(A{0, "add"}), 0, 4),
      sample("part_of_batch", {f32({kBatch, 4}), i64({2, 3}), f32({2, 3})},
             Attributes::of(A{1, "add"}), 0, 3)};
  samples[3].check_gradient = false;  // several updates for one element
  return samples;
}

// ---- update_slice

absl::Status infer_update_slice(InferenceContext& c) {
  const TensorType &x = c.input(0), &update = c.input(1);
  MODELLIB_ASSIGN_OR_RETURN(const int axis,
                            normal_axis(c.attributes.as<AxisAttributes>().axis, x.rank()));
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 1));
  MODELLIB_RETURN_IF_ERROR(require_rank(c, 1, x.rank()));
  MODELLIB_RETURN_IF_ERROR(require_dtype(c, 2, DType::kI64));
  for (int d = 0; d < x.rank(); ++d) {
    const Dim &whole = x.shape[static_cast<size_t>(d)],
              &part = update.shape[static_cast<size_t>(d)];
    if (d != axis) {
      MODELLIB_RETURN_IF_ERROR(
          c.require_equal(whole, part, absl::StrCat("axis ", d, " of the update")));
    } else if (whole.is_static() && part.is_static() && part.value() > whole.value()) {
      return absl::InvalidArgumentError(absl::StrCat("an update of extent ", part.to_string(),
                                                     " in an axis of ", whole.to_string()));
    }
  }
  if (c.input(2).rank() > 1 || (c.input(2).rank() == 1 && axis == 0)) {
    return absl::InvalidArgumentError(
        "start must be a scalar, or one for each row of axis 0 where that is not the axis");
  }
  if (c.input(2).rank() == 1) {
    MODELLIB_RETURN_IF_ERROR(
        c.require_equal(x.shape[0], c.input(2).shape[0], "number of rows and of starts"));
  }
  c.outputs.push_back(x);
  return absl::OkStatus();
}

absl::Status reference_update_slice(ReferenceContext& c) {
  const Tensor &x = c.in(0), &update = c.in(1), &start = c.in(2);
  const auto axis = static_cast<size_t>(axis_of(c.attributes.as<AxisAttributes>().axis, x.rank()));
  for (int64_t i = 0; i < start.elements(); ++i) {
    const int64_t at = start.int_at(i);
    if (at < 0 || at > x.shape()[axis] - update.shape()[axis]) {
      return absl::OutOfRangeError(absl::StrCat("start ", at, " of an update of extent ",
                                                update.shape()[axis], " in an axis of ",
                                                x.shape()[axis]));
    }
  }
  for (int64_t i = 0; i < x.elements(); ++i) copy_element(x, i, c.out(0), i);
  std::vector<int64_t> to(x.shape().size());
  int64_t i = 0;
  for_each_index(update.shape(), [&](absl::Span<const int64_t> index) {
    to.assign(index.begin(), index.end());
    to[axis] += start.int_at(start.rank() == 1 ? index[0] : 0);
    copy_element(update, i++, c.out(0), offset_of(to, x.shape()));
  });
  return absl::OkStatus();
}

std::vector<Value> gradient_update_slice(OpCall& c, absl::Span<const Value> g) {
  const int64_t axis = axis_of(c.attributes.as<AxisAttributes>().axis, c.in(0).rank());
  const Value update = c.in(1);
  Value start = c.in(2);
  if (start.rank() == 1) {
    Shape rows(update.shape().size(), 1);
    rows[0] = start.dim(0);
    start = reshape(start, rows);
  }
  const Value places =
      broadcast_to(iota(c.builder, update.shape(), {.axis = axis}) + start, update.shape());
  return {update_slice(g[0], zeros_for(update), c.in(2), axis), gather_elements(g[0], places, axis),
          Value()};
}

std::vector<OpSample> samples_update_slice() {
  std::vector<OpSample> samples = {
      sample("scalar", {f32({4, 6}), f32({4, 2}), i64({})}, Attributes::of(AxisAttributes{1}), -2,
             2),
      sample("cache", {f32({kBatch, 2, 9, 4}), f32({kBatch, 2, 1, 4}), i64({kBatch})},
             Attributes::of(AxisAttributes{2}), -2, 2),
      sample("rows", {f32({6, 3}), f32({2, 3}), i64({})}, Attributes::of(AxisAttributes{0}), -2, 2),
      sample("i64", {i64({6}), i64({2}), i64({})}, Attributes::of(AxisAttributes{0}), -2, 2)};
  for (OpSample& s : samples) s.domains.push_back({2, 0, 4});
  return samples;
}

OpDef definition(const char* name, int inputs, AttributesSchema attributes,
                 decltype(OpDef::infer) infer, decltype(OpDef::reference) reference,
                 decltype(OpDef::gradient) gradient, decltype(OpDef::samples) samples) {
  OpDef op;
  op.name = name;
  op.attributes = attributes;
  op.min_inputs = op.max_inputs = inputs;
  op.infer = infer;
  op.reference = reference;
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  op.samples = samples;
  return op;
}

}  // namespace

std::vector<OpDef> gather_scatter_ops() {
  const auto axis = AttributesSchema::of<AxisAttributes>();
  return {definition("gather", 2, axis, infer_gather, reference_gather, gradient_gather,
                     samples_gather),
          definition("scatter_add", 3, axis, infer_scatter_add, reference_scatter_add,
                     gradient_scatter_add, samples_scatter_add),
          definition("gather_elements", 2, axis, infer_gather_elements, reference_gather_elements,
                     gradient_gather_elements, samples_gather_elements),
          definition("scatter_elements", 3, AttributesSchema::of<ScatterElementsAttributes>(),
                     infer_scatter_elements, reference_scatter_elements, gradient_scatter_elements,
                     samples_scatter_elements),
          definition("update_slice", 3, axis, infer_update_slice, reference_update_slice,
                     gradient_update_slice, samples_update_slice)};
}

Value gather(Value data, Value indices, int64_t axis) {
  return emit_op_one("gather", {data, indices}, Attributes::of(AxisAttributes{axis}));
}
Value scatter_add(Value data, Value indices, Value updates, int64_t axis) {
  return emit_op_one("scatter_add", {data, indices, updates}, Attributes::of(AxisAttributes{axis}));
}
Value gather_elements(Value data, Value indices, int64_t axis) {
  return emit_op_one("gather_elements", {data, indices}, Attributes::of(AxisAttributes{axis}));
}
Value scatter_elements(Value data, Value indices, Value updates,
                       ScatterElementsAttributes attributes) {
  return emit_op_one("scatter_elements", {data, indices, updates},
                     Attributes::of(std::move(attributes)));
}
Value update_slice(Value x, Value update, Value start, int64_t axis) {
  return emit_op_one("update_slice", {x, update, start}, Attributes::of(AxisAttributes{axis}));
}

}  // namespace modellib
