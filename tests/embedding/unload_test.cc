// Loads a shared library, uses it, closes it, again and again, with helpers of TBB's still on their
// way out each time: unload_test LIBRARY PLAN runs the plan, unload_test LIBRARY compiles a model
// and runs that.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "modellib/compiler.h"
#include "modellib/modellib.h"

namespace {

std::string library;
std::string plan_file;  // empty: kModel

// A convolution through oneDNN.
constexpr char kModel[] = R"(graph "main" (x: f32[1,8,66,66], filter: f32[16,8,3,3]) {
  y = conv(x, filter) {padding_low: [0, 0], padding_high: [0, 0]}
  return y
})";

// Inputs are ones.
struct Work {
  std::vector<std::vector<int64_t>> inputs;  // their extents
  size_t outputs;                            // elements of the output
  float each;                                // and what they are
};
const Work kPlanWork = {{{64, 512}}, 64 * 512, 512};
const Work kModelWork = {{{1, 8, 66, 66}, {16, 8, 3, 3}}, 16 * 64 * 64, 8 * 3 * 3};

template <class Function>
Function* find(void* handle, const char* name, Function*) {
  return reinterpret_cast<Function*>(dlsym(handle, name));
}
#define FIND(handle, function) find(handle, #function, static_cast<decltype(function)*>(nullptr))

void use_once() {
  void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(handle, nullptr) << dlerror();
  modellib_plan* plan = nullptr;
  if (plan_file.empty()) {
    ASSERT_EQ(FIND(handle, modellib_compile_memory)(kModel, sizeof(kModel) - 1, nullptr, &plan),
              MODELLIB_OK)
        << FIND(handle, modellib_error_message)();
  } else {
    ASSERT_EQ(FIND(handle, modellib_plan_load_file)(plan_file.c_str(), nullptr, &plan), MODELLIB_OK)
        << FIND(handle, modellib_error_message)();
  }
  modellib_session_options options = {};
  options.size = sizeof(options);
  options.threads = 4;
  modellib_session* session = nullptr;
  ASSERT_EQ(FIND(handle, modellib_session_create)(plan, &options, &session), MODELLIB_OK);
  const Work& work = plan_file.empty() ? kModelWork : kPlanWork;
  const std::vector<float> ones(size_t{64} * 1024, 1);  // enough for all
  for (size_t i = 0; i < work.inputs.size(); ++i) {
    const std::vector<int64_t>& extents = work.inputs[i];
    ASSERT_EQ(FIND(handle, modellib_session_bind_input)(session, 0, static_cast<int32_t>(i),
                                                        ones.data(), extents.data(),
                                                        static_cast<int32_t>(extents.size())),
              MODELLIB_OK);
  }
  std::vector<float> y(work.outputs);
  ASSERT_EQ(FIND(handle, modellib_session_bind_output)(session, 0, 0, y.data(), y.size() * 4),
            MODELLIB_OK);
  ASSERT_EQ(FIND(handle, modellib_session_run)(session, 0, nullptr), MODELLIB_OK);
  // A text of this thread, which outlives the handle.
  EXPECT_EQ(FIND(handle, modellib_session_run)(session, 9, nullptr), MODELLIB_INVALID_ARGUMENT);
  FIND(handle, modellib_session_free)(session);
  FIND(handle, modellib_plan_free)(plan);
  EXPECT_EQ(dlclose(handle), 0);
  for (const float value : y) ASSERT_NEAR(value, work.each, 1e-3);
}

TEST(SharedLibrary, MayBeClosed) {
  for (int i = 0; i < 20; ++i) use_once();
  // On threads that end before and after.
  for (int i = 0; i < 10; ++i) std::thread(use_once).join();
  const auto threads = std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                                     std::filesystem::directory_iterator());
  EXPECT_LE(threads, 8) << "TBB's threads are few, however often the library came and went";
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 2 && argc != 3) return 2;
  library = argv[1];
  if (argc == 3) plan_file = argv[2];
  return RUN_ALL_TESTS();
}
