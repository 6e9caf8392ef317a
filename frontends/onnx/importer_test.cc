#include "modellib/frontends/onnx/importer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/frontends/onnx/run_model.h"
#include "modellib/frontends/onnx/tensor_store.h"
#include "modellib/frontends/onnx/test_model.h"
#include "modellib/graph/op_def.h"

namespace modellib::onnx {
namespace {

using onnx_proto::AttributeProto;
using onnx_proto::TensorProto;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::StartsWith;

std::string type_of_output(const TestModel& m, size_t i = 0) {
  const auto graph = graph_of(m);
  if (!graph.ok()) return std::string(graph.status().message());
  return to_string((*graph)->type((*graph)->outputs()[i].value));
}

// ---- Dimensions

TEST(Importer, NamesOfDimensionsBecomeSymbols) {
  TestModel m;
  m.input("a", {"batch", "?", "", "3"});
  m.input("b:0", {"batch", "?", "two words", ""});
  m.output("a");
  m.output("b:0");
  EXPECT_EQ(type_of_output(m, 0), "f32[batch,a_dim1,a_dim2,3]");
  EXPECT_EQ(type_of_output(m, 1), "f32[batch,b_0_dim1,two_words,b_0_dim3]");
}

TEST(Importer, FollowsShapeArithmetic) {
  TestModel m;
  m.input("x", {"batch", "seq", "8"});
  m.integers("zero", {0});
  m.integers("one", {1});
  m.integers("heads", {2, 4});
  m.node("Shape", {"x"}, {"shape"});
  m.node("Gather", {"shape", "zero"}, {"b"});
  m.node("Gather", {"shape", "one"}, {"s"});
  m.node("Concat", {"b", "s", "heads"}, {"wanted"}).add_attribute()->set_name("axis");
  auto& axis = *m.graph().mutable_node(3)->mutable_attribute(0);
  axis.set_type(AttributeProto::INT);
  axis.set_i(0);
  m.node("Reshape", {"x", "wanted"}, {"y"});
  m.output("y");
  EXPECT_EQ(type_of_output(m), "f32[batch,seq,2,4]");
}

TEST(Importer, OneUnknownExtentIsWhatTheOthersLeave) {
  TestModel m;
  m.input("x", {"batch", "6"});
  m.input("n", {"1"}, TensorProto::INT64);
  m.integers("two", {2});
  set_attribute(m.node("Concat", {"two", "n"}, {"wanted"}), "axis", 0);
  m.node("Reshape", {"x", "wanted"}, {"y"});
  m.output("y");
  EXPECT_EQ(type_of_output(m), "f32[2,3*batch]");
}

TEST(Importer, ComparisonsOfExtentsAreDecidedWhereTheyCanBe) {
  // where(shape == -1, ones, shape), as exporters write it for Expand.
  TestModel m;
  m.input("x", {"batch", "1"});
  m.integers("minus_one", {-1});
  m.integers("ones", {1, 1});
  m.node("Shape", {"x"}, {"shape"});
  m.node("Equal", {"shape", "minus_one"}, {"open"});
  m.node("Where", {"open", "ones", "shape"}, {"wanted"});
  m.node("Expand", {"x", "wanted"}, {"y"});
  m.output("y");
  EXPECT_EQ(type_of_output(m), "f32[batch,1]");
}

TEST(Importer, PositionTablesBoundTheLength) {
  TestModel m;
  m.input("x", {"seq", "2"});
  m.constant("table", {4, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  m.integers("zero", {0});
  m.node("Shape", {"x"}, {"shape"});
  m.node("Gather", {"shape", "zero"}, {"length"});
  m.node("Slice", {"table", "zero", "length", "zero"}, {"positions"});
  m.node("Add", {"x", "positions"}, {"y"});
  m.output("y");
  const auto graph = graph_of(m);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ((*graph)->ranges().at("seq"), (DimRange{1, 4}));
  EXPECT_TRUE((*graph)->constraints().empty());
  EXPECT_EQ(to_string((*graph)->type((*graph)->outputs()[0].value)), "f32[seq,2]");
}

// ---- Versions

TEST(Importer, AxesAreAnAttributeThenAnOperand) {
  TestModel old(12);
  old.input("x", {"1", "3", "1"});
  set_attribute(old.node("Squeeze", {"x"}, {"y"}), "axes", std::vector<int64_t>{2});
  old.output("y");
  EXPECT_EQ(type_of_output(old), "f32[1,3]");

  TestModel now(13);
  now.input("x", {"1", "3", "1"});
  now.integers("axes", {0});
  now.node("Squeeze", {"x", "axes"}, {"y"});
  now.output("y");
  EXPECT_EQ(type_of_output(now), "f32[3,1]");
}

TEST(Importer, SoftmaxSawRowsUntilVersion12) {
  const std::vector<float> zeros(6, 0.0F);
  for (int opset : {11, 13}) {
    TestModel m(opset);
    m.input("x", {"1", "2", "3"});
    set_attribute(m.node("Softmax", {"x"}, {"y"}), "axis", 1);
    m.output("y");
    EXPECT_FLOAT_EQ(run(m, {floats({1, 2, 3}, zeros)})->at(0), opset == 11 ? 1.0F / 6 : 1.0F / 2);
  }
}

TEST(Importer, IntegersAreDividedTowardsZero) {
  TestModel m;
  m.input("x", {"4"}, TensorProto::INT64);
  m.integers("by", {2, -2, 2, -2});
  m.node("Div", {"x", "by"}, {"q"});
  set_attribute(m.node("Cast", {"q"}, {"y"}), "to", TensorProto::FLOAT);
  m.output("y");
  const Tensor x = *Tensor::of<int64_t>({4}, std::vector<int64_t>{-7, -7, 7, 7});
  EXPECT_THAT(*run(m, {x}), ElementsAre(-3, 3, 3, -3));
}

// ---- What is not supported, and what is wrong

TEST(Importer, ListsAllThatIsNotSupported) {
  TestModel m;
  m.input("x", {"2"});
  m.node("Frobnicate", {"x"}, {"a"});
  m.node("Relu", {"a"}, {"b"});  // comes from it, is not at fault
  m.node("ImageDecoder", {"x"}, {"c"});
  set_attribute(m.node("ReduceSum", {"x", "n"}, {"d"}), "keepdims", 0);
  m.input("n", {"1"}, TensorProto::INT64);
  m.output("b");
  const auto graph = graph_of(m);
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kUnimplemented);
  const std::string message(graph.status().message());
  EXPECT_THAT(message, HasSubstr("3 of 4 nodes"));
  EXPECT_THAT(message, HasSubstr("node #0 'Frobnicate_a' (Frobnicate): ai.onnx Frobnicate, opset "
                                 "17; nearest: none"));
  EXPECT_THAT(message, HasSubstr("node #2 'ImageDecoder_c'"));
  EXPECT_THAT(message, HasSubstr("node #3 'ReduceSum_d'"));
  EXPECT_THAT(message, HasSubstr("operand 1 ('n')"));
  EXPECT_THAT(message, Not(HasSubstr("Relu")));
}

TEST(Importer, NamesOtherVersionsThatAreSupported) {
  TestModel m(6);
  m.input("x", {"2"});
  m.node("Add", {"x", "x"}, {"y"});
  m.output("y");
  EXPECT_THAT(std::string(graph_of(m).status().message()),
              HasSubstr("ai.onnx Add, opset 6; nearest: Add of opset 7 and later"));
}

TEST(Importer, NamesTheNodeAtFault) {
  TestModel m;
  m.input("x", {"2", "3"});
  m.node("Relu", {"x"}, {"r"});
  m.node("MatMul", {"r", "x"}, {"y"});
  m.output("y");
  const auto graph = graph_of(m);
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(graph.status().message()),
              HasSubstr("in node #1 'MatMul_y' (MatMul), matmul: "));
}

TEST(Importer, NamesAConvolutionAtFaultThatHasABias) {
  TestModel m;
  m.input("x", {"1", "3", "8"});
  m.constant("w", {4, 2, 3}, std::vector<float>(24, 1));
  m.constant("b", {4}, {1, 2, 3, 4});
  m.node("Conv", {"x", "w", "b"}, {"y"});
  m.output("y");
  const auto graph = graph_of(m);
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(graph.status().message()),
              HasSubstr("in node #0 'Conv_y' (Conv), conv: "));
}

TEST(Importer, ChecksAttributeTypes) {
  TestModel m;
  m.input("x", {"2", "3"});
  set_attribute(m.node("Softmax", {"x"}, {"y"}), "axis", std::vector<int64_t>{1});
  m.output("y");
  EXPECT_THAT(std::string(graph_of(m).status().message()),
              HasSubstr("attribute 'axis' must be of type INT, is INTS"));
}

// ---- Defaults of inputs

TEST(Importer, DefaultsOfInputsCanBeOverridden) {
  TestModel m;
  m.input("x", {"2"});
  m.input("w", {"2"});
  m.constant("w", {2}, {10, 20});
  m.node("Add", {"x", "w"}, {"y"});
  m.output("y");
  EXPECT_THAT(*run(m, {floats({2}, {1, 2})}), ElementsAre(11, 22));

  ImportOptions options;
  options.overridden = {"w", "y", "nothing"};
  const auto model = import_model_bytes(m.bytes(), options);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto result =
      run_reference(model->program.entries[0].graph, {floats({2}, {1, 2}), floats({2}, {0, 1})});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->outputs[0].as<float>(), ElementsAre(1, 3));

