#include "modellib/ops/shape.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/sum_to.h"

namespace modellib {
namespace {

const Dim kBatch = Dim::symbol("batch");

OpSample sample(const char* name, std::vector<TensorType> inputs, Attributes attributes) {
  OpSample s;
  s.name = name;
  s.inputs = std::move(inputs);
  s.attributes = std::move(attributes);
  s.binding = {{"batch", 3}};
  s.tolerance = 0;
  return s;
}

// ---- reshape

absl::Status infer_reshape(InferenceContext& c) {
  Shape shape = c.attributes.as<ReshapeAttributes>().shape;
  const Dim count = element_count(c.input(0).shape);
  int open = -1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!shape[i].is_static() || shape[i].value() >= 0) continue;
    if (shape[i].value() != -1 || open >= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("shape ", to_string(shape), " must have at most one -1 and nothing below"));
    }
    open = static_cast<int>(i);
  }
  if (open >= 0) {
    shape[static_cast<size_t>(open)] = 1;
    const Dim known = element_count(shape);
    if (known == Dim(0)) {
      return absl::InvalidArgumentError("-1 beside an extent of 0 could be anything");
    }
    shape[static_cast<size_t>(open)] = count / known;
  }
  MODELLIB_RETURN_IF_ERROR(c.require_equal(
      count, element_count(shape),
      absl::StrCat("cannot reshape ", to_string(c.input(0).shape), " to ", to_string(shape))));
  c.outputs.push_back({c.input(0).dtype, std::move(shape)});
  return absl::OkStatus();
}

absl::Status reference_reshape(ReferenceContext& c) {
  MODELLIB_ASSIGN_OR_RETURN(c.out(0), c.in(0).reshaped(c.out(0).shape()));
  return absl::OkStatus();
}

std::vector<Value> gradient_reshape(OpCall& c, absl::Span<const Value> g) {
  return {reshape(g[0], c.in(0).shape())};
}

std::vector<OpSample> samples_reshape() {
  return {
      sample("static", {f32({4, 6})}, Attributes::of(ReshapeAttributes{{2, 12}})),
      sample("inferred", {f32({4, 6})}, Attributes::of(ReshapeAttributes{{3, -1, 2}})),
      sample("to_scalar", {f32({1, 1})}, Attributes::of(ReshapeAttributes{{}})),
      sample("symbolic", {f32({kBatch, 2, 6})}, Attributes::of(ReshapeAttributes{{kBatch, -1}})),
      sample("i64", {i64({2, 3})}, Attributes::of(ReshapeAttributes{{6}}))};
}

// ---- transpose

absl::StatusOr<std::vector<int64_t>> full_perm(const Attributes& attributes, int rank) {
  std::vector<int64_t> perm = attributes.as<TransposeAttributes>().perm;
  if (perm.empty()) {
    perm.resize(static_cast<size_t>(rank));
    std::iota(perm.rbegin(), perm.rend(), 0);
  }
  std::vector<bool> seen(static_cast<size_t>(rank), false);
  for (int64_t& axis : perm) {
    MODELLIB_ASSIGN_OR_RETURN(axis, normal_axis(axis, rank));
    if (seen[static_cast<size_t>(axis)]) {
      return absl::InvalidArgumentError(absl::StrCat("axis ", axis, " stands twice in perm"));
    }
    seen[static_cast<size_t>(axis)] = true;
  }
  if (static_cast<int>(perm.size()) != rank) {
    return absl::InvalidArgumentError(
        absl::StrCat("perm has ", perm.size(), " axes, the operand ", rank));
  }
  return perm;
}

absl::Status infer_transpose(InferenceContext& c) {
  MODELLIB_ASSIGN_OR_RETURN(const auto perm, full_perm(c.attributes, c.input(0).rank()));
  TensorType out{c.input(0).dtype, {}};
  for (int64_t axis : perm) out.shape.push_back(c.input(0).shape[static_cast<size_t>(axis)]);
  c.outputs.push_back(std::move(out));
  return absl::OkStatus();
}

