// What is wrong with an imported model may be seen only when extents are bound, when its plan is
// loaded, or when memory is taken. The message still names the place in the model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "modellib/executors/runtime/session.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/frontends/onnx/test_model.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

using onnx::TestModel;
using testing::HasSubstr;
using testing::StartsWith;

GraphRef import(const TestModel& m) {
  auto model = onnx::import_model_bytes(m.bytes());
  EXPECT_TRUE(model.ok()) << model.status();
  return model->program.entries[0].graph;
}

// relu(a) + b, where the extents of both must turn out to be equal.
TestModel sum_of_two() {
  TestModel m;
  m.input("a", {"n", "3"});
  m.input("b", {"m", "3"});
  m.node("Relu", {"a"}, {"r"});
  m.node("Add", {"r", "b"}, {"y"});
  m.output("y");
  return m;
}

TEST(Places, OfExtentsThatDoNotFit) {
  CompileOptions options;
  options.dims = {{"n", {2, 2}}, {"m", {3, 3}}};
  const auto compiled = compile_for_cpu(import(sum_of_two()), options);
  EXPECT_EQ(compiled.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(compiled.status().message()), HasSubstr("node #1 'Add_y' (Add): "));
}

// A mistake that an op itself makes out once its operands have extents.
TEST(Places, OfOperandsThatAreRefused) {
  TestModel m;
  m.input("x", {"1", "1", "n", "4"});
  m.constant("w", {1, 1, 3, 3}, std::vector<float>(9, 1));
  m.node("Conv", {"x", "w"}, {"y"});
  m.output("y");
  CompileOptions options;
  options.dims = {{"n", {2, 2}}};
  const auto compiled = compile_for_cpu(import(m), options);
  EXPECT_EQ(compiled.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(compiled.status().message()), HasSubstr("in node #0 'Conv_y' (Conv), "));
}

TEST(Places, StayWithAPlan) {
  CompileOptions options;
  options.dims = {{"n", {2, 8}}, {"m", {2, 8}}};
  const auto program = compile_for_cpu(import(sum_of_two()), options);
  ASSERT_TRUE(program.ok()) << program.status();
  const auto& constraints = program->compiled.lowered.plan.entries[0]->constraints;
  ASSERT_EQ(constraints.size(), 1u);
  EXPECT_THAT(constraints[0]->reason, StartsWith("node #1 'Add_y' (Add): "));
}

TEST(Places, OfOutputsThatNoMemoryHolds) {
  TestModel m;
  m.integers("shape", {int64_t{1} << 40});
  m.node("ConstantOfShape", {"shape"}, {"y"});
  m.output("y");
  const auto result = run_on_cpu(import(m), {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("output 'y': cannot allocate"));
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("node #0 'ConstantOfShape_y' (ConstantOfShape)"));
}

TEST(Places, OfValuesThatNoMemoryHolds) {
  TestModel m;
  m.input("a", {"1048576", "2"});
  m.input("b", {"2", "1048576"});
  m.input("c", {"1048576", "1"});
  m.node("MatMul", {"a", "b"}, {"h"});
  m.node("MatMul", {"h", "c"}, {"y"});
  m.output("y");
  const auto program = compile_for_cpu(import(m));
  ASSERT_TRUE(program.ok()) << program.status();
  const auto session = runtime::Session::create(program->executable);
  EXPECT_EQ(session.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(session.status().message()), HasSubstr("node #0 'MatMul_h' (MatMul)"));
}

TEST(Places, OfInputsThatAreTooLarge) {
  TestModel m;
  m.input("state", {"1099511627776", "1024"});
  m.node("Relu", {"state"}, {"y"});
  m.output("y");
  const auto compiled = compile_for_cpu(import(m));
  EXPECT_THAT(std::string(compiled.status().message()), HasSubstr("input 'state' "));
}

}  // namespace
}  // namespace modellib
