// Parts of tensors and their joining: Slice, Split, Concat, Pad.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/algorithm/container.h"
#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {
namespace {

// The smaller (larger) of two, without an expression where the ranges tell which.
Dim least(NodeView& n, const Dim& a, const Dim& b) {
  const DimRange range = n.context().range_of(a - b);
  return range.max <= 0 ? a : range.min >= 0 ? b : min(a, b);
}
Dim greatest(NodeView& n, const Dim& a, const Dim& b) {
  const DimRange range = n.context().range_of(a - b);
  return range.max <= 0 ? b : range.min >= 0 ? a : max(a, b);
}

// "To the end" is written as a large number; no free extent comes near it.
constexpr int64_t kEndless = 1'000'000'000;

// A bound of a slice: from the end where it is negative, then within [low, high].
Dim bound(NodeView& n, Dim at, const Dim& extent, const Dim& low, const Dim& high) {
  const DimRange range = n.context().range_of(at);
  if (range.max < 0) {
    const bool endless = at.is_static() && at.value() <= -kEndless && !extent.is_static();
    at = endless ? low : extent + at;
  } else if (at.is_static() && at.value() >= kEndless && !extent.is_static()) {
    at = high;
  }
  return greatest(n, least(n, at, high), low);
}

absl::StatusOr<Values> cut(NodeView& n, const Shape& starts, const Shape& ends,
                           std::vector<int64_t> axes, std::vector<int64_t> steps) {
  const Value x = n.in(0);
  if (axes.empty()) {
    for (size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  }
  if (steps.empty()) steps.assign(starts.size(), 1);
  if (ends.size() != starts.size() || axes.size() != starts.size() ||
      steps.size() != starts.size()) {
    return absl::InvalidArgumentError(absl::StrCat(starts.size(), " starts, ", ends.size(),
                                                   " ends, ", axes.size(), " axes and ",
                                                   steps.size(), " steps"));
  }
  SliceAttributes a;
  for (const Dim& d : x.shape()) {
    a.starts.push_back(0);
    a.limits.push_back(d);
    a.steps.push_back(1);
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, front_axis(axes[i], x.rank()));
    const auto d = static_cast<size_t>(axis);
    const Dim extent = x.shape()[d];
    if (steps[i] == 0) return absl::InvalidArgumentError("a step of 0");
    if (extent == Dim(0)) {
      a.limits[d] = 0;
      continue;
    }
    for (const Dim* at : {&starts[i], &ends[i]}) {
      const DimRange range = n.context().range_of(*at);
      if (range.min < 0 && range.max >= 0) {
        return absl::UnimplementedError(absl::StrCat("the bound ", at->to_string(),
                                                     ", which may or may not count from the end"));
      }
    }
    if (steps[i] > 0) {
      a.starts[d] = bound(n, starts[i], extent, 0, extent);
      a.limits[d] = greatest(n, bound(n, ends[i], extent, 0, extent), a.starts[d]);
    } else {
      a.starts[d] = bound(n, starts[i], extent, 0, extent - 1);
      a.limits[d] = least(n, bound(n, ends[i], extent, -1, extent - 1), a.starts[d]);
    }
    a.steps[d] = std::max(steps[i], -std::numeric_limits<int64_t>::max());
  }
  if (absl::c_all_of(a.steps, [](int64_t s) { return s == 1; })) {
    a.steps.clear();
    if (a.limits == x.shape() && absl::c_all_of(a.starts, [](const Dim& d) { return d == Dim(0); }))
      return Values{x};
  }
  return Values{slice(x, std::move(a))};
}

absl::StatusOr<Values> slice_by_attributes(NodeView& n) {
  const std::vector<int64_t> starts = n.integers("starts"), ends = n.integers("ends");
  return cut(n, Shape(starts.begin(), starts.end()), Shape(ends.begin(), ends.end()),
             n.integers("axes"), {});
}

absl::StatusOr<Values> slice_by_operands(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const Shape starts, n.known_dims(1));
  MODELLIB_ASSIGN_OR_RETURN(const Shape ends, n.known_dims(2));
  std::vector<int64_t> axes, steps;
  if (n.has(3)) {
    MODELLIB_ASSIGN_OR_RETURN(axes, n.known_integers(3));
  }
  if (n.has(4)) {
    MODELLIB_ASSIGN_OR_RETURN(steps, n.known_integers(4));
  }
  return cut(n, starts, ends, std::move(axes), std::move(steps));
}

