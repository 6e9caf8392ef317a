// Resize and its predecessor Upsample: repeated elements where that is all it comes to; else, axis
// by axis, weighted sums of gathered elements.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/frontends/onnx/resize_taps.h"
#include "modellib/ops/index.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/repeat.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {
namespace {

// What is asked for one axis.
struct Target {
  Dim out;
  float scale = 1;          // meaningless if !scale_known
  bool scale_known = true;  // false: it is out / in, one of them being free
  float roi_start = 0, roi_end = 1;
  bool rounds_up = false;  // "nearest" is the next element, whatever the mode says
};

// in * scale, rounded down. The product is one in f32, as ONNX Runtime's: 10 times the f32 that is
// next to 0.7 is 7, though it lies below.
int64_t scaled(int64_t in, float scale) {
  return static_cast<int64_t>(scale * static_cast<float>(in));
}

// Up to which extent a free one is scaled as a known one; above, the product may be exact where the
// f32 is rounded up to a whole number.
constexpr int64_t kMostFree = 1 << 14;

// The scale as a fraction of small numbers that comes to the same, if there is one.
std::optional<Dim> scaled_by_fraction(const Dim& in, float scale) {
  for (int64_t denominator = 1; denominator <= 64; ++denominator) {
    const double exact = static_cast<double>(scale) * static_cast<double>(denominator);
    const auto numerator = static_cast<int64_t>(std::nearbyint(exact));
    if (!(std::fabs(exact - static_cast<double>(numerator)) < 1e-6 * exact)) continue;
    bool same = true;
    for (int64_t n = 1; n <= kMostFree && same; ++n) {
      same = scaled(n, scale) == n * numerator / denominator;
    }
    if (same) return in * numerator / denominator;
  }
  return std::nullopt;
}

// With the exact value p / q of the scale, q being a power of 2: the f32 of a product between 2^b
// and 2^(b + 1) is rounded up to a whole number that is at most 2^(b - 24) above it, half of its
// last place. Below 1, b is -1.
Dim scaled_exactly(const Dim& in, float scale) {
  constexpr int kBits = std::numeric_limits<float>::digits;
  int exponent = 0;
  auto p = static_cast<int64_t>(std::ldexp(std::frexp(scale, &exponent), kBits));
  int64_t q = int64_t{1} << (kBits - exponent);
  const int64_t common = std::gcd(p, q);
  p /= common;
  q /= common;
  Dim out = in * p / q;
  for (int64_t n = 1; n <= kMostFree; ++n) {
    if (scaled(n, scale) == n * p / q) continue;
    const int b = std::ilogb(static_cast<double>(n) * p / q);
    const auto half = static_cast<int64_t>(std::ldexp(static_cast<double>(q), b - kBits));
    // From the first extent of this b on; before it, the term is too small to count.
    const int64_t power = b < 0 ? q >> -b : q << b;  // 2^b q
    const int64_t first = (power + p - 1) / p;
    out = max(out, (in * p + half) / q - max(Dim(first) - in, 0));
    while (n < kMostFree && std::ilogb(static_cast<double>(n + 1) * p / q) == b) ++n;
  }
  return out;
}

absl::StatusOr<Dim> scaled(const Dim& in, float scale) {
  if (!(scale >= 1e-6f) || scale > 1e6f) {
    return absl::InvalidArgumentError(absl::StrCat("a scale of ", scale));
  }
  if (!in.is_static()) {
    return scaled_by_fraction(in, scale).value_or(scaled_exactly(in, scale));
  }
  constexpr int64_t kMost = int64_t{1} << 40;
  if (in.value() > kMost) {
    return absl::InvalidArgumentError(absl::StrCat("an axis of ", in.value(), " is too long"));
  }
  return Dim(scaled(in.value(), scale));
}

template <class T>
Value vector_along(Value like, const std::vector<T>& numbers, int axis, DType dtype) {
  Tensor t = *Tensor::zeros(dtype, {static_cast<int64_t>(numbers.size())});
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (is_floating(dtype)) {
      t.set(static_cast<int64_t>(i), static_cast<double>(numbers[i]));
    } else {
      t.set_int(static_cast<int64_t>(i), static_cast<int64_t>(numbers[i]));
    }
  }
  const Value v = like.builder()->constant(std::move(t));
  if (axis < 0) return v;
  Shape shape(like.shape().size(), 1);
  shape[static_cast<size_t>(axis)] = static_cast<int64_t>(numbers.size());
  return reshape(v, std::move(shape));
}

