// Compiles a model to a plan for batches of up to 32: compile_model MODEL PLAN
#include <cstdio>

#include "modellib/modellib.hpp"

namespace ml = modellib::api;

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: compile_model MODEL PLAN\n");
    return 2;
  }
  ml::CompileOptions options;
  options.dims = {{"batch", 1, 32}};
  options.log = [](modellib_log_level, const char* text) { std::printf("%s\n", text); };
  const ml::Result<ml::Plan> plan = ml::compile(argv[1], options);
  ml::Status status = plan.status();
  if (plan) status = plan->write(argv[2]);
  if (!status) std::fprintf(stderr, "%s\n", status.message().c_str());
  return status ? 0 : 1;
}
