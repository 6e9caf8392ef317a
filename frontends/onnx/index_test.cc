// Ops that find elements by number, where no model of tests/onnx looks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/frontends/onnx/run_model.h"
#include "modellib/frontends/onnx/test_model.h"
#include "modellib/graph/tensor.h"

namespace modellib::onnx {
namespace {

using onnx_proto::TensorProto;
using testing::ElementsAre;
using testing::HasSubstr;

Tensor integers(const std::vector<int64_t>& shape, const std::vector<int64_t>& values) {
  return *Tensor::of<int64_t>(shape, values);
}

// Of 0, 1 … 5 in the shape [3, 2]: in each of the first rows the elements of these columns.
absl::StatusOr<std::vector<float>> columns(const std::vector<int64_t>& at) {
  TestModel m;
  m.input("x", {"n", "2"});
  m.input("at", {"m", "2"}, TensorProto::INT64);
  set_attribute(m.node("GatherElements", {"x", "at"}, {"y"}), "axis", 1);
  m.output("y");
  const auto rows = static_cast<int64_t>(at.size() / 2);
  return run(m, {floats({3, 2}, {0, 1, 2, 3, 4, 5}), integers({rows, 2}, at)});
}

TEST(GatherElements, MayHaveFewerRowsThanItsOperand) {
  EXPECT_THAT(*columns({1, 0, 1, 1}), ElementsAre(1, 0, 3, 3));
  EXPECT_THAT(*columns({1, 0, 1, 1, 0, -1}), ElementsAre(1, 0, 3, 3, 4, 5));
  const absl::Status status = columns({0, 0, 0, 0, 0, 0, 0, 0}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("node #0 'GatherElements_y'"));
}

TEST(OneHot, TakesADepthOfAnyType) {
  TestModel m;
  m.input("x", {"2"}, TensorProto::INT64);
  m.constant("depth", {}, {3});
  m.constant("values", {2}, {0, 5});
  m.node("OneHot", {"x", "depth", "values"}, {"y"});
  m.output("y");
  const auto y = run(m, {integers({2}, {0, -1})});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_THAT(*y, ElementsAre(5, 0, 0, 0, 0, 5));
}

}  // namespace
}  // namespace modellib::onnx