absl::StatusOr<Value> resize_static(NodeView& n, Value x, int axis, const ResizeAxis& a,
                                    const ResizeMode& mode) {
  constexpr int64_t kMostTaps = 4096;
  const int64_t count = tap_count(a, mode);
  if (count > kMostTaps) {
    return absl::UnimplementedError(absl::StrCat("an axis of ", a.in, " resized to ", a.out,
                                                 " from ", count, " elements each"));
  }
  MODELLIB_RETURN_IF_ERROR(n.context().make_room(count * a.out));
  const ResizeTaps taps = resize_taps(a, mode);
  Value sum;
  for (size_t t = 0; t < taps.indices.size(); ++t) {
    Value part = gather(x, vector_along(x, taps.indices[t], -1, DType::kI64), axis);
    if (!taps.weights.empty()) part = part * vector_along(part, taps.weights[t], axis, x.dtype());
    sum = sum.is_null() ? part : sum + part;
  }
  if (std::find(taps.outside.begin(), taps.outside.end(), true) != taps.outside.end()) {
    const Value outside = vector_along(sum, taps.outside, axis, DType::kBool);
    sum = where(outside, mode.extrapolation_value, sum);
  }
  return sum;
}

// By how much an axis grows, if it is by a whole factor.
std::optional<int64_t> whole_factor(const Dim& in, const Target& target) {
  const auto fits = [&](int64_t factor) { return target.out == in * factor; };
  if (target.scale_known) {
    const float scale = target.scale;
    if (scale < 1 || scale > 1e6 || scale != std::floor(scale)) return std::nullopt;
    const auto factor = static_cast<int64_t>(scale);
    return fits(factor) ? std::optional(factor) : std::nullopt;
  }
  if (in.is_static() && target.out.is_static()) {
    if (in.value() < 1 || target.out.value() < in.value()) return std::nullopt;
    const int64_t factor = target.out.value() / in.value();
    return fits(factor) ? std::optional(factor) : std::nullopt;
  }
  constexpr int64_t kMost = 64;
  for (int64_t factor = 1; factor <= kMost; ++factor) {
    if (fits(factor)) return factor;
  }
  return std::nullopt;
}

// Whether "nearest" by a whole factor comes to repeating elements: each coordinate must be taken to
// the element that it lies in.
bool repeats_elements(const ResizeMode& mode) {
  if (mode.interpolation != "nearest") return false;
  if (mode.coordinates == "half_pixel" || mode.coordinates == "pytorch_half_pixel")
    return mode.nearest.rfind("round", 0) == 0;
  return mode.nearest == "floor" &&
         (mode.coordinates == "asymmetric" || mode.coordinates == "tf_half_pixel_for_nn");
}

// With extents that are known when they are bound: the coordinates are computed in the graph.
absl::StatusOr<Value> resize_free(Value x, int axis, const Target& target, const ResizeMode& mode) {
  GraphBuilder& b = *x.builder();
  const Dim in = x.dim(axis);
  const bool linear = mode.interpolation == "linear";
  if ((!linear && mode.interpolation != "nearest") || mode.antialias || mode.exclude_outside ||
      mode.coordinates == "tf_crop_and_resize" || mode.coordinates == "half_pixel_symmetric") {
    return absl::UnimplementedError(absl::StrCat("mode ", mode.interpolation, " with ",
                                                 mode.coordinates, " over the free extent ",
                                                 in.to_string()));
  }
  const auto as_float = [&](const Dim& d) { return cast(dim_value(b, d), DType::kF32); };
  const Value at = iota(b, {target.out}, {.axis = 0, .dtype = DType::kF32});
  const Value scale =
      target.scale_known ? b.scalar(target.scale) : as_float(target.out) / as_float(in);
  Value coordinate;
  if (mode.coordinates == "asymmetric") {
    coordinate = at / scale;
  } else if (mode.coordinates == "align_corners") {
    coordinate = at * as_float(in - 1) / maximum(as_float(target.out - 1), 1.0);
  } else if (mode.coordinates == "tf_half_pixel_for_nn") {
    coordinate = (at + 0.5) / scale;
  } else {
    coordinate = (at + 0.5) / scale - 0.5;
    if (mode.coordinates == "pytorch_half_pixel") {
      coordinate = where(equal(as_float(target.out), 1), 0.0, coordinate);
    }
  }
  const Value last = as_float(in - 1);
  const auto pick = [&](Value place) {
    return gather(x, cast(minimum(maximum(place, 0), last), DType::kI64), axis);
  };
  if (!linear) {
    if (mode.nearest == "floor") return pick(floor(coordinate));
    if (mode.nearest == "ceil") return pick(ceil(coordinate));
    // Adding a half could round to a whole number.
    const Value whole = floor(coordinate), rest = coordinate - whole;
    const Value up =
        mode.nearest == "round_prefer_ceil" ? greater_equal(rest, 0.5) : greater(rest, 0.5);
    return pick(where(up, whole + 1.0, whole));
  }
  const Value before = floor(coordinate);
  Shape along(x.shape().size(), 1);
  along[static_cast<size_t>(axis)] = target.out;
  const Value weight = cast(reshape(coordinate - before, along), x.dtype());
  const Value low = pick(before), high = pick(before + 1.0);
  return low + (high - low) * weight;
}

