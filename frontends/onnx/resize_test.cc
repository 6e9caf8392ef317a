// Resize: what it computes where no model of tests/onnx looks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/frontends/onnx/run_model.h"
#include "modellib/frontends/onnx/test_model.h"
#include "modellib/graph/op_def.h"

namespace modellib::onnx {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

// Names of the ops that it becomes, but constants, for an image [1, 2, "h", 3] grown to twice and
// three times.
std::string resized(const std::string& coordinates, const std::string& nearest, bool by_sizes) {
  TestModel m;
  m.input("x", {"1", "2", by_sizes ? "4" : "h", "3"});
  m.constant("none", {0}, {});
  m.constant("scales", {4}, {1, 1, 2, 3});
  m.integers("sizes", {1, 2, 8, 9});
  auto& node = by_sizes ? m.node("Resize", {"x", "none", "none", "sizes"}, {"y"})
                        : m.node("Resize", {"x", "none", "scales"}, {"y"});
  set_attribute(node, "mode", "nearest");
  set_attribute(node, "coordinate_transformation_mode", coordinates);
  set_attribute(node, "nearest_mode", nearest);
  m.output("y");
  const auto model = import_model_bytes(m.bytes());
  if (!model.ok()) return std::string(model.status().message());
  const Graph& graph = *model->program.entries[0].graph;
  std::string ops;
  for (const Graph::Node& n : graph.nodes()) {
    if (n.op->name != "constant") ops += n.op->name + " ";
  }
  std::vector<float> numbers(24);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
  const auto result =
      run_reference(model->program.entries[0].graph, {floats({1, 2, 4, 3}, numbers)});
  if (!result.ok()) return std::string(result.status().message());
  const Tensor& y = result->outputs[0];
  if (y.shape() != std::vector<int64_t>{1, 2, 8, 9}) return ops + "of another shape";
  for (int64_t i = 0; i < y.elements(); ++i) {
    const int64_t from = i / 72 * 12 + i / 9 % 8 / 2 * 3 + i % 9 / 3;
    if (y.at(i) != static_cast<double>(from)) return ops + "of other elements";
  }
  return ops;
}

TEST(Resize, ByWholeFactorsRepeatsElements) {
  const std::string repeat = "repeat_interleave ";
  for (const bool by_sizes : {false, true}) {
    EXPECT_EQ(resized("asymmetric", "floor", by_sizes), repeat);
    EXPECT_EQ(resized("half_pixel", "round_prefer_floor", by_sizes), repeat);
    EXPECT_EQ(resized("half_pixel", "round_prefer_ceil", by_sizes), repeat);
    EXPECT_EQ(resized("pytorch_half_pixel", "round_prefer_floor", by_sizes), repeat);
    EXPECT_EQ(resized("tf_half_pixel_for_nn", "floor", by_sizes), repeat);
    // These pick others near the borders of an element.
    EXPECT_THAT(resized("asymmetric", "ceil", by_sizes), HasSubstr("of other elements"));
    EXPECT_THAT(resized("half_pixel", "floor", by_sizes), HasSubstr("of other elements"));
    EXPECT_THAT(resized("align_corners", "floor", by_sizes), HasSubstr("of other elements"));
  }
}

// The row 0, 1, 2 … of that many elements, resized.
struct RowCase {
  float scale;
  std::string coordinates = "asymmetric";
  std::string nearest = "floor";
  std::string mode = "nearest";
};
absl::StatusOr<std::vector<float>> resized_row(int64_t extent, const RowCase& c, bool free) {
  TestModel m;
  m.input("x", {free ? "n" : std::to_string(extent)});
  m.constant("none", {0}, {});
  m.constant("scales", {1}, {c.scale});
  auto& node = m.node("Resize", {"x", "none", "scales"}, {"y"});
  set_attribute(node, "mode", c.mode);
  set_attribute(node, "coordinate_transformation_mode", c.coordinates);
  set_attribute(node, "nearest_mode", c.nearest);
  m.output("y");
  std::vector<float> row;
  for (int64_t i = 0; i < extent; ++i) row.push_back(static_cast<float>(i));
  return run(m, {floats({extent}, row)});
}

// As ONNX Runtime has it: products and quotients of extents and scales are those of f32.
TEST(Resize, ComputesWithTheScaleInF32) {
  const auto extent = [](int64_t from, float scale, bool free) {
    const auto y = resized_row(from, {scale}, free);
    EXPECT_TRUE(y.ok()) << y.status();
    return y.ok() ? y->size() : 0;
  };
  for (const bool free : {false, true}) {
    EXPECT_EQ(extent(10, 0.7f, free), 7u);
    EXPECT_EQ(extent(640, 0.7f, free), 448u);
    EXPECT_EQ(extent(3, 5 / 3.0f, free), 5u);
    const auto y = resized_row(10, {1.2f}, free);
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_EQ(y->at(6), 5);
  }
  // 90 times it falls below 117, which no fraction tells.
  EXPECT_EQ(extent(90, 1.3f, false), 116u);
  EXPECT_EQ(extent(90, 1.3f, true), 116u);
}

// Those that are no fraction of small numbers too.
TEST(Resize, ScalesFreeExtentsByAnyNumber) {
  for (const float scale : {1.3f, 0.7f, 0.123456f, 2.718f, 1 / 3.0f, 0.999f, 17.77f, 0.01f}) {
    TestModel m;
    m.input("x", {"n"});
    m.constant("none", {0}, {});
    m.constant("scales", {1}, {scale});
    m.node("Resize", {"x", "none", "scales"}, {"y"});
    m.output("y");
    const auto graph = graph_of(m);
    ASSERT_TRUE(graph.ok()) << graph.status();
    const Dim extent = (*graph)->type((*graph)->outputs()[0].value).shape[0];
    for (int64_t n = 1; n <= 1 << 14; ++n) {
      ASSERT_EQ(*extent.evaluate({{"n", n}}), static_cast<int64_t>(scale * static_cast<float>(n)))
          << n << " times " << scale << " by " << extent.to_string();
    }
  }
}

TEST(Resize, GivesTheSameForExtentsThatAreKnownAndThatAreNot) {
  std::vector<RowCase> cases;
  for (const char* coordinates : {"asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners",
                                  "tf_half_pixel_for_nn"}) {
    for (const float scale : {0.5f, 0.7f, 1.2f, 1.5f, 5 / 3.0f}) {
      cases.push_back({scale, coordinates, "floor", "linear"});
      for (const char* nearest : {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"}) {
        cases.push_back({scale, coordinates, nearest});
      }
    }
  }
  for (const RowCase& c : cases) {
    for (const int64_t extent : {3, 10, 640}) {
      const auto known = resized_row(extent, c, false), free = resized_row(extent, c, true);
      ASSERT_TRUE(known.ok() && free.ok()) << known.status() << free.status();
      EXPECT_THAT(*free, Pointwise(FloatNear(1e-4f), *known))
          << c.mode << " " << c.nearest << " " << c.coordinates << " " << c.scale;
    }
  }
}

// Both axes are scaled by 4/3: their coordinates are 0, 0.75 and 1.5, though 2 elements become 3.
TEST(Resize, HasOneScaleWhereThePolicyKeepsTheRatio) {
  TestModel m(18);
  m.input("x", {"3", "2"});
  m.constant("none", {0}, {});
  m.integers("sizes", {4, 5});
  auto& node = m.node("Resize", {"x", "none", "none", "sizes"}, {"y"});
  set_attribute(node, "mode", "linear");
  set_attribute(node, "coordinate_transformation_mode", "asymmetric");
  set_attribute(node, "keep_aspect_ratio_policy", "not_larger");
  m.output("y");
  const auto y = run(m, {floats({3, 2}, {0, 1, 0, 1, 0, 1})});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_THAT(*y, Pointwise(FloatNear(1e-6f), std::vector<float>{0, 0.75f, 1, 0, 0.75f, 1, 0, 0.75f,
                                                                 1, 0, 0.75f, 1}));
}

TEST(Resize, KnowsItsPolicies) {
  TestModel m(18);
  m.input("x", {"2", "2"});
  m.constant("none", {0}, {});
  m.integers("sizes", {4, 4});
  auto& node = m.node("Resize", {"x", "none", "none", "sizes"}, {"y"});
  set_attribute(node, "keep_aspect_ratio_policy", "not_at_all");
  m.output("y");
  EXPECT_EQ(graph_of(m).status().code(), absl::StatusCode::kInvalidArgument);
}

// Coordinates 0, 5/3 and 10/3.
TEST(Resize, OfVersion10RoundsUpWhereItShrinks) {
  for (const char* extent : {"5", "n"}) {
    TestModel m(10);
    m.input("x", {extent});
    m.constant("scales", {1}, {0.6f});
    m.node("Resize", {"x", "scales"}, {"y"});
    m.output("y");
    const auto y = run(m, {floats({5}, {0, 1, 2, 3, 4})});
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_THAT(*y, ElementsAre(0, 2, 4));
  }
}

// Elements that come from 2^27 others each, and 2^13 elements from 2^12.
TEST(Resize, IsRefusedWhereItNeedsTooManyWeights) {
  for (const auto& [in, out, why] :
       {std::tuple("67108864", 1, "an axis of 67108864 resized to 1 from 134217728 elements each"),
        std::tuple("16777216", 8192, "to more than 16777216")}) {
    TestModel m(18);
    m.input("x", {in});
    m.constant("none", {0}, {});
    m.integers("sizes", {out});
    auto& node = m.node("Resize", {"x", "none", "none", "sizes"}, {"y"});
    set_attribute(node, "mode", "linear");
    set_attribute(node, "antialias", 1);
    m.output("y");
    const absl::Status status = graph_of(m).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  }
}

}  // namespace
}  // namespace modellib::onnx
