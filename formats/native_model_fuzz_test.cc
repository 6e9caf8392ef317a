// Models with ops that have every kind of attribute.
#include <cstddef>
#include <cstdint>

#include "modellib/formats/native_model_fuzz.h"
#include "modellib/graph/testing_ops.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace modellib;  // NOLINT(google-build-using-namespace)
  testing::fuzz_native_model({reinterpret_cast<const std::byte*>(data), size}, testing::ops());
  return 0;
}
