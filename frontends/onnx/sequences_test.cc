// Sequences and optionals: ops on them, as inputs and outputs, and in files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/formats/file_bytes.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/frontends/onnx/run_model.h"
#include "modellib/frontends/onnx/tensor_proto.h"
#include "modellib/frontends/onnx/test_model.h"

namespace modellib::onnx {
namespace {

using onnx_proto::GraphProto;
using onnx_proto::NodeProto;
using onnx_proto::TensorProto;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TensorType matrix(int64_t rows, int64_t columns) {
  return {DType::kF32, {Dim(rows), Dim(columns)}};
}

// s = (a, b, c), scalars in vectors of one.
TestModel model_of_three() {
  TestModel m;
  for (const char* name : {"a", "b", "c"}) m.input(name, {"1"});
  m.node("SequenceConstruct", {"a", "b", "c"}, {"s"});
  return m;
}
std::vector<Tensor> three() { return {floats({1}, {1}), floats({1}, {2}), floats({1}, {3})}; }

void join(TestModel& m, const std::string& sequence, int64_t new_axis = 0) {
  NodeProto& node = m.node("ConcatFromSequence", {sequence}, {"y"});
  set_attribute(node, "axis", int64_t{0});
  set_attribute(node, "new_axis", new_axis);
  m.output("y");
}

absl::Status status_of(const TestModel& m) { return graph_of(m).status(); }

TEST(Sequences, AreJoined) {
  TestModel m = model_of_three();
  join(m, "s");
  EXPECT_THAT(*run(m, three()), ElementsAre(1, 2, 3));
}

TEST(Sequences, AreStacked) {
  TestModel m = model_of_three();
  join(m, "s", 1);
  const GraphRef graph = *graph_of(m);
  EXPECT_EQ(to_string(graph->type(graph->outputs()[0].value)), "f32[3,1]");
}

TEST(Sequences, GiveTheTensorAtAPosition) {
  for (const auto& [position, wanted] :
       {std::pair(0, 1.0F), std::pair(2, 3.0F), std::pair(-1, 3.0F), std::pair(-3, 1.0F)}) {
    TestModel m = model_of_three();
    m.integers("p", {position});
    m.node("SequenceAt", {"s", "p"}, {"y"});
    m.output("y");
    EXPECT_THAT(*run(m, three()), ElementsAre(wanted)) << position;
  }
  for (const int64_t position : {3, -4}) {
    TestModel m = model_of_three();
    m.integers("p", {position});
    m.node("SequenceAt", {"s", "p"}, {"y"});
    m.output("y");
    EXPECT_EQ(status_of(m).code(), absl::StatusCode::kInvalidArgument) << status_of(m);
    EXPECT_THAT(std::string(status_of(m).message()), HasSubstr("node #1 'SequenceAt_y'"));
  }
}

TEST(Sequences, TakeATensorAtAPositionOrAtTheEnd) {
  const std::vector<std::pair<int64_t, std::vector<float>>> cases = {
      {0, {1, 1, 2, 3}}, {3, {1, 2, 3, 1}}, {-1, {1, 2, 1, 3}}, {-3, {1, 1, 2, 3}}};
  for (const auto& [position, wanted] : cases) {
    TestModel m = model_of_three();
    m.integers("p", {position});
    m.node("SequenceInsert", {"s", "a", "p"}, {"t"});
    join(m, "t");
    EXPECT_EQ(*run(m, three()), wanted) << position;
  }
  TestModel m = model_of_three();
  m.node("SequenceInsert", {"s", "a"}, {"t"});
  join(m, "t");
  EXPECT_THAT(*run(m, three()), ElementsAre(1, 2, 3, 1));
  TestModel beyond = model_of_three();
  beyond.integers("p", {4});
  beyond.node("SequenceInsert", {"s", "a", "p"}, {"t"});
  join(beyond, "t");
  EXPECT_EQ(status_of(beyond).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Sequences, LoseATensorAtAPositionOrTheLast) {
  TestModel m = model_of_three();
  m.integers("p", {-3});
  m.node("SequenceErase", {"s", "p"}, {"t"});
  join(m, "t");
  EXPECT_THAT(*run(m, three()), ElementsAre(2, 3));
  TestModel last = model_of_three();
  last.node("SequenceErase", {"s"}, {"t"});
  join(last, "t");
  EXPECT_THAT(*run(last, three()), ElementsAre(1, 2));
}

TEST(Sequences, AreBuiltFromEmptyOnes) {
  TestModel m;
  m.input("a", {"1"});
  m.node("SequenceEmpty", {}, {"none"});
  m.node("SequenceInsert", {"none", "a"}, {"one"});
  m.node("SequenceInsert", {"one", "a"}, {"two"});
  m.node("SequenceLength", {"two"}, {"count"});
  set_attribute(m.node("Cast", {"count"}, {"number"}), "to", int64_t{TensorProto::FLOAT});
  m.node("Reshape", {"number", "shape"}, {"wide"});
  m.integers("shape", {1});
  m.node("SequenceInsert", {"two", "wide"}, {"three"});
  join(m, "three");
  EXPECT_THAT(*run(m, {floats({1}, {7})}), ElementsAre(7, 7, 2));
}

TEST(Sequences, HoldOneElementType) {
  TestModel m;
  m.input("a", {"1"});
  m.input("n", {"1"}, TensorProto::INT64);
  m.node("SequenceConstruct", {"a", "n"}, {"s"});
  join(m, "s");
  EXPECT_THAT(std::string(status_of(m).message()), HasSubstr("a sequence of f32 cannot hold i64"));
}

struct Cut {
  std::vector<int64_t> split;  // empty: not given
  bool scalar;
  std::vector<std::string> types;
};

TEST(Sequences, AreCutFromATensor) {
  const std::vector<Cut> cuts = {{{}, false, {"f32[1,2]", "f32[1,2]", "f32[1,2]"}},
                                 {{2}, true, {"f32[2,2]", "f32[1,2]"}},
                                 {{3}, true, {"f32[3,2]"}},
                                 {{2, 1, 0}, false, {"f32[2,2]", "f32[1,2]", "f32[0,2]"}}};
  for (const Cut& cut : cuts) {
    TestModel m;
    m.input("x", {"3", "2"});
    std::vector<std::string> operands = {"x"};
    if (!cut.split.empty()) {
      operands.push_back("split");
      const std::vector<int64_t> dims =
          cut.scalar ? std::vector<int64_t>() : std::vector<int64_t>{3};
      *m.graph().add_initializer() = make_integers("split", dims, cut.split);
    }
    m.node("SplitToSequence", operands, {"s"});
    m.output("s");
    const GraphRef graph = *graph_of(m);
    std::vector<std::string> types;
    for (const auto& output : graph->outputs())
      types.push_back(to_string(graph->type(output.value)));
    EXPECT_EQ(types, cut.types);
  }
}

TEST(Sequences, AreCutFromATensorWithoutTheAxis) {
  TestModel m;
  m.input("x", {"2", "3"});
  NodeProto& node = m.node("SplitToSequence", {"x"}, {"s"});
  set_attribute(node, "axis", int64_t{-1});
  set_attribute(node, "keepdims", int64_t{0});
  join(m, "s");
  EXPECT_THAT(*run(m, {floats({2, 3}, {1, 2, 3, 4, 5, 6})}), ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST(Sequences, AreNotCutIntoPiecesOfWhichNobodyKnowsHowMany) {
  TestModel m;
  m.input("x", {"n"});
  m.node("SplitToSequence", {"x"}, {"s"});
  m.output("s");
  EXPECT_EQ(status_of(m).code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status_of(m).message()), HasSubstr("depends on 'n'"));
}

// map(s, v) = s[i] * v, s[i] - u[i] with u = (c, b, a).
TEST(Sequences, AreMapped) {
  TestModel m = model_of_three();
  m.node("SequenceConstruct", {"c", "b", "a"}, {"u"});
  NodeProto& node = m.node("SequenceMap", {"s", "b", "u"}, {"products", "differences"});
  GraphProto& body = add_graph(node, "body");
  for (const char* name : {"p", "q", "r"}) body.add_input()->set_name(name);
  *body.add_node() = make_node("Mul", {"p", "q"}, {"product"});
  *body.add_node() = make_node("Sub", {"p", "r"}, {"difference"});
  for (const char* name : {"product", "difference"}) body.add_output()->set_name(name);
  m.node("SequenceInsert", {"products", "first"}, {"all"});
  m.integers("p", {0});
  m.node("SequenceAt", {"differences", "p"}, {"first"});
  std::swap(*m.graph().mutable_node(3), *m.graph().mutable_node(4));
  join(m, "all");
  EXPECT_THAT(*run(m, three()), ElementsAre(2, 4, 6, -2));
}

TEST(Sequences, OfNothingAreMappedToNothing) {
  TestModel m;
  m.input("x", {"1"});
  m.node("SequenceEmpty", {}, {"s"});
  NodeProto& node = m.node("SequenceMap", {"s"}, {"t"});
  GraphProto& body = add_graph(node, "body");
  body.add_input()->set_name("p");
  *body.add_node() = make_node("Relu", {"p"}, {"r"});
  auto& output = *body.add_output();
  output.set_name("r");
  output.mutable_type()->mutable_tensor_type()->set_elem_type(TensorProto::FLOAT);
  m.node("SequenceInsert", {"t", "x"}, {"u"});
  join(m, "u");
  EXPECT_THAT(*run(m, {floats({1}, {3})}), ElementsAre(3));
}

TEST(Sequences, GoIntoFunctionsAndBranchesAndOut) {
  TestModel m = model_of_three();
  auto& f = m.function("all_but_last", {"t"}, {"u"});
  *f.add_node() = make_node("SequenceErase", {"t"}, {"v"});
  *f.add_node() = make_node("Identity", {"v"}, {"u"});
  m.node("all_but_last", {"s"}, {"w"}).set_domain("mine");
  m.input("condition", {}, TensorProto::BOOL);
  NodeProto& node = m.node("If", {"condition"}, {"y"});
  for (const char* branch : {"then_branch", "else_branch"}) {
    GraphProto& graph = add_graph(node, branch);
    *graph.add_initializer() = make_integers("p", {}, {branch[0] == 't' ? 0 : 1});
    *graph.add_node() = make_node("SequenceAt", {"w", "p"}, {"z"});
    graph.add_output()->set_name("z");
  }
  m.output("y");
  for (const bool condition : {true, false}) {
    std::vector<Tensor> inputs = three();
    inputs.push_back(Tensor::scalar(condition));
    EXPECT_THAT(*run(m, inputs), ElementsAre(condition ? 1.0F : 2.0F));
  }
}

TEST(Sequences, AreNoTensors) {
  TestModel m = model_of_three();
  m.node("Relu", {"s"}, {"y"});
  m.output("y");
  EXPECT_THAT(std::string(status_of(m).message()),
              HasSubstr("node #1 'Relu_y' (Relu): operand 0 is a sequence"));
  TestModel other;
  other.input("x", {"3"});
  other.node("SequenceLength", {"x"}, {"y"});
  other.output("y");
  EXPECT_THAT(std::string(status_of(other).message()), HasSubstr("operand 0 must be a sequence"));
}

TEST(Sequences, ThatBranchesGiveMustBeKnown) {
  TestModel m = model_of_three();
  m.input("condition", {}, TensorProto::BOOL);
  NodeProto& node = m.node("If", {"condition"}, {"t"});
  for (const char* branch : {"then_branch", "else_branch"}) {
    GraphProto& graph = add_graph(node, branch);
    *graph.add_node() = make_node("SequenceErase", {"s"}, {"z"});
    graph.add_output()->set_name("z");
  }
  join(m, "t");
  EXPECT_EQ(status_of(m).code(), absl::StatusCode::kUnimplemented);
  m.graph().mutable_input()->RemoveLast();
  auto& known = *m.graph().add_initializer();
  known.set_name("condition");
  known.set_data_type(TensorProto::BOOL);
  known.add_int32_data(1);
  EXPECT_THAT(*run(m, three()), ElementsAre(1, 2));
}

TEST(Sequences, GrowOnlySoFar) {
  TestModel m;
  m.input("x", {"70000"});
  m.node("SplitToSequence", {"x"}, {"s"});
  m.output("s");
  EXPECT_EQ(status_of(m).code(), absl::StatusCode::kUnimplemented);
  TestModel many;
  many.input("x", {"60000"});
  many.node("SplitToSequence", {"x"}, {"s0"});
  for (int i = 0; i < 100; ++i) {
    many.node("SequenceErase", {absl::StrCat("s", i)}, {absl::StrCat("s", i + 1)});
  }
  many.output("s100");
  EXPECT_EQ(status_of(many).code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status_of(many).message()), HasSubstr("4000000 tensors"));
}

// sums(s, o) = ConcatFromSequence(s) + (o, or 10 if it is empty)
TestModel model_with_inputs() {
  TestModel m;
  m.sequence("s", {"n", "2"});
  m.optional("o", {"1"});
  m.node("ConcatFromSequence", {"s"}, {"rows"});
  set_attribute(*m.graph().mutable_node(0), "axis", int64_t{0});
  m.node("OptionalHasElement", {"o"}, {"has"});
  NodeProto& node = m.node("If", {"has"}, {"term"});
  GraphProto& then = add_graph(node, "then_branch");
  *then.add_node() = make_node("OptionalGetElement", {"o"}, {"held"});
  then.add_output()->set_name("held");
  GraphProto& otherwise = add_graph(node, "else_branch");
  *otherwise.add_initializer() = make_tensor("ten", {1}, {10});
  otherwise.add_output()->set_name("ten");
  m.node("Add", {"rows", "term"}, {"sums"});
  m.node("SequenceConstruct", {"sums", "rows"}, {"both"});
  m.output("both");
  m.output("term");
  return m;
}

TEST(Sequences, AreInputsAndOutputs) {
  ImportOptions options;
  options.input_types["s"] = std::vector<TensorType>{matrix(1, 2), matrix(2, 2)};
  for (const bool given : {true, false}) {
    if (!given) options.input_types["o"] = std::nullopt;
    Signature signature;
    const auto model = import_model_bytes(model_with_inputs().bytes(), options, &signature);
    ASSERT_TRUE(model.ok()) << model.status();
    const GraphRef graph = model->program.entries[0].graph;
    std::vector<std::string> names;
    for (const ValueId id : graph->inputs()) names.push_back(graph->value(id).name);
    for (const auto& output : graph->outputs()) names.push_back(output.name);
    if (given) {
      EXPECT_THAT(names, ElementsAre("s[0]", "s[1]", "o", "both[0]", "both[1]", "term"));
    } else {
      EXPECT_THAT(names, ElementsAre("s[0]", "s[1]", "both[0]", "both[1]", "term"));
    }
    ASSERT_EQ(signature.inputs.size(), 2u);
    EXPECT_EQ(signature.inputs[0].name, "s");
    EXPECT_TRUE(signature.inputs[0].sequence);
    EXPECT_EQ(signature.inputs[0].tensors, 2u);
    EXPECT_TRUE(signature.inputs[1].optional);
    EXPECT_EQ(signature.inputs[1].tensors, given ? 1u : 0u);
    ASSERT_EQ(signature.outputs.size(), 2u);
    EXPECT_EQ(signature.outputs[0].tensors, 2u);
    std::vector<Tensor> inputs = {floats({1, 2}, {1, 2}), floats({2, 2}, {3, 4, 5, 6})};
    if (given) inputs.push_back(floats({1}, {1}));
    const auto result = run_reference(graph, inputs);
    ASSERT_TRUE(result.ok()) << result.status();
    const float term = given ? 1.0F : 10.0F;
    EXPECT_THAT(result->outputs[0].as<float>(),
                ElementsAre(1 + term, 2 + term, 3 + term, 4 + term, 5 + term, 6 + term));
    EXPECT_THAT(result->outputs[1].as<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
  }
}

TEST(Sequences, ThatAreInputsNeedTypesThatFit) {
  const TestModel m = model_with_inputs();
  const auto status_with = [&](const std::vector<TensorType>& types) {
    ImportOptions options;
    options.input_types["s"] = types;
    return import_model_bytes(m.bytes(), options).status();
  };
  EXPECT_TRUE(status_with({matrix(3, 2)}).ok());
  EXPECT_EQ(status_with({matrix(3, 4)}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status_with({{DType::kF64, {Dim(3), Dim(2)}}}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status_with({{DType::kF32, {Dim(2)}}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status_with({}).code(), absl::StatusCode::kInvalidArgument);  // nothing to join
  EXPECT_EQ(status_of(m).code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status_of(m).message()), HasSubstr("input #0 's': a sequence"));
}

TEST(Inputs, TakeTheExtentsThatAreGiven) {
  TestModel m;
  m.input("x", {"n"});
  m.node("SplitToSequence", {"x"}, {"s"});
  m.output("s");
  ImportOptions options;
  options.input_types["x"] = std::vector<TensorType>{{DType::kF32, {Dim(3)}}};
  const auto model = import_model_bytes(m.bytes(), options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->program.entries[0].graph->outputs().size(), 3u);
}

TEST(Inputs, WithoutRankTakeWhatIsGiven) {
  TestModel m;
  m.input("x", {});
  m.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  m.node("Relu", {"x"}, {"y"});
  m.output("y");
  EXPECT_EQ(status_of(m).code(), absl::StatusCode::kUnimplemented);
  ImportOptions options;
  options.input_types["x"] = std::vector<TensorType>{matrix(1, 2)};
  const auto model = import_model_bytes(m.bytes(), options);
  ASSERT_TRUE(model.ok()) << model.status();
  const GraphRef graph = model->program.entries[0].graph;
  EXPECT_EQ(to_string(graph->type(graph->inputs()[0])), "f32[1,2]");
}

std::string temporary(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/", name);
}

constexpr Declaration kSequence{.sequence = true};
constexpr Declaration kOptional{.optional = true};
constexpr Declaration kOptionalSequence{.optional = true, .sequence = true};

// The first element of each tensor in the file; nothing if it is an empty optional.
std::optional<std::vector<float>> firsts(const std::string& path, Declaration declared) {
  const auto read = read_tensor_protos(path, declared);
  EXPECT_TRUE(read.ok()) << read.status();
  if (!read.ok() || !read->has_value()) return std::nullopt;
  std::vector<float> firsts;
  for (const Tensor& t : **read) firsts.push_back(t.as<float>()[0]);
  return firsts;
}

TEST(SequenceFiles, ComeBack) {
  const std::string path = temporary("sequence.pb");
  const std::vector<Tensor> all = three();
  for (size_t count = 0; count <= 3; ++count) {
    const std::vector<float> wanted({1, 2, 3});
    const std::vector<float> some(wanted.begin(), wanted.begin() + static_cast<int>(count));
    const absl::Span<const Tensor> tensors(all.data(), count);
    ASSERT_TRUE(write_sequence_proto(path, tensors).ok());
    for (const Declaration declared : {kSequence, kOptionalSequence, Declaration{}}) {
      EXPECT_EQ(firsts(path, declared), some);
    }
    ASSERT_TRUE(write_optional_proto(path, tensors, /*sequence=*/true).ok());
    EXPECT_EQ(firsts(path, kOptionalSequence), some);
    EXPECT_EQ(firsts(path, {}), some);
  }
}

TEST(SequenceFiles, AndOptionalsComeBack) {
  const std::string path = temporary("optional.pb");
  const std::vector<Tensor> all = three();
  ASSERT_TRUE(write_optional_proto(path, absl::MakeConstSpan(all).first(1), false).ok());
  for (const Declaration declared : {kOptional, kSequence, Declaration{}}) {
    EXPECT_EQ(firsts(path, declared), std::vector<float>({1}));
  }
  // As other programs write an empty one: of an undefined type.
  ASSERT_TRUE(write_optional_proto(path, {}, false).ok());
  EXPECT_EQ(*read_file(path), std::string("\x10\0", 2));
  EXPECT_EQ(firsts(path, kOptional), std::nullopt);
  EXPECT_EQ(firsts(path, kOptionalSequence), std::nullopt);
  EXPECT_EQ(firsts(path, {}), std::vector<float>());
}

TEST(SequenceFiles, MayHaveNames) {
  for (const char* name : {"x", "name", "\xc3\xa9", "\xe8\xbe\x93\xe5\x85\xa5"}) {
    onnx_proto::TensorProto seven = make_tensor("", {1, 1}, {7});
    std::string held;
    held.append({26, static_cast<char>(seven.ByteSizeLong())});
    held += seven.SerializeAsString();
    std::string named;
    named.append({10, static_cast<char>(std::string(name).size())});
    named += name;
    const auto read = parse_tensor_protos(named + "\x10\x01" + held + held, kSequence);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ((*read)->size(), 2u);
    const auto empty = parse_tensor_protos(named + std::string("\x10\0", 2), kOptional);
    ASSERT_TRUE(empty.ok()) << empty.status();
    EXPECT_FALSE(empty->has_value());
    std::string list;
    list.append({42, static_cast<char>(held.size() + 2)});
    list += "\x10\x01" + held;
    const auto inner = parse_tensor_protos(named + "\x10\x03" + list, kOptionalSequence);
    ASSERT_TRUE(inner.ok()) << inner.status();
    ASSERT_TRUE(inner->has_value());
    EXPECT_THAT((*inner)->at(0).as<float>(), ElementsAre(7));
  }
}

// What is declared otherwise, or not at all.
TEST(SequenceFiles, AreReadAsWhatTheyHold) {
  const std::string path = temporary("tensor.pb");
  ASSERT_TRUE(write_tensor_proto(path, floats({1}, {5})).ok());
  for (const Declaration declared : {kSequence, kOptional, kOptionalSequence, Declaration{}}) {
    EXPECT_EQ(firsts(path, declared), std::vector<float>({5}));
  }
  // OptionalProto {SEQUENCE, SequenceProto {TENSOR, TensorProto {[1,1], FLOAT, -1.5}}}: read as a
  // tensor, its fifth field would be packed numbers of which the last goes on.
  const std::string bytes(
      "\x10\x03\x2a\x10\x10\x01\x1a\x0c\x08\x01\x10\x01\x4a\x04\0\0\xc0\xbf\x08\x01", 20);
  const auto read = parse_tensor_protos(bytes, {});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT((*read)->at(0).as<float>(), ElementsAre(-1.5F));
  // A sequence of two sequences.
  const std::string sequence("\x2a\x02\x10\x01", 4);
  for (const Declaration declared : {kSequence, kOptionalSequence, Declaration{}}) {
    EXPECT_EQ(parse_tensor_protos("\x10\x03" + sequence + sequence, declared).status().code(),
              absl::StatusCode::kUnimplemented);
  }
  // A named sequence or optional that is empty.
  const auto empty = parse_tensor_protos(std::string("\x0a\x04name\x10\x01", 8), {});
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_THAT(**empty, IsEmpty());
}

}  // namespace
}  // namespace modellib::onnx
