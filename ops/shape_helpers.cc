// The helpers of ops/shape.h and ops/sum_to.h that emit primitives.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "modellib/ops/index.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/sum_to.h"

namespace modellib {
namespace {

bool unusable(const Value& x) { return x.is_null() || x.is_poisoned(); }

SliceAttributes whole(const Value& x) {
  SliceAttributes a;
  for (const Dim& d : x.shape()) {
    a.starts.push_back(0);
    a.limits.push_back(d);
    a.steps.push_back(1);
  }
  return a;
}

// Counts from the end and clamps where both are known.
Dim bound(const Dim& at, const Dim& extent) {
  if (!at.is_static()) return at;
  if (at.value() < 0) {
    const Dim from_end = extent + at;
    return from_end.is_static() ? Dim(std::max<int64_t>(from_end.value(), 0)) : from_end;
  }
  return extent.is_static() ? Dim(std::min(at.value(), extent.value())) : at;
}

}  // namespace

Value slice_axis(Value x, int64_t axis, Dim start, Dim limit, int64_t step) {
  if (unusable(x)) return x;
  const auto normal = normal_axis(axis, x.rank());
  if (!normal.ok()) return x.builder()->poison(normal.status());
  const auto d = static_cast<size_t>(*normal);
  SliceAttributes a = whole(x);
  a.starts[d] = bound(start, x.shape()[d]);
  a.limits[d] = bound(limit, x.shape()[d]);
  a.steps[d] = step;
  if (a.starts[d] == Dim(0) && a.limits[d] == x.shape()[d] && step == 1) return x;
  if (std::all_of(a.steps.begin(), a.steps.end(), [](int64_t s) { return s == 1; }))
    a.steps.clear();
  return slice(x, std::move(a));
}

Value squeeze(Value x, std::vector<int64_t> axes) {
  if (unusable(x)) return x;
  std::vector<bool> drop(static_cast<size_t>(x.rank()), false);
  for (int64_t axis : axes) {
    const auto normal = normal_axis(axis, x.rank());
    if (!normal.ok()) return x.builder()->poison(normal.status());
    drop[static_cast<size_t>(*normal)] = true;
  }
  Shape shape;
  for (size_t d = 0; d < x.shape().size(); ++d) {
    const bool one = x.shape()[d] == Dim(1);
    if (axes.empty() ? one : drop[d]) {
      if (!one) {
        return x.builder()->poison(absl::InvalidArgumentError(
            absl::StrCat("squeeze of axis ", d, " of ", to_string(x.type()))));
      }
      continue;
    }
    shape.push_back(x.shape()[d]);
  }
  return reshape(x, std::move(shape));
}

Value unsqueeze(Value x, std::vector<int64_t> axes) {
  if (unusable(x)) return x;
  const int rank = x.rank() + static_cast<int>(axes.size());
  if (axes.empty()) return x;
  const auto normal = normal_axes(axes, rank);
  if (!normal.ok()) return x.builder()->poison(normal.status());
  Shape shape = x.shape();
  for (int axis : *normal) shape.insert(shape.begin() + axis, 1);
  return reshape(x, std::move(shape));
}

Value flatten(Value x, int64_t start, int64_t end) {
  if (unusable(x)) return x;
  if (x.rank() == 0) return reshape(x, {1});
  const auto first = normal_axis(start, x.rank()), last = normal_axis(end, x.rank());
  if (!first.ok()) return x.builder()->poison(first.status());
  if (!last.ok()) return x.builder()->poison(last.status());
  if (*first > *last) {
    return x.builder()->poison(
        absl::InvalidArgumentError(absl::StrCat("flatten from axis ", start, " to ", end)));
  }
  Shape shape(x.shape().begin(), x.shape().begin() + *first);
  shape.push_back(element_count(absl::MakeSpan(x.shape()).subspan(
      static_cast<size_t>(*first), static_cast<size_t>(*last - *first + 1))));
  shape.insert(shape.end(), x.shape().begin() + *last + 1, x.shape().end());
  return reshape(x, std::move(shape));
}

std::vector<Value> split(Value x, absl::Span<const int64_t> sizes, int64_t axis) {
  if (unusable(x)) return std::vector<Value>(sizes.size(), x);
  const auto normal = normal_axis(axis, x.rank());
  if (!normal.ok()) return std::vector<Value>(sizes.size(), x.builder()->poison(normal.status()));
  int64_t total = 0;
  for (int64_t size : sizes) {
    if (size < 0) {
      return std::vector<Value>(sizes.size(), x.builder()->poison(absl::InvalidArgumentError(
                                                  absl::StrCat("split has a size of ", size))));
    }
    total += size;
  }
  x.builder()->require_equal(x.dim(*normal), total, "extents of split");
  std::vector<Value> parts;
  int64_t start = 0;
  for (int64_t size : sizes) {
    parts.push_back(slice_axis(x, axis, start, start + size));
    start += size;
  }
  return parts;
}

std::vector<Value> chunk(Value x, int64_t count, int64_t axis) {
  const auto n = static_cast<size_t>(std::max<int64_t>(count, 0));
  if (unusable(x)) return std::vector<Value>(n, x);
  const auto normal = normal_axis(axis, x.rank());
  if (!normal.ok()) return std::vector<Value>(n, x.builder()->poison(normal.status()));
  if (count < 1) {
    x.builder()->poison(absl::InvalidArgumentError(absl::StrCat(count, " chunks")));
    return {};
  }
  const Dim extent = x.dim(*normal), each = extent / count;
  x.builder()->require_equal(each * count, extent,
                             absl::StrCat("axis ", axis, " is cut into ", count, " equal pieces"));
  std::vector<Value> parts;
  for (int64_t i = 0; i < count; ++i) {
    parts.push_back(slice_axis(x, axis, each * i, each * (i + 1)));
  }
  return parts;
}

Value flip(Value x, std::vector<int64_t> axes) {
  if (unusable(x)) return x;
  SliceAttributes a = whole(x);
  for (int64_t axis : axes) {
    const auto normal = normal_axis(axis, x.rank());
    if (!normal.ok()) return x.builder()->poison(normal.status());
    const auto d = static_cast<size_t>(*normal);
    a.starts[d] = x.shape()[d] - 1;
    a.limits[d] = -1;
    a.steps[d] = -1;
  }
  return axes.empty() ? x : slice(x, std::move(a));
}

Value stack(absl::Span<const Value> xs, int64_t axis) {
  std::vector<Value> wide;
  for (const Value& x : xs) wide.push_back(unsqueeze(x, {axis}));
  return concat(wide, axis);
}

Value tile(Value x, std::vector<int64_t> repeats) {
  if (unusable(x)) return x;
  if (static_cast<int>(repeats.size()) != x.rank()) {
    return x.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("tile has ", repeats.size(), " repeats for ", to_string(x.type()))));
  }
  for (int64_t count : repeats) {
    if (count < 0) {
      return x.builder()->poison(
          absl::InvalidArgumentError(absl::StrCat("tile has repeats of ", count)));
    }
  }
  // Each axis gets one of repeats before it, and both become one.
  Shape apart, spread, joined;
  for (size_t d = 0; d < repeats.size(); ++d) {
    apart.insert(apart.end(), {1, x.shape()[d]});
    spread.insert(spread.end(), {repeats[d], x.shape()[d]});
    joined.push_back(x.shape()[d] * repeats[d]);
  }
  return reshape(broadcast_to(reshape(x, std::move(apart)), std::move(spread)), std::move(joined));
}

