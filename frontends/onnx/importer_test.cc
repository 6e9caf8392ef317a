#include "modellib/frontends/onnx/importer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
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

absl::StatusOr<GraphRef> import(const TestModel& m) {
  auto model = import_model_bytes(m.bytes());
  if (!model.ok()) return model.status();
  return model->program.entries[0].graph;
}

std::string type_of_output(const TestModel& m, size_t i = 0) {
  const auto graph = import(m);
  if (!graph.ok()) return std::string(graph.status().message());
  return to_string((*graph)->type((*graph)->outputs()[i].value));
}

Tensor floats(std::vector<int64_t> shape, std::vector<float> values) {
  return *Tensor::of<float>(shape, values);
}

std::vector<float> run(const TestModel& m, const std::vector<Tensor>& inputs) {
  const auto graph = import(m);
  EXPECT_TRUE(graph.ok()) << graph.status();
  if (!graph.ok()) return {};
  const auto result = run_reference(*graph, inputs);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return {};
  const auto span = result->outputs[0].as<float>();
  return {span.begin(), span.end()};
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
  const auto graph = import(m);
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
    EXPECT_FLOAT_EQ(run(m, {floats({1, 2, 3}, zeros)})[0], opset == 11 ? 1.0F / 6 : 1.0F / 2);
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
  EXPECT_THAT(run(m, {x}), ElementsAre(-3, 3, 3, -3));
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
  const auto graph = import(m);
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
  EXPECT_THAT(std::string(import(m).status().message()),
              HasSubstr("ai.onnx Add, opset 6; nearest: Add of opset 7 and later"));
}

TEST(Importer, NamesTheNodeAtFault) {
  TestModel m;
  m.input("x", {"2", "3"});
  m.node("Relu", {"x"}, {"r"});
  m.node("MatMul", {"r", "x"}, {"y"});
  m.output("y");
  const auto graph = import(m);
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(graph.status().message()), HasSubstr("node #1 'MatMul_y' (MatMul): "));
}

TEST(Importer, NamesAConvolutionAtFaultThatHasABias) {
  TestModel m;
  m.input("x", {"1", "3", "8"});
  m.constant("w", {4, 2, 3}, std::vector<float>(24, 1));
  m.constant("b", {4}, {1, 2, 3, 4});
  m.node("Conv", {"x", "w", "b"}, {"y"});
  m.output("y");
  const auto graph = import(m);
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(graph.status().message()), HasSubstr("node #0 'Conv_y' (Conv): "));
}

TEST(Importer, ChecksAttributeTypes) {
  TestModel m;
  m.input("x", {"2", "3"});
  set_attribute(m.node("Softmax", {"x"}, {"y"}), "axis", std::vector<int64_t>{1});
  m.output("y");
  EXPECT_THAT(std::string(import(m).status().message()),
              HasSubstr("attribute 'axis' must be of type INT, is INTS"));
}

