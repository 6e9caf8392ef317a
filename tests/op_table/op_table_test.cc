// What holds for every op: that it is declared in full, that its reference, decomposition and
// gradients agree with each other and with central differences.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/tests/op_table/gradient_check.h"
#include "modellib/tests/op_table/samples.h"

namespace modellib {
namespace {

TEST(Registry, TakesEveryBuiltinOp) {
  OpRegistry registry;
  EXPECT_EQ(add_builtin_ops(registry), absl::OkStatus());
}

// Whoever writes an op and forgets its gradient must not get "not differentiable".
TEST(Registry, RefusesAnOpThatDeclaresNoGradient) {
  OpRegistry registry;
  OpDef op = *builtin_ops().find("relu");
  op.differentiable = OpDef().differentiable;
  const absl::Status status = registry.add(op);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("'relu' has no declared gradient"));
  op.differentiable = OpDef::Gradient::kNone;
  EXPECT_EQ(registry.add(op), absl::OkStatus());
}

TEST(Registry, EveryOpHasWhatItsKindNeeds) {
  for (const OpDef* op : builtin_ops().all()) {
    SCOPED_TRACE(op->name);
    EXPECT_THAT(op->name, testing::MatchesRegex("[a-z][a-z0-9_]*"));
    EXPECT_NE(op->infer, nullptr);
    if (op->kind == OpDef::Kind::kPrimitive) {
      EXPECT_NE(op->reference, nullptr);
      EXPECT_EQ(op->decompose, nullptr) << "a primitive has nothing simpler";
    } else {
      EXPECT_NE(op->decompose, nullptr);
    }
    EXPECT_EQ(op->gradient != nullptr, op->differentiable == OpDef::Gradient::kRule)
        << "a rule is used exactly where it is declared";
    EXPECT_TRUE(op->max_inputs == OpDef::kVariadic || op->min_inputs <= op->max_inputs);
    ASSERT_NE(op->samples, nullptr);
    const std::vector<OpSample> samples = op->samples();
    EXPECT_FALSE(samples.empty());
    std::set<std::string> names;
    for (const OpSample& s : samples) EXPECT_TRUE(names.insert(s.name).second) << s.name;
  }
}

class OpTable : public testing::TestWithParam<OpCase> {
 protected:
  // Inputs of the sample's graph that can be differentiated, as (input, operand) pairs.
  static std::vector<std::pair<int, int>> real_inputs(const OpSample& sample) {
    std::vector<std::pair<int, int>> result;
    int input = 0;
    for (size_t i = 0; i < sample.inputs.size(); ++i) {
      if (sample.inputs[i].dtype == DType::kInvalid) continue;
      if (sample.inputs[i].dtype == DType::kF64) result.emplace_back(input, static_cast<int>(i));
      ++input;
    }
    return result;
  }

  struct Call {
    std::vector<Value> operands;  // absent: null
    std::vector<Value> wrt;       // the real ones
    std::vector<int> wrt_inputs;
  };
  static Call make_call(GraphBuilder& b, const OpCase& c) {
    Call call;
    for (size_t i = 0; i < c.sample.inputs.size(); ++i) {
      const TensorType& type = c.sample.inputs[i];
      call.operands.push_back(type.dtype == DType::kInvalid ? Value()
                                                            : b.input(absl::StrCat("in", i), type));
    }
    for (auto [input, operand] : real_inputs(c.sample)) {
      call.wrt.push_back(call.operands[static_cast<size_t>(operand)]);
      call.wrt_inputs.push_back(input);
    }
    return call;
  }

  // A fixed random tensor of the value's shape; free dimensions as the sample binds them.
  static Value cotangent(GraphBuilder& b, const OpCase& c, const Value& like,
                         const std::string& name) {
    std::vector<int64_t> shape;
    for (const Dim& d : like.shape()) shape.push_back(*d.evaluate(c.sample.binding));
    return b.constant(*random_tensor(DType::kF64, shape, -1, 1, absl::StrCat(c.name(), name)));
  }