absl::StatusOr<Values> pieces(NodeView& n, const Shape& sizes) {
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", 0, n.in(0).rank()));
  if (static_cast<int>(sizes.size()) != n.outputs()) {
    return absl::InvalidArgumentError(
        absl::StrCat(sizes.size(), " sizes for ", n.outputs(), " outputs"));
  }
  return pieces_of(n.in(0), axis, sizes);
}

// As many pieces as outputs; with num_outputs the last may be smaller, else they must be equal.
absl::StatusOr<Values> equal_pieces(NodeView& n) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", 0, x.rank()));
  const Dim extent = x.dim(static_cast<int>(axis));
  const int64_t count = n.integer("num_outputs", n.outputs());
  if (count != n.outputs() || count < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_outputs is ", count, ", it has ", n.outputs(), " outputs"));
  }
  Shape sizes;
  const bool uneven = n.has_attribute("num_outputs");
  const Dim each = uneven ? ceil_div(extent, Dim(count)) : extent / count;
  for (int64_t i = 0; i + 1 < count; ++i) sizes.push_back(each);
  sizes.push_back(uneven ? extent - each * (count - 1) : each);
  return pieces(n, sizes);
}

absl::StatusOr<Values> split_by_attribute(NodeView& n) {
  if (!n.has_attribute("split")) return equal_pieces(n);
  const std::vector<int64_t> sizes = n.integers("split");
  return pieces(n, Shape(sizes.begin(), sizes.end()));
}

absl::StatusOr<Values> split_by_operand(NodeView& n) {
  if (!n.has(1)) return equal_pieces(n);
  MODELLIB_ASSIGN_OR_RETURN(const Shape sizes, n.known_dims(1));
  return pieces(n, sizes);
}

absl::StatusOr<Values> join(NodeView& n) {
  if (!n.has_attribute("axis")) return absl::InvalidArgumentError("attribute 'axis' is missing");
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", 0, n.in(0).rank()));
  for (const Value& v : n.all()) {
    if (v.is_null()) return absl::InvalidArgumentError("an operand is absent");
  }
  return Values{concat(n.all(), axis)};
}

// What stands before and after each axis of x, from a list of both for the axes given.
struct Pads {
  Shape low, high;
};
absl::StatusOr<Pads> pads_of(const Shape& both, std::vector<int64_t> axes, int rank) {
  if (axes.empty()) {
    for (int d = 0; d < rank; ++d) axes.push_back(d);
  }
  if (both.size() != 2 * axes.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(both.size(), " pads for ", axes.size(), " axes of both sides"));
  }
  Pads pads;
  pads.low.resize(static_cast<size_t>(rank));
  pads.high.resize(static_cast<size_t>(rank));
  for (size_t i = 0; i < axes.size(); ++i) {
    MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, front_axis(axes[i], rank));
    pads.low[static_cast<size_t>(axis)] = both[i];
    pads.high[static_cast<size_t>(axis)] = both[axes.size() + i];
  }
  return pads;
}

