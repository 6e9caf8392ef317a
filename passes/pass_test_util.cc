#include "modellib/passes/pass_test_util.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/philox.h"
#include "modellib/graph/text.h"
#include "modellib/ops/registry.h"

namespace modellib::testing {
namespace {

Tensor some_tensor(const TensorType& type, uint64_t stream) {
  std::vector<int64_t> extents;
  for (const Dim& d : type.shape) extents.push_back(d.is_static() ? d.value() : 3);
  Tensor t = *Tensor::zeros(type.dtype, extents);
  for (int64_t i = 0; i < t.elements(); ++i) {
    const uint32_t bits = philox_bits(7, stream, static_cast<uint64_t>(i));
    if (type.dtype == DType::kBool) {
      t.set_int(i, i % 3 != 1);
    } else if (is_floating(type.dtype)) {
      t.set(i, (bits >> 8) * 0x1p-24 * 4 - 2);
    } else {
      t.set_int(i, bits & 1);
    }
  }
  return t;
}

void expect_near(const Tensor& got, const Tensor& expected, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(got.dtype(), expected.dtype()) << what;
  ASSERT_EQ(got.shape(), expected.shape()) << what;
  if (!is_floating(got.dtype())) {
    EXPECT_TRUE(got.identical(expected)) << what;
    return;
  }
  for (int64_t i = 0; i < got.elements(); ++i) {
    const double a = got.at(i), b = expected.at(i);
    if (std::isnan(a) && std::isnan(b)) continue;
    if (a == b) continue;  // infinities
    ASSERT_LE(std::abs(a - b), tolerance * std::max(1.0, std::abs(b)))
        << what << ", element " << i << ": " << a << " instead of " << b;
  }
}

absl::StatusOr<PipelineResult> run(const std::vector<std::string>& passes, const GraphRef& graph,
                                   const Backend* backend, bool explain) {
  PipelineOptions options;
  options.passes = passes;
  options.explain = explain;
  return run_pipeline(graph, builtin_ops(), backend, options);
}

}  // namespace

absl::Status TestBackend::accepts_region(const Graph&) const {
  return absl::UnimplementedError("no regions");
}

bool FakeBackend::takes_composite(const Graph& graph, const Graph::Node& node) const {
  return composites.count(node.op->name) > 0;
}

bool FakeBackend::takes_epilogue(const Graph& graph, const Graph::Node& product,
                                 const Epilogue&) const {
  return epilogues && product.op->name.rfind("matmul", 0) == 0 &&
         graph.type(product.output(0)).dtype == DType::kF32;
}

bool FakeBackend::can_fuse(const Graph& graph, const Graph::Node& node) const {
  return fusible.count(node.op->name) > 0;
}

absl::Status FakeBackend::accepts_region(const Graph& region) const {
  size_t nodes = 0;
  for (const Graph::Node& node : region.nodes()) {
    if (constant_value(region, node.output(0)) == nullptr) ++nodes;
  }
  if (nodes <= region_limit) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("a region of ", nodes, " nodes; the limit is ", region_limit));
}

absl::StatusOr<NodeRecipe> TestBackend::recipe(const RecipeSite& site) const {
  return absl::UnimplementedError("the fake device has no kernels");
}

StepRecipe TestBackend::copy(const Dim& bytes) const { return {}; }

GraphRef graph_of(absl::string_view text) {
  absl::StatusOr<GraphRef> graph = parse_graph(text, builtin_ops());
  EXPECT_TRUE(graph.ok()) << graph.status() << "\nin\n" << text;
  return graph.ok() ? *std::move(graph) : nullptr;
}

GraphRef after(const std::vector<std::string>& passes, const GraphRef& graph,
               const Backend* backend) {
  if (graph == nullptr) return nullptr;
  absl::StatusOr<PipelineResult> result = run(passes, graph, backend, false);
  EXPECT_TRUE(result.ok()) << result.status() << "\nof\n" << print(*graph);
  return result.ok() ? result->graph : nullptr;
}

void expect_graph(const GraphRef& got, absl::string_view expected) {
  const GraphRef wanted = graph_of(expected);
  if (got == nullptr || wanted == nullptr) return;
  EXPECT_TRUE(structurally_equal(*got, *wanted)) << "got\n"
                                                 << print(*got) << "\nexpected\n"
                                                 << print(*wanted);
}

void expect_pass(absl::string_view pass, absl::string_view input, absl::string_view expected,
                 const Backend* backend) {
  expect_graph(after({std::string(pass)}, graph_of(input), backend), expected);
}

void expect_unchanged(absl::string_view pass, absl::string_view input, const Backend* backend) {
  const GraphRef graph = graph_of(input);
  if (graph == nullptr) return;
  const absl::StatusOr<PipelineResult> result =
      run({std::string(pass)}, graph, backend, /*explain=*/true);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->runs.at(0).rewrites, 0) << pass << " says that it rewrote something";
  EXPECT_TRUE(structurally_equal(*result->graph, *graph)) << "got\n"
                                                          << print(*result->graph) << "\nfrom\n"
                                                          << print(*graph);
}

std::string remarks(absl::string_view pass, absl::string_view input, const Backend* backend) {
  const GraphRef graph = graph_of(input);
  if (graph == nullptr) return "";
  const absl::StatusOr<PipelineResult> result =
      run({std::string(pass)}, graph, backend, /*explain=*/true);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? absl::StrJoin(result->runs.at(0).remarks, "\n") : "";
}

std::vector<Tensor> some_inputs(const Graph& graph) {
  std::vector<Tensor> inputs;
  for (ValueId id : graph.inputs()) inputs.push_back(some_tensor(graph.type(id), inputs.size()));
  return inputs;
}

void expect_same_meaning(const GraphRef& before, const GraphRef& after, double tolerance) {
  if (before == nullptr || after == nullptr) return;
  const std::vector<Tensor> inputs = some_inputs(*before);
  NamedTensors variables;
  for (const Graph::VariableUse& use : before->variables()) {
    const size_t stream = 1000 + variables.size();
    variables.emplace(use.variable->name, some_tensor(use.variable->type, stream));
  }
  const absl::StatusOr<ReferenceResult> expected = run_reference(before, inputs, variables);
  const absl::StatusOr<ReferenceResult> got = run_reference(after, inputs, variables);
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ(got->outputs.size(), expected->outputs.size());
  for (size_t i = 0; i < got->outputs.size(); ++i) {
    expect_near(got->outputs[i], expected->outputs[i], tolerance, absl::StrCat("output ", i));
  }
  ASSERT_EQ(got->assigned.size(), expected->assigned.size());
  for (const auto& [name, value] : expected->assigned) {
    ASSERT_EQ(got->assigned.count(name), 1u) << name;
    expect_near(got->assigned.at(name), value, tolerance, name);
  }
}

std::string printed(const absl::StatusOr<GraphRef>& graph) {
  return graph.ok() ? print(**graph) : std::string(graph.status().message());
}
std::string printed(absl::string_view text) { return printed(parse_graph(text, builtin_ops())); }

absl::StatusOr<GraphRef> run_passes(
    std::initializer_list<absl::StatusOr<GraphRef> (*)(const GraphRef&, PassContext&)> passes,
    absl::string_view text, const Backend* backend) {
  absl::StatusOr<GraphRef> graph = parse_graph(text, builtin_ops());
  for (const auto pass : passes) {
    if (!graph.ok()) return graph;
    PassContext context(builtin_ops(), backend);
    graph = pass(*graph, context);
  }
  return graph;
}

}  // namespace modellib::testing
