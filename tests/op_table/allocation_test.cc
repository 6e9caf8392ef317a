// The steady state of the op table: after one warm-up, 1,000 runs of the plan of every sample (with
// several workers 250), cut finely so that these have something to share, make no call to malloc,
// new or mmap in the whole process, and all have the bits of the plan as it was compiled, with 1, 2
// and 4 workers. What oneDNN allocates in a convolution is the only exception.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/tests/alloc_counter.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"
#include "modellib/tests/support/fine_chunks.h"
#include "modellib/tests/support/program_run.h"
#include "modellib/tests/support/std_workers.h"
#include "modellib/tests/support/watched_kernels.h"

namespace modellib {
namespace {

class Allocation : public testing::TestWithParam<OpCase> {};

TEST_P(Allocation, ManyRunsAllocateNothingAndHaveTheSameBits) {
  const GraphRef graph = *sample_graph(GetParam());
  ProgramCalls calls;
  calls.calls.push_back({"main", {*sample_inputs(GetParam())}});
  CompileOptions options;
  const absl::StatusOr<DimBinding> binding = bind_inputs(*graph, calls.calls[0].inputs[0]);
  ASSERT_TRUE(binding.ok()) << binding.status();
  for (const auto& [symbol, extent] : *binding) options.dims[symbol] = {extent, extent};
  absl::StatusOr<CpuProgram> program = compile_for_cpu(graph, options);
  ASSERT_TRUE(program.ok()) << program.status();
  const auto as_compiled = ProgramRun::create(program->executable, calls, {});
  ASSERT_TRUE(as_compiled.ok()) << as_compiled.status();
  ASSERT_EQ((*as_compiled)->call(0), absl::OkStatus());
  const uint64_t bits = (*as_compiled)->digest(0);
  fb::PlanT& plan = program->compiled.lowered.plan;
  cpu::cut_finely(plan);
  const auto executable = load_watched(program->compiled.lowered);
  ASSERT_TRUE(executable.ok()) << executable.status();
  for (const int threads : {1, 2, 4}) {
    SCOPED_TRACE(absl::StrCat(threads, " threads"));
    const auto run = ProgramRun::create(
        *executable, calls,
        {.threads = threads, .workers = [](int n) { return std::make_shared<StdWorkers>(n); }});
    ASSERT_TRUE(run.ok()) << run.status();
    const bool expects_help = threads > 1 && has_work_for_helpers(*plan.entries[0]);
    take_chunks_of_helpers(expects_help);
    ASSERT_EQ((*run)->call(0), absl::OkStatus());
    bool ok = true;
    int other = (*run)->digest(0) != bits;
    AllocationCount count;
    for (int i = 0; i < (threads == 1 ? 1000 : 250); ++i) {
      ok = (*run)->call(0).ok() && ok;
      other += (*run)->digest(0) != bits;
    }
    EXPECT_EQ(count.stop(), 0) << count.describe();
    EXPECT_TRUE(ok);
    EXPECT_EQ(other, 0) << "runs with other bits";
    if (!may_allocate(plan)) EXPECT_EQ(count.excused(), 0);
    const int64_t helped = take_chunks_of_helpers();
    if (expects_help) EXPECT_GT(helped, 0) << "the workers took no part";
  }
}

INSTANTIATE_TEST_SUITE_P(OpTable, Allocation, testing::ValuesIn(op_cases()),
                         [](const auto& info) { return op_case_name(info); });

}  // namespace
}  // namespace modellib