absl::StatusOr<Values> resize_axes(NodeView& n, const std::vector<Target>& targets,
                                   const ResizeMode& given) {
  Value x = n.in(0);
  ResizeMode mode = given;
  for (const char* known : {"nearest", "linear", "cubic", ""}) {
    if (*known == 0) return absl::InvalidArgumentError(absl::StrCat("mode ", mode.interpolation));
    if (mode.interpolation == known) break;
  }
  // Weights are fractions: integers are interpolated as floats.
  const DType dtype = x.dtype();
  const bool nearest = mode.interpolation == "nearest";
  if (!nearest && !is_real(dtype)) {
    return absl::UnimplementedError(
        absl::StrCat("mode ", mode.interpolation, " of ", to_string(dtype)));
  }
  std::vector<int64_t> repeats(static_cast<size_t>(x.rank()), 1);
  for (int axis = 0; axis < x.rank(); ++axis) {
    const Target& target = targets[static_cast<size_t>(axis)];
    mode.nearest = target.rounds_up ? "ceil" : given.nearest;
    const Dim in = x.dim(axis);
    const bool crops = mode.coordinates == "tf_crop_and_resize";
    const bool same = target.out == in && (!target.scale_known || target.scale == 1) && !crops;
    if (same || (crops && target.out == in && target.roi_start == 0 && target.roi_end == 1)) {
      continue;
    }
    if (const auto factor = whole_factor(in, target); factor && repeats_elements(mode)) {
      repeats[static_cast<size_t>(axis)] = *factor;
    } else if (in.is_static() && target.out.is_static()) {
      constexpr int64_t kMost = 1 << 20;
      if (target.out.value() > kMost || target.out.value() < 1 || in.value() < 1) {
        return absl::InvalidArgumentError(
            absl::StrCat("an axis of ", in.value(), " resized to ", target.out.value()));
      }
      ResizeAxis a{.in = in.value(), .out = target.out.value()};
      a.scale =
          target.scale_known ? target.scale : static_cast<float>(a.out) / static_cast<float>(a.in);
      a.roi_start = target.roi_start;
      a.roi_end = target.roi_end;
      MODELLIB_ASSIGN_OR_RETURN(x, resize_static(n, x, axis, a, mode));
    } else {
      MODELLIB_ASSIGN_OR_RETURN(x, resize_free(x, axis, target, mode));
    }
  }
  // Last: what else there is to do has less to do before.
  return Values{repeat_interleave(x, std::move(repeats))};
}

absl::StatusOr<std::vector<Target>> by_scales(const Value& x, const std::vector<double>& scales,
                                              const std::vector<int64_t>& axes) {
  std::vector<Target> targets;
  for (const Dim& d : x.shape()) targets.push_back({.out = d});
  if (scales.size() != axes.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(scales.size(), " scales for ", axes.size(), " axes"));
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, front_axis(axes[i], x.rank()));
    Target& target = targets[static_cast<size_t>(axis)];
    target.scale = static_cast<float>(scales[i]);
    MODELLIB_ASSIGN_OR_RETURN(target.out, scaled(x.dim(static_cast<int>(axis)), target.scale));
  }
  return targets;
}

std::vector<int64_t> all_axes(const Value& x) {
  std::vector<int64_t> axes;
  for (int d = 0; d < x.rank(); ++d) axes.push_back(d);
  return axes;
}

// Upsample, and Resize of version 10: coordinates are divided by the scale and, as ONNX Runtime has
// it, rounded down where the axis grows and up where it shrinks.
absl::StatusOr<Values> upsample(NodeView& n) {
  std::vector<double> scales;
  if (n.inputs() > 1) {
    MODELLIB_ASSIGN_OR_RETURN(scales, n.known_reals(1));
  } else {
    scales = n.reals("scales");
  }
  MODELLIB_ASSIGN_OR_RETURN(auto targets, by_scales(n.in(0), scales, all_axes(n.in(0))));
  for (Target& target : targets) target.rounds_up = target.scale < 1;
  ResizeMode mode;
  mode.interpolation = n.text("mode", "nearest");
  if (mode.interpolation == "bilinear") mode.interpolation = "linear";
  mode.coordinates = "asymmetric";
  mode.nearest = "floor";
  return resize_axes(n, targets, mode);
}

