// Runs the first entry of a plan on a batch of two, all inputs 1, and prints the first output:
// run_plan PLAN
//
// Inputs and outputs lie in the program's own memory; the second run goes on with other numbers in
// the same place.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "modellib/modellib.hpp"

namespace ml = modellib::api;

namespace {

ml::Status run(const char* path) {
  ml::Result<ml::Plan> plan = ml::Plan::load(path);
  if (!plan) return plan.status();
  ml::SessionOptions options;
  options.threads = 2;
  ml::Result<ml::Session> session = ml::Session::create(*plan, options);
  if (!session) return session.status();

  const ml::Result<modellib_tensor_info> info = plan->input_info(0, 0);
  if (!info) return info.status();
  std::vector<int64_t> extents(info->max_extents, info->max_extents + info->rank);
  size_t elements = 1;
  for (int32_t d = 0; d < info->rank; ++d) {
    if (info->dims[d] >= 0) extents[d] = 2;  // what is free: the batch
    elements *= static_cast<size_t>(extents[d]);
  }
  std::vector<float> input(elements, 1.0f);
  if (ml::Status status = session->bind_input(0, 0, input.data(), extents); !status) return status;

  for (const float value : {1.0f, 0.5f}) {
    std::fill(input.begin(), input.end(), value);
    ml::RunOptions within;
    within.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    if (ml::Status status = session->run(0, within); !status) return status;
    const ml::Result<ml::Tensor> output = session->output(0, 0);
    if (!output) return output.status();
    for (size_t i = 0; i < output->bytes / sizeof(float); ++i) {
      std::printf("%g ", output->as<float>()[i]);
    }
    std::printf("\n");
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: run_plan PLAN\n");
    return 2;
  }
  const ml::Status status = run(argv[1]);
  if (!status) std::fprintf(stderr, "%s\n", status.message().c_str());
  return status ? 0 : 1;
}
