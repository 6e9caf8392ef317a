// Texts with the built-in ops: their attributes and their inference of types, regions too.
#include <cstddef>
#include <cstdint>

#include "modellib/graph/text_fuzz.h"
#include "modellib/ops/registry.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace modellib;  // NOLINT(google-build-using-namespace)
  testing::fuzz_text({reinterpret_cast<const char*>(data), size}, builtin_ops());
  return 0;
}
