// If: which branches are kept, and what they may give.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "modellib/frontends/onnx/run_model.h"
#include "modellib/frontends/onnx/test_model.h"
#include "modellib/graph/op_def.h"

namespace modellib::onnx {
namespace {

using onnx_proto::GraphProto;
using onnx_proto::NodeProto;
using onnx_proto::TensorProto;
using testing::ElementsAre;
using testing::HasSubstr;

// c ? then(…) : else(…), where each branch is one node.
TestModel model_of(const NodeProto& then, const NodeProto& other) {
  TestModel m;
  m.input("c", {}, TensorProto::BOOL);
  NodeProto& node = m.node("If", {"c"}, {"y"});
  for (const NodeProto* inner : {&then, &other}) {
    GraphProto& graph = add_graph(node, inner == &then ? "then_branch" : "else_branch");
    *graph.add_node() = *inner;
    graph.add_output()->set_name(inner->output(0));
  }
  m.output("y");
  return m;
}

NodeProto concat(const std::vector<std::string>& inputs) {
  NodeProto node = make_node("Concat", inputs, {"z"});
  set_attribute(node, "axis", 0);
  return node;
}

NodeProto identity(const std::string& input) { return make_node("Identity", {input}, {"z"}); }

TestModel neg_or_relu() {
  TestModel m = model_of(make_node("Neg", {"x"}, {"z"}), make_node("Relu", {"x"}, {"z"}));
  m.input("x", {"3"});
  return m;
}

TEST(If, TakesTheBranchOfAConstantCondition) {
  TestModel m = neg_or_relu();
  auto& c = *m.graph().add_initializer();  // the default of the input, taken as constant
  c.set_name("c");
  c.set_data_type(TensorProto::BOOL);
  c.add_int32_data(1);
  const auto graph = graph_of(m);
  ASSERT_TRUE(graph.ok()) << graph.status();
  for (const Graph::Node& node : (*graph)->nodes()) {
    EXPECT_TRUE(node.op->name == "constant" || node.op->name == "neg") << node.op->name;
  }
  EXPECT_THAT(*run(m, {floats({3}, {-1, 0, 2})}), ElementsAre(1, 0, -2));
}

TEST(If, KeepsBothBranchesOfACondition) {
  const TestModel m = neg_or_relu();
  const Tensor x = floats({3}, {-1, 0, 2});
  EXPECT_THAT(*run(m, {Tensor::scalar(true), x}), ElementsAre(1, 0, -2));
  EXPECT_THAT(*run(m, {Tensor::scalar(false), x}), ElementsAre(0, 0, 2));
}

TEST(If, ListsWhatIsNotSupportedInBranches) {
  TestModel m = neg_or_relu();
  m.graph().mutable_node(0)->mutable_attribute(1)->mutable_g()->mutable_node(0)->set_op_type(
      "Frobnicate");
  m.node("Frobnicate", {"x"}, {"w"});
  const auto graph = graph_of(m);
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(graph.status().message()), HasSubstr("2 of 4 nodes"));
}

void expect_unsupported(const TestModel& m, const std::string& message) {
  const absl::Status status = graph_of(m).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("node #0 'If_y' (If): ai.onnx If, opset 17: "
                                                       "its branches differ: output 0 is " +
                                                       message));
}

TEST(If, BranchesOfOtherExtentsAreNotSupported) {
  TestModel m = model_of(concat({"x", "x"}), identity("x"));
  m.input("x", {"n", "3"});
  expect_unsupported(m, "f32[2*n,3] in then_branch and f32[n,3] in else_branch");
}

TEST(If, BranchesOfOtherStaticExtentsAreNotSupported) {
  TestModel m = model_of(concat({"x", "x"}), identity("x"));
  m.input("x", {"2", "3"});
  expect_unsupported(m, "f32[4,3] in then_branch and f32[2,3] in else_branch");
}

TEST(If, BranchesOfOtherRanksAreNotSupported) {
  TestModel m = model_of(make_node("Unsqueeze", {"x", "axes"}, {"z"}), identity("x"));
  m.input("x", {"n", "3"});
  m.integers("axes", {0});
  expect_unsupported(m, "f32[1,n,3] in then_branch and f32[n,3] in else_branch");
}

// "Squeeze if the extent is 1": that it is 1 is supported.
TEST(If, OfBranchesOfOtherRanksSaysWhichIsSupported) {
  TestModel m;
  m.input("x", {"n", "3"});
  m.integers("zero", {0});
  m.integers("one", {1});
  m.node("Shape", {"x"}, {"shape"});
  m.node("Gather", {"shape", "zero"}, {"extent"});
  m.node("Equal", {"extent", "one"}, {"condition"});
  NodeProto& node = m.node("If", {"condition"}, {"y"});
  GraphProto& then = add_graph(node, "then_branch");
  *then.add_node() = make_node("Squeeze", {"x", "zero"}, {"z"});
  then.add_output()->set_name("z");
  GraphProto& otherwise = add_graph(node, "else_branch");
  *otherwise.add_node() = identity("x");
  otherwise.add_output()->set_name("z");
  m.output("y");
  const auto one = run(m, {floats({1, 3}, {0, 1, 2})});
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_THAT(*one, ElementsAre(0, 1, 2));
  const auto two = run(m, {floats({2, 3}, {0, 1, 2, 3, 4, 5})});
  EXPECT_THAT(std::string(two.status().message()),
              HasSubstr("node #3 'If_y' (If): its branches differ in rank, and only"));
}

TEST(If, BranchesOfOtherElementTypesAreWrong) {
  NodeProto cast = make_node("Cast", {"x"}, {"z"});
  set_attribute(cast, "to", TensorProto::INT64);
  TestModel m = model_of(cast, identity("x"));
  m.input("x", {"n", "3"});
  const absl::Status status = graph_of(m).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("i64[n,3] in then_branch and f32[n,3] in else_branch"));
}

// As many elements are not the same shape.
TEST(If, BranchesMustHaveEqualExtentsAxisByAxis) {
  NodeProto transpose = make_node("Transpose", {"x"}, {"z"});
  set_attribute(transpose, "perm", std::vector<int64_t>{1, 0});
  TestModel fixed = model_of(transpose, identity("x"));
  fixed.input("x", {"2", "3"});
  expect_unsupported(fixed, "f32[3,2] in then_branch and f32[2,3] in else_branch");

  TestModel free = model_of(transpose, identity("x"));
  free.input("x", {"n", "3"});
  const auto square =
      run(free, {Tensor::scalar(true), floats({3, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8})});
  ASSERT_TRUE(square.ok()) << square.status();
  EXPECT_THAT(*square, ElementsAre(0, 3, 6, 1, 4, 7, 2, 5, 8));
  const auto oblong = run(free, {Tensor::scalar(true), floats({2, 3}, {0, 1, 2, 3, 4, 5})});
  EXPECT_THAT(std::string(oblong.status().message()), HasSubstr("node #0 'If_y' (If): "));
}

}  // namespace
}  // namespace modellib::onnx
