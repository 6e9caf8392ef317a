// Native models with the built-in ops: their attributes and their inference of types, regions too.
#include <cstddef>
#include <cstdint>

#include "modellib/formats/native_model_fuzz.h"
#include "modellib/ops/registry.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace modellib;  // NOLINT(google-build-using-namespace)
  testing::fuzz_native_model({reinterpret_cast<const std::byte*>(data), size}, builtin_ops());
  return 0;
}
