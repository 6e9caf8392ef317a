#include "modellib/passes/matcher.h"

#include <gtest/gtest.h>

#include "modellib/ops/reduce.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

using pattern::absent;
using pattern::any;
using pattern::either;
using pattern::number;
using pattern::op;
using pattern::product;

// The graph of a text, with its values found by name.
struct Subject {
  explicit Subject(absl::string_view text) : graph(testing::graph_of(text)), matcher(*graph) {}
  ValueId at(absl::string_view name) const {
    for (size_t v = 0; v < graph->values().size(); ++v) {
      if (graph->values()[v].name == name) return static_cast<ValueId>(v);
    }
    ADD_FAILURE() << "no value " << name;
    return kNoValue;
  }
  bool matches(const Pattern& p, absl::string_view value) const {
    const bool matched = matcher.match(p, at(value)).has_value();
    // The explanation is there exactly if there is no match.
    EXPECT_EQ(matched, matcher.explain(p, at(value)).empty());
    return matched;
  }
  std::string why(const Pattern& p, absl::string_view value) const {
    return matcher.explain(p, at(value));
  }
  GraphRef graph;
  Matcher matcher;
};

const char kHalves[] = R"(graph "g" (x: f32[2,3], y: f32[2,3]) {
  half = constant() {value: f32[] [0.5]}
  more = constant() {value: f32[] [0.7]}
  row = constant() {value: f32[3] [1, 2, 3]}
  a = mul(x, half)
  b = mul(half, x)
  c = mul(x, more)
  d = mul(x, row)
  e = mul(x, y)
  s = sub(x, half)
  t = sub(half, x)
  return a, b, c, d, e, s, t
})";

TEST(Matcher, ConstantsWithANumber) {
  const Subject g(kHalves);
  const Pattern half = op("mul", {any("x"), number(0.5)});
  EXPECT_TRUE(g.matches(half, "a"));
  EXPECT_EQ(g.why(half, "c"), "operand 1 of mul is not a scalar constant near 0.5: it is 0.7");
  EXPECT_EQ(g.why(half, "d"),
            "operand 1 of mul is not a scalar constant near 0.5: it is a constant f32[3]");
  EXPECT_EQ(g.why(half, "e"), "operand 1 of mul is not a scalar constant near 0.5: it is input y");
  EXPECT_TRUE(g.matches(op("mul", {any("x"), number(0.7)}), "c"));  // 0.7 rounded to f32
  EXPECT_TRUE(g.matches(op("mul", {any("x"), number(0.7001, 1e-3)}), "c"));
  EXPECT_FALSE(g.matches(op("mul", {any("x"), number(0.7001)}), "c"));
  const Pattern some = op("mul", {any("x"), number().as("c")});
  EXPECT_EQ(g.matcher.number(g.matcher.match(some, g.at("a"))->at("c")), 0.5);
  EXPECT_EQ(g.why(some, "e"), "operand 1 of mul is not a scalar constant: it is input y");
}

TEST(Matcher, ConstantsRoundedToTheirType) {
  const Subject g(R"(graph "g" (x: f16[4]) {
    near = constant() {value: f16[] [0.79785156]}
    far = constant() {value: f16[] [0.7988]}
    a = mul(x, near)
    b = mul(x, far)
    return a, b
  })");
  const Pattern p = op("mul", {any(), number(0.7978845608)});
  EXPECT_TRUE(g.matches(p, "a"));
  EXPECT_FALSE(g.matches(p, "b"));
}

// Below a power of two numbers lie twice as close as above it.
TEST(Matcher, TheNeighboursOfAPowerOfTwoAreOthers) {
  const Subject g(R"(graph "g" (x: bf16[4]) {
    one = constant() {value: bf16[] [1.0]}
    below = constant() {value: bf16[] [0.99609375]}
    above = constant() {value: bf16[] [1.0078125]}
    a = mul(x, one)
    b = mul(x, below)
    c = mul(x, above)
    return a, b, c
  })");
  const Pattern p = op("mul", {any(), number(1)});
  EXPECT_TRUE(g.matches(p, "a"));
  EXPECT_FALSE(g.matches(p, "b"));
  EXPECT_FALSE(g.matches(p, "c"));
  // Unless the pattern asks for less than the type can tell apart.
  EXPECT_TRUE(g.matches(op("mul", {any(), number(1, 0.003)}), "b"));
}

