// Loads the shared library, uses it, closes it, again and again, with helpers of TBB's still on
// their way out each time.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "modellib/modellib.h"

namespace {

std::string library;
std::string plan_file;

template <class Function>
Function* find(void* handle, const char* name, Function*) {
  return reinterpret_cast<Function*>(dlsym(handle, name));
}
#define FIND(handle, function) find(handle, #function, static_cast<decltype(function)*>(nullptr))

void use_once() {
  void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(handle, nullptr) << dlerror();
  modellib_plan* plan = nullptr;
  ASSERT_EQ(FIND(handle, modellib_plan_load_file)(plan_file.c_str(), nullptr, &plan), MODELLIB_OK)
      << FIND(handle, modellib_error_message)();
  modellib_session_options options = {};
  options.size = sizeof(options);
  options.threads = 4;
  modellib_session* session = nullptr;
  ASSERT_EQ(FIND(handle, modellib_session_create)(plan, &options, &session), MODELLIB_OK);
  const std::vector<float> x(64 * 512, 1);
  std::vector<float> y(64 * 512);
  const int64_t extents[] = {64, 512};
  ASSERT_EQ(FIND(handle, modellib_session_bind_input)(session, 0, 0, x.data(), extents, 2),
            MODELLIB_OK);
  ASSERT_EQ(FIND(handle, modellib_session_bind_output)(session, 0, 0, y.data(), y.size() * 4),
            MODELLIB_OK);
  ASSERT_EQ(FIND(handle, modellib_session_run)(session, 0, nullptr), MODELLIB_OK);
  // A text of this thread, which outlives the handle.
  EXPECT_EQ(FIND(handle, modellib_session_run)(session, 9, nullptr), MODELLIB_INVALID_ARGUMENT);
  FIND(handle, modellib_session_free)(session);
  FIND(handle, modellib_plan_free)(plan);
  EXPECT_EQ(dlclose(handle), 0);
  for (const float value : y) ASSERT_EQ(value, 512);
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
  if (argc != 3) return 2;
  library = argv[1];
  plan_file = argv[2];
  return RUN_ALL_TESTS();
}
