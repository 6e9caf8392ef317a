// Texts with ops that have every kind of attribute.
#include <cstddef>
#include <cstdint>

#include "modellib/graph/testing_ops.h"
#include "modellib/graph/text_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace modellib;  // NOLINT(google-build-using-namespace)
  testing::fuzz_text({reinterpret_cast<const char*>(data), size}, testing::ops());
  return 0;
}