TEST(Matcher, EitherOrderOfCommutativeOperands) {
  const Subject g(kHalves);
  const Pattern half = op("mul", {any("x"), number(0.5)});
  EXPECT_EQ(g.matcher.match(half, g.at("b"))->at("x"), g.at("x"));
  const Pattern less = op("sub", {any("x"), number(0.5)});
  EXPECT_TRUE(g.matches(less, "s"));
  EXPECT_EQ(g.why(less, "t"), "operand 1 of sub is not a scalar constant near 0.5: it is input x");
}

TEST(Matcher, AnotherOpAndAnotherNumberOfOperands) {
  const Subject g(kHalves);
  EXPECT_EQ(g.why(op("add", {any(), any()}), "a"),
            "the value is not made by add: it is made by mul");
  EXPECT_EQ(g.why(op("mul", {op("exp", {any()}), any()}), "e"),
            "operand 0 of mul is not made by exp: it is input x");
  EXPECT_EQ(g.why(op("mul", {any()}), "a"),
            "the value is a mul with operand 1, which the pattern has not");
  EXPECT_EQ(g.why(op("mul", {any(), any()}), "x"), "the value is not made by mul: it is input x");
}

TEST(Matcher, ANameStandsForOneValue) {
  const Subject g(R"(graph "g" (x: f32[4], y: f32[4]) {
    sx = sigmoid(x)
    a = mul(x, sx)
    b = mul(sx, x)
    c = mul(y, sx)
    return a, b, c
  })");
  const Pattern silu = op("mul", {any("x"), op("sigmoid", {any("x")})});
  EXPECT_TRUE(g.matches(silu, "a"));
  EXPECT_EQ(g.matcher.match(silu, g.at("b"))->at("x"), g.at("x"));
  EXPECT_EQ(g.why(silu, "c"),
            "operand 0 of sigmoid is not the same value as 'x', which is input y: it is input x");
}

// The first choice for the inner product fits by itself; only the later operand shows it wrong.
TEST(Matcher, GoesBackOnAChoice) {
  const Subject g(R"(graph "g" (x: f32[4], y: f32[4]) {
    p = mul(x, y)
    a = sub(p, y)
    b = sub(p, x)
    return a, b
  })");
  const Pattern p = op("sub", {op("mul", {any("u"), any("v")}), any("u")});
  EXPECT_EQ(g.matcher.match(p, g.at("a"))->at("u"), g.at("y"));
  EXPECT_EQ(g.matcher.match(p, g.at("b"))->at("u"), g.at("x"));
}

TEST(Matcher, AlternativesAndAssociations) {
  const Subject g(R"(graph "g" (x: f32[4]) {
    half = constant() {value: f32[] [0.5]}
    e = exp(x)
    hx = mul(half, x)
    a = mul(hx, e)
    he = mul(e, half)
    b = mul(x, he)
    xe = mul(x, e)
    c = mul(xe, half)
    d = mul(xe, xe)
    return a, b, c, d
  })");
  const Pattern p = product(any("x"), number(0.5), op("exp", {any("x")}));
  for (const char* value : {"a", "b", "c"}) EXPECT_TRUE(g.matches(p, value)) << value;
  EXPECT_EQ(g.why(p, "d"), "operand 1 of mul is not a scalar constant near 0.5: it is made by mul");
  const Pattern root = either({op("exp", {any()}), op("log", {any()})});
  EXPECT_TRUE(g.matches(root, "e"));
  EXPECT_EQ(g.why(root, "a"), "the value is not made by exp: it is made by mul");
}

TEST(Matcher, ConditionsOnAttributesAndTypes) {
  const Subject g(R"(graph "g" (x: f32[4,5]) {
    last = reduce_sum(x) {axes: [-1], keepdims: true}
    first = reduce_sum(x) {axes: [0], keepdims: true}
    return last, first
  })");
  const Pattern over_last =
      op("reduce_sum", {any()})
          .attributes<ReduceAttributes>("a sum over the last axis", [](const ReduceAttributes& a) {
            return a.axes == std::vector<int64_t>{-1};
          });
  EXPECT_TRUE(g.matches(over_last, "last"));
  EXPECT_EQ(g.why(over_last, "first"), "the value is not a sum over the last axis");
  const Pattern matrix =
      any().typed("of rank 3", [](const TensorType& t) { return t.rank() == 3; });
  EXPECT_EQ(g.why(op("reduce_sum", {matrix}), "last"),
            "operand 0 of reduce_sum is not of rank 3: it is f32[4,5]");
}

