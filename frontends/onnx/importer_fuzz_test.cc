// Any bytes are a model or a Status. What is imported is verified by the builder; here its types
// are printed too, so that nothing in it may dangle. Inputs of some names get types, so that models
// with sequences, optionals and inputs without a rank are imported as well.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "modellib/frontends/onnx/importer.h"
#include "modellib/graph/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using modellib::Dim;
  using modellib::DType;
  using modellib::TensorType;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  modellib::onnx::ImportOptions options;
  for (const bool types : {false, true}) {
    if (types) {
      options.input_types["s"] =
          std::vector<TensorType>{{DType::kF32, {Dim(2), Dim(3)}}, {DType::kF32, {Dim(1), Dim(3)}}};
      options.input_types["o"] = std::nullopt;
    }
    const auto model = modellib::onnx::import_model_bytes(bytes, options);
    if (model.ok()) modellib::print(model->program);
  }
  return 0;
}
