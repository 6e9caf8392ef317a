#include "modellib/graph/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>

#include "absl/strings/str_cat.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/testing_ops.h"
#include "modellib/graph/text_literals.h"

namespace modellib {
namespace {

using ::modellib::testing::EverythingAttributes;
using ::modellib::testing::SplitAttributes;
using ::testing::HasSubstr;

const OpRegistry& ops() { return modellib::testing::ops(); }
const TensorType kRow{DType::kF32, {Dim::symbol("batch"), 4}};

// The graph read from its text; checks that it is the same, and its text too.
GraphRef round_trip(const Graph& graph, const PrintOptions& base = {}) {
  SideData side;
  PrintOptions options = base;
  options.side_data = &side;
  const std::string text = print(graph, options);
  absl::StatusOr<GraphRef> parsed = parse_graph(text, ops(), side);
  EXPECT_TRUE(parsed.ok()) << parsed.status() << "\n" << text;
  if (!parsed.ok()) return nullptr;
  EXPECT_TRUE(structurally_equal(graph, **parsed)) << text;
  EXPECT_EQ(structural_hash(graph), structural_hash(**parsed));
  EXPECT_EQ(print(**parsed, options), text);
  return *parsed;
}

// What `text` means, printed again.
std::string normal(absl::string_view text) {
  absl::StatusOr<GraphRef> parsed = parse_graph(text, ops());
  return parsed.ok() ? print(**parsed) : std::string(parsed.status().message());
}

TEST(Text, PrintsWhatOneWouldWrite) {
  GraphBuilder b(ops(), "mlp");
  b.set_range("batch", {1, 1000});
  const Value x = b.input("x", kRow);
  const Value w = b.variable({"fc.weight", {DType::kF32, {4, 4}}});
  Value h;
  {
    const GraphBuilder::Scope scope(b, "encoder");
    h = b.emit_one("relu", {x});
    b.set_name(h, "h");
  }
  const std::vector<Value> parts = b.emit("split", {w}, Attributes::of(SplitAttributes{4}));
  b.assign({"fc.weight", {DType::kF32, {4, 4}}}, b.emit_one("relu", {w}));
  b.output("h", h);
  b.output("part", parts[3]);
  const GraphRef graph = *b.build();
  EXPECT_EQ(print(*graph), R"(graph "mlp" (x: f32[batch,4]) {
  dim batch in 1..1000
  fc.weight: var f32[4,4] "fc.weight"
  h = relu(x)  // encoder
  %0, %1, %2, %3 = split(fc.weight) {parts: 4}
  %4 = relu(fc.weight)
  assign "fc.weight" = %4
  return h, part = %3
}
)");
  round_trip(*graph);
}

TEST(Text, AttributesOfEveryKind) {
  GraphBuilder inner(ops(), "body \"quoted\"");
  inner.output("out0", inner.emit_one("relu", {inner.input("in0", kRow)}));
  GraphBuilder b(ops());
  EverythingAttributes a;
  a.flag = true;
  a.count = std::numeric_limits<int64_t>::min();
  a.ratio = 0.1;
  a.label = "tab\t line\n quote\" back\\slash \x01 \xc3\xa9 // no comment }";
  a.dtype = DType::kBF16;
  a.sizes = {1, -2, 3};
  a.factors = {1, -0.0, std::numeric_limits<double>::infinity(), std::nan("")};
  a.extents = {Dim::symbol("batch") * 2 + 1, 7, Dim::symbol("inf"), Dim(0) - Dim::symbol("nan")};
  a.table = *Tensor::of<float>({2, 1}, {1.5f, -0.0f});
  a.body = *inner.build();
  a.axis = 0;
  const Value x = b.input("x", kRow);
  b.output("y", b.emit_one("everything", {x, x}, Attributes::of(a)));
  const GraphRef parsed = round_trip(**b.build());
  ASSERT_NE(parsed, nullptr);
  const auto& back = parsed->nodes()[0].attributes.as<EverythingAttributes>();
  EXPECT_EQ(back.label, a.label);
  EXPECT_EQ(back.extents, a.extents);
  EXPECT_TRUE(std::signbit(back.factors[1]) && std::isnan(back.factors[3]));
  EXPECT_EQ(back.axis, 0);
  EXPECT_EQ(back.body->name(), "body \"quoted\"");
}

TEST(Text, FloatsKeepEveryBit) {
  for (uint64_t bits :
       {uint64_t{0}, uint64_t{1}, uint64_t{0x8000000000000000}, uint64_t{0x7ff0000000000000},
        uint64_t{0xfff0000000000000}, uint64_t{0x7ff8000000000000}, uint64_t{0xfff8000000000000},
        uint64_t{0x7ff0000000000001}, uint64_t{0xfff8000000001234}, uint64_t{0x3fb999999999999a},
        uint64_t{0x7fefffffffffffff}, uint64_t{0x4024000000000000}, uint64_t{0x4480f0cf064dd592}}) {
    GraphBuilder b(ops());
    EverythingAttributes a;
    a.count = 1;
    a.factors = {std::bit_cast<double>(bits)};
    a.ratio = std::bit_cast<double>(bits);
    b.output("y", b.emit_one("everything", {}, Attributes::of(a)));
    const GraphRef parsed = round_trip(**b.build());
    ASSERT_NE(parsed, nullptr);
    const auto& back = parsed->nodes()[0].attributes.as<EverythingAttributes>();
    EXPECT_EQ(std::bit_cast<uint64_t>(back.ratio), bits);
    EXPECT_EQ(std::bit_cast<uint64_t>(back.factors[0]), bits);
  }
}

TEST(Text, EveryPatternOfSmallTypesSurvives) {
  for (int d = 1; d < kDTypeCount; ++d) {
    const auto dtype = static_cast<DType>(d);
    const int bits = bits_of(dtype);
    if (bits == 0 || bits > 16) continue;
    const int64_t count = dtype == DType::kBool ? 2 : int64_t{1} << bits;
    Tensor t = *Tensor::zeros(dtype, {count});
    for (int64_t i = 0; i < count; ++i) {
      if (bits == 16) reinterpret_cast<uint16_t*>(t.mutable_data())[i] = static_cast<uint16_t>(i);
      if (bits == 8) reinterpret_cast<uint8_t*>(t.mutable_data())[i] = static_cast<uint8_t>(i);
      if (bits == 4) t.set_int(i, dtype == DType::kI4 ? i - 8 : i);
    }
    Tensor back = *Tensor::zeros(dtype, {count});
    for (int64_t i = 0; i < count; ++i) {
      const std::string element = text::format_element(t, i);
      EXPECT_TRUE(text::parse_element(element, back, i)) << to_string(dtype) << " " << element;
    }
    EXPECT_TRUE(t.identical(back)) << to_string(dtype);
  }
}

TEST(Text, ConstantsOfEveryTypeAndSize) {
  for (int d = 1; d < kDTypeCount; ++d) {
    const auto dtype = static_cast<DType>(d);
    if (bits_of(dtype) == 0) continue;
    for (int64_t n : {0, 1, 3, 40}) {
      Tensor t = *Tensor::zeros(dtype, {n});
      for (int64_t i = 0; i < n; ++i) t.set(i, static_cast<double>(i % 8) * (i % 2 ? 1 : -1));
      GraphBuilder b(ops());
      b.output("c", b.constant(t));
      round_trip(**b.build());
      round_trip(**b.build(), {.max_inline_elements = 1000});
    }
  }
  const float extremes[] = {std::numeric_limits<float>::denorm_min(), 0.1f,
                            std::bit_cast<float>(0x7f800001u), std::bit_cast<float>(0xffc12345u)};
  GraphBuilder b(ops());
  b.output("c", b.constant(*Tensor::of<float>({4}, extremes)));
  b.output("u", b.constant(*Tensor::of<uint64_t>({1}, {~uint64_t{0}})));
  round_trip(**b.build());
}

TEST(Text, LargeTensorsStandAside) {
  Tensor t = *Tensor::zeros(DType::kF32, {100});
  GraphBuilder b(ops());
  b.output("c", b.constant(t));
  const GraphRef graph = *b.build();
  SideData side;
  const std::string text = print(*graph, {.side_data = &side});
  EXPECT_EQ(side.tensors().size(), 1u);
  EXPECT_TRUE(parse_graph(text, ops(), side).ok());
  EXPECT_EQ(parse_graph(text, ops()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(print(*graph), HasSubstr("f32[100] @"));
}

TEST(Text, NamesAreKeptWhateverTheyAre) {
  GraphBuilder b(ops(), "weird \n name");
  const Value x = b.input("x:0", kRow), y = b.input("x_0", kRow), e = b.input("return", kRow);
  const Value k = b.variable({"a b", {DType::kF32, {2}}, Variable::Kind::kSession});
  const Value p = b.variable({"a_b", {DType::kF32, {2}}, Variable::Kind::kShard});
  std::vector<Value> made;
  for (const Value v : {x, y, e}) {
    made.push_back(b.emit_one("odd op!", {v}));
    b.set_name(made.back(), "same");
  }
  const GraphBuilder::Scope scope(b, "\"quoted\" scope\n");
  const Value s = b.emit_one("select", {made[0], Value(), made[2]});
  b.set_name(s, "_");
  b.emit("effect", {s});
  b.output("_", s);
  b.output("assign", made[1]);
  b.output("out put", b.emit_one("add", {k, p}));
  const GraphRef parsed = round_trip(**b.build());
  ASSERT_NE(parsed, nullptr);
  EXPECT_EQ(parsed->value(parsed->inputs()[0]).name, "x:0");
  EXPECT_EQ(parsed->value(parsed->nodes()[1].first_output).name, "same");
  EXPECT_EQ(parsed->scopes()[1], "\"quoted\" scope\n");
  EXPECT_EQ(parsed->variables()[0].variable->kind, Variable::Kind::kSession);
}

TEST(Text, VariablesThatAreOnlyAssigned) {
  GraphBuilder b(ops());
  const Value x = b.input("x", {DType::kF32, {2}});
  b.assign({"written", {DType::kF32, {2}}}, x);
  b.output("y", b.variable({"read", {DType::kF32, {2}}}));
  const GraphRef parsed = round_trip(**b.build());
  ASSERT_NE(parsed, nullptr);
  EXPECT_EQ(parsed->variables()[0].variable->name, "written");
  EXPECT_EQ(parsed->variables()[0].value, kNoValue);
  EXPECT_EQ(parsed->variables()[1].assigned, kNoValue);
}

TEST(Text, RangesAndConstraints) {
  GraphBuilder b(ops());
  b.set_range("n", {0, DimRange::kUnbounded});
  b.set_range("m", {-3, 5});
  const Value x = b.input("x", {DType::kF32, {Dim::symbol("n"), 3}});
  const Value y = b.input("y", {DType::kF32, {Dim::symbol("m") * 2, 3}});
  b.output("z", b.emit_one("add", {x, y}));
  const GraphRef parsed = round_trip(**b.build());
  ASSERT_NE(parsed, nullptr);
  ASSERT_EQ(parsed->constraints().size(), 1u);
  EXPECT_EQ(parsed->constraints()[0].reason, "add's operands");
  // What inference requires need not be written.
  EXPECT_THAT(normal("graph \"g\" (x: f32[n], y: f32[m]) { return z = add(x, y) }"),
              HasSubstr("require n == m \"add's operands\""));
}

TEST(Text, RegionsLeaveTheirConstraintsToTheGraphAround) {
  GraphBuilder b(ops());
  const Value x = b.input("x", {DType::kF32, {Dim::symbol("n")}});
  const Value y = b.input("y", {DType::kF32, {Dim::symbol("m")}});
  auto region = b.region("body", {x.type()}, [&](GraphBuilder& inner, absl::Span<const Value> in) {
    const GraphBuilder::Scope scope(inner, "deep");
    return std::vector<Value>{inner.emit_one("add", {in[0], y})};
  });
  EverythingAttributes a;
  a.body = region.graph;
  b.output("z", b.emit_one("everything", {x, region.captured[0]}, Attributes::of(a)));
  const GraphRef graph = *b.build();
  EXPECT_THAT(print(*graph), HasSubstr(R"({body: graph "body" (in0: f32[n], captured0: f32[m]) {
    %0 = add(in0, captured0)  // deep
    return out0 = %0
  }}
)"));
  const GraphRef parsed = round_trip(*graph);
  ASSERT_NE(parsed, nullptr);
  const GraphRef& body = parsed->nodes()[0].attributes.as<EverythingAttributes>().body;
  EXPECT_TRUE(body->constraints().empty());
  EXPECT_EQ(parsed->constraints().size(), 1u);
}

TEST(Text, HandWrittenForms) {
  EXPECT_EQ(normal(R"(
    // A comment before everything.
    graph "g" (x: f32[n // 2, max(n, 3)]) {  // and here
      dim n in 2..
      a, b = split(x)   // scope.of.split
      // between
      c =
        relu(b)
      return first = a, relu(c), c  // the end
    })"),
            R"(graph "g" (x: f32[floordiv(n, 2),max(3, n)]) {
  dim n in 2..
  a, b = split(x)  // scope.of.split
  c = relu(b)
  %0 = relu(c)
  return first = a, out1 = %0, c
}
)");
  EXPECT_EQ(normal(R"(graph "e" () {})"), "graph \"e\" () {\n}\n");
}

TEST(Text, TypesAreCheckedWhereTheyAreGiven) {
  const std::string text = R"(graph "g" (x: f32[4]) {
  a: f32[2], b: f32[2] = split(x)
  return a
}
)";
  const GraphRef graph = *parse_graph(text, ops());
  EXPECT_EQ(print(*graph, {.types = true}), text);
  EXPECT_EQ(normal(R"(graph "g" (x: f32[4]) { a: f32[3], b: f32[2] = split(x) })"),
            "1:25: 'a' is f32[2], not f32[3]");
}