absl::Status reference_transpose(ReferenceContext& c) {
  MODELLIB_ASSIGN_OR_RETURN(const auto perm, full_perm(c.attributes, c.in(0).rank()));
  std::vector<int64_t> from(perm.size());
  int64_t i = 0;
  for_each_index(c.out(0).shape(), [&](absl::Span<const int64_t> index) {
    for (size_t d = 0; d < perm.size(); ++d) from[static_cast<size_t>(perm[d])] = index[d];
    copy_element(c.in(0), offset_of(from, c.in(0).shape()), c.out(0), i++);
  });
  return absl::OkStatus();
}

std::vector<Value> gradient_transpose(OpCall& c, absl::Span<const Value> g) {
  const auto perm = full_perm(c.attributes, c.in(0).rank());
  std::vector<int64_t> inverse(perm->size());
  for (size_t d = 0; d < perm->size(); ++d) {
    inverse[static_cast<size_t>((*perm)[d])] = static_cast<int64_t>(d);
  }
  return {transpose(g[0], inverse)};
}

std::vector<OpSample> samples_transpose() {
  return {
      sample("matrix", {f32({5, 7})}, Attributes::of(TransposeAttributes{})),
      sample("heads", {f32({kBatch, 4, 2, 3})}, Attributes::of(TransposeAttributes{{0, 2, 1, 3}})),
      sample("rotate", {f32({2, 3, 4})}, Attributes::of(TransposeAttributes{{2, 0, 1}})),
      sample("negative", {i64({2, 3, 4})}, Attributes::of(TransposeAttributes{{0, -1, -2}}))};
}

// ---- broadcast_to

absl::Status infer_broadcast_to(InferenceContext& c) {
  const Shape& to = c.attributes.as<BroadcastToAttributes>().shape;
  const Shape& from = c.input(0).shape;
  if (from.size() > to.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot broadcast ", to_string(from), " to ", to_string(to)));
  }
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] == Dim(1)) continue;
    MODELLIB_RETURN_IF_ERROR(
        c.require_equal(from[i], to[to.size() - from.size() + i],
                        absl::StrCat("cannot broadcast ", to_string(from), " to ", to_string(to))));
  }
  c.outputs.push_back({c.input(0).dtype, to});
  return absl::OkStatus();
}

absl::Status reference_broadcast_to(ReferenceContext& c) {
  int64_t i = 0;
  for_each_index(c.out(0).shape(), [&](absl::Span<const int64_t> index) {
    copy_element(c.in(0), broadcast_offset(index, c.in(0).shape()), c.out(0), i++);
  });
  return absl::OkStatus();
}

std::vector<Value> gradient_broadcast_to(OpCall& c, absl::Span<const Value> g) {
  return {sum_to(g[0], c.in(0).shape())};
}

std::vector<OpSample> samples_broadcast_to() {
  return {
      sample("scalar", {f32({})}, Attributes::of(BroadcastToAttributes{{2, 3}})),
      sample("row", {f32({5})}, Attributes::of(BroadcastToAttributes{{3, 5}})),
      sample("symbolic", {f32({kBatch, 1})}, Attributes::of(BroadcastToAttributes{{kBatch, 5}})),
      sample("middle", {f32({2, 1, 3})}, Attributes::of(BroadcastToAttributes{{2, 4, 3}}))};
}

// ---- slice

struct SliceAxis {
  Dim start, limit;
  int64_t step;
};

SliceAxis slice_of(const SliceAttributes& a, size_t axis) {
  return {a.starts[axis], a.limits[axis], a.steps.empty() ? 1 : a.steps[axis]};
}

