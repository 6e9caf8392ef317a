// Any bytes give a tensor or a Status; a tensor, written and read again, is the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "modellib/formats/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace modellib;  // NOLINT(google-build-using-namespace)
  const auto tensor = parse_npy({reinterpret_cast<const std::byte*>(data), size});
  if (!tensor.ok()) return 0;
  const std::string bytes = npy_bytes(*tensor).value();
  const auto again = parse_npy({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
  if (!again.ok() || !again->identical(*tensor)) std::abort();
  return 0;
}
