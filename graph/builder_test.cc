#include "modellib/graph/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/testing_ops.h"

namespace modellib {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Dim kBatch = Dim::symbol("batch");
TensorType f32(Shape shape) { return {DType::kF32, std::move(shape)}; }

Value relu(Value x) { return x.builder()->emit_one("relu", {x}); }
Value add(Value a, Value b) {
  return (a.builder()->depth() > b.builder()->depth() ? a : b).builder()->emit_one("add", {a, b});
}
Variable weight() { return {"w", f32({4}), Variable::Kind::kShared}; }

TEST(Builder, MakesEqualNodesOnce) {
  GraphBuilder b(testing::ops());
  const Value x = b.input("x", f32({4})), y = b.input("y", f32({4}));
  EXPECT_EQ(add(x, relu(y)), add(x, relu(y)));
  EXPECT_NE(add(x, y), add(y, x));
  EXPECT_EQ(b.so_far().nodes().size(), 4u);
}

TEST(Builder, TellsAttributesApart) {
  GraphBuilder b(testing::ops());
  const Value x = b.input("x", f32({8}));
  const auto split = [&](int64_t parts) {
    return b.emit("split", {x}, Attributes::of(testing::SplitAttributes{parts}));
  };
  EXPECT_EQ(split(2), split(2));
  EXPECT_EQ(split(2), b.emit("split", {x})) << "2 is the default";
  EXPECT_NE(split(2)[0], split(4)[0]);
  EXPECT_EQ(split(4)[3].shape(), Shape{2});
}

TEST(Builder, RefusesExtentsThatAreTooLarge) {
  Dim huge = 1;
  for (int i = 0; i < 40; ++i) huge = huge * (Dim::symbol("a" + std::to_string(i)) + 1);
  GraphBuilder b(testing::ops());
  b.output("y", relu(b.input("x", f32({4, huge}))));
  EXPECT_EQ(b.build().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(b.status().message()), HasSubstr("input 'x': an extent is too large"));
  GraphBuilder c(testing::ops());
  c.require_equal(kBatch, huge, "rows");
  EXPECT_THAT(std::string(c.status().message()), HasSubstr("rows: too large"));
}

TEST(Builder, RefusesShapesThatNoTensorHas) {
  constexpr int64_t kLarge = int64_t{1} << 32;
  const auto message = [](auto make) {
    GraphBuilder b(testing::ops());
    EXPECT_TRUE(make(b).is_poisoned());
    EXPECT_EQ(b.build().status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(b.status().message());
  };
  using B = GraphBuilder;
  EXPECT_THAT(message([](B& b) {
                return b.input("x", f32({4, -2}));
              }),
              HasSubstr("input 'x': extent -2 of [4,-2] is negative"));
  EXPECT_THAT(message([](B& b) {
                return b.input("x", f32({kBatch, kLarge, kLarge}));
              }),
              HasSubstr("has too many elements"));
  EXPECT_THAT(message([](B& b) {
                return b.input("x", f32({0, kLarge, kLarge}));
              }),
              HasSubstr("has too many elements"));
  EXPECT_THAT(message([](B& b) { return b.input("x", f32({Dim::symbol("batch size")})); }),
              HasSubstr("no proper name"));
  EXPECT_THAT(message([](B& b) {
                return b.variable({"w", f32({-1})});
              }),
              HasSubstr("variable 'w' of type f32[-1]"));
}

TEST(Builder, MergesConstantsByContent) {
  GraphBuilder b(testing::ops());
  EXPECT_EQ(b.scalar(1.5), b.scalar(1.5));
  EXPECT_NE(b.scalar(1.5), b.scalar(1.5, DType::kF64));
  EXPECT_NE(b.scalar(0.0), b.scalar(-0.0));
  const Tensor t = *Tensor::of<float>({2}, {1, 2});
  EXPECT_EQ(b.constant(t), b.constant(*Tensor::of<float>({2}, {1, 2})));
  EXPECT_NE(b.constant(t), b.constant(*t.reshaped({1, 2})));
}

TEST(Builder, TakesNoNewConstantForAnOldOneAtItsAddress) {
  // Freed tensors leave their addresses to later ones.
  GraphBuilder b(testing::ops());
  for (int round = 0; round < 50; ++round) {
    for (double x : {0.5, -1.0, 2.0, 7.0}) {
      const Value v = b.scalar(x);
      ASSERT_EQ(constant_value(b.so_far(), v.id())->at(0), x);
    }
  }
  EXPECT_EQ(b.so_far().nodes().size(), 4u);
}

TEST(Builder, KeepsReferencesToShapesWhileItGrows) {
  GraphBuilder b(testing::ops());
  Value x = b.input("x", f32({kBatch, 4}));
  const Shape& shape = x.shape();
  for (int i = 0; i < 1000; ++i) x = relu(add(x, x));
  EXPECT_EQ(shape, (Shape{kBatch, 4}));
}

TEST(Builder, NamesTheScopesOfTheFirstMistake) {
  GraphBuilder b(testing::ops(), "net");
  const Value x = b.input("x", f32({4})), y = b.input("y", f32({5}));
  Value bad;
  {
    const auto outer = b.scope("encoder");
    const auto inner = b.scope("layer0");
    bad = add(x, y);
  }
  EXPECT_TRUE(bad.is_poisoned());
  EXPECT_TRUE(relu(add(bad, x)).is_poisoned());
  b.emit_one("no such op", {x});  // a later mistake
  b.output("out", bad);
  const auto graph = b.build();
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(graph.status().message()),
              AllOf(HasSubstr("net"), HasSubstr("encoder.layer0"), HasSubstr("add"),
                    HasSubstr("4 and 5"), HasSubstr("f32[4], f32[5]")));
}

TEST(Builder, RefusesWhatIsNotAnOperand) {
  const auto message = [](auto make) {
    GraphBuilder b(testing::ops());
    const Value x = b.input("x", f32({4}));
    make(b, x);
    return std::string(b.build().status().message());
  };
  using B = GraphBuilder;
  EXPECT_THAT(message([](B& b, Value x) { b.emit("relu", {x, x}); }), HasSubstr("operand"));
  EXPECT_THAT(message([](B& b, Value x) { b.emit("add", {x, Value()}); }), HasSubstr("operand"));
  EXPECT_THAT(message([](B& b, Value x) {
                b.emit("relu", {x}, Attributes::of(testing::SplitAttributes{}));
              }),
              HasSubstr("attribute"));
  // Of very many operands the first are listed.
  EXPECT_THAT(message([](B& b, Value x) {
                b.emit("everything", std::vector<Value>(20, x),
                       Attributes::of(testing::SplitAttributes{}));
              }),
              HasSubstr("f32[4], ...)"));
  EXPECT_THAT(message([](B& b, Value) { b.emit("none such", {}); }), HasSubstr("none such"));
  EXPECT_THAT(message([](B& b, Value) { b.input("x", f32({4})); }), HasSubstr("'x' exists"));
  EXPECT_THAT(message([](B& b, Value x) {
                b.output("y", x);
                b.output("y", x);
              }),
              HasSubstr("'y' exists"));
  EXPECT_THAT(message([](B&, Value x) { x.dim(1); }), HasSubstr("axis 1"));
  EXPECT_THAT(message([](B& b, Value) {
                GraphBuilder other(testing::ops());
                b.emit("relu", {other.input("z", f32({4}))});
              }),
              HasSubstr("another graph"));
}

// Which takes minutes where each name is compared with all before it.
TEST(Builder, TakesHundredsOfThousandsOfOutputs) {
  constexpr int kOutputs = 200'000;
  GraphBuilder b(testing::ops());
  for (int time = 0; time < 2; ++time) {  // the second graph may have the names of the first
    const Value x = b.input("x", f32({4}));
    for (int i = 0; i < kOutputs; ++i) b.output("y" + std::to_string(i), x);
    const auto graph = b.build();
    ASSERT_TRUE(graph.ok()) << graph.status();
    EXPECT_EQ((*graph)->outputs().size(), static_cast<size_t>(kOutputs));
  }
}

TEST(Builder, DropsAbsentOperandsAtTheEndOnly) {
  GraphBuilder b(testing::ops());
  const Value x = b.input("x", f32({4}));
  EXPECT_EQ(b.emit_one("select", {x, Value(), Value()}), b.emit_one("select", {x}));
  const Value gap = b.emit_one("select", {x, Value(), x});
  EXPECT_THAT(b.so_far().nodes().back().inputs, ElementsAre(x.id(), kNoValue, x.id()));
  EXPECT_NE(gap, b.emit_one("select", {x, x}));
}

TEST(Builder, KeepsEqualityOfFreeDimensionsAsConstraints) {
  GraphBuilder b(testing::ops());
  const Value x = b.input("x", f32({kBatch})), y = b.input("y", f32({Dim::symbol("n")}));
  add(x, y);
  add(y, x);  // the same constraint again
  b.output("out", add(x, y));
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_EQ((*graph)->constraints().size(), 1u);
  EXPECT_EQ((*graph)->constraints()[0].left, kBatch);
  EXPECT_EQ((*graph)->constraints()[0].right, Dim::symbol("n"));
}

TEST(Builder, SaysInWhichScopeDimensionsMustBeEqual) {
  GraphBuilder b(testing::ops());
  const Value x = b.input("x", f32({kBatch})), y = b.input("y", f32({Dim::symbol("n")})),
              z = b.input("z", f32({Dim::symbol("m")}));
  {
    const auto scope = b.scope("encoder");
    b.region("body", {}, [&](GraphBuilder& inner, absl::Span<const Value>) -> std::vector<Value> {
      const Value sum = inner.emit_one("add", {x, y});
      const auto own = inner.scope("cell");
      return {sum, inner.emit_one("add", {x, z})};
    });
  }
  b.output("out", x);
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  std::vector<std::string> reasons;
  for (const Graph::Constraint& c : (*graph)->constraints()) reasons.push_back(c.reason);
  EXPECT_THAT(reasons, ElementsAre("encoder: add's operands", "cell: add's operands"));
}

TEST(Builder, IntersectsRanges) {
  GraphBuilder b(testing::ops());
  b.set_range("batch", {1, 100});
  b.set_range("batch", {10, 1000});
  EXPECT_EQ(b.so_far().ranges().at("batch"), (DimRange{10, 100}));
  b.set_range("batch", {200, 300});
  EXPECT_THAT(std::string(b.build().status().message()), HasSubstr("empty range"));
}

TEST(Builder, ThreadsAVariableThroughItsAssignments) {
  GraphBuilder b(testing::ops());
  const Value before = b.variable(weight());
  EXPECT_EQ(b.variable(weight()), before);
  const Value once = relu(before);
  b.assign(weight(), once);
  EXPECT_EQ(b.variable(weight()), once) << "a later read sees the assignment";
  const Value twice = add(once, once);
  b.assign(weight(), twice);
  b.assign(weight(), twice);
  EXPECT_EQ(b.contents(weight()), (std::vector<Value>{before, once, twice}));
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_EQ((*graph)->variables().size(), 1u);
  EXPECT_EQ((*graph)->variables()[0].value, before.id());
  EXPECT_EQ((*graph)->variables()[0].assigned, twice.id());
  EXPECT_TRUE(b.contents(weight()).empty()) << "of the next graph";
}

TEST(Builder, HoldsAVariableToOneType) {
  GraphBuilder b(testing::ops());
  b.variable(weight());
  EXPECT_TRUE(b.variable({"w", f32({5}), Variable::Kind::kShared}).is_poisoned());
  GraphBuilder c(testing::ops());
  c.assign(weight(), c.input("x", f32({5})));
  EXPECT_THAT(std::string(c.build().status().message()), HasSubstr("'w' is f32[4]"));
  GraphBuilder d(testing::ops());
  d.variable(weight());
  d.assign({"w", f32({5})}, d.input("x", f32({5})));
  EXPECT_THAT(std::string(d.build().status().message()), HasSubstr("'w' is f32[4]"));
}

TEST(Builder, RefusesAVariableOfAFreeDimensionEachTime) {
  const Variable free{"w", f32({kBatch})};
  GraphBuilder b(testing::ops());
  EXPECT_TRUE(b.variable(free).is_poisoned());
  EXPECT_TRUE(b.variable(free).is_poisoned());
  EXPECT_TRUE(b.contents(free).empty());
  GraphBuilder c(testing::ops());
  c.assign(free, c.input("x", f32({kBatch})));
  EXPECT_EQ(c.build().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(c.status().message()), HasSubstr("has a free dimension"));
}

TEST(Builder, RefusesValuesOfAGraphThatWasBuilt) {
  using B = GraphBuilder;
  void (*const kUses[])(B&, Value) = {
      [](B& b, Value old) { b.output("z", old); }, [](B&, Value old) { relu(old); },
      [](B& b, Value old) { b.assign(weight(), old); },
      [](B& b, Value old) {
        b.region("body", {},
                 [&](B& inner, auto) { return std::vector<Value>{inner.captured(old)}; });
      }};
  for (const auto use : kUses) {
    GraphBuilder b(testing::ops());
    const Value x = b.input("x", f32({4})), y = relu(x);
    b.output("y", y);
    ASSERT_TRUE(b.build().ok());
    EXPECT_TRUE(y.is_poisoned());
    EXPECT_EQ(y.dtype(), DType::kInvalid);
    EXPECT_EQ(y.dim(0), Dim(0));
    const Value next = b.input("x", f32({4}));
    EXPECT_FALSE(next.is_poisoned());
    EXPECT_NE(next, x) << "though it has the same number";
    use(b, y);
    EXPECT_THAT(std::string(b.build().status().message()), HasSubstr("after its graph was built"));
  }
}

TEST(Builder, LeavesTheScopesOfAGraphWithIt) {
  GraphBuilder b(testing::ops());
  const auto outer = b.scope("outer");
  {
    const auto inner = b.scope("inner");
    b.output("y", b.input("x", f32({4})));
    ASSERT_TRUE(b.build().ok());
  }
  EXPECT_EQ(b.current_scope(), "");
}

TEST(Builder, CapturesOuterValuesInARegion) {
  GraphBuilder b(testing::ops());
  const Value x = b.input("x", f32({4})), y = b.input("y", f32({4}));
  const auto region = b.region("body", {f32({4})}, [&](GraphBuilder& inner, auto inputs) {
    EXPECT_EQ(inner.depth(), 1);
    const Value sum = add(add(inputs[0], x), add(y, inputs[0]));
    return std::vector<Value>{add(sum, inner.captured(x))};
  });
  ASSERT_NE(region.graph, nullptr) << b.status();
  EXPECT_THAT(region.captured, ElementsAre(x, y)) << "each once";
  EXPECT_EQ(region.graph->inputs().size(), 3u);
  EXPECT_EQ(b.so_far().nodes().size(), 0u) << "the body's nodes stand in the region";
}

TEST(Builder, CapturesThroughNestedRegions) {
  GraphBuilder b(testing::ops());
  const Value x = b.input("x", f32({4}));
  const auto outer = b.region("outer", {}, [&](GraphBuilder& middle, auto) {
    const auto inner = middle.region("inner", {f32({4})}, [&](GraphBuilder&, auto inputs) {
      return std::vector<Value>{add(inputs[0], x)};
    });
    EXPECT_EQ(inner.captured.size(), 1u);
    EXPECT_EQ(inner.captured[0].builder(), &middle) << "the middle region captures it too";
    return inner.captured;
  });
  EXPECT_THAT(outer.captured, ElementsAre(x));
}

TEST(Builder, ReadsAVariableInARegionAsACapture) {
  GraphBuilder b(testing::ops());
  const auto region = b.region("body", {}, [&](GraphBuilder& inner, auto) {
    return std::vector<Value>{relu(inner.variable(weight()))};
  });
  EXPECT_THAT(region.captured, ElementsAre(b.variable(weight())));
  EXPECT_TRUE(region.graph->variables().empty());
}

TEST(Builder, TellsAMistakeInsideARegion) {
  GraphBuilder b(testing::ops(), "net");
  const auto region = b.region("body", {f32({4})}, [&](GraphBuilder& inner, auto inputs) {
    inner.assign(weight(), inputs[0]);
    return std::vector<Value>{inputs[0]};
  });
  EXPECT_EQ(region.graph, nullptr);
  EXPECT_THAT(std::string(b.build().status().message()),
              AllOf(HasSubstr("inside a region"), HasSubstr("body")));
}

TEST(Builder, GivesEveryRandomCallSiteAStreamOfItsOwn) {
  GraphBuilder b(testing::ops()), same(testing::ops());
  std::vector<int64_t> streams;
  for (GraphBuilder* builder : {&b, &same}) {
    streams.push_back(builder->next_random_stream());
    const auto scope = builder->scope("dropout");
    streams.push_back(builder->next_random_stream());
    streams.push_back(builder->next_random_stream());
  }
  EXPECT_EQ(streams[0], streams[3]);
  EXPECT_EQ(streams[1], streams[4]);
  EXPECT_NE(streams[0], streams[1]);
  EXPECT_NE(streams[1], streams[2]);
  for (int64_t s : streams) EXPECT_GE(s, 0);
}

TEST(Builder, InlinesAGraph) {
  GraphBuilder source(testing::ops());
  {
    const Value x = source.input("x", f32({4}));
    const auto scope = source.scope("block");
    source.output("y", add(relu(x), source.variable(weight())));
    source.assign(weight(), relu(x));
  }
  const GraphRef graph = *source.build();
  GraphBuilder b(testing::ops());
  const Value z = b.input("z", f32({4})), w = b.input("w", f32({4}));
  const auto inlined = b.inline_graph(*graph, {z}, {w});
  ASSERT_EQ(b.status(), absl::OkStatus());
  EXPECT_EQ(inlined.outputs[0], add(relu(z), w));
  EXPECT_EQ(inlined.assigned[0], relu(z));
  EXPECT_THAT(b.so_far().scopes(), ElementsAre("", "block"));
  b.inline_graph(*graph, {});
  EXPECT_THAT(std::string(b.build().status().message()), HasSubstr("takes 1 inputs, got 0"));
}

TEST(Graph, HashesAndComparesByStructure) {
  const auto make = [](bool swap, absl::string_view name) {
    GraphBuilder b(testing::ops(), name);
    const Value x = b.input("x", f32({4}));
    Value left, right;
    if (swap) right = relu(x), left = add(x, x);
    if (!swap) left = add(x, x), right = relu(x);
    b.set_name(left, name);
    b.output("out", add(left, right));
    return *b.build();
  };
  const GraphRef a = make(false, "a"), b = make(true, "b");
  EXPECT_EQ(structural_hash(*a), structural_hash(*b));
  EXPECT_TRUE(structurally_equal(*a, *b));

  GraphBuilder c(testing::ops());
  const Value x = c.input("x", f32({4}));
  c.output("out", add(relu(x), add(x, x)));  // operands the other way round
  const GraphRef other = *c.build();
  EXPECT_NE(structural_hash(*a), structural_hash(*other));
  EXPECT_FALSE(structurally_equal(*a, *other));
}

}  // namespace
}  // namespace modellib
