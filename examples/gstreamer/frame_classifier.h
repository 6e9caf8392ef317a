// A plan that classifies pictures, and its session: what the element runs on each frame. Knows
// nothing of GStreamer.
#ifndef MODELLIB_EXAMPLES_GSTREAMER_FRAME_CLASSIFIER_H_
#define MODELLIB_EXAMPLES_GSTREAMER_FRAME_CLASSIFIER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "modellib/modellib.hpp"

namespace modellib::examples {

class FrameClassifier {
 public:
  // Of a plan from f32 [1, 3, height, width], red, green and blue from 0 to 1, to one score for
  // each class, f32. INVALID_ARGUMENT for any other.
  static api::Result<FrameClassifier> load(const std::string& plan);

  int width() const { return width_; }
  int height() const { return height_; }

  struct Class {
    int index;
    float score;
  };
  // The class with the highest score. Rows of RGB, three bytes a pixel, begin `stride` bytes apart.
  api::Result<Class> classify(const uint8_t* pixels, ptrdiff_t stride);

 private:
  FrameClassifier(api::Plan plan, api::Session session)
      : plan_(std::move(plan)), session_(std::move(session)) {}

  api::Plan plan_;
  api::Session session_;
  int width_ = 0;
  int height_ = 0;
  std::vector<float> input_;
};

}  // namespace modellib::examples

#endif  // MODELLIB_EXAMPLES_GSTREAMER_FRAME_CLASSIFIER_H_
