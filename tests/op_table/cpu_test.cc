// Kernel = reference: every sample of the op table, compiled for the CPU through the whole
// pipeline, gives what the reference executor gives, and the same bits with 1, 2 and 4 workers.
#include <gtest/gtest.h>

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

class CpuTable : public testing::TestWithParam<OpCase> {};

TEST_P(CpuTable, KernelEqualsReference) {
  const absl::StatusOr<GraphRef> graph = sample_graph(GetParam());
  ASSERT_TRUE(graph.ok()) << graph.status();
  const absl::StatusOr<std::vector<Tensor>> inputs = sample_inputs(GetParam());
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  const absl::StatusOr<ReferenceResult> expected = run_reference(*graph, *inputs);
  ASSERT_TRUE(expected.ok()) << expected.status();
  std::vector<Tensor> first;
  for (int threads : {1, 2, 4}) {
    const absl::StatusOr<CpuResult> got = run_on_cpu(*graph, *inputs, {}, threads);
    ASSERT_TRUE(got.ok()) << got.status();
    ASSERT_EQ(got->outputs.size(), expected->outputs.size());
    for (size_t i = 0; i < got->outputs.size(); ++i) {
      EXPECT_EQ(difference(got->outputs[i], expected->outputs[i], GetParam().sample.tolerance), "")
          << "output " << i;
      if (!first.empty()) {
        EXPECT_TRUE(got->outputs[i].identical(first[i])) << threads << " threads change the bits";
      }
    }
    if (first.empty()) first = got->outputs;
  }
}

INSTANTIATE_TEST_SUITE_P(OpTable, CpuTable, testing::ValuesIn(op_cases()),
                         [](const auto& info) { return op_case_name(info); });

}  // namespace
}  // namespace modellib
