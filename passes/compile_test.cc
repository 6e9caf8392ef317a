// What a plan says of itself, and what compile() says of what it cannot do.
#include "modellib/passes/compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "modellib/formats/plan_file.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

using ::testing::HasSubstr;

// Has kernels for "relu" and "neg" alone; that of "neg" needs hardware. Fails at "exp".
class TwoKernels final : public testing::TestBackend {
 public:
  absl::StatusOr<NodeRecipe> recipe(const RecipeSite& site) const override {
    if (site.node.op->name == "exp") return absl::InternalError("out of order");
    if (site.node.op->name != "relu" && site.node.op->name != "neg") {
      return absl::UnimplementedError("not one of the two");
    }
    StepRecipe step;
    step.kernel = "two." + site.node.op->name;
    step.outputs = {{StepOperand::Kind::kOutput, 0}};
    step.inputs = {{StepOperand::Kind::kInput, 0}};
    NodeRecipe result;
    result.steps.push_back(step);
    return result;
  }
  StepRecipe copy(const Dim&) const override {
    StepRecipe step;
    step.kernel = "two.copy";
    step.outputs = {{StepOperand::Kind::kOutput, 0}};
    step.inputs = {{StepOperand::Kind::kInput, 0}};
    return step;
  }
  std::vector<std::string> features(absl::string_view kernel) const override {
    if (kernel == "two.neg") return {"minus"};
    return {};
  }
};

absl::StatusOr<CompileResult> compiled(const std::vector<std::string>& entries,
                                       const DimRanges& dims = {}) {
  static const TwoKernels* const backend = new TwoKernels;
  Program program;
  for (const std::string& text : entries) {
    program.entries.push_back(
        {"entry" + std::to_string(program.entries.size()), testing::graph_of(text)});
  }
  return compile(program, builtin_ops(), *backend, {.dims = dims});
}

const char kRelu[] = "graph \"r\" (x: f32[4]) {\n  return relu(x)\n}";
const char kNeg[] = "graph \"n\" (x: f32[4]) {\n  return neg(x)\n}";
const char kSin[] = "graph \"s\" (x: f32[4]) {\n  return sin(x)\n}";
const char kCos[] = "graph \"c\" (x: f32[4]) {\n  return cos(x)\n}";

TEST(CompileTest, ListsWhatIsUnsupportedInAllEntries) {
  const absl::Status status = compiled({kSin, kRelu, kCos}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("entry 'entry0'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("sin"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("entry 'entry2'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("cos"));
}

TEST(CompileTest, SaysAtWhichNodeABackendFails) {
  const absl::Status status =
      compiled({"graph \"e\" (x: f32[4]) {\n  h = relu(x)\n  return exp(h)\n}"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("node 1 (exp): out of order"));
}

TEST(CompileTest, RefusesMoreBytesThanPlansCanName) {
  const std::string free = "graph \"r\" (x: f32[n,m]) {\n  return relu(x)\n}";
  const auto message = [&](DimRange n, DimRange m) {
    const absl::Status status = compiled({free}, {{"n", n}, {"m", m}}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  const int64_t large = int64_t{1} << 32;
  EXPECT_THAT(message({large, large}, {large, large}), HasSubstr("too many elements"));
  EXPECT_THAT(message({1, large}, {1, large}), HasSubstr("too many bytes"));
  EXPECT_THAT(message({1, (int64_t{1} << 60) + 1}, {1, 1}), HasSubstr("too many bytes"));
  EXPECT_THAT(message({1, 8}, {1, DimRange::kUnbounded}), HasSubstr("no maximum"));
}

// Kernels multiply the extents beside one that is always 0, too.
TEST(CompileTest, RefusesHugeExtentsBesideAnEmptyOne) {
  const int64_t large = int64_t{1} << 60;
  for (const char* empty : {"0", "min(z,0)"}) {
    DimRanges dims = {{"n", {1, large}}, {"m", {1, large}}};
    if (empty[0] != '0') dims["z"] = {0, 8};
    const std::string text =
        std::string("graph \"r\" (x: f32[") + empty + ",n,m]) {\n  return relu(x)\n}";
    const absl::Status status = compiled({text}, dims).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("too many bytes"));
  }
}

TEST(CompileTest, SaysWhichNodeGivesTooMuch) {
  const absl::Status status =
      compiled({"graph \"g\" (x: f32[n,1], y: f32[1,m]) {\n  return add(x, y)\n}"},
               {{"n", {1, int64_t{1} << 40}}, {"m", {1, int64_t{1} << 40}}})
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("node 0 (add): "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("too many bytes"));
}

// No symbol stands in the extent: there is none to ask a range for.
TEST(CompileTest, RefusesTripsThatNoNumberBounds) {
  const char kScan[] = R"(graph "s" (x: f32[4]) {
    y = scan(x) {
      body: graph "b" (i: i64[], a: f32[4]) { return c = relu(a) },
      trips: [9223372036854775807 // 0], carries: 1}
    return y
  })";
  const absl::Status status = compiled({kScan}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("is too large"));
}

TEST(CompileTest, APlanNamesTheFeaturesThatItsOwnKernelsNeed) {
  const absl::StatusOr<CompileResult> without = compiled({kRelu});
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_THAT(without->lowered.plan.features, ::testing::IsEmpty());
  const absl::StatusOr<CompileResult> with = compiled({kRelu, kNeg});
  ASSERT_TRUE(with.ok()) << with.status();
  EXPECT_THAT(with->lowered.plan.features, ::testing::ElementsAre("minus"));
  EXPECT_EQ(with->lowered.plan.kernel_abi, kKernelAbi);
}

TEST(CompileTest, EqualProgramsMakeEqualPlans) {
  const auto bytes = [] {
    const absl::StatusOr<CompileResult> result = compiled({kRelu, kNeg});
    EXPECT_TRUE(result.ok()) << result.status();
    const auto plan = make_plan_file(result->lowered);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return std::vector<std::byte>((*plan)->metadata().begin(), (*plan)->metadata().end());
  };
  EXPECT_EQ(bytes(), bytes());
}

}  // namespace
}  // namespace modellib
