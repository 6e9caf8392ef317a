// Kernel = reference with extents that are free: in every sample of the op table each extent in
// turn becomes a symbol, where the op's inference allows it, and one plan for a range of it is run
// at several extents.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/distributed/local/local_group.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/ops/conv_epilogue.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

using ::testing::HasSubstr;

constexpr char kFree[] = "free";

// The static extents of the operands.
std::set<int64_t> extents_of(const OpSample& sample) {
  std::set<int64_t> extents;
  for (const TensorType& type : sample.inputs) {
    for (const Dim& d : type.shape) {
      if (d.is_static() && d.value() > 1) extents.insert(d.value());
    }
  }
  return extents;
}

// The case with a symbol in the place of this extent, wherever it stands.
OpCase freed(const OpCase& c, int64_t extent) {
  OpCase result = c;
  for (TensorType& type : result.sample.inputs) {
    for (Dim& d : type.shape) {
      if (d == Dim(extent)) d = Dim::symbol(kFree);
    }
  }
  return result;
}

// Whether the symbol is an extent of a convolution's filter, or of the channels of its first image.
bool names_channels(const Graph& graph) {
  const Graph::Node& node = graph.nodes().back();
  const ConvAttributes* a = conv_attributes(node);
  if (a == nullptr) return false;
  const auto is_free = [](const Dim& d) { return d == Dim::symbol(kFree); };
  const Shape &first = graph.type(node.inputs[0]).shape, &second = graph.type(node.inputs[1]).shape;
  const bool in_filter =
      node.op->name != "conv_filter_gradient" && std::any_of(second.begin(), second.end(), is_free);
  return in_filter || is_free(a->layout == "NHWC" ? first.back() : first[1]);
}

class FreeTable : public testing::TestWithParam<OpCase> {
 protected:
  // Runs at one extent. Where the reference refuses, so must the plan.
  void run_at(OpCase c, int64_t extent, const GraphRef& graph, const CpuProgram& program) const {
    SCOPED_TRACE(absl::StrCat(kFree, " = ", extent));
    c.sample.binding[kFree] = extent;
    const auto inputs = sample_inputs(c);
    ASSERT_TRUE(inputs.ok()) << inputs.status();
    const auto expected = run_reference(graph, *inputs);
    runtime::SessionOptions options;
    options.threads = 2;
    options.communicator = alone_[0].get();
    const auto session = runtime::Session::create(program.executable, nullptr, options);
    ASSERT_TRUE(session.ok()) << session.status();
    const auto got = (*session)->run_tensors(runtime::EntryId(0), *inputs);
    // Numbers in the data that go beyond a smaller extent: the CPU looks at more of them.
    if (absl::IsOutOfRange(got.status())) return;
    ASSERT_EQ(got.ok(), expected.ok()) << got.status() << " but " << expected.status();
    if (!got.ok()) return;
    for (size_t i = 0; i < got->size(); ++i) {
      // Sums may have thrice the terms.
      EXPECT_EQ(difference((*got)[i], expected->outputs[i], 10 * c.sample.tolerance), "")
          << "output " << i;
    }
  }

 private:
  const std::vector<std::unique_ptr<runtime::Communicator>> alone_ =
      distributed::make_local_group(1);
};

TEST_P(FreeTable, OnePlanEqualsTheReferenceAtEachExtent) {
  for (const int64_t extent : extents_of(GetParam().sample)) {
    SCOPED_TRACE(absl::StrCat("in the place of ", extent));
    const OpCase c = freed(GetParam(), extent);
    const absl::StatusOr<GraphRef> graph = sample_graph(c);
    if (!graph.ok()) continue;  // its attributes name the extent
    CompileOptions options;
    for (const TensorType& type : c.sample.inputs) {
      for (const Dim& d : type.shape) {
        for (const std::string& symbol : d.symbols()) {
          if (symbol == kFree) continue;
          options.dims[symbol] = {c.sample.binding.at(symbol), c.sample.binding.at(symbol)};
        }
      }
    }
    options.dims[kFree] = {1, 3 * extent};
    std::vector<int64_t> wanted = {extent, 1, 2 * extent + 1, 3 * extent};
    auto program = compile_for_cpu(*graph, options);
    if (absl::IsInvalidArgument(program.status())) {
      // A window is larger than what 1 leaves of the image.
      options.dims[kFree] = {extent, 3 * extent};
      wanted = {extent, 2 * extent + 1, 3 * extent};
      program = compile_for_cpu(*graph, options);
    }
    if (absl::IsInvalidArgument(program.status())) {
      // Or indices go beyond an extent that is no symbol.
      options.dims[kFree] = {1, extent};
      wanted = {extent, 1};
      program = compile_for_cpu(*graph, options);
    }
    if (!program.ok() && names_channels(**graph)) {
      // Filters are packed when the plan is made. Where a constraint holds the symbol to a number,
      // the plan is for that.
      EXPECT_THAT(std::string(program.status().message()),
                  HasSubstr("channels that are known ahead"));
      continue;
    }
    ASSERT_TRUE(program.ok()) << program.status();
    for (const int64_t at : wanted) run_at(c, at, *graph, *program);
  }
}

INSTANTIATE_TEST_SUITE_P(OpTable, FreeTable, testing::ValuesIn(op_cases()),
                         [](const auto& info) { return op_case_name(info); });

}  // namespace
}  // namespace modellib