  const std::string path = testing::TempDir() + "/defaults.onnx";
  std::ofstream(path, std::ios::binary) << m.bytes();
  EXPECT_EQ(model_inputs(path)->size(), 1u);
  EXPECT_EQ(model_inputs(path, options.overridden)->size(), 2u);
}

// ---- Places of what is seen late

TEST(Importer, ConstraintsKeepTheirNode) {
  TestModel m;
  auto& f = m.function("sum", {"u", "v"}, {"w"});
  *f.add_node() = make_node("Add", {"u", "v"}, {"w"});
  m.input("a", {"n", "3"});
  m.input("b", {"m", "3"});
  m.input("d", {"k", "3"});
  m.input("c", {}, TensorProto::BOOL);
  m.node("Relu", {"a"}, {"r"});
  m.node("MatMul", {"r", "b"}, {"p"});
  m.node("sum", {"a", "d"}, {"q"}).set_domain("mine");
  auto& node = m.node("If", {"c"}, {"i"});
  for (const char* branch : {"then_branch", "else_branch"}) {
    auto& graph = add_graph(node, branch);
    auto& concat = *graph.add_node();
    concat = make_node("Concat", {"b", "d"}, {"r"});
    set_attribute(concat, "axis", 1);
    graph.add_output()->set_name("r");
  }
  for (const char* name : {"p", "q", "i"}) m.output(name);
  const auto graph = graph_of(m);
  ASSERT_TRUE(graph.ok()) << graph.status();
  std::vector<std::string> reasons;
  for (const Graph::Constraint& c : (*graph)->constraints()) reasons.push_back(c.reason);
  EXPECT_THAT(reasons, ElementsAre(StartsWith("node #1 'MatMul_p' (MatMul): "),
                                   StartsWith("node #2 'sum_q' (sum) / function mine.sum / "
                                              "node #0 'Add_w' (Add): "),
                                   StartsWith("node #3 'If_i' (If) / then_branch / "
                                              "node #0 'Concat_r' (Concat): ")));
}