TEST(Text, LongSignaturesAreBroken) {
  GraphBuilder b(ops(), "long");
  for (int i = 0; i < 12; ++i) {
    const std::string name = "an_input_with_a_name_" + std::to_string(i);
    b.output("out_" + name, b.emit_one("relu", {b.input(name, kRow)}));
  }
  const GraphRef graph = *b.build();
  EXPECT_THAT(print(*graph), HasSubstr(",\n    an_input_with_a_name_3: f32[batch,4]"));
  round_trip(*graph);
}

TEST(Text, Programs) {
  const std::string text = R"(graph "train" (x: f32[2]) {
  w: var f32[2] "w"
  %0 = add(w, x)
  assign "w" = %0
}

graph "mlp" entry "eval" (x: f32[2]) {
  w: var f32[2] "w"
  %0 = add(w, x)
  return y = %0
}
)";
  const absl::StatusOr<Program> program = parse_program(text, ops());
  ASSERT_TRUE(program.ok()) << program.status();
  ASSERT_EQ(program->entries.size(), 2u);
  EXPECT_EQ(program->entries[1].name, "eval");
  EXPECT_EQ(program->entries[0].graph->variables()[0].variable,
            program->entries[1].graph->variables()[0].variable);
  EXPECT_EQ(print(*program), text);
  EXPECT_FALSE(parse_graph(text, ops()).ok());
}