absl::Status infer_slice(InferenceContext& c) {
  const auto& a = c.attributes.as<SliceAttributes>();
  const Shape& in = c.input(0).shape;
  if (a.starts.size() != in.size() || a.limits.size() != in.size() ||
      (!a.steps.empty() && a.steps.size() != in.size())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "starts, limits and steps must have an entry for each of ", in.size(), " axes"));
  }
  TensorType out{c.input(0).dtype, {}};
  for (size_t d = 0; d < in.size(); ++d) {
    const SliceAxis s = slice_of(a, d);
    // The least number has no size.
    if (s.step == 0 || s.step == std::numeric_limits<int64_t>::min()) {
      return absl::InvalidArgumentError(absl::StrCat("step ", s.step, " of axis ", d));
    }
    const Dim span = s.step > 0 ? s.limit - s.start : s.start - s.limit;
    out.shape.push_back(ceil_div(span, std::abs(s.step)));
    if (!s.start.is_static() || !s.limit.is_static() || !in[d].is_static()) {
      MODELLIB_RETURN_IF_ERROR(c.require_at_most(s.step > 0 ? s.limit : s.start + 1, in[d],
                                                 absl::StrCat("a slice of axis ", d)));
    }
    if (!s.start.is_static() || !s.limit.is_static()) {
      // Whatever the bound that is free may be, nothing lies before the first element.
      MODELLIB_RETURN_IF_ERROR(
          s.step > 0
              ? c.require_at_most(0, s.start, absl::StrCat("the start of a slice of axis ", d))
              : c.require_at_most(-1, s.limit, absl::StrCat("the limit of a slice of axis ", d)));
      continue;
    }
    const int64_t start = s.start.value(), limit = s.limit.value();
    const bool inside =
        s.step > 0 ? 0 <= start && start <= limit && (!in[d].is_static() || limit <= in[d].value())
                   : -1 <= limit && limit <= start && (!in[d].is_static() || start < in[d].value());
    if (!inside) {
      return absl::InvalidArgumentError(absl::StrCat("slice ", start, " to ", limit, " by ", s.step,
                                                     " of axis ", d, " with extent ",
                                                     in[d].to_string()));
    }
  }
  c.outputs.push_back(std::move(out));
  return absl::OkStatus();
}

absl::Status reference_slice(ReferenceContext& c) {
  const auto& a = c.attributes.as<SliceAttributes>();
  const auto& in = c.in(0).shape();
  std::vector<int64_t> start(in.size()), step(in.size(), 1), from(in.size());
  for (size_t d = 0; d < in.size(); ++d) {
    MODELLIB_ASSIGN_OR_RETURN(start[d], a.starts[d].evaluate(c.binding));
    step[d] = slice_of(a, d).step;
    const int64_t extent = c.out(0).shape()[d];
    const int64_t last = start[d] + (extent - 1) * step[d];
    if (extent > 0 && (std::min(start[d], last) < 0 || std::max(start[d], last) >= in[d])) {
      return absl::OutOfRangeError(absl::StrCat("slice from ", start[d], " to ", last, " of axis ",
                                                d, " with extent ", in[d]));
    }
  }
  int64_t i = 0;
  for_each_index(c.out(0).shape(), [&](absl::Span<const int64_t> index) {
    for (size_t d = 0; d < in.size(); ++d) from[d] = start[d] + index[d] * step[d];
    copy_element(c.in(0), offset_of(from, in), c.out(0), i++);
  });
  return absl::OkStatus();
}

