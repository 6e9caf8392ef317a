// Hostile models: each a Status with a place, none a crash. 00_good is what they were made from.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "modellib/frontends/onnx/importer.h"

namespace modellib::onnx {
namespace {

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
    const auto model = import_model(file.path().string());
    EXPECT_EQ(model.status().code(),
              it == special.end() ? StatusCode::kInvalidArgument : it->second)
        << name << ": " << model.status();
  }
  EXPECT_GE(count, 30);
}

}  // namespace
}  // namespace modellib::onnx
