// A model of pictures, ready for several callers at a time: one plan and a session for each.
#ifndef MODELLIB_EXAMPLES_OCR_MODEL_H_
#define MODELLIB_EXAMPLES_OCR_MODEL_H_

#include <tbb/concurrent_queue.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "modellib/modellib.hpp"

namespace modellib::examples {

class Model {
 public:
  // Compiles the ONNX file for these dimensions. `sessions` of one thread each.
  static api::Result<std::unique_ptr<Model>> load(const std::string& path,
                                                  const std::vector<modellib_dim_range>& dims,
                                                  int sessions);

  // Runs the model on f32 [1, 3, height, width] and shows `use` its output. Any number of threads
  // may call it; where all sessions are taken it waits for one.
  api::Status run(const std::vector<float>& input, int64_t height, int64_t width,
                  const std::function<void(const api::Tensor&)>& use);

 private:
  explicit Model(api::Plan plan) : plan_(std::move(plan)) {}

  api::Plan plan_;
  std::vector<api::Session> sessions_;
  tbb::concurrent_bounded_queue<api::Session*> free_;
};

}  // namespace modellib::examples

#endif  // MODELLIB_EXAMPLES_OCR_MODEL_H_