// Undone axis by axis, with concat (extents may be free) for unit steps and with zeros between the
// elements for others.
std::vector<Value> gradient_slice(OpCall& c, absl::Span<const Value> g) {
  const auto& a = c.attributes.as<SliceAttributes>();
  const Shape& in = c.in(0).shape();
  Value x = g[0];
  if (element_count(x.shape()) == Dim(0)) return {full(x, in, 0)};
  for (size_t d = 0; d < in.size(); ++d) {
    SliceAxis s = slice_of(a, d);
    const auto axis = static_cast<int64_t>(d);
    Dim extent = x.dim(static_cast<int>(d));
    if (s.step < 0) {
      x = flip(x, {axis});
      s.start = s.start + (extent - 1) * s.step;
      s.step = -s.step;
    }
    if (s.step > 1) {
      Shape gap = x.shape(), joined = x.shape();
      gap.insert(gap.begin() + axis + 1, s.step - 1);
      Value spread = concat({unsqueeze(x, {axis + 1}), full(x, gap, 0)}, axis + 1);
      joined[d] = extent * s.step;
      x = reshape(spread, joined);
      extent = extent * s.step;
    }
    // No gap follows the last element. An extent that is free may be 0, without a gap to cut off:
    // there the axis is cut at its end.
    const bool may_reach_beyond = s.step > 1 && !extent.is_static();
    if (s.step > 1 && !may_reach_beyond) {
      extent = extent - (s.step - 1);
      x = slice_axis(x, axis, 0, extent);
    }
    Shape before = x.shape(), after = x.shape();
    before[d] = s.start;
    after[d] = in[d] - s.start - extent;
    if (may_reach_beyond) {
      before[d] = max(before[d], 0);
      after[d] = max(after[d], 0);
    }
    std::vector<Value> parts;
    if (!(before[d] == Dim(0))) parts.push_back(full(x, before, 0));
    parts.push_back(x);
    if (!(after[d] == Dim(0))) parts.push_back(full(x, after, 0));
    if (parts.size() > 1) x = concat(parts, axis);
    if (may_reach_beyond) x = slice_axis(x, axis, 0, in[d]);
  }
  return {x};
}

std::vector<OpSample> samples_slice() {
  return {sample("middle", {f32({5, 7})}, Attributes::of(SliceAttributes{{1, 2}, {4, 6}, {}})),
          sample("strided", {f32({5, 8})}, Attributes::of(SliceAttributes{{0, 1}, {5, 8}, {2, 3}})),
          sample("empty strided", {f32({6})}, Attributes::of(SliceAttributes{{2}, {2}, {2}})),
          sample("flip", {f32({4, 5})}, Attributes::of(SliceAttributes{{0, 4}, {4, -1}, {1, -1}})),
          sample("backwards", {f32({9})}, Attributes::of(SliceAttributes{{7}, {0}, {-3}})),
          sample("empty", {f32({4, 5})}, Attributes::of(SliceAttributes{{2, 0}, {2, 5}, {}})),
          sample("symbolic", {f32({kBatch, 6})},
                 Attributes::of(SliceAttributes{{1, 0}, {kBatch, 6}, {1, 2}})),
          sample("i64", {i64({5, 7})}, Attributes::of(SliceAttributes{{1, 2}, {4, 6}, {}}))};
}

// ---- concat

absl::Status infer_concat(InferenceContext& c) {
  const TensorType& first = c.input(0);
  MODELLIB_ASSIGN_OR_RETURN(const int axis,
                            normal_axis(c.attributes.as<AxisAttributes>().axis, first.rank()));
  TensorType out = first;
  for (int i = 1; i < static_cast<int>(c.inputs.size()); ++i) {
    if (!c.has(i)) return absl::InvalidArgumentError(absl::StrCat("operand ", i, " is absent"));
    MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, i));
    MODELLIB_RETURN_IF_ERROR(require_rank(c, i, first.rank()));
    for (int d = 0; d < first.rank(); ++d) {
      const auto at = static_cast<size_t>(d);
      if (d == axis) {
        out.shape[at] = out.shape[at] + c.input(i).shape[at];
      } else {
        MODELLIB_RETURN_IF_ERROR(c.require_equal(first.shape[at], c.input(i).shape[at],
                                                 absl::StrCat("axis ", d, " of operand ", i)));
      }
    }
  }
  c.outputs.push_back(std::move(out));
  return absl::OkStatus();
}

absl::Status reference_concat(ReferenceContext& c) {
  const auto axis =
      static_cast<size_t>(axis_of(c.attributes.as<AxisAttributes>().axis, c.in(0).rank()));
  int64_t base = 0;
  for (const Tensor& x : c.inputs) {
    std::vector<int64_t> to(x.shape().size());
    int64_t i = 0;
    for_each_index(x.shape(), [&](absl::Span<const int64_t> index) {
      to.assign(index.begin(), index.end());
      to[axis] += base;
      copy_element(x, i++, c.out(0), offset_of(to, c.out(0).shape()));
    });
    base += x.shape()[axis];
  }
  return absl::OkStatus();
}