TEST(Text, LongExpressionsComeBack) {
  const Dim n = Dim::symbol(std::string(Dim::kMaxText, 'd'));
  EverythingAttributes a;
  a.extents = {n};
  GraphBuilder b(ops(), "long");
  b.output("y", b.emit_one("everything", {b.input("x", {DType::kF32, {n}})}, Attributes::of(a)));
  const absl::StatusOr<GraphRef> graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  round_trip(**graph);
}

TEST(Text, ErrorsSayWhereAndWhat) {
  const std::pair<const char*, const char*> kCases[] = {
      {"", "1:1: expected 'graph', found the end"},
      {"graph g", "1:7: expected a string in double quotes"},
      {"graph \"g", "1:7: a string that does not end"},
      {"graph \"g\\q\" ()", "1:10: unknown escape in a string"},
      {"graph \"g\" (x: f32)", "1:18: expected '[', found \")\""},
      {"graph \"g\" (x: f99[2])", "1:15: expected a type such as f32[batch,784]"},
      {"graph \"g\" (x: f32[2,])", "dimension '', column 1: expected a number, a name or '('"},
      {"graph \"g\" (x: f32[-2])", "1:18: extent -2 of [-2] is negative"},
      {"graph \"g\" (x: f32[2], y: f32[4294967296,4294967296])",
       "1:29: [4294967296,4294967296] has too many elements"},
      {"graph \"g\" (x: f32[2], x: f32[2]) {}", "1:23: 'x' is defined twice"},
      {"graph \"g\" (_: f32[2]) {}", "1:12: '_' stands for an absent operand"},
      {"graph \"g\" () {", "1:15: expected '}': the graph does not end"},
      {"graph \"g\" () {} x", "1:17: expected 'graph', found \"x\""},
      {"graph \"g\" () {\n  y = nothing()\n}", "2:7: no op 'nothing' is registered"},
      {"graph \"g\" () {\n  y = relu(x)\n}", "2:12: 'x' is not defined"},
      {"graph \"g\" () {\n  y = relu(%3)\n}", "2:12: '%3' is not defined"},
      {"graph \"g\" () {\n  y = relu()\n}", "2:7: relu: takes 1 operands, got 0"},
      {"graph \"g\" () {\n  y = relu(1)\n}", "2:12: expected a value"},
      {"graph \"g\" (x: f32[2]) { y = add(x) }", "1:29: add: takes 2 operands, got 1"},
      {"graph \"g\" (x: f32[2]) { y = add(x, _) }", "1:29: add: operand 1 is a null value"},
      {"graph \"g\" (x: f32[2], z: f32[3]) { y = add(x, z) }",
       "1:40: add: add's operands: 2 and 3 differ (operands: f32[2], f32[3])"},
      {"graph \"g\" (x: f32[2]) { a, b = relu(x) }", "1:32: relu has 1 outputs, 2 are named"},
      {"graph \"g\" (x: f32[2]) { x = relu(x) }", "1:25: 'x' is defined twice"},
      {"graph \"g\" (x: f32[2]) { y = relu(x) {a: 1} }", "1:37: relu has no attributes"},
      {"graph \"g\" (x: f32[2]) { y, z = split(x) {part: 1} }", "unknown attribute 'part'"},
      {"graph \"g\" (x: f32[2]) { y, z = split(x) {parts: 1.5} }", "cannot be a float"},
      {"graph \"g\" (x: f32[2]) { y, z = split(x) {parts: 1, parts: 1} }", "is given twice"},
      {"graph \"g\" (x: f32[2]) { y, z = split(x) {parts: 9223372036854775808} }",
       "cannot be a float"},
      {"graph \"g\" () { c = constant() {value: f32[2] [1]} }", "expected 2 elements, found 1"},
      {"graph \"g\" () { c = constant() {value: u8[1] [256]} }", "element 0, \"256\", is no u8"},
      {"graph \"g\" () { c = constant() {value: f32[n] [1]} }", "dimension n of [n] is not bound"},
      {"graph \"g\" () { c = constant() {value: string[1] [1]} }", "no tensors of type string"},
      {"graph \"g\" () { c = constant() {value: f32[999999999999,999999999999] []} }",
       "has too many elements"},
      {"graph \"g\" () { c = constant() {value: what} }", "expected the value of an attribute"},
      {"graph \"g\" () { dim n in 3..2 }", "1:20: an empty range"},
      {"graph \"g\" () { dim n in 3..4 dim n in 1..2 }", "a second range of 'n'"},
      {"graph \"g\" () { require n }", "1:24: expected '==' on this line"},
      {"graph \"g\" () { require n == n + 1 \"why\" }", "n and n + 1 differ"},
      {"graph \"g\" () { w: var f32[n] \"w\" }", "variable w has a free dimension"},
      {"graph \"g\" () { w: var f32[1] \"w\" v: var f32[1] \"w\" }", "variable 'w' stands twice"},
      {"graph \"g\" () { w: var f32[1] \"w\" }\ngraph \"h\" () { w: var f32[2] \"w\" }",
       "2:16: variable 'w' is f32[1] shared elsewhere"},
      {"graph \"g\" () {}\ngraph \"g\" () {}", "two entries are named 'g'"},
      {"graph \"g\" (x: f32[1]) { assign \"w\" = x }", "1:32: no variable \"w\""},
      {"graph \"g\" (x: f32[2]) { w: var f32[1] \"w\" assign \"w\" = x }", "variable w is f32[1]"},
      {"graph \"g\" (x: f32[2]) { return a = x, a = x }", "two outputs are named 'a'"},
      {"graph \"g\" (x: f32[2]) { return x return x }", "a second 'return'"},
      {"graph \"g\" (x: f32[2]) { return _ }", "'_' is not defined"},
  };
  for (const auto& [text, message] : kCases) {
    const absl::StatusOr<Program> program = parse_program(text, ops());
    EXPECT_FALSE(program.ok()) << text;
    EXPECT_THAT(std::string(program.status().message()), HasSubstr(message)) << text;
  }
}

