// What is not supported is listed as a whole, wherever in the model it stands.
#include "modellib/frontends/onnx/unsupported.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/frontends/onnx/test_model.h"

namespace modellib::onnx {
namespace {

using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::NodeProto;
using onnx_proto::TensorProto;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

absl::Status status_of(const TestModel& m) { return import_model_bytes(m.bytes()).status(); }

// The message, which must be that of something that is not supported, by lines.
std::vector<std::string> lines_of(const TestModel& m) {
  const absl::Status status = status_of(m);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  return absl::StrSplit(std::string(status.message()), '\n');
}

// A graph of one node that gives its only output.
void fill(GraphProto& graph, const std::string& op, const std::string& operand) {
  *graph.add_node() = make_node(op, {operand}, {"r"});
  graph.add_output()->set_name("r");
}

TEST(Unsupported, ListsBothBranches) {
  TestModel m;
  m.input("x", {"n", "3"});
  m.input("c", {}, TensorProto::BOOL);
  NodeProto& node = m.node("If", {"c"}, {"y"});
  fill(add_graph(node, "then_branch"), "Frobnicate", "x");
  fill(add_graph(node, "else_branch"), "MatMull", "x");
  m.output("y");
  EXPECT_THAT(
      lines_of(m),
      ElementsAre("2 of 3 nodes are not supported:",
                  "  node #0 'If_y' (If) / then_branch / node #0 'Frobnicate_r' (Frobnicate): "
                  "ai.onnx Frobnicate, opset 17; nearest: none",
                  "  node #0 'If_y' (If) / else_branch / node #0 'MatMull_r' (MatMull): "
                  "ai.onnx MatMull, opset 17; nearest: MatMul of opset 1 and later"));
}

TEST(Unsupported, ListsBothBranchesWhereTypesDecide) {
  // The table has both ops; it is their conversions that refuse.
  TestModel m;
  m.input("x", {"n", "3"});
  m.input("axis", {"1"}, TensorProto::INT64);
  m.input("c", {}, TensorProto::BOOL);
  NodeProto& node = m.node("If", {"c"}, {"y"});
  for (const char* name : {"then_branch", "else_branch"}) {
    GraphProto& graph = add_graph(node, name);
    *graph.add_node() = make_node("ReduceSum", {"x", "axis"}, {"r"});
    graph.add_output()->set_name("r");
  }
  m.output("y");
  EXPECT_THAT(lines_of(m),
              ElementsAre("2 of 3 nodes are not supported:", HasSubstr("then_branch / node #0"),
                          HasSubstr("else_branch / node #0")));
}

TEST(Unsupported, ListsWhatIsBehindAnotherNode) {
  TestModel m;
  FunctionProto& f = m.function("twice", {"v"}, {"w"});
  *f.add_node() = make_node("Frobnicate", {"v"}, {"t"});
  *f.add_node() = make_node("Defrobnicate", {"t"}, {"w"});
  m.input("x", {"n", "3"});
  m.input("c", {}, TensorProto::BOOL);
  m.node("Wat", {"c"}, {"cc"});
  m.node("Wat", {"x"}, {"q"});
  NodeProto& fed = m.node("If", {"cc"}, {"a"});
  fill(add_graph(fed, "then_branch"), "Foo", "x");
  fill(add_graph(fed, "else_branch"), "Relu", "x");
  NodeProto& captures = m.node("If", {"c"}, {"b"});
  fill(add_graph(captures, "then_branch"), "Bar", "q");
  fill(add_graph(captures, "else_branch"), "Relu", "x");
  m.node("twice", {"q"}, {"y"}).set_domain("mine");
  m.output("y");
  EXPECT_THAT(
      lines_of(m),
      ElementsAre("6 of 11 nodes are not supported:", StartsWith("  node #0 'Wat_cc' (Wat): "),
                  StartsWith("  node #1 'Wat_q' (Wat): "),
                  StartsWith("  node #2 'If_a' (If) / then_branch / node #0 'Foo_r' (Foo): "),
                  StartsWith("  node #3 'If_b' (If) / then_branch / node #0 'Bar_r' (Bar): "),
                  StartsWith("  function mine.twice / node #0 'Frobnicate_t' (Frobnicate): "),
                  StartsWith("  function mine.twice / node #1 'Defrobnicate_w' (Defrobnicate): ")));
}

TEST(Unsupported, IsNotTheIfThatReadsIt) {
  TestModel m;
  m.input("x", {"n", "3"});
  m.input("c", {}, TensorProto::BOOL);
  m.node("Wat", {"x"}, {"q"});
  NodeProto& node = m.node("If", {"c"}, {"y"});
  fill(add_graph(node, "then_branch"), "Relu", "q");
  fill(add_graph(node, "else_branch"), "Neg", "q");
  m.output("y");
  EXPECT_THAT(lines_of(m), ElementsAre("1 of 4 nodes are not supported:",
                                       StartsWith("  node #0 'Wat_q' (Wat): ")));
}

// y and the places of its elements in x, of which there are none.
TestModel with_places() {
  TestModel m;
  m.input("x", {"1", "1", "4"});
  m.input("c", {}, TensorProto::BOOL);
  set_attribute(m.node("MaxPool", {"x"}, {"y", "places"}), "kernel_shape", std::vector<int64_t>{2});
  m.output("y");
  return m;
}

TEST(Unsupported, IsNoOutputThatNothingReads) {
  EXPECT_TRUE(status_of(with_places()).ok()) << status_of(with_places());
}

TEST(Unsupported, IsAnOutputThatANodeOrAGraphReads) {
  TestModel by_node = with_places(), by_graph = with_places(), by_branch = with_places();
  by_node.node("Identity", {"places"}, {"z"});
  by_graph.output("places");
  NodeProto& node = by_branch.node("If", {"c"}, {"z"});
  fill(add_graph(node, "then_branch"), "Relu", "x");
  fill(add_graph(node, "else_branch"), "Neg", "places");
  for (const TestModel* m : {&by_node, &by_graph, &by_branch}) {
    EXPECT_THAT(lines_of(*m), ElementsAre(StartsWith("1 of "),
                                          "  node #0 'MaxPool_y' (MaxPool): ai.onnx MaxPool, "
                                          "opset 17: its output 1"));
  }
}

// Until version 14 they mean that statistics are those of the batch.
TEST(Unsupported, AreFurtherOutputsOfABatchNormalization) {
  for (const int version : {9, 15}) {
    TestModel m(version);
    m.input("x", {"2", "1", "4"});
    for (const char* name : {"scale", "bias", "mean", "var"}) m.constant(name, {1}, {1});
    m.node("BatchNormalization", {"x", "scale", "bias", "mean", "var"}, {"y", "m", "v"});
    m.output("y");
    EXPECT_EQ(status_of(m).ok(), version == 15) << status_of(m);
  }
}

TEST(Unsupported, ListsBodiesOfLoops) {
  TestModel m;
  m.input("x", {"n", "3"});
  m.input("c", {}, TensorProto::BOOL);
  NodeProto& node = m.node("Loop", {"", "c", "x"}, {"y"});
  fill(add_graph(node, "body"), "Frobnicate", "v");
  m.output("y");
  EXPECT_THAT(
      lines_of(m),
      ElementsAre("2 of 2 nodes are not supported:", StartsWith("  node #0 'Loop_y' (Loop): "),
                  StartsWith("  node #0 'Loop_y' (Loop) / body / node #0 'Frobnicate_r'")));
}

TEST(Unsupported, ListsInputsAndInitializersBesideNodes) {
  TestModel m;
  m.input("x", {"n", "3"});
  m.input("words", {"2"}, TensorProto::STRING);
  auto& sequence = *m.graph().add_input();
  sequence.set_name("list");
  sequence.mutable_type()->mutable_sequence_type();
  auto& names = *m.graph().add_initializer();
  names.set_name("names");
  names.set_data_type(TensorProto::STRING);
  names.add_dims(1);
  names.add_string_data("a");
  m.node("Identity", {"words"}, {"w"});
  m.node("Frobnicate", {"x"}, {"y"});
  m.output("y");
  const std::vector<std::string> lines = lines_of(m);
  EXPECT_THAT(
      lines,
      ElementsAre("3 of 4 inputs and initializers and 1 of 2 nodes are not supported:",
                  StartsWith("  input #1 'words': "), StartsWith("  input #2 'list': only tensors"),
                  StartsWith("  initializer #0 'names': "), StartsWith("  node #1 'Frobnicate_y'")))
      << absl::StrJoin(lines, "\n");
}

TEST(Unsupported, IsNotWhatNeverRuns) {
  TestModel m;
  m.function("idle", {"v"}, {"w"}).add_node()->set_op_type("Frobnicate");
  m.input("x", {"n", "3"});
  auto& c = *m.graph().add_initializer();
  c.set_name("c");
  c.set_data_type(TensorProto::BOOL);
  c.add_int32_data(0);
  NodeProto& node = m.node("If", {"c"}, {"y"});
  fill(add_graph(node, "then_branch"), "Frobnicate", "x");
  fill(add_graph(node, "else_branch"), "Relu", "x");
  m.output("y");
  EXPECT_TRUE(status_of(m).ok()) << status_of(m);
  m.node("Wat", {"x"}, {"z"});
  EXPECT_THAT(lines_of(m), ElementsAre("1 of 3 nodes are not supported:",
                                       StartsWith("  node #1 'Wat_z' (Wat): ")));
}

TEST(Unsupported, FunctionsAreListedOnce) {
  TestModel m;
  *m.function("broken", {"v"}, {"w"}).add_node() = make_node("Frobnicate", {"v"}, {"w"});
  m.input("x", {"n", "3"});
  m.node("broken", {"x"}, {"y"}).set_domain("mine");
  m.node("broken", {"x"}, {"z"}).set_domain("mine");
  m.output("y");
  EXPECT_THAT(lines_of(m), ElementsAre("1 of 3 nodes are not supported:",
                                       StartsWith("  function mine.broken / node #0 ")));
}

TEST(Unsupported, CountsTheOpsOfALongList) {
  TestModel m;
  m.input("x", {"n", "3"});
  constexpr int kCount = 30000;
  for (int i = 0; i < kCount; ++i) {
    m.node(i % 3 == 0 ? "Foo" : "Bar", {"x"}, {absl::StrCat("y", i)});
  }
  const std::vector<std::string> lines = lines_of(m);
  size_t bytes = 0;
  for (const std::string& line : lines) bytes += line.size();
  EXPECT_GT(lines.size(), 10000u);
  EXPECT_LT(bytes, size_t{11} << 17);
  int foos = 0;  // of those that are only counted
  const int listed = static_cast<int>(lines.size()) - 2;
  for (int i = listed; i < kCount; ++i) foos += i % 3 == 0 ? 1 : 0;
  EXPECT_EQ(lines.back(),
            absl::StrCat("  and ", kCount - listed, " more: ", kCount - listed - foos,
                         " of ai.onnx Bar, opset 17; ", foos, " of ai.onnx Foo, opset 17"));
}

TEST(Unsupported, CutsLongNames) {
  TestModel m;
  m.input("x", {"n", "3"});
  m.node(std::string(100000, 'F'), {"x"}, {"y"}).set_name(std::string(100000, 'n'));
  EXPECT_LT(status_of(m).message().size(), 3000u);
}

}  // namespace
}  // namespace modellib::onnx
