// Hostile models: each a Status that names the place, soon and without much memory, none a crash.
// 00_good is what they were made from.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "modellib/frontends/onnx/importer.h"

namespace modellib::onnx {
namespace {

// What each message says: the node with its index and op (these have no names), the initializer, or
// the byte where there is no ONNX model at all.
const std::map<std::string, const char*>& places() {
  static const auto* const all = new std::map<std::string, const char*>{
      {"01_empty_file.onnx", "byte 0"},
      {"02_truncated.onnx", "byte 2"},
      {"03_random_bytes.onnx", "byte 0"},
      {"04_varint_length_bomb.onnx", "byte 0"},
      {"05_cycle.onnx", "node #0 (Add)"},
      {"06_undefined_input.onnx", "node #0 (Relu)"},
      {"07_shape_mismatch_matmul.onnx", "node #0 (MatMul)"},
      {"08_init_dims_overflow_u64.onnx", "initializer #0 'w'"},
      {"09_init_32GiB_dims_short_data.onnx", "initializer #0 'w'"},
      {"10_init_negative_dim.onnx", "initializer #0 'w'"},
      {"11_raw_data_wrong_length.onnx", "initializer #0 'w'"},
      {"12_external_traversal.onnx", "initializer #0 'w'"},
      {"13_external_absolute.onnx", "initializer #0 'w'"},
      {"14_external_past_eof.onnx", "initializer #0 'w'"},
      {"15_external_negative_offset.onnx", "initializer #0 'w'"},
      {"16_external_missing.onnx", "initializer #0 'w'"},
      {"19_constantofshape_negative.onnx", "node #0 (ConstantOfShape)"},
      {"21_reshape_wrong_count.onnx", "node #0 (Reshape)"},
      {"22_reshape_two_minus_one.onnx", "node #0 (Reshape)"},
      {"23_type_mismatch_add.onnx", "node #0 (Add)"},
      {"24_unknown_op.onnx", "node #0 (Frobnicate)"},
      {"25_unknown_domain.onnx", "node #0 (Relu)"},
      {"26_opset_9999.onnx", "operator set 9999"},
      {"27_opset_0.onnx", "opset_import"},
      {"28_ir_9999.onnx", "IR version 9999"},
      {"29_no_opset_import.onnx", "opset_import"},
      {"30_duplicate_output_name.onnx", "node #1 (Relu)"},
  };
  return *all;
}

int64_t peak_bytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

TEST(BadModels, AreRefused) {
  using absl::StatusCode;
  // The others are invalid; these are more than is supported, or fine until somebody wants the
  // memory that they ask for.
  const std::map<std::string, StatusCode> special = {
      {"00_good.onnx", StatusCode::kOk},
      {"18_constantofshape_4TiB.onnx", StatusCode::kOk},
      {"20_expand_24TiB.onnx", StatusCode::kOk},
      {"24_unknown_op.onnx", StatusCode::kUnimplemented},
      {"26_opset_9999.onnx", StatusCode::kUnimplemented},
      {"28_ir_9999.onnx", StatusCode::kUnimplemented},
  };
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator("frontends/onnx/testdata/bad")) {
    if (file.path().extension() != ".onnx") continue;
    ++count;
    const std::string name = file.path().filename().string();
    const auto it = special.find(name);
    const int64_t peak = peak_bytes();
    const auto start = std::chrono::steady_clock::now();
    const auto model = import_model(file.path().string());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10)) << name;
    EXPECT_LT(peak_bytes() - peak, int64_t{256} << 20) << name;
    EXPECT_EQ(model.status().code(),
              it == special.end() ? StatusCode::kInvalidArgument : it->second)
        << name << ": " << model.status();
    const auto place = places().find(name);
    EXPECT_EQ(model.ok(), place == places().end()) << name;
    if (place != places().end()) {
      EXPECT_NE(model.status().message().find(place->second), absl::string_view::npos)
          << name << ": " << model.status();
    }
  }
  EXPECT_GE(count, 30);
}

}  // namespace
}  // namespace modellib::onnx
