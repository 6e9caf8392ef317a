// Functions that a model brings along: calls are replaced by what is inside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "modellib/frontends/onnx/run_model.h"
#include "modellib/frontends/onnx/test_model.h"

namespace modellib::onnx {
namespace {

using onnx_proto::AttributeProto;
using onnx_proto::GraphProto;
using onnx_proto::TensorProto;
using testing::ElementsAre;
using testing::HasSubstr;

// scaled(x, factor) {times}: relu(x) * factor, and `times` as the axis of a softmax in between.
TestModel model_with_function() {
  TestModel m;
  auto& f = m.function("scaled", {"v", "factor"}, {"w"});
  f.add_attribute("along");
  auto softmax = make_node("Softmax", {"v"}, {"s"});
  refer_attribute(softmax, "axis", "along", AttributeProto::INT);
  *f.add_node() = softmax;
  *f.add_node() = make_node("Mul", {"s", "factor"}, {"w"});
  return m;
}

TEST(Functions, InlinesFunctionsWithTheAttributesOfTheCall) {
  for (int64_t axis : {0, 1}) {
    TestModel m = model_with_function();
    m.input("x", {"2", "4"});
    m.constant("two", {}, {2});
    auto& call = m.node("scaled", {"x", "two"}, {"y"});
    call.set_domain("mine");
    set_attribute(call, "along", axis);
    m.output("y");
    const std::vector<float> y = *run(m, {floats({2, 4}, std::vector<float>(8, 1.0F))});
    ASSERT_EQ(y.size(), 8u);
    EXPECT_FLOAT_EQ(y[0], axis == 0 ? 1.0F : 0.5F);
  }
}

// clipped(v, low, high) = clip(v, low, high), in the else branch of an If once more.
TestModel model_with_optional_operands() {
  TestModel m = model_with_function();
  auto& f = m.function("clipped", {"v", "low", "high", "c"}, {"w"});
  *f.add_node() = make_node("Clip", {"v", "low", "high"}, {"t"});
  auto& node = *f.add_node();
  node = make_node("If", {"c"}, {"w"});
  for (const char* branch : {"then_branch", "else_branch"}) {
    GraphProto& graph = add_graph(node, branch);
    const bool then = std::string(branch) == "then_branch";
    *graph.add_node() =
        then ? make_node("Neg", {"t"}, {"r"}) : make_node("Clip", {"v", "low", "high"}, {"r"});
    graph.add_output()->set_name("r");
  }
  m.input("x", {"3"});
  m.input("c", {}, TensorProto::BOOL);
  m.constant("one", {}, {1});
  return m;
}

TEST(Functions, CallsOfFunctionsMayLeaveOutOperands) {
  for (bool then : {true, false}) {
    TestModel m = model_with_optional_operands();
    m.node("clipped", {"x", "", "one", "c"}, {"y"}).set_domain("mine");
    m.output("y");
    EXPECT_THAT(*run(m, {floats({3}, {-5, 0, 5}), Tensor::scalar(then)}),
                then ? ElementsAre(5, 0, -1) : ElementsAre(-5, 0, 1));
  }
}

TEST(Functions, OperandsThatACallLeavesOutAreAbsentInCallsInside) {
  TestModel m = model_with_optional_operands();
  auto& f = m.function("outer", {"v", "c", "low", "high"}, {"w"});
  *f.add_node() = make_node("clipped", {"v", "low", "high", "c"}, {"w"});
  f.mutable_node(0)->set_domain("mine");
  m.node("outer", {"x", "c", "one"}, {"y"}).set_domain("mine");
  m.output("y");
  EXPECT_THAT(*run(m, {floats({3}, {-5, 0, 5}), Tensor::scalar(false)}), ElementsAre(1, 1, 5));
}

TEST(Functions, OperandsThatAFunctionNeedsAreMissing) {
  TestModel m = model_with_function();
  m.input("x", {"2", "4"});
  m.node("scaled", {"x"}, {"y"}).set_domain("mine");
  m.output("y");
  const absl::Status status = graph_of(m).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("node #0 'scaled_y' (scaled): function mine.scaled: node #1 'Mul_w' (Mul): "
                        "operand 1 is missing"));
}

TEST(Functions, EndsFunctionsThatCallThemselves) {
  TestModel m = model_with_function();
  auto& f = *m.proto().mutable_functions(0);
  auto again = make_node("scaled", {"s", "factor"}, {"t"});
  again.set_domain("mine");
  *f.add_node() = again;
  m.input("x", {"2", "4"});
  m.node("scaled", {"x", "x"}, {"y"}).set_domain("mine");
  m.output("y");
  EXPECT_EQ(graph_of(m).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Functions, EndsFunctionsThatMultiply) {
  TestModel m;
  for (int level = 0; level < 40; ++level) {
    auto& f = m.function("f" + std::to_string(level), {"v"}, {"w"});
    for (int i = 0; i < 8; ++i) {
      const std::string to = i == 7 ? "w" : "t" + std::to_string(i);
      auto call = make_node(level == 39 ? "Relu" : "f" + std::to_string(level + 1), {"v"}, {to});
      if (level != 39) call.set_domain("mine");
      *f.add_node() = call;
    }
  }
  m.input("x", {"2"});
  m.node("f0", {"x"}, {"y"}).set_domain("mine");
  m.output("y");
  EXPECT_EQ(graph_of(m).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace modellib::onnx