// Not a mistake of the text: another library may have the op.
TEST(Text, AnUnknownOpIsUnimplemented) {
  EXPECT_EQ(parse_graph("graph \"g\" () {\n  y = nothing()\n}", ops()).status().code(),
            absl::StatusCode::kUnimplemented);
}

TEST(Text, HostileTextIsRefusedInTime) {
  std::string nested = "graph \"g\" (x: f32[1]) { y = everything(x) {body: ";
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += nested;
  EXPECT_THAT(std::string(parse_graph(deep, ops()).status().message()), HasSubstr("too deeply"));
  const std::string parens(100000, '(');
  EXPECT_FALSE(parse_graph("graph \"g\" (x: f32[" + parens + "])", ops()).ok());
  EXPECT_FALSE(parse_graph("graph \"g\" () { y = everything() {sizes: [" + parens, ops()).ok());
  // Many values of one name.
  std::string same = "graph \"g\" (x: f32[1]) {\n";
  for (int i = 0; i < 20000; ++i) {
    same += "y" + std::to_string(i) + " \"y\" = relu(x)\n";
  }
  const absl::StatusOr<GraphRef> graph = parse_graph(same + "}", ops());
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(print(**graph), HasSubstr("y_19999 \"y\" = relu(x)"));
}

TEST(Text, SeedsOfTheFuzzerParse) {
  for (const char* name : {"mlp", "attributes", "empty"}) {
    std::ifstream file(absl::StrCat("graph/testdata/", name, ".mltxt"));
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const absl::StatusOr<Program> program = parse_program(text, ops());
    EXPECT_TRUE(program.ok()) << name << ": " << program.status();
  }
}

TEST(StructureTest, ANodeTwiceIsNotANodeOnce) {
  const auto once =
      parse_graph("graph \"g\" (x: f32[2]) {\n  a = relu(x)\n  return add(a, a)\n}", ops());
  const auto twice = parse_graph(
      "graph \"g\" (x: f32[2]) {\n  a = relu(x)\n  b = relu(x)\n  return add(a, b)\n}", ops());
  ASSERT_TRUE(once.ok() && twice.ok()) << once.status() << twice.status();
  EXPECT_FALSE(structurally_equal(**once, **twice));
  EXPECT_FALSE(structurally_equal(**twice, **once));
  EXPECT_TRUE(structurally_equal(**twice, **twice));
}

}  // namespace
}  // namespace modellib
