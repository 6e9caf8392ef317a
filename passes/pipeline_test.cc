#include "modellib/passes/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/pass_test_util.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// neg(neg(x)) twice, and a composite.
const char kGraph[] = R"(graph "subject" (x: f32[4]) {
  a = neg(x)
  b = neg(a)
  e = exp(b)
  c = neg(e)
  d = neg(c)
  return y = silu(d)
})";

absl::StatusOr<PipelineResult> run(const PipelineOptions& options) {
  return run_pipeline(testing::graph_of(kGraph), builtin_ops(), nullptr, options);
}
std::vector<std::string> names_of(const PipelineResult& result) {
  std::vector<std::string> names;
  for (const PassRun& run : result.runs) names.push_back(run.name);
  return names;
}

// Replaces exp by log and does not count it.
absl::StatusOr<GraphRef> lie(const GraphRef& graph, PassContext& context) {
  return rebuild(*graph, context.registry(),
                 [](RebuildSite& site) -> std::optional<std::vector<Value>> {
                   if (site.node.op->name != "exp") return std::nullopt;
                   return std::vector<Value>{log(site.in(0))};
                 });
}
absl::StatusOr<GraphRef> fail(const GraphRef& graph, PassContext& context) {
  return absl::ResourceExhaustedError("no more room");
}
absl::StatusOr<GraphRef> remark(const GraphRef& graph, PassContext& context) {
  context.explain(absl::StrCat("saw ", graph->nodes().size(), " nodes"));
  return graph;
}
const Pass kLie = {"lie", "Changes the graph and does not say so.", lie};
const Pass kFail = {"fail", "Fails.", fail};
const Pass kRemark = {"remark", "Remarks.", remark};

TEST(Pipeline, DefaultIsInOrderAndCanBeNamed) {
  const std::vector<std::string> names = default_pipeline();
  for (const std::string& name : names) ASSERT_NE(find_pass(name), nullptr) << name;
  const auto at = [&](absl::string_view name) {
    return std::find(names.begin(), names.end(), name) - names.begin();
  };
  EXPECT_LT(at("canonicalize"), at("fold-constants"));
  EXPECT_LT(at("fold-constants"), at("recognise"));
  EXPECT_LT(at("recognise"), at("legalize"));
  EXPECT_LT(at("legalize"), at("fusion"));
  EXPECT_EQ(find_pass("no-such-pass"), nullptr);
  for (const Pass& pass : all_passes()) {
    EXPECT_EQ(absl::string_view(pass.description).back(), '.') << pass.name;
  }
}

TEST(Pipeline, UnknownNamesAreRefused) {
  PipelineOptions options;
  options.passes = {"canonicalize", "polish"};
  EXPECT_EQ(run(options).status(), absl::InvalidArgumentError("there is no pass 'polish'"));
  options.passes = {"canonicalize"};
  options.disabled = {"polish"};
  EXPECT_EQ(run(options).status(), absl::InvalidArgumentError("there is no pass 'polish'"));
}

TEST(Pipeline, RunsTheListAsItIsCut) {
  PipelineOptions options;
  options.passes = {"legalize", "canonicalize", "legalize"};
  const auto result = run(options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(names_of(*result), ElementsAre("legalize", "canonicalize", "legalize"));
  testing::expect_graph(result->graph, R"(graph "subject" (x: f32[4]) {
    e = exp(x)
    s = sigmoid(e)
    return y = mul(e, s)
  })");
  const PassRun& first = result->runs[0];
  EXPECT_EQ(first.nodes_before, 6);
  EXPECT_EQ(first.nodes_after, 7);
  EXPECT_EQ(first.rewrites, 1);
  EXPECT_EQ(result->runs[1].rewrites, 3);  // two pairs, and what they made dead
  EXPECT_EQ(result->runs[2].rewrites, 0);
  EXPECT_GE(first.milliseconds, 0);
}

TEST(Pipeline, LeavesOutByName) {
  PipelineOptions options;
  options.disabled = {"canonicalize", "simplify", "simplify-layout"};
  const auto result = run(options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(names_of(*result), Not(Contains("canonicalize")));
  EXPECT_THAT(names_of(*result), Contains("legalize"));
  int negs = 0;
  for (const Graph::Node& node : result->graph->nodes()) negs += node.op->name == "neg";
  EXPECT_EQ(negs, 4);
}

// Bisection: the rewrites of a list of passes are counted through, but for those that must be.
TEST(Pipeline, StopsAfterRewrites) {
  PipelineOptions options;
  options.passes = {"canonicalize", "legalize"};
  for (const int64_t budget : {0, 1, 2, 3, 4}) {
    options.max_rewrites = budget;
    const auto result = run(options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->runs[0].rewrites, std::min<int64_t>(budget, 3)) << budget;
    EXPECT_EQ(result->runs[1].rewrites, 1) << budget;  // silu is decomposed whatever the budget
  }
  options.max_rewrites = 1;
  testing::expect_graph(run(options)->graph, R"(graph "subject" (x: f32[4]) {
    e = exp(x)
    c = neg(e)
    d = neg(c)
    s = sigmoid(d)
    return y = mul(d, s)
  })");
}

TEST(Pipeline, DumpsAfterEachPass) {
  PipelineOptions options;
  options.passes = {"canonicalize", "fold-constants", "legalize"};
  options.disabled = {"fold-constants"};
  std::vector<std::string> dumps;
  options.dump = [&](int number, absl::string_view pass, const Graph& graph) {
    dumps.push_back(absl::StrCat(number, " ", pass, " ", graph.nodes().size()));
  };
  ASSERT_TRUE(run(options).ok());
  EXPECT_THAT(dumps, ElementsAre("1 canonicalize 2", "3 legalize 3"));
}

TEST(Pipeline, CatchesAPassThatLies) {
  PipelineOptions options;
  options.custom = {kLie};
  options.passes = {"canonicalize", "lie"};
  const absl::Status status = run(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("pass lie changed the graph and reported no rewrite"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("exp("));  // the offending text
}

TEST(Pipeline, NamesThePassThatFails) {
  PipelineOptions options;
  options.custom = {kFail};
  options.passes = {"fail"};
  const absl::Status status = run(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("pass fail: no more room"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("graph \"subject\""));
}

TEST(Pipeline, KeepsRemarksWhenAsked) {
  PipelineOptions options;
  options.custom = {kRemark};
  options.passes = {"remark"};
  EXPECT_THAT(run(options)->runs[0].remarks, IsEmpty());
  options.explain = true;
  EXPECT_THAT(run(options)->runs[0].remarks, ElementsAre("saw 6 nodes"));
}

// Passes of the caller's own come before those of the same name.
TEST(Pipeline, CanBeExtended) {
  PipelineOptions options;
  Pass mine = kRemark;
  mine.name = "canonicalize";
  options.custom = {mine};
  options.passes = {"canonicalize"};
  options.explain = true;
  const auto result = run(options);
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(result->runs[0].remarks, ElementsAre("saw 6 nodes"));
  EXPECT_EQ(result->graph->nodes().size(), 6u);
}

}  // namespace
}  // namespace modellib
