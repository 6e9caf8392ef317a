#include "modellib/frontends/capi/capi_test_util.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

namespace modellib::capi {

modellib_plan* compile(const char* text, const std::vector<modellib_dim_range>& dims,
                       const std::vector<const char*>& keep) {
  modellib_compile_options options = {};
  options.size = sizeof(options);
  options.dims = dims.data();
  options.dim_count = dims.size();
  options.keep = keep.data();
  options.keep_count = keep.size();
  modellib_plan* plan = nullptr;
  EXPECT_EQ(modellib_compile_memory(text, std::strlen(text), &options, &plan), MODELLIB_OK)
      << message();
  return plan;
}

modellib_plan* compile_net() { return compile(kNet, {{"batch", 1, 8}}); }

modellib_session* open(const modellib_plan* plan, const modellib_session_options* options) {
  modellib_session* session = nullptr;
  EXPECT_EQ(modellib_session_create(plan, options, &session), MODELLIB_OK) << message();
  return session;
}

std::array<float, 4> run_net(modellib_session* session, modellib_status expected,
                             const modellib_run_options* options) {
  std::array<float, 4> y = {};
  const int64_t extents[] = {2, 4};
  EXPECT_EQ(modellib_session_bind_input(session, 0, 0, kX.data(), extents, 2), MODELLIB_OK);
  EXPECT_EQ(modellib_session_bind_output(session, 0, 0, y.data(), sizeof(y)), MODELLIB_OK);
  EXPECT_EQ(modellib_session_run(session, 0, options), expected) << message();
  return y;
}

std::string message() { return modellib_error_message(); }

modellib_status Bytes::append(void* user, const void* data, size_t size) {
  std::vector<char>& to = static_cast<Bytes*>(user)->bytes;
  to.insert(to.end(), static_cast<const char*>(data), static_cast<const char*>(data) + size);
  return MODELLIB_OK;
}

Bytes serialize(const modellib_plan* plan) {
  Bytes out;
  EXPECT_EQ(modellib_plan_serialize(plan, &Bytes::append, &out), MODELLIB_OK);
  return out;
}

}  // namespace modellib::capi