std::vector<Value> gradient_concat(OpCall& c, absl::Span<const Value> g) {
  const int axis = axis_of(c.attributes.as<AxisAttributes>().axis, c.in(0).rank());
  std::vector<Value> result;
  Dim start = 0;
  for (const Value& x : c.inputs) {
    const Dim limit = start + x.dim(axis);
    result.push_back(slice_axis(g[0], axis, start, limit));
    start = limit;
  }
  return result;
}

std::vector<OpSample> samples_concat() {
  return {
      sample("rows", {f32({2, 3}), f32({4, 3})}, Attributes::of(AxisAttributes{0})),
      sample("columns", {f32({kBatch, 3}), f32({kBatch, 1}), f32({kBatch, 5})},
             Attributes::of(AxisAttributes{-1})),
      sample("channels", {f32({2, 3, 2, 2}), f32({2, 1, 2, 2})}, Attributes::of(AxisAttributes{1})),
      sample("one", {f32({2, 3})}, Attributes::of(AxisAttributes{1})),
      sample("free_axis", {f32({kBatch, 3}), f32({2, 3})}, Attributes::of(AxisAttributes{0})),
      sample("i64", {i64({3}), i64({2})}, Attributes::of(AxisAttributes{0}))};
}

// ---- pad

// How many elements a border may take from an axis.
int64_t widest_border(const std::string& mode, int64_t extent) {
  if (mode == "reflect") return extent - 1;
  if (mode == "wrap") return extent;
  return extent == 0 ? 0 : std::numeric_limits<int64_t>::max();
}

absl::Status infer_pad(InferenceContext& c) {
  const auto& a = c.attributes.as<PadAttributes>();
  const Shape& in = c.input(0).shape;
  if (a.low.size() != in.size() || a.high.size() != in.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("low and high must have an entry for each of ", in.size(), " axes"));
  }
  const bool constant = a.mode == "constant";
  if (!constant && a.mode != "reflect" && a.mode != "edge" && a.mode != "wrap") {
    return absl::InvalidArgumentError(
        absl::StrCat("mode '", a.mode, "' is none of constant, reflect, edge, wrap"));
  }
  TensorType out{c.input(0).dtype, {}};
  for (size_t d = 0; d < in.size(); ++d) {
    const int64_t least = std::min(a.low[d], a.high[d]), most = std::max(a.low[d], a.high[d]);
    if (least < -kMaxTensorElements || most > kMaxTensorElements) {
      return absl::InvalidArgumentError(absl::StrCat("pad ", a.low[d], ", ", a.high[d], " of axis ",
                                                     d, " is more than any extent"));
    }
    const Dim extent = in[d] + a.low[d] + a.high[d];
    const bool negative = constant ? extent.is_static() && extent.value() < 0 : least < 0;
    const bool too_far =
        !constant && in[d].is_static() && most > 0 && most > widest_border(a.mode, in[d].value());
    if (negative || too_far) {
      return absl::InvalidArgumentError(absl::StrCat(a.mode, " pad ", a.low[d], ", ", a.high[d],
                                                     " of axis ", d, " with extent ",
                                                     in[d].to_string()));
    }
    if (!constant && most > 0) {
      // A reflection leaves out the border itself.
      const Dim needed = a.mode == "edge" ? 1 : a.mode == "reflect" ? most + 1 : most;
      MODELLIB_RETURN_IF_ERROR(
          c.require_at_most(needed, in[d], absl::StrCat(a.mode, " pad of axis ", d)));
    }
    out.shape.push_back(extent);
  }
  c.outputs.push_back(std::move(out));
  return absl::OkStatus();
}