namespace {
Value triangle(Value x, int64_t diagonal, bool lower) {
  if (unusable(x)) return x;
  if (x.rank() < 2) {
    return x.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("no diagonal in a value of type ", to_string(x.type()))));
  }
  // Behind the last element of any matrix, where a sum with its row does not overflow yet.
  constexpr int64_t kBehind = int64_t{1} << 52;
  diagonal = std::clamp(diagonal, -kBehind, kBehind);
  const Value row = iota(*x.builder(), {x.dim(-2), 1}, {.axis = 0});
  const Value column = iota(*x.builder(), {1, x.dim(-1)}, {.axis = 1});
  const Value limit = row + static_cast<double>(diagonal);
  const Value keep = lower ? less_equal(column, limit) : greater_equal(column, limit);
  return where(keep, x, 0.0);
}
}  // namespace

Value tril(Value x, int64_t diagonal) { return triangle(x, diagonal, true); }
Value triu(Value x, int64_t diagonal) { return triangle(x, diagonal, false); }

Value full(Value like, Shape shape, double value) {
  if (unusable(like)) return like;
  return broadcast_to(like.builder()->scalar(value, like.dtype()), std::move(shape));
}

Value full_like(Value x, double value) { return full(x, x.shape(), value); }
Value zeros_like(Value x) { return full_like(x, 0); }
Value ones_like(Value x) { return full_like(x, 1); }

Value sum_to(Value x, const Shape& shape) {
  if (unusable(x) || x.shape() == shape) return x;
  std::vector<int64_t> axes;
  const size_t lead = x.shape().size() - std::min(x.shape().size(), shape.size());
  for (size_t d = 0; d < x.shape().size(); ++d) {
    const bool repeated = d < lead || (shape[d - lead] == Dim(1) && !(x.shape()[d] == Dim(1)));
    if (repeated) axes.push_back(static_cast<int64_t>(d));
  }
  if (!axes.empty()) x = reduce_sum(x, {.axes = axes, .keepdims = true});
  return reshape(x, shape);
}

}  // namespace modellib
