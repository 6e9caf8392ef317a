// Kernel = reference: every sample of the op table, compiled for the CPU through the whole
// pipeline, gives what the reference executor gives, and the same bits with its steps cut finely
// and 1, 2 and 4 workers.
#include <gtest/gtest.h>

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/any_workers.h"
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
  absl::StatusOr<CpuProgram> program = compile_for_inputs(*graph, *inputs);
  ASSERT_TRUE(program.ok()) << program.status();
  const absl::StatusOr<CpuResult> got = run_with_any_workers(*program, *inputs);
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ(got->outputs.size(), expected->outputs.size());
  for (size_t i = 0; i < got->outputs.size(); ++i) {
    EXPECT_EQ(difference(got->outputs[i], expected->outputs[i], GetParam().sample.tolerance), "")
        << "output " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(OpTable, CpuTable, testing::ValuesIn(op_cases()),
                         [](const auto& info) { return op_case_name(info); });

}  // namespace
}  // namespace modellib