// ---- Tensors

TEST(Importer, ReadsMetadata) {
  TestModel m;
  for (const auto& [key, value] : {std::pair("names", "cat\ndog"), std::pair("author", "")}) {
    auto& entry = *m.proto().add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  const std::string path = testing::TempDir() + "/metadata.onnx";
  std::ofstream(path, std::ios::binary) << m.bytes();
  const auto metadata = model_metadata(path);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  EXPECT_THAT(*metadata, ElementsAre(Pair("author", ""), Pair("names", "cat\ndog")));
  EXPECT_TRUE(absl::IsNotFound(model_metadata(path + ".none").status()));
}

TEST(TensorStore, MovesBytesOutOfTheirMessage) {
  TensorProto proto = make_tensor("w", {8}, std::vector<float>(8, 1.0F));
  TensorStore store({});
  const auto first = store.take(proto), second = store.take(proto);
  ASSERT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
  EXPECT_EQ(first->data(), second->data());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first->data()) % 64, 0u);
  EXPECT_FALSE(proto.has_raw_data());
}

// y = w, three numbers of a file.
TestModel with_external_data(const std::string& location, const std::string& offset) {
  TestModel m;
  TensorProto& w = *m.graph().add_initializer();
  w = make_tensor("w", {3}, {});
  w.clear_raw_data();
  w.set_data_location(TensorProto::EXTERNAL);
  for (const auto& [key, value] : {std::pair("location", location), std::pair("offset", offset)}) {
    auto& entry = *w.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
  m.node("Identity", {"w"}, {"y"});
  m.output("y");
  return m;
}

TEST(Importer, ReadsExternalDataInsideTheFolderOnly) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(testing::TempDir()) / "external";
  fs::create_directories(folder / "sub");
  const std::vector<float> values = {1, 2, 3};
  for (const fs::path& path : {folder / "sub" / "w.bin", fs::path(testing::TempDir()) / "w.bin"}) {
    std::ofstream file(path, std::ios::binary);
    file.write("skip", 4);
    file.write(reinterpret_cast<const char*>(values.data()), 12);
  }
  fs::remove(folder / "link.bin");
  fs::create_symlink(fs::path(testing::TempDir()) / "w.bin", folder / "link.bin");
  const auto import_with = [&](const std::string& location, const std::string& offset) {
    std::ofstream(folder / "model.onnx", std::ios::binary)
        << with_external_data(location, offset).bytes();
    return import_model((folder / "model.onnx").string());
  };
  const auto model = import_with("sub/w.bin", "4");
  ASSERT_TRUE(model.ok()) << model.status();
  const auto result = run_reference(model->program.entries[0].graph, {});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->outputs[0].as<float>(), ElementsAre(1, 2, 3));
  for (const char* bad : {"../w.bin", "link.bin", "sub/../../w.bin", "/dev/zero", "", "sub"}) {
    EXPECT_EQ(import_with(bad, "4").status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(import_with("sub/w.bin", "5").ok());
  EXPECT_FALSE(import_with("sub/w.bin", "-1").ok());
}

// As in caches that name files by their content: the model and its data are links, or the model is.
TEST(Importer, ReadsExternalDataBesideTheFileThatTheModelIsALinkTo) {
  namespace fs = std::filesystem;
  const fs::path cache = fs::path(testing::TempDir()) / "cache";
  const fs::path blobs = cache / "blobs", snapshot = cache / "snapshot";
  const std::vector<float> values = {1, 2, 3};
  for (const char* location : {"w.bin", "content"}) {
    fs::remove_all(cache);
    fs::create_directories(blobs);
    fs::create_directories(snapshot);
    std::ofstream(blobs / "model", std::ios::binary) << with_external_data(location, "0").bytes();
    for (const fs::path& path : {blobs / "content", cache / "elsewhere"}) {
      std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(values.data()), 12);
    }
    fs::create_symlink("../blobs/model", snapshot / "model.onnx");
    fs::create_symlink("../blobs/content", snapshot / "w.bin");
    const auto model = import_model((snapshot / "model.onnx").string());
    ASSERT_TRUE(model.ok()) << model.status();
    const auto result = run_reference(model->program.entries[0].graph, {});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_THAT(result->outputs[0].as<float>(), ElementsAre(1, 2, 3));
  }
  fs::remove(blobs / "content");
  fs::create_symlink("../elsewhere", blobs / "content");
  EXPECT_EQ(import_model((snapshot / "model.onnx").string()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace modellib::onnx
