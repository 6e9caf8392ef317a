// Where the elements of a resized axis come from: which elements of the operand, with what weights.
#ifndef MODELLIB_FRONTENDS_ONNX_RESIZE_TAPS_H_
#define MODELLIB_FRONTENDS_ONNX_RESIZE_TAPS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace modellib::onnx {

// The attributes of Resize, with the standard's names and defaults.
struct ResizeMode {
  std::string interpolation = "nearest";       // or "linear", "cubic"
  std::string coordinates = "half_pixel";      // coordinate_transformation_mode
  std::string nearest = "round_prefer_floor";  // nearest_mode
  double cubic_coeff_a = -0.75;
  bool exclude_outside = false;
  bool antialias = false;
  double extrapolation_value = 0;
};

// One axis.
struct ResizeAxis {
  int64_t in = 1;
  int64_t out = 1;
  float scale = 1;  // out / in, as given; rounding of `out` leaves a difference
  // Of the part that is resized, for tf_crop_and_resize.
  float roi_start = 0, roi_end = 1;
};

// Tap t of element i is element indices[t][i] times weights[t][i]. One tap without weights for
// "nearest". Elements that lie outside of the operand have `outside` set and take the
// extrapolation value (tf_crop_and_resize only).
struct ResizeTaps {
  std::vector<std::vector<int64_t>> indices;
  std::vector<std::vector<double>> weights;
  std::vector<bool> outside;
};

// How many taps each element has: 2 or 4, or as many more as antialias stretches the filter.
int64_t tap_count(const ResizeAxis& axis, const ResizeMode& mode);

// Formulas: the standard's text on Resize; weights of "cubic": Keys, "Cubic Convolution
// Interpolation for Digital Image Processing", 1981; antialias stretches the filter by 1 / scale.
ResizeTaps resize_taps(const ResizeAxis& axis, const ResizeMode& mode);

// The coordinate in the operand of element `at` of the result. In f32, step by step as ONNX Runtime
// computes it: on which side of a whole number it falls decides which element is the nearest.
float resize_coordinate(float at, const ResizeAxis& axis, const std::string& coordinates);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_RESIZE_TAPS_H_
