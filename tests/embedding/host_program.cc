#include "modellib/tests/embedding/host_program.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>

#include "modellib/compiler.h"

namespace modellib::embedding {
namespace {

constexpr char kModel[] =
    R"(graph "busy" (image: f32[1,8,32,32], filter: f32[16,8,3,3], a: f32[192,256], b: f32[256,256]) {
  c = conv(image, filter) {padding_low: [1, 1], padding_high: [1, 1]}
  m = matmul(a, b)
  s = softmax(m) {axis: -1}
  t = reduce_sum(c) {axes: [0, 1, 2, 3]}
  y = add(s, t)
  return y
})";

std::vector<float> filled(size_t count, float scale) {
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) out[i] = scale * static_cast<float>(i * 37 % 101) - 0.3f;
  return out;
}

}  // namespace

modellib_plan* compile_busy_plan() {
  modellib_plan* plan = nullptr;
  if (modellib_compile_memory(kModel, std::strlen(kModel), nullptr, &plan) != MODELLIB_OK) {
    std::fprintf(stderr, "%s\n", modellib_error_message());
    std::abort();
  }
  return plan;
}

std::string write_busy_plan(const modellib_plan* plan) {
  std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/busy.mlplan";
  if (modellib_plan_write(plan, path.c_str()) != MODELLIB_OK) std::abort();
  return path;
}

std::vector<float> run_busy(modellib_session* session) {
  static const std::vector<float> inputs[] = {filled(1 * 8 * 32 * 32, 0.01f),
                                              filled(16 * 8 * 3 * 3, 0.02f),
                                              filled(192 * 256, 0.01f), filled(256 * 256, 0.005f)};
  static constexpr int64_t kExtents[][4] = {
      {1, 8, 32, 32}, {16, 8, 3, 3}, {192, 256, 0, 0}, {256, 256, 0, 0}};
  for (int i = 0; i < 4; ++i) {
    if (modellib_session_bind_input(session, 0, i, inputs[i].data(), kExtents[i], i < 2 ? 4 : 2) !=
        MODELLIB_OK) {
      return {};
    }
  }
  std::vector<float> out(192 * 256);
  if (modellib_session_bind_output(session, 0, 0, out.data(), out.size() * sizeof(float)) !=
          MODELLIB_OK ||
      modellib_session_run(session, 0, nullptr) != MODELLIB_OK) {
    return {};
  }
  return out;
}

std::vector<float> run_anew(const modellib_plan* plan, int threads) {
  modellib_session_options options = {};
  options.size = sizeof(options);
  options.threads = threads;
  modellib_session* session = nullptr;
  if (modellib_session_create(plan, &options, &session) != MODELLIB_OK) return {};
  std::vector<float> out = run_busy(session);
  modellib_session_free(session);
  return out;
}

int thread_count() {
  return static_cast<int>(std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                                        std::filesystem::directory_iterator()));
}

}  // namespace modellib::embedding