// Where element `i` of a padded axis comes from; -1: from outside.
int64_t source_of(int64_t i, int64_t extent, const std::string& mode) {
  if (i >= 0 && i < extent) return i;
  if (mode == "edge") return i < 0 ? 0 : extent - 1;
  if (mode == "reflect") return i < 0 ? -i : 2 * (extent - 1) - i;
  if (mode == "wrap") return i < 0 ? i + extent : i - extent;
  return -1;
}

absl::Status reference_pad(ReferenceContext& c) {
  const auto& a = c.attributes.as<PadAttributes>();
  const auto& in = c.in(0).shape();
  for (size_t d = 0; d < in.size(); ++d) {
    const int64_t most = std::max(a.low[d], a.high[d]);
    if (a.mode != "constant" && most > 0 && most > widest_border(a.mode, in[d])) {
      return absl::InvalidArgumentError(
          absl::StrCat(a.mode, " pad ", most, " of axis ", d, " with extent ", in[d]));
    }
  }
  std::vector<int64_t> from(in.size());
  int64_t i = 0;
  for_each_index(c.out(0).shape(), [&](absl::Span<const int64_t> index) {
    bool inside = true;
    for (size_t d = 0; d < in.size(); ++d) {
      from[d] = source_of(index[d] - a.low[d], in[d], a.mode);
      inside = inside && from[d] >= 0;
    }
    if (inside) {
      copy_element(c.in(0), offset_of(from, in), c.out(0), i++);
    } else {
      c.out(0).set(i++, a.value);
    }
  });
  return absl::OkStatus();
}

// What a border of a padded axis adds to the elements it was copied from.
Value fold_border(Value x, const Value& border, const std::string& mode, int64_t axis, bool low) {
  const Dim width = border.dim(static_cast<int>(axis));
  const Dim extent = x.dim(static_cast<int>(axis));
  Value sum = border;
  Dim at = low ? Dim(0) : extent - 1;
  if (mode == "edge") {
    sum = restore_axes(reduce_sum(border, {.axes = {axis}}), border.shape(), {axis});
  } else if (mode == "wrap") {
    at = low ? extent - width : Dim(0);
  } else {
    sum = flip(border, {axis});
    at = low ? Dim(1) : extent - 1 - width;
  }
  const Dim covered = sum.dim(static_cast<int>(axis));
  Shape before = x.shape(), after = x.shape();
  before[static_cast<size_t>(axis)] = at;
  after[static_cast<size_t>(axis)] = extent - at - covered;
  std::vector<Value> parts;
  if (!(at == Dim(0))) parts.push_back(full(x, before, 0));
  parts.push_back(sum);
  if (!(after[static_cast<size_t>(axis)] == Dim(0))) parts.push_back(full(x, after, 0));
  return x + (parts.size() == 1 ? parts[0] : concat(parts, axis));
}

std::vector<Value> gradient_pad(OpCall& c, absl::Span<const Value> g) {
  const auto& a = c.attributes.as<PadAttributes>();
  if (a.mode == "constant") {
    PadAttributes crop;
    for (int64_t n : a.low) crop.low.push_back(-n);
    for (int64_t n : a.high) crop.high.push_back(-n);
    return {pad(g[0], std::move(crop))};
  }
  Value x = g[0];
  for (size_t d = 0; d < a.low.size(); ++d) {
    const auto axis = static_cast<int64_t>(d);
    const Dim whole = x.dim(static_cast<int>(d));
    const Value low = slice_axis(x, axis, 0, a.low[d]);
    const Value high = slice_axis(x, axis, whole - a.high[d], whole);
    x = slice_axis(x, axis, a.low[d], whole - a.high[d]);
    if (a.low[d] > 0) x = fold_border(x, low, a.mode, axis, true);
    if (a.high[d] > 0) x = fold_border(x, high, a.mode, axis, false);
  }
  return {x};
}