  // The sum of all elements of `values` times random numbers; null if none is real.
  static Value weighted_sum(GraphBuilder& b, const OpCase& c, const std::vector<Value>& values,
                            const std::string& name) {
    Value total;
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i].is_null() || values[i].dtype() != DType::kF64) continue;
      const Value part = reduce_sum(values[i] * cotangent(b, c, values[i], absl::StrCat(name, i)));
      total = total.is_null() ? part : total + part;
    }
    return total;
  }

  static bool differentiable(const OpCase& c) {
    return c.op->differentiable != OpDef::Gradient::kNone && c.sample.check_gradient;
  }
};

TEST_P(OpTable, ReferenceGivesTheInferredTypes) {
  const OpCase& c = GetParam();
  auto graph = sample_graph(c);
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto inputs = sample_inputs(c);
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  // The executor itself compares each result with its inferred type.
  auto result = run_reference(*graph, *inputs);
  ASSERT_TRUE(result.ok()) << result.status();
  auto again = run_reference(*graph, *inputs);
  ASSERT_TRUE(again.ok());
  for (size_t i = 0; i < result->outputs.size(); ++i) {
    EXPECT_TRUE(result->outputs[i].identical(again->outputs[i])) << "output " << i;
  }
}

TEST_P(OpTable, ReferenceAgreesWithDecomposition) {
  const OpCase& c = GetParam();
  if (c.op->reference == nullptr || c.op->decompose == nullptr) return;  // one meaning only
  auto graph = sample_graph(c);
  auto inputs = sample_inputs(c);
  ASSERT_TRUE(graph.ok() && inputs.ok());
  auto decomposed = run_reference(*graph, *inputs);
  ASSERT_TRUE(decomposed.ok()) << decomposed.status();
  std::vector<Tensor> outputs;
  for (const Tensor& t : decomposed->outputs)
    outputs.push_back(*Tensor::zeros(t.dtype(), t.shape()));
  ReferenceContext context{
      (*graph)->node((*graph)->value((*graph)->outputs()[0].value).producer).attributes, *inputs,
      absl::MakeSpan(outputs), c.sample.binding, nullptr};
  ASSERT_EQ(c.op->reference(context), absl::OkStatus());
  for (size_t i = 0; i < outputs.size(); ++i) {
    EXPECT_EQ(difference(outputs[i], decomposed->outputs[i], c.sample.tolerance), "");
  }
}

TEST_P(OpTable, GradientIsTheCentralDifference) {
  const OpCase c = in_f64(GetParam());
  if (!differentiable(c)) return;
  GraphBuilder b(builtin_ops(), c.op->name);
  const Call call = make_call(b, c);
  const Value loss = weighted_sum(b, c, b.emit(*c.op, call.operands, c.sample.attributes), "first");
  ASSERT_EQ(b.status(), absl::OkStatus());
  if (loss.is_null() || call.wrt.empty()) return;
  const std::vector<Value> g = gradients(b, loss, call.wrt);
  b.output("loss", loss);
  for (size_t i = 0; i < g.size(); ++i) b.output(absl::StrCat("g", call.wrt_inputs[i]), g[i]);
  auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto mismatch = gradient_mismatch(*graph, *sample_inputs(c), call.wrt_inputs);
  ASSERT_TRUE(mismatch.ok()) << mismatch.status();
  EXPECT_EQ(*mismatch, "");
}

TEST_P(OpTable, SecondDerivativeIsTheCentralDifferenceOfTheFirst) {
  const OpCase c = in_f64(GetParam());
  if (!differentiable(c)) return;
  GraphBuilder b(builtin_ops(), c.op->name);
  const Call call = make_call(b, c);
  const Value loss = weighted_sum(b, c, b.emit(*c.op, call.operands, c.sample.attributes), "first");
  ASSERT_EQ(b.status(), absl::OkStatus());
  if (loss.is_null() || call.wrt.empty()) return;
  const Value slope = weighted_sum(b, c, gradients(b, loss, call.wrt), "second");
  const std::vector<Value> g = gradients(b, slope, call.wrt);
  b.output("loss", slope);
  for (size_t i = 0; i < g.size(); ++i) b.output(absl::StrCat("g", call.wrt_inputs[i]), g[i]);
  auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto mismatch = gradient_mismatch(*graph, *sample_inputs(c), call.wrt_inputs, /*points=*/6);
  ASSERT_TRUE(mismatch.ok()) << mismatch.status();
  EXPECT_EQ(*mismatch, "");
}

