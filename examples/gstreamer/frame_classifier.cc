#include "modellib/examples/gstreamer/frame_classifier.h"

#include <algorithm>

namespace modellib::examples {

api::Result<FrameClassifier> FrameClassifier::load(const std::string& plan) {
  api::Result<api::Plan> loaded = api::Plan::load(plan);
  if (!loaded) return loaded.status();
  const auto input = loaded->input_info(0, 0);
  const auto output = loaded->output_info(0, 0);
  if (!input || !output || input->dtype != MODELLIB_F32 || output->dtype != MODELLIB_F32 ||
      input->rank != 4 || input->dynamic != 0 || output->dynamic != 0 ||
      input->max_extents[0] != 1 || input->max_extents[1] != 3) {
    return api::Status(MODELLIB_INVALID_ARGUMENT,
                       plan + ": expected a plan from f32 [1, 3, height, width] to f32 scores");
  }
  api::Result<api::Session> session = api::Session::create(*loaded);
  if (!session) return session.status();
  const auto height = static_cast<int>(input->max_extents[2]);
  const auto width = static_cast<int>(input->max_extents[3]);
  FrameClassifier classifier(*std::move(loaded), *std::move(session));
  classifier.height_ = height;
  classifier.width_ = width;
  classifier.input_.resize(size_t{3} * static_cast<size_t>(height) * static_cast<size_t>(width));
  const api::Status bound =
      classifier.session_.bind_input(0, 0, classifier.input_.data(), {1, 3, height, width});
  if (!bound) return bound;
  return classifier;
}

api::Result<FrameClassifier::Class> FrameClassifier::classify(const uint8_t* pixels,
                                                              ptrdiff_t stride) {
  float* to = input_.data();
  for (int channel = 0; channel < 3; ++channel) {
    for (int y = 0; y < height_; ++y) {
      const uint8_t* row = pixels + y * stride + channel;
      for (int x = 0; x < width_; ++x) *to++ = static_cast<float>(row[3 * x]) / 255.0f;
    }
  }
  if (const api::Status ran = session_.run(0); !ran) return ran;
  const api::Result<api::Tensor> scores = session_.output(0, 0);
  if (!scores) return scores.status();
  const auto* begin = scores->as<float>();
  const auto* best = std::max_element(begin, begin + scores->bytes / sizeof(float));
  return Class{static_cast<int>(best - begin), *best};
}

}  // namespace modellib::examples
