// Models with numbers at the ends of int64. Each gets its answer, and none makes arithmetic
// overflow on the way there, which the sanitizers would see.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/frontends/onnx/run_model.h"
#include "modellib/frontends/onnx/test_model.h"

namespace modellib::onnx {
namespace {

using testing::ElementsAre;
using Ints = std::vector<int64_t>;
using Code = absl::StatusCode;

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kHuge = int64_t{1} << 62;

struct Attribute {
  std::string name;
  std::variant<int64_t, Ints, std::string> value;
};

void add(TestModel& m, const std::string& op, const std::vector<std::string>& inputs,
         const std::vector<Attribute>& attributes) {
  onnx_proto::NodeProto& node = m.node(op, inputs, {"y"});
  for (const Attribute& a : attributes) {
    std::visit([&](const auto& value) { set_attribute(node, a.name, value); }, a.value);
  }
  m.output("y");
}

// y = op(x, constants…), x of these extents; without x if there are none.
TestModel of(const std::string& op, const std::vector<std::string>& extents,
             const std::vector<Ints>& constants, const std::vector<Attribute>& attributes = {}) {
  TestModel m;
  std::vector<std::string> operands;
  if (!extents.empty()) {
    m.input("x", extents);
    operands.push_back("x");
  }
  for (const Ints& values : constants) {
    operands.push_back(absl::StrCat("c", operands.size()));
    m.integers(operands.back(), values);
  }
  add(m, op, operands, attributes);
  return m;
}

TestModel conv_transpose(const std::vector<Attribute>& attributes) {
  TestModel m;
  m.input("x", {"1", "1", "4"});
  m.constant("w", {1, 1, 3}, {1, 2, 3});
  add(m, "ConvTranspose", {"x", "w"}, attributes);
  return m;
}

TestModel lstm() {
  TestModel m;
  m.input("x", {"2", "1", "3"});
  m.input("w", {"1", "4", "3"});
  m.input("r", {"1", "4", absl::StrCat(kHuge)});
  add(m, "LSTM", {"x", "w", "r"}, {});
  return m;
}

TestModel empty_constant() {
  TestModel m;
  m.constant("w", {0, kHuge}, {});
  add(m, "Flatten", {"w"}, {});
  return m;
}

// x in the shape of a remainder.
TestModel remainder() {
  TestModel m;
  m.input("x", {"4"});
  m.integers("a", {kMin + 1});
  m.integers("b", {5});
  m.node("Mod", {"a", "b"}, {"shape"});
  add(m, "Reshape", {"x", "shape"}, {});
  return m;
}

TestModel crop(float start, float end) {
  TestModel m;
  m.input("x", {"4"});
  m.constant("roi", {2}, {start, end});
  m.constant("none", {0}, {});
  m.integers("sizes", {2});
  add(m, "Resize", {"x", "roi", "none", "sizes"},
      {{"coordinate_transformation_mode", std::string("tf_crop_and_resize")},
       {"mode", std::string("linear")}});
  return m;
}

struct Case {
  const char* name;
  Code code;
  TestModel model;
};

std::vector<Case> cases() {
  const std::string same = "SAME_UPPER";
  return {
      {"dilation", Code::kInvalidArgument,
       conv_transpose({{"dilations", Ints{kMax}}, {"auto_pad", same}})},
      {"stride", Code::kInvalidArgument,
       conv_transpose({{"strides", Ints{kHuge}}, {"output_shape", Ints{8}}})},
      {"stride as large as can be", Code::kInvalidArgument,
       conv_transpose({{"strides", Ints{int64_t{1} << 31}}, {"output_shape", Ints{8}}})},
      {"output_shape", Code::kInvalidArgument, conv_transpose({{"output_shape", Ints{kMax}}})},
      {"negative output_shape", Code::kInvalidArgument,
       conv_transpose({{"output_shape", Ints{kMin}}})},
      {"output_padding", Code::kInvalidArgument,
       conv_transpose({{"output_padding", Ints{kMax}}, {"auto_pad", same}})},
      {"pads of a window", Code::kInvalidArgument, conv_transpose({{"pads", Ints{kMax, kMax}}})},
      {"blocks of depth", Code::kInvalidArgument,
       of("DepthToSpace", {"1", "4", "2", "2"}, {}, {{"blocksize", int64_t{1} << 32}})},
      {"blocks of space", Code::kInvalidArgument,
       of("SpaceToDepth", {"1", "4", "2", "2"}, {}, {{"blocksize", int64_t{1} << 32}})},
      {"step", Code::kUnimplemented, of("Range", {}, {{0}, {-5}, {kMin}})},
      {"ends of a range", Code::kUnimplemented, of("Range", {}, {{kMin}, {kMax}, {kHuge}})},
      {"hidden units", Code::kUnimplemented, lstm()},
      {"extent of an input", Code::kUnimplemented, of("Relu", {absl::StrCat(kMax)}, {})},
      {"extent beside 0", Code::kUnimplemented, empty_constant()},
      {"repeats", Code::kInvalidArgument, of("Tile", {"4"}, {{kMax}})},
      {"extent that is broadcast to", Code::kInvalidArgument, of("Expand", {"1"}, {{kMax}})},
      {"pads", Code::kInvalidArgument, of("Pad", {"4"}, {{kMin, kMax}})},
      {"channels of a norm", Code::kInvalidArgument,
       of("LRN", {"1", "4", "2"}, {}, {{"size", kMax}})},
      {"axis of time", Code::kInvalidArgument,
       of("ReverseSequence", {"2", "2"}, {{1, 1}}, {{"time_axis", kMax}, {"batch_axis", kMax}})},
      {"axis", Code::kInvalidArgument, of("Softmax", {"4"}, {}, {{"axis", kMin}})},
      {"piece", Code::kInvalidArgument, of("SplitToSequence", {"4"}, {{kMax}})},
      {"number of the largest", Code::kInvalidArgument, of("TopK", {"4"}, {{kMax}})},
      {"remainder", Code::kUnimplemented, remainder()},
      {"crop that is no number", Code::kInvalidArgument, crop(NAN, 1)},
      {"endless crop", Code::kInvalidArgument, crop(0, 3e38F)},
      {"part of a shape", Code::kOk, of("Shape", {"4"}, {}, {{"start", kMin}, {"end", kMax}})},
      {"diagonal of ones", Code::kOk, of("EyeLike", {"2", "2"}, {}, {{"k", kMax}})},
      {"slice", Code::kOk, of("Slice", {"4"}, {{kMax}, {kMin}, {0}, {kMin}})},
  };
}

TEST(Extremes, HaveAnAnswer) {
  for (const Case& c : cases()) {
    const absl::Status status = graph_of(c.model).status();
    EXPECT_EQ(status.code(), c.code) << c.name << ": " << status;
  }
}

TEST(Extremes, DiagonalsMayLieFarOutside) {
  for (const bool upper : {false, true}) {
    for (const int64_t diagonal : {kMin, kMax}) {
      const auto y = run(of("Trilu", {"2", "2"}, {{diagonal}}, {{"upper", int64_t{upper}}}),
                         {floats({2, 2}, {1, 2, 3, 4})});
      ASSERT_TRUE(y.ok()) << y.status();
      const bool all = upper == (diagonal < 0);
      EXPECT_THAT(*y, all ? ElementsAre(1, 2, 3, 4) : ElementsAre(0, 0, 0, 0)) << diagonal;
    }
  }
}

}  // namespace
}  // namespace modellib::onnx
