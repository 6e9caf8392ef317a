#include "modellib/frontends/onnx/resize_taps.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace modellib::onnx {
namespace {

double linear_weight(double distance) { return std::max(0.0, 1 - std::fabs(distance)); }

double cubic_weight(double distance, double a) {
  const double d = std::fabs(distance);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

double nearest_place(double x, const std::string& mode) {
  if (mode == "floor") return std::floor(x);
  if (mode == "ceil") return std::ceil(x);
  if (mode == "round_prefer_ceil") return std::floor(x + 0.5);
  return std::ceil(x - 0.5);  // round_prefer_floor
}

// A filter that shrinks looks at all the elements that come together.
double stretch_of(const ResizeAxis& axis, const ResizeMode& mode) {
  return mode.antialias && axis.scale < 1 ? static_cast<double>(axis.scale) : 1.0;
}

}  // namespace

int64_t tap_count(const ResizeAxis& axis, const ResizeMode& mode) {
  if (mode.interpolation == "nearest") return 1;
  const double radius = mode.interpolation == "cubic" ? 2 : 1;
  return 2 * static_cast<int64_t>(std::ceil(radius / stretch_of(axis, mode)));
}

float resize_coordinate(float at, const ResizeAxis& axis, const std::string& coordinates) {
  const auto in = static_cast<float>(axis.in), out = static_cast<float>(axis.out);
  const float scale = axis.scale;
  if (coordinates == "asymmetric") return at / scale;
  if (coordinates == "align_corners") return axis.out == 1 ? 0 : at * (in - 1) / (out - 1);
  if (coordinates == "tf_half_pixel_for_nn") return (at + 0.5f) / scale;
  if (coordinates == "tf_crop_and_resize") {
    const float start = axis.roi_start, end = axis.roi_end;
    if (axis.out == 1) return 0.5f * (start + end) * (in - 1);
    return start * (in - 1) + at * (end - start) * (in - 1) / (out - 1);
  }
  if (coordinates == "half_pixel_symmetric") {
    // The rounding of the extent is shared by both ends.
    const float offset = in / 2 * (1 - out / (scale * in));
    return static_cast<float>(offset + (at + 0.5) / scale - 0.5);
  }
  if (coordinates == "pytorch_half_pixel" && axis.out == 1) return 0;
  return (at + 0.5f) / scale - 0.5f;  // half_pixel
}

ResizeTaps resize_taps(const ResizeAxis& axis, const ResizeMode& mode) {
  const auto count = static_cast<size_t>(axis.out);
  const int64_t last = axis.in - 1;
  ResizeTaps taps;
  taps.outside.assign(count, false);
  const bool nearest = mode.interpolation == "nearest";
  const double stretch = stretch_of(axis, mode);
  const auto width = static_cast<size_t>(tap_count(axis, mode));
  taps.indices.assign(width, std::vector<int64_t>(count, 0));
  if (!nearest) taps.weights.assign(width, std::vector<double>(count, 0));
  for (size_t i = 0; i < count; ++i) {
    const double x = resize_coordinate(static_cast<float>(i), axis, mode.coordinates);
    taps.outside[i] =
        mode.coordinates == "tf_crop_and_resize" && (x < 0 || x > static_cast<double>(last));
    const auto clamped = [&](double place) {
      return static_cast<int64_t>(std::clamp(place, 0.0, static_cast<double>(last)));
    };
    if (nearest) {
      taps.indices[0][i] = clamped(nearest_place(x, mode.nearest));
      continue;
    }
    const double first = std::floor(x) - std::floor(static_cast<double>(width) / 2) + 1;
    double sum = 0;
    for (size_t t = 0; t < width; ++t) {
      const double place = first + static_cast<double>(t);
      const double distance = (place - x) * stretch;
      double w = mode.interpolation == "cubic" ? cubic_weight(distance, mode.cubic_coeff_a)
                                               : linear_weight(distance);
      if (mode.exclude_outside && (place < 0 || place > static_cast<double>(last))) w = 0;
      taps.indices[t][i] = clamped(place);
      taps.weights[t][i] = w;
      sum += w;
    }
    // Only then the weights need not sum to 1.
    if ((mode.exclude_outside || stretch != 1) && sum != 0) {
      for (size_t t = 0; t < width; ++t) taps.weights[t][i] /= sum;
    }
  }
  return taps;
}

}  // namespace modellib::onnx