// One value as several operands: attention(x, x, x).
TEST_P(OpTable, GradientCountsAnOperandThatStandsTwice) {
  const OpCase c = in_f64(GetParam());
  if (!differentiable(c)) return;
  for (const OpSample::Domain& d : c.sample.domains) {
    // What operand 0 is given must suit the others.
    if (d.input == 0 || d.low > c.sample.low || d.high < c.sample.high) return;
  }
  GraphBuilder b(builtin_ops(), c.op->name);
  Call call = make_call(b, c);
  bool twice = false;
  for (size_t i = 1; i < call.operands.size(); ++i) {
    if (call.operands[i].is_null() || call.operands[i].dtype() != DType::kF64) continue;
    if (call.operands[0].is_null() || !(call.operands[i].type() == call.operands[0].type()))
      continue;
    call.operands[i] = call.operands[0];
    twice = true;
  }
  if (!twice) return;
  const Value loss = weighted_sum(b, c, b.emit(*c.op, call.operands, c.sample.attributes), "first");
  ASSERT_EQ(b.status(), absl::OkStatus());
  if (loss.is_null()) return;
  const std::vector<Value> g = gradients(b, loss, {call.operands[0]});
  b.output("loss", loss);
  b.output("g0", g[0]);
  auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto mismatch = gradient_mismatch(*graph, *sample_inputs(c), {0}, /*points=*/6);
  ASSERT_TRUE(mismatch.ok()) << mismatch.status();
  EXPECT_EQ(*mismatch, "");
}

TEST_P(OpTable, GradientRuleIsThatOfTheDecomposition) {
  const OpCase c = in_f64(GetParam());
  if (c.op->gradient == nullptr || c.op->decompose == nullptr) return;
  GraphBuilder b(builtin_ops(), c.op->name);
  const Call call = make_call(b, c);
  OpCall node{b, *c.op, c.sample.attributes, call.operands, {}};
  if (node.op.attributes.parse != nullptr && c.sample.attributes.empty()) {
    FAIL() << "samples spell their attributes out";
  }
  node.outputs = b.emit(*c.op, call.operands, c.sample.attributes);
  ASSERT_EQ(b.status(), absl::OkStatus());
  std::vector<Value> upstream;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    upstream.push_back(node.outputs[i].dtype() == DType::kF64
                           ? cotangent(b, c, node.outputs[i], absl::StrCat("first", i))
                           : Value());
  }
  const std::vector<Value> rule = c.op->gradient(node, upstream);
  const std::vector<Value> derived = decomposition_gradient(node, upstream);
  std::vector<std::string> names;
  for (size_t i = 0; i < call.operands.size(); ++i) {
    const bool real = !call.operands[i].is_null() && call.operands[i].dtype() == DType::kF64;
    if (!real || i >= rule.size() || rule[i].is_null() || derived[i].is_null()) continue;
    names.push_back(absl::StrCat("operand ", i));
    b.output(absl::StrCat("rule", i), rule[i]);
    b.output(absl::StrCat("derived", i), derived[i]);
  }
  auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto result = run_reference(*graph, *sample_inputs(c));
  ASSERT_TRUE(result.ok()) << result.status();
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(difference(result->outputs[2 * i], result->outputs[2 * i + 1], 1e-9), "") << names[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Sample, OpTable, testing::ValuesIn(op_cases()),
                         op_case_name<testing::TestParamInfo<OpCase>>);

}  // namespace
}  // namespace modellib