TEST(Importer, SaysTheByteWhereAFileIsNoModel) {
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

TEST(Importer, SaysTheByteInMessagesThatItDoesNotRead) {
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

TEST(Importer, SaysTheByteInListsOfNumbers) {
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

// ---- Functions

// scaled(x, factor) {times}: relu(x) * factor, and `times` as the axis of a softmax in between.
TestModel model_with_function() {
  TestModel m;
  m.proto().add_opset_import()->set_domain("mine");
  m.proto().mutable_opset_import(1)->set_version(1);
  auto& f = *m.proto().add_functions();
  f.set_name("scaled");
  f.set_domain("mine");
  f.add_input("v");
  f.add_input("factor");
  f.add_output("w");
  f.add_attribute("along");
  f.add_opset_import()->set_version(17);
  auto softmax = make_node("Softmax", {"v"}, {"s"});
  refer_attribute(softmax, "axis", "along", AttributeProto::INT);
  *f.add_node() = softmax;
  *f.add_node() = make_node("Mul", {"s", "factor"}, {"w"});
  return m;
}

TEST(Importer, InlinesFunctionsWithTheAttributesOfTheCall) {
  for (int64_t axis : {0, 1}) {
    TestModel m = model_with_function();
    m.input("x", {"2", "4"});
    m.constant("two", {}, {2});
    auto& call = m.node("scaled", {"x", "two"}, {"y"});
    call.set_domain("mine");
    set_attribute(call, "along", axis);
    m.output("y");
    const std::vector<float> y = run(m, {floats({2, 4}, std::vector<float>(8, 1.0F))});
    ASSERT_EQ(y.size(), 8u);
    EXPECT_FLOAT_EQ(y[0], axis == 0 ? 1.0F : 0.5F);
  }
}

// clipped(v, low, high) = clip(v, low, high), in the else branch of an If once more.
TestModel model_with_optional_operands() {
  TestModel m = model_with_function();
  auto& f = *m.proto().add_functions();
  f.set_name("clipped");
  f.set_domain("mine");
  for (const char* name : {"v", "low", "high", "c"}) f.add_input(name);
  f.add_output("w");
  f.add_opset_import()->set_version(17);
  f.add_opset_import()->set_domain("mine");
  f.mutable_opset_import(1)->set_version(1);
  *f.add_node() = make_node("Clip", {"v", "low", "high"}, {"t"});
  auto& node = *f.add_node();
  node = make_node("If", {"c"}, {"w"});
  for (const char* branch : {"then_branch", "else_branch"}) {
    auto& a = *node.add_attribute();
    a.set_name(branch);
    a.set_type(AttributeProto::GRAPH);
    const bool then = std::string(branch) == "then_branch";
    *a.mutable_g()->add_node() =
        then ? make_node("Neg", {"t"}, {"r"}) : make_node("Clip", {"v", "low", "high"}, {"r"});
    a.mutable_g()->add_output()->set_name("r");
  }
  m.input("x", {"3"});
  m.input("c", {}, TensorProto::BOOL);
  m.constant("one", {}, {1});
  return m;
}

TEST(Importer, CallsOfFunctionsMayLeaveOutOperands) {
  for (bool then : {true, false}) {
    TestModel m = model_with_optional_operands();
    m.node("clipped", {"x", "", "one", "c"}, {"y"}).set_domain("mine");
    m.output("y");
    EXPECT_THAT(run(m, {floats({3}, {-5, 0, 5}), Tensor::scalar(then)}),
                then ? ElementsAre(5, 0, -1) : ElementsAre(-5, 0, 1));
  }
}

TEST(Importer, OperandsThatACallLeavesOutAreAbsentInCallsInside) {
  TestModel m = model_with_optional_operands();
  auto& f = *m.proto().add_functions();
  f.set_name("outer");
  f.set_domain("mine");
  for (const char* name : {"v", "c", "low", "high"}) f.add_input(name);
  f.add_output("w");
  f.add_opset_import()->set_domain("mine");
  f.mutable_opset_import(0)->set_version(1);
  *f.add_node() = make_node("clipped", {"v", "low", "high", "c"}, {"w"});
  f.mutable_node(0)->set_domain("mine");
  m.node("outer", {"x", "c", "one"}, {"y"}).set_domain("mine");
  m.output("y");
  EXPECT_THAT(run(m, {floats({3}, {-5, 0, 5}), Tensor::scalar(false)}), ElementsAre(1, 1, 5));
}

TEST(Importer, OperandsThatAFunctionNeedsAreMissing) {
  TestModel m = model_with_function();
  m.input("x", {"2", "4"});
  m.node("scaled", {"x"}, {"y"}).set_domain("mine");
  m.output("y");
  const absl::Status status = import(m).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("node #0 'scaled_y' (scaled): function mine.scaled: node #1 'Mul_w' (Mul): "
                        "operand 1 is missing"));
}

TEST(Importer, EndsFunctionsThatCallThemselves) {
  TestModel m = model_with_function();
  auto& f = *m.proto().mutable_functions(0);
  auto again = make_node("scaled", {"s", "factor"}, {"t"});
  again.set_domain("mine");
  *f.add_node() = again;
  f.add_opset_import()->set_domain("mine");
  f.mutable_opset_import(1)->set_version(1);
  m.input("x", {"2", "4"});
  m.node("scaled", {"x", "x"}, {"y"}).set_domain("mine");
  m.output("y");
  EXPECT_EQ(import(m).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Importer, EndsFunctionsThatMultiply) {
  TestModel m;
  m.proto().add_opset_import()->set_domain("mine");
  m.proto().mutable_opset_import(1)->set_version(1);
  for (int level = 0; level < 40; ++level) {
    auto& f = *m.proto().add_functions();
    f.set_name("f" + std::to_string(level));
    f.set_domain("mine");
    f.add_input("v");
    f.add_output("w");
    f.add_opset_import()->set_domain("mine");
    f.mutable_opset_import(0)->set_version(1);
    f.add_opset_import()->set_version(17);
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
  EXPECT_EQ(import(m).status().code(), absl::StatusCode::kResourceExhausted);
}

// ---- If

TestModel model_with_if() {
  TestModel m;
  m.input("x", {"3"});
  auto& node = m.node("If", {"c"}, {"y"});
  for (const char* branch : {"then_branch", "else_branch"}) {
    auto& a = *node.add_attribute();
    a.set_name(branch);
    a.set_type(AttributeProto::GRAPH);
    const bool then = std::string(branch) == "then_branch";
    *a.mutable_g()->add_node() = make_node(then ? "Neg" : "Relu", {"x"}, {"r"});
    a.mutable_g()->add_output()->set_name("r");
  }
  m.output("y");
  return m;
}

TEST(Importer, TakesTheBranchOfAConstantCondition) {
  TestModel m = model_with_if();
  auto& c = *m.graph().add_initializer();
  c.set_name("c");
  c.set_data_type(TensorProto::BOOL);
  c.add_int32_data(1);
  const auto graph = import(m);
  ASSERT_TRUE(graph.ok()) << graph.status();
  for (const Graph::Node& node : (*graph)->nodes()) {
    EXPECT_TRUE(node.op->name == "constant" || node.op->name == "neg") << node.op->name;
  }
  EXPECT_THAT(run(m, {floats({3}, {-1, 0, 2})}), ElementsAre(1, 0, -2));
}

TEST(Importer, KeepsBothBranchesOfACondition) {
  TestModel m = model_with_if();
  m.input("c", {}, TensorProto::BOOL);
  const Tensor x = floats({3}, {-1, 0, 2});
  EXPECT_THAT(run(m, {x, Tensor::scalar(true)}), ElementsAre(1, 0, -2));
  EXPECT_THAT(run(m, {x, Tensor::scalar(false)}), ElementsAre(0, 0, 2));
}

TEST(Importer, ListsWhatIsNotSupportedInBranches) {
  TestModel m = model_with_if();
  m.input("c", {}, TensorProto::BOOL);
  m.graph().mutable_node(0)->mutable_attribute(1)->mutable_g()->mutable_node(0)->set_op_type(
      "Frobnicate");
  m.node("Frobnicate", {"x"}, {"z"});
  const auto graph = import(m);
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(graph.status().message()), HasSubstr("2 of 4 nodes"));
}

// ---- Defaults of inputs

TEST(Importer, DefaultsOfInputsCanBeOverridden) {
  TestModel m;
  m.input("x", {"2"});
  m.input("w", {"2"});
  m.constant("w", {2}, {10, 20});
  m.node("Add", {"x", "w"}, {"y"});
  m.output("y");
  EXPECT_THAT(run(m, {floats({2}, {1, 2})}), ElementsAre(11, 22));

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
  auto& mine = *m.proto().add_opset_import();
  mine.set_domain("mine");
  mine.set_version(1);
  auto& f = *m.proto().add_functions();
  f.set_name("sum");
  f.set_domain("mine");
  f.add_input("u");
  f.add_input("v");
  f.add_output("w");
  f.add_opset_import()->set_version(17);
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
    auto& a = *node.add_attribute();
    a.set_name(branch);
    a.set_type(AttributeProto::GRAPH);
    auto& add = *a.mutable_g()->add_node();
    add = make_node("Concat", {"b", "d"}, {"r"});
    set_attribute(add, "axis", 1);
    a.mutable_g()->add_output()->set_name("r");
  }
  for (const char* name : {"p", "q", "i"}) m.output(name);
  const auto graph = modellib::onnx::import(m);
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
  TensorStore store("");
  const auto first = store.take(proto), second = store.take(proto);
  ASSERT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
  EXPECT_EQ(first->data(), second->data());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first->data()) % 64, 0u);
  EXPECT_FALSE(proto.has_raw_data());
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
    TestModel m;
    TensorProto& w = *m.graph().add_initializer();
    w = make_tensor("w", {3}, {});
    w.clear_raw_data();
    w.set_data_location(TensorProto::EXTERNAL);
    for (const auto& [key, value] :
         {std::pair("location", location), std::pair("offset", offset)}) {
      auto& entry = *w.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    }
    m.node("Identity", {"w"}, {"y"});
    m.output("y");
    std::ofstream(folder / "model.onnx", std::ios::binary) << m.bytes();
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

}  // namespace
}  // namespace modellib::onnx
