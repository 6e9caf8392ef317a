// What is no ONNX model is refused with the byte at which it stops to be one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/frontends/onnx/test_model.h"

namespace modellib::onnx {
namespace {

using testing::HasSubstr;

TEST(ModelFile, SaysTheByteWhereAFileIsNoModel) {
  TestModel m;
  m.input("x", {"2"});
  m.output("x");
  const std::string bytes = m.bytes();
  const auto cut = import_model_bytes(bytes.substr(0, bytes.size() - 3));
  EXPECT_EQ(cut.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(cut.status().message()), HasSubstr("byte "));
  EXPECT_THAT(std::string(import_model_bytes("").status().message()), HasSubstr("byte 0: "));
}

// A length that is too long, in front of what `text` names.
std::string with_wrong_length(std::string bytes, const std::string& text) {
  const size_t at = bytes.find(text);
  EXPECT_TRUE(at != std::string::npos && at > 0) << text;
  bytes[at - 1] = 0x7f;
  return bytes;
}

TEST(ModelFile, SaysTheByteInMessagesThatItDoesNotRead) {
  TestModel m;
  m.input("x", {"2"});
  auto& node = m.node("Relu", {"x"}, {"y"});
  m.output("y");
  node.add_metadata_props()->set_key("of a node");
  m.graph().add_metadata_props()->set_key("of a graph");
  m.graph().mutable_input(0)->add_metadata_props()->set_key("of an input");
  m.graph().mutable_input(0)->mutable_type()->set_denotation("of a type");
  m.graph().add_quantization_annotation()->add_quant_parameter_tensor_names()->set_key(
      "of a scale");
  m.graph().add_value_info()->mutable_type()->mutable_opaque_type()->set_name("of a kind");
  m.proto().add_training_info()->add_update_binding()->set_key("of an update");
  m.proto().add_configuration()->set_name("of devices");
  node.add_device_configurations()->add_sharding_spec()->set_tensor_name("of a part");
  m.graph().add_sparse_initializer()->mutable_values()->set_name("of few values");
  const std::string bytes = m.bytes();
  for (const auto& [text, message] :
       {std::pair("of a node", "StringStringEntryProto"),
        std::pair("of a graph", "StringStringEntryProto"),
        std::pair("of an input", "StringStringEntryProto"), std::pair("of a type", "TypeProto"),
        std::pair("of a scale", "StringStringEntryProto"),
        std::pair("of a kind", "TypeProto.Opaque"),
        std::pair("of an update", "StringStringEntryProto"),
        std::pair("of devices", "DeviceConfigurationProto"),
        std::pair("of a part", "ShardingSpecProto"), std::pair("of few values", "TensorProto")}) {
    const auto model = import_model_bytes(with_wrong_length(bytes, text));
    // The tag stands two bytes before the text.
    EXPECT_THAT(std::string(model.status().message()),
                HasSubstr(absl::StrCat("byte ", bytes.find(text) - 2, " (in a ", message, "): ")))
        << text;
  }
}

TEST(ModelFile, SaysTheByteInListsOfNumbers) {
  TestModel m;
  m.input("x", {"2"});
  m.output("x");
  auto& tensor = *m.graph().add_initializer();
  tensor.add_int64_data(300);
  tensor.add_float_data(1);
  const std::string bytes = m.bytes();
  const size_t number = bytes.find("\x3a\x02\xac\x02");
  ASSERT_NE(number, std::string::npos);
  std::string endless = bytes;
  endless[number + 3] = static_cast<char>(0x82);
  EXPECT_THAT(std::string(import_model_bytes(endless).status().message()),
              HasSubstr(absl::StrCat("byte ", number + 2,
                                     " (in a list of numbers): a number is cut short")));
  const std::string one = std::string("\x22\x04\x00\x00\x80\x3f", 6);
  const size_t list = bytes.find(one);
  ASSERT_NE(list, std::string::npos);
  // Three bytes of the four; the last becomes a field of its own, without a content.
  std::string uneven = bytes;
  uneven[list + 1] = 3;
  EXPECT_THAT(std::string(import_model_bytes(uneven).status().message()),
              HasSubstr(absl::StrCat("byte ", list + 2, " (in a list of numbers): 3 bytes")));
}

}  // namespace
}  // namespace modellib::onnx
