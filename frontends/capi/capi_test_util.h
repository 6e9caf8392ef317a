// What the tests of the C API share: a small model, and the calls that it takes to run one.
#ifndef MODELLIB_FRONTENDS_CAPI_CAPI_TEST_UTIL_H_
#define MODELLIB_FRONTENDS_CAPI_CAPI_TEST_UTIL_H_

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "modellib/compiler.h"
#include "modellib/modellib.h"

namespace modellib::capi {

// y = relu(x w + x w), with names for what lies between.
inline constexpr char kNet[] = R"(graph "net" (x: f32[batch,4]) {
  w = constant() {value: f32[4,2] [1, -2, 3, 0.5, -1, 0.25, 2, 1]}
  h = matmul(x, w)
  s = add(h, h)
  y = relu(s)
  return y
})";
// Two rows, and what becomes of them.
inline constexpr std::array<float, 8> kX = {1, 2, 3, 4, -1, 0, 0.5f, 2};
inline constexpr std::array<float, 4> kH = {12, 3.75f, 2.5f, 4.125f};
inline constexpr std::array<float, 4> kY = {24, 7.5f, 5, 8.25f};

modellib_plan* compile(const char* text, const std::vector<modellib_dim_range>& dims = {},
                       const std::vector<const char*>& keep = {});
// For batches of up to 8.
modellib_plan* compile_net();

modellib_session* open(const modellib_plan* plan,
                       const modellib_session_options* options = nullptr);

// Runs the net on both rows of kX; returns y.
std::array<float, 4> run_net(modellib_session* session, modellib_status expected = MODELLIB_OK,
                             const modellib_run_options* options = nullptr);

// Of the last call that failed on this thread.
std::string message();

struct Bytes {
  std::vector<char> bytes;
  static modellib_status append(void* user, const void* data, size_t size);
};
Bytes serialize(const modellib_plan* plan);

}  // namespace modellib::capi

#endif  // MODELLIB_FRONTENDS_CAPI_CAPI_TEST_UTIL_H_