std::vector<OpSample> samples_pad() {
  return {
      sample("constant", {f32({2, 3})}, Attributes::of(PadAttributes{{1, 0}, {0, 2}, 1.5})),
      sample("crop", {f32({4, 5})}, Attributes::of(PadAttributes{{-1, 2}, {0, -3}})),
      sample("reflect", {f32({2, 4})}, Attributes::of(PadAttributes{{0, 2}, {1, 3}, 0, "reflect"})),
      sample("edge", {f32({2, 4})}, Attributes::of(PadAttributes{{1, 2}, {0, 3}, 0, "edge"})),
      sample("wrap", {f32({2, 4})}, Attributes::of(PadAttributes{{1, 4}, {2, 3}, 0, "wrap"})),
      sample("symbolic", {f32({kBatch, 3})}, Attributes::of(PadAttributes{{1, 0}, {1, 1}})),
      sample("i64", {i64({3})}, Attributes::of(PadAttributes{{1}, {1}, 7}))};
}

OpDef definition(const char* name, AttributesSchema attributes, decltype(OpDef::infer) infer,
                 decltype(OpDef::reference) reference, decltype(OpDef::gradient) gradient,
                 decltype(OpDef::samples) samples) {
  OpDef op;
  op.name = name;
  op.attributes = attributes;
  op.infer = infer;
  op.reference = reference;
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  op.samples = samples;
  return op;
}

}  // namespace

std::vector<OpDef> shape_ops() {
  std::vector<OpDef> ops = {
      definition("reshape", AttributesSchema::of<ReshapeAttributes>(), infer_reshape,
                 reference_reshape, gradient_reshape, samples_reshape),
      definition("transpose", AttributesSchema::of<TransposeAttributes>(), infer_transpose,
                 reference_transpose, gradient_transpose, samples_transpose),
      definition("broadcast_to", AttributesSchema::of<BroadcastToAttributes>(), infer_broadcast_to,
                 reference_broadcast_to, gradient_broadcast_to, samples_broadcast_to),
      definition("slice", AttributesSchema::of<SliceAttributes>(), infer_slice, reference_slice,
                 gradient_slice, samples_slice),
  };
  for (OpDef& op : ops) op.view = true;
  ops.push_back(definition("concat", AttributesSchema::of<AxisAttributes>(), infer_concat,
                           reference_concat, gradient_concat, samples_concat));
  ops.back().max_inputs = OpDef::kVariadic;
  ops.push_back(definition("pad", AttributesSchema::of<PadAttributes>(), infer_pad, reference_pad,
                           gradient_pad, samples_pad));
  return ops;
}

Value reshape(Value x, Shape shape) {
  if (!x.is_null() && !x.is_poisoned() && shape == x.shape()) return x;
  return emit_op_one("reshape", {x}, Attributes::of(ReshapeAttributes{std::move(shape)}));
}

Value transpose(Value x, std::vector<int64_t> perm) {
  return emit_op_one("transpose", {x}, Attributes::of(TransposeAttributes{std::move(perm)}));
}

std::vector<int64_t> perm_of(const Graph::Node& node, int rank) {
  std::vector<int64_t> perm = node.attributes.as<TransposeAttributes>().perm;
  if (perm.empty()) {
    for (int i = rank; i-- > 0;) perm.push_back(i);
  }
  for (int64_t& p : perm) p += p < 0 ? rank : 0;
  return perm;
}

Value broadcast_to(Value x, Shape shape) {
  if (!x.is_null() && !x.is_poisoned() && shape == x.shape()) return x;
  return emit_op_one("broadcast_to", {x}, Attributes::of(BroadcastToAttributes{std::move(shape)}));
}

Value slice(Value x, SliceAttributes attributes) {
  return emit_op_one("slice", {x}, Attributes::of(std::move(attributes)));
}

Value concat(absl::Span<const Value> xs, int64_t axis) {
  return emit_op_one("concat", xs, Attributes::of(AxisAttributes{axis}));
}

Value pad(Value x, PadAttributes attributes) {
  return emit_op_one("pad", {x}, Attributes::of(std::move(attributes)));
}

}  // namespace modellib
