// No allocation at run time: after a warm-up, 1,000 runs of the plan of every sample make no call
// to malloc, new or mmap in the whole process. A plan with a kernel that may allocate (oneDNN) is
// excepted, and says so.
#include <gtest/gtest.h>

#include "modellib/distributed/local/local_group.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/tests/alloc_counter.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

class Allocation : public testing::TestWithParam<OpCase> {};

TEST_P(Allocation, RunsAllocateNothing) {
  if (!AllocationCount::available()) return;  // under a sanitizer nothing can be counted
  const GraphRef graph = *sample_graph(GetParam());
  const std::vector<Tensor> inputs = *sample_inputs(GetParam());
  CompileOptions options;
  const absl::StatusOr<DimBinding> binding = bind_inputs(*graph, inputs);
  ASSERT_TRUE(binding.ok()) << binding.status();
  for (const auto& [symbol, extent] : *binding) options.dims[symbol] = {extent, extent};
  const absl::StatusOr<CpuProgram> program = compile_for_cpu(graph, options);
  if (program.status().code() == absl::StatusCode::kUnimplemented) return;  // cpu_test tells which
  ASSERT_TRUE(program.ok()) << program.status();
  if (may_allocate(program->compiled.lowered.plan)) return;
  runtime::SessionOptions session_options;
  session_options.threads = 2;
  const auto alone = distributed::make_local_group(1);
  session_options.communicator = alone[0].get();
  const auto session =
      runtime::Session::create(program->executable, nullptr, std::move(session_options));
  ASSERT_TRUE(session.ok()) << session.status();
  const runtime::EntryId entry = *program->executable->entry("main");
  for (size_t i = 0; i < inputs.size(); ++i) {
    ASSERT_EQ((*session)->bind_input(entry, static_cast<int>(i), inputs[i]), absl::OkStatus());
  }
  for (int i = 0; i < 3; ++i) ASSERT_EQ((*session)->run(entry), absl::OkStatus());
  bool ok = true;
  AllocationCount count;
  for (int i = 0; i < 1000; ++i) ok = (*session)->run(entry).ok() && ok;
  EXPECT_EQ(count.stop(), 0) << count.describe();
  EXPECT_TRUE(ok);
}

INSTANTIATE_TEST_SUITE_P(OpTable, Allocation, testing::ValuesIn(op_cases()),
                         [](const auto& info) { return op_case_name(info); });

}  // namespace
}  // namespace modellib