// Makes sizes keep the ratio of the extents; the scale that all axes then have.
absl::StatusOr<float> keep_ratio(const Value& x, const std::vector<int64_t>& axes, bool larger,
                                 Shape& sizes) {
  float scale = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const Dim in = x.dim(static_cast<int>(axes[i]));
    if (!in.is_static() || !sizes[i].is_static() || in.value() < 1) {
      return absl::UnimplementedError("keep_aspect_ratio_policy with free extents");
    }
    const float own = static_cast<float>(sizes[i].value()) / static_cast<float>(in.value());
    scale = i == 0 ? own : larger ? std::max(scale, own) : std::min(scale, own);
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto in = static_cast<float>(x.dim(static_cast<int>(axes[i])).value());
    const float out = std::round(scale * in);
    if (!(std::fabs(out) < 1e15f))
      return absl::InvalidArgumentError(absl::StrCat("a size of ", out));
    sizes[i] = static_cast<int64_t>(out);
  }
  return scale;
}

absl::StatusOr<Values> resize(NodeView& n) {
  const Value x = n.in(0);
  ResizeMode mode;
  mode.interpolation = n.text("mode", "nearest");
  mode.coordinates = n.text("coordinate_transformation_mode", "half_pixel");
  mode.nearest = n.text("nearest_mode", "round_prefer_floor");
  mode.cubic_coeff_a = n.real("cubic_coeff_a", -0.75);
  mode.exclude_outside = n.flag("exclude_outside", false);
  mode.antialias = n.flag("antialias", false);
  mode.extrapolation_value = n.real("extrapolation_value", 0);
  std::vector<int64_t> axes = n.integers("axes");
  if (axes.empty()) axes = all_axes(x);
  for (int64_t& axis : axes) {
    MODELLIB_ASSIGN_OR_RETURN(axis, front_axis(axis, x.rank()));
  }
  const auto given = [&](int i) {
    return n.has(i) && !(n.in(i).rank() == 1 && n.in(i).dim(0) == Dim(0));
  };
  if (given(2) == given(3)) return absl::InvalidArgumentError("it needs either scales or sizes");
  const std::string policy = n.text("keep_aspect_ratio_policy", "stretch");
  if (policy != "stretch" && policy != "not_larger" && policy != "not_smaller") {
    return absl::InvalidArgumentError(absl::StrCat("keep_aspect_ratio_policy '", policy, "'"));
  }
  std::vector<Target> targets;
  if (given(2)) {
    MODELLIB_ASSIGN_OR_RETURN(const auto scales, n.known_reals(2));
    MODELLIB_ASSIGN_OR_RETURN(targets, by_scales(x, scales, axes));
  } else {
    MODELLIB_ASSIGN_OR_RETURN(Shape sizes, n.known_dims(3));
    if (sizes.size() != axes.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(sizes.size(), " sizes for ", axes.size(), " axes"));
    }
    std::optional<float> common;
    if (policy != "stretch") {
      MODELLIB_ASSIGN_OR_RETURN(common, keep_ratio(x, axes, policy == "not_smaller", sizes));
    }
    for (const Dim& d : x.shape()) targets.push_back({.out = d});
    for (size_t i = 0; i < axes.size(); ++i) {
      Target& target = targets[static_cast<size_t>(axes[i])];
      target.out = sizes[i];
      target.scale_known = common.has_value();
      target.scale = common.value_or(1);
    }
  }
  if (mode.coordinates == "tf_crop_and_resize") {
    MODELLIB_ASSIGN_OR_RETURN(const auto roi, n.known_reals(1));
    if (roi.size() != 2 * axes.size()) return absl::InvalidArgumentError("roi has another length");
    for (size_t i = 0; i < axes.size(); ++i) {
      Target& target = targets[static_cast<size_t>(axes[i])];
      target.roi_start = static_cast<float>(roi[i]);
      target.roi_end = static_cast<float>(roi[axes.size() + i]);
      for (const float end : {target.roi_start, target.roi_end}) {
        constexpr float kMost = 1e6f;
        if (!(std::fabs(end) <= kMost)) {
          return absl::InvalidArgumentError(absl::StrCat("a roi with ", end));
        }
      }
    }
  }
  return resize_axes(n, targets, mode);
}

constexpr OpEntry kEntries[] = {
    {"Resize", 10, 11, 2, 2, Takes::kNumber, upsample},
    {"Resize", 11, kNow, 1, 4, Takes::kNumber, resize},
    {"Upsample", 7, 9, 1, 1, Takes::kNumber, upsample},
    {"Upsample", 9, 10, 2, 2, Takes::kNumber, upsample},
};

}  // namespace

absl::Span<const OpEntry> resize_entries() { return kEntries; }

}  // namespace modellib::onnx
