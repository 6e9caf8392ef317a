#include "modellib/examples/ocr/model.h"

namespace modellib::examples {

api::Result<std::unique_ptr<Model>> Model::load(const std::string& path,
                                                const std::vector<modellib_dim_range>& dims,
                                                int sessions) {
  api::CompileOptions options;
  options.dims = dims;
  api::Result<api::Plan> plan = api::compile(path, options);
  if (!plan) return plan.status();
  std::unique_ptr<Model> model(new Model(*std::move(plan)));
  api::SessionOptions one_thread;
  one_thread.threads = 1;
  for (int i = 0; i < sessions; ++i) {
    api::Result<api::Session> session = api::Session::create(model->plan_, one_thread);
    if (!session) return session.status();
    model->sessions_.push_back(*std::move(session));
  }
  for (api::Session& session : model->sessions_) model->free_.push(&session);
  return model;
}

api::Status Model::run(const std::vector<float>& input, int64_t height, int64_t width,
                       const std::function<void(const api::Tensor&)>& use) {
  api::Session* session = nullptr;
  free_.pop(session);
  api::Status status = session->bind_input(0, 0, input.data(), {1, 3, height, width});
  if (status) status = session->run(0);
  if (status) {
    const api::Result<api::Tensor> output = session->output(0, 0);
    status = output.status();
    if (output) use(*output);
  }
  free_.push(session);
  return status;
}

}  // namespace modellib::examples
