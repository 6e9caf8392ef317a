// Any bytes are tensors or a Status, whatever they were to hold.
#include <cstddef>
#include <cstdint>
#include <string>

#include "modellib/frontends/onnx/tensor_proto.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  for (const bool optional : {false, true}) {
    for (const bool sequence : {false, true}) {
      (void)modellib::onnx::parse_tensor_protos(bytes, {optional, sequence});
    }
  }
  return 0;
}
