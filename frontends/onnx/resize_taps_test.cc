#include "modellib/frontends/onnx/resize_taps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace modellib::onnx {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;

TEST(ResizeTaps, NearestRoundsHalvesDownUnlessToldOtherwise) {
  const ResizeAxis half{.in = 4, .out = 2, .scale = 0.5};
  // Coordinates 0.5 and 2.5.
  EXPECT_THAT(resize_taps(half, {}).indices[0], ElementsAre(0, 2));
  EXPECT_THAT(resize_taps(half, {.nearest = "round_prefer_ceil"}).indices[0], ElementsAre(1, 3));
  EXPECT_THAT(resize_taps(half, {.nearest = "ceil"}).indices[0], ElementsAre(1, 3));
}

// 6 / 1.2 is 5, in f32 as well as on paper; the f32 next to 1.2 lies above it.
TEST(ResizeTaps, CoordinatesAreThoseOfF32) {
  const ResizeTaps taps = resize_taps({.in = 10, .out = 12, .scale = 1.2f},
                                      {.coordinates = "asymmetric", .nearest = "floor"});
  EXPECT_EQ(taps.indices[0][6], 5);
}

TEST(ResizeTaps, LinearSharesBetweenNeighboursAndStaysInside) {
  const ResizeTaps taps = resize_taps({.in = 2, .out = 4, .scale = 2}, {.interpolation = "linear"});
  // Coordinates -0.25, 0.25, 0.75, 1.25.
  EXPECT_THAT(taps.indices[0], ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(taps.indices[1], ElementsAre(0, 1, 1, 1));
  EXPECT_THAT(taps.weights[1], ElementsAre(0.75, 0.25, 0.75, 0.25));
}

TEST(ResizeTaps, CubicWeightsSumToOne) {
  for (bool antialias : {false, true}) {
    const ResizeTaps taps = resize_taps(
        {.in = 10, .out = 7, .scale = 0.7},
        {.interpolation = "cubic", .exclude_outside = antialias, .antialias = antialias});
    EXPECT_EQ(taps.indices.size(), antialias ? 6u : 4u);
    for (size_t i = 0; i < 7; ++i) {
      double sum = 0;
      for (const auto& weights : taps.weights) sum += weights[i];
      EXPECT_THAT(sum, DoubleNear(1, 1e-12));
    }
  }
}

TEST(ResizeTaps, AreCountedAhead) {
  const ResizeAxis fifth{.in = 10, .out = 2, .scale = 0.2f};
  EXPECT_EQ(tap_count(fifth, {}), 1);
  EXPECT_EQ(tap_count(fifth, {.interpolation = "linear"}), 2);
  EXPECT_EQ(tap_count(fifth, {.interpolation = "cubic"}), 4);
  EXPECT_EQ(tap_count({.in = 1 << 26, .out = 1, .scale = 0x1p-26f},
                      {.interpolation = "linear", .antialias = true}),
            int64_t{1} << 27);
}

TEST(ResizeTaps, CropsMayLeaveTheOperand) {
  const ResizeTaps taps =
      resize_taps({.in = 4, .out = 3, .scale = 0.75, .roi_start = 0, .roi_end = 1.5},
                  {.interpolation = "linear", .coordinates = "tf_crop_and_resize"});
  EXPECT_THAT(taps.outside, ElementsAre(false, false, true));
}

}  // namespace
}  // namespace modellib::onnx
