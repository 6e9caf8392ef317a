// Each rule of the verifier refuses a graph that breaks it; graphs from files come that way.
#include "modellib/graph/verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "modellib/graph/assemble.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/testing_ops.h"

namespace modellib {
namespace {

TensorType f32(Shape shape) { return {DType::kF32, std::move(shape)}; }

// y = add(relu(x), w), with w assigned relu(x): values 0 x, 1 w, 2 relu, 3 add.
GraphParts sound() {
  GraphParts p;
  p.name = "g";
  p.values = {
      {f32({4}), -1, 0, "x"}, {f32({4}), -1, 0, "w"}, {f32({4}), 0, 0, ""}, {f32({4}), 1, 0, ""}};
  p.inputs = {0};
  p.variables = {
      {std::make_shared<const Variable>(Variable{"w", f32({4}), Variable::Kind::kShared}), 1, 2}};
  Graph::Node relu, add;
  relu.op = testing::ops().find("relu");
  relu.inputs = {0};
  relu.first_output = 2;
  add.op = testing::ops().find("add");
  add.inputs = {2, 1};
  add.first_output = 3;
  p.nodes = {relu, add};
  p.outputs = {{"y", 3}};
  return p;
}

struct Broken {
  const char* rule;
  void (*damage)(GraphParts&);
};
void PrintTo(const Broken& b, std::ostream* out) { *out << b.rule; }

class Verifier : public ::testing::TestWithParam<Broken> {};

TEST_P(Verifier, Refuses) {
  GraphParts p = sound();
  GetParam().damage(p);
  const auto graph = assemble(std::move(p));
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(graph.status().message()), ::testing::HasSubstr(GetParam().rule));
}

const Broken kBroken[] = {
    {"values-exist", [](GraphParts& p) { p.outputs[0].value = 4; }},
    {"values-exist", [](GraphParts& p) { p.inputs[0] = -7; }},
    {"values-exist", [](GraphParts& p) { p.variables[0].assigned = 99; }},
    {"nodes-have-ops", [](GraphParts& p) { p.nodes[0].op = nullptr; }},
    {"nodes-have-ops", [](GraphParts& p) { p.nodes[1].scope = 1; }},
    {"types-follow",
     [](GraphParts& p) {
       p.nodes[0].op = testing::ops().find("split");
       p.nodes[0].attributes = Attributes::of(testing::EverythingAttributes{});
     }},
    {"single-assignment", [](GraphParts& p) { std::swap(p.nodes[0], p.nodes[1]); }},
    {"single-assignment", [](GraphParts& p) { p.nodes[1].inputs[0] = 3; }},
    {"single-assignment", [](GraphParts& p) { p.inputs.push_back(1); }},
    {"single-assignment", [](GraphParts& p) { p.values[2].producer = 1; }},
    {"types-follow", [](GraphParts& p) { p.values[3].type = f32({5}); }},
    {"types-follow", [](GraphParts& p) { p.values[0].type.dtype = DType::kF64; }},
    {"types-follow", [](GraphParts& p) { p.nodes[0].inputs.push_back(1); }},
    {"types-follow",
     [](GraphParts& p) {
       p.inputs.push_back(static_cast<ValueId>(p.values.size()));
       p.values.push_back({f32({-4}), -1, 0, "z"});
     }},
    {"types-follow",
     [](GraphParts& p) {
       p.inputs.push_back(static_cast<ValueId>(p.values.size()));
       p.values.push_back({f32({int64_t{1} << 30, 0, int64_t{1} << 30}), -1, 0, "z"});
     }},
    {"variables-are-sound",
     [](GraphParts& p) {
       const Variable negative{"v", f32({-4}), Variable::Kind::kShared};
       p.variables.push_back({std::make_shared<const Variable>(negative), kNoValue, kNoValue});
     }},
    {"variables-are-sound",
     [](GraphParts& p) {
       p.variables[0].variable =
           std::make_shared<const Variable>(Variable{"w", f32({3}), Variable::Kind::kShared});
     }},
    {"variables-are-sound",
     [](GraphParts& p) {
       p.variables.push_back({p.variables[0].variable, kNoValue, kNoValue});
     }},
    {"names-are-unique",
     [](GraphParts& p) {
       p.outputs.push_back({"y", 2});
     }},
};
INSTANTIATE_TEST_SUITE_P(Rules, Verifier, ::testing::ValuesIn(kBroken));

TEST(VerifierTest, AcceptsASoundGraphAndNamesEachRule) {
  const auto graph = assemble(sound());
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(verify(**graph), absl::OkStatus());
  for (const VerifierRule& rule : verifier_rules()) {
    EXPECT_TRUE(std::any_of(std::begin(kBroken), std::end(kBroken),
                            [&](const Broken& b) { return std::string(b.rule) == rule.name; }))
        << rule.name << " has no graph that breaks it";
  }
}

}  // namespace
}  // namespace modellib
