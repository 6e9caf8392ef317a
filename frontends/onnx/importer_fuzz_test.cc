// Any bytes are a model or a Status. What is imported is verified by the builder; here its types
// are printed too, so that nothing in it may dangle.
#include <cstddef>
#include <cstdint>

#include "modellib/frontends/onnx/importer.h"
#include "modellib/graph/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto model = modellib::onnx::import_model_bytes(
      absl::string_view(reinterpret_cast<const char*>(data), size));
  if (model.ok()) modellib::print(model->program);
  return 0;
}