absl::StatusOr<Values> padded(NodeView& n, const Pads& pads, double value, bool wrap) {
  Value x = n.in(0);
  std::string mode = n.text("mode", "constant");
  if (mode != "constant" && mode != "reflect" && mode != "edge" && !(wrap && mode == "wrap")) {
    return absl::InvalidArgumentError(absl::StrCat("mode '", mode, "'"));
  }
  for (const Shape* side : {&pads.low, &pads.high}) {
    for (const Dim& p : *side) {
      if (!p.is_static() || (p.value() >= -kMostExtent && p.value() <= kMostExtent)) continue;
      return absl::InvalidArgumentError(absl::StrCat("a pad of ", p.value()));
    }
  }
  if (is_static(pads.low) && is_static(pads.high)) {
    PadAttributes added{.low = *static_extents(pads.low),
                        .high = *static_extents(pads.high),
                        .value = value,
                        .mode = mode};
    if (mode != "constant") {
      // What is to be cut off does not show in what is added.
      PadAttributes cut_off;
      for (int64_t& p : added.low) cut_off.low.push_back(std::min<int64_t>(p, 0));
      for (int64_t& p : added.high) cut_off.high.push_back(std::min<int64_t>(p, 0));
      for (int64_t& p : added.low) p = std::max<int64_t>(p, 0);
      for (int64_t& p : added.high) p = std::max<int64_t>(p, 0);
      const auto cuts = [](int64_t p) { return p < 0; };
      if (absl::c_any_of(cut_off.low, cuts) || absl::c_any_of(cut_off.high, cuts))
        x = pad(x, std::move(cut_off));
    }
    return Values{pad(x, std::move(added))};
  }
  if (mode != "constant") {
    return absl::UnimplementedError(
        absl::StrCat("mode ", mode, " with pads that depend on an extent"));
  }
  // Axis by axis, tensors of the value are joined on.
  for (size_t d = 0; d < pads.low.size(); ++d) {
    Values parts;
    for (const Dim* side : {&pads.low[d], &pads.high[d]}) {
      if (n.context().range_of(*side).min < 0) {
        return absl::UnimplementedError(
            absl::StrCat("a pad of ", side->to_string(), ", which may be negative"));
      }
      if (side == &pads.high[d]) parts.push_back(x);
      Shape shape = x.shape();
      shape[d] = *side;
      if (!(*side == Dim(0))) parts.push_back(full(x, std::move(shape), value));
    }
    if (parts.size() > 1) x = concat(parts, static_cast<int64_t>(d));
  }
  return Values{x};
}

absl::StatusOr<Values> pad_by_attributes(NodeView& n) {
  const std::vector<int64_t> both = n.integers(n.version() < 2 ? "paddings" : "pads");
  MODELLIB_ASSIGN_OR_RETURN(const Pads pads,
                            pads_of(Shape(both.begin(), both.end()), {}, n.in(0).rank()));
  return padded(n, pads, n.real("value", 0), false);
}

absl::StatusOr<Values> pad_by_operands(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const Shape both, n.known_dims(1));
  double value = 0;
  if (n.has(2)) {
    MODELLIB_ASSIGN_OR_RETURN(value, n.known_real(2));
  }
  std::vector<int64_t> axes;
  if (n.has(3)) {
    MODELLIB_ASSIGN_OR_RETURN(axes, n.known_integers(3));
    if (axes.empty()) return Values{n.in(0)};
  }
  MODELLIB_ASSIGN_OR_RETURN(const Pads pads, pads_of(both, std::move(axes), n.in(0).rank()));
  constexpr int kWrapSince = 19;
  return padded(n, pads, value, n.version() >= kWrapSince);
}

constexpr OpEntry kEntries[] = {
    {"Concat", 4, kNow, 1, kMany, Takes::kAny, join},
    {"Pad", 1, 11, 1, 1, Takes::kNumber, pad_by_attributes},
    {"Pad", 11, 18, 2, 3, Takes::kAny, pad_by_operands},
    {"Pad", 18, kNow, 2, 4, Takes::kAny, pad_by_operands},
    {"Slice", 1, 10, 1, 1, Takes::kAny, slice_by_attributes},
    {"Slice", 10, kNow, 3, 5, Takes::kAny, slice_by_operands},
    {"Split", 2, 13, 1, 1, Takes::kAny, split_by_attribute},
    {"Split", 13, kNow, 1, 2, Takes::kAny, split_by_operand},
};

}  // namespace

absl::StatusOr<Values> pieces_of(Value x, int64_t axis, const Shape& extents) {
  Dim start = 0;
  Values parts;
  for (const Dim& extent : extents) {
    if (extent.is_static() && extent.value() < 0) {
      return absl::InvalidArgumentError(absl::StrCat("a piece of extent ", extent.value()));
    }
    SliceAttributes a;
    for (const Dim& d : x.shape()) {
      a.starts.push_back(0);
      a.limits.push_back(d);
    }
    a.starts[static_cast<size_t>(axis)] = start;
    start = start + extent;
    a.limits[static_cast<size_t>(axis)] = start;
    parts.push_back(slice(x, std::move(a)));
  }
  x.builder()->require_equal(start, x.dim(static_cast<int>(axis)), "extents of the pieces");
  return parts;
}

absl::Span<const OpEntry> slice_entries() { return kEntries; }

}  // namespace modellib::onnx