TEST(Matcher, UsesAndWhatEscapes) {
  const Subject g(R"(graph "g" (x: f32[4]) {
    w: var f32[4] "w"
    e = exp(x)
    once = log(x)
    a = add(e, e)
    b = neg(once)
    c = neg(w)
    assign "w" = e
    return a, b, c
  })");
  EXPECT_EQ(g.why(op("add", {any("e").used_once(), any()}), "a"),
            "operand 0 of add is used 3 times, not once");
  EXPECT_TRUE(g.matches(op("neg", {op("log", {any()}).used_once()}), "b"));
  const Pattern twice = op("add", {op("exp", {any("x")}), op("exp", {any("x")})});
  EXPECT_EQ(g.matcher.escape(*g.matcher.match(twice, g.at("a"))),
            "the result of exp is used outside the pattern");
  EXPECT_EQ(g.matcher.escape(*g.matcher.match(op("neg", {op("log", {any()})}), g.at("b"))), "");
  EXPECT_EQ(g.why(op("neg", {number()}), "c"),
            "operand 0 of neg is not a scalar constant: it is variable w");
}

// What only a dead node reads does not count.
TEST(Matcher, DeadNodesUseNothing) {
  const Subject g(R"(graph "g" (x: f32[4]) {
    e = exp(x)
    dead = log(e)
    y = neg(e)
    return y
  })");
  EXPECT_TRUE(g.matches(op("neg", {op("exp", {any()}).used_once()}), "y"));
}

TEST(Matcher, ClosenessOfAMiss) {
  const Subject g(kHalves);
  const Pattern half = op("mul", {any("x"), number(0.5)});
  EXPECT_EQ(g.matcher.miss(half, g.at("s")).closeness, 0);  // another op
  EXPECT_EQ(g.matcher.miss(half, g.at("e")).closeness, 4);  // mul and x
  EXPECT_EQ(g.matcher.miss(half, g.at("c")).closeness, 5);  // and a constant, but 0.7
}

TEST(Matcher, AbsentOperandsAndFurtherOutputs) {
  const Subject g(R"(graph "g" (x: f32[2,4], b: f32[4]) {
    y, mean, rstd = layer_norm(x, _, b)
    z = neg(mean)
    return y, z, rstd
  })");
  EXPECT_TRUE(g.matches(op("layer_norm", {any("x"), absent(), any("b")}), "y"));
  EXPECT_EQ(g.why(op("layer_norm", {any("x"), any("w"), any()}), "y"),
            "operand 1 of layer_norm is absent");
  EXPECT_TRUE(g.matches(op("neg", {any(), absent()}), "z"));
  EXPECT_EQ(g.why(op("layer_norm", {any(), absent(), absent()}), "y"),
            "operand 2 of layer_norm is not absent: it is input b");
  EXPECT_EQ(g.why(op("neg", {op("layer_norm", {any(), any(), any()})}), "z"),
            "operand 0 of neg is not made by layer_norm: it is output 1 of layer_norm");
}

// Of several attempts the one that came furthest is told.
TEST(Matcher, ExplainsTheNearestMiss) {
  const Subject g(R"(graph "g" (x: f32[4]) {
    one = constant() {value: f32[] [1.0]}
    k = constant() {value: f32[] [0.9]}
    s = mul(x, k)
    e = erf(s)
    p = add(one, e)
    y = mul(p, x)
    return y
  })");
  const Pattern inner = op("erf", {op("mul", {any("x"), number(0.7071, 1e-4)})});
  const Pattern p = op("mul", {any("x"), op("add", {inner, number(1)})});
  EXPECT_EQ(g.why(p, "y"), "operand 1 of mul is not a scalar constant near 0.7071: it is 0.9");
}

}  // namespace
}  // namespace modellib
