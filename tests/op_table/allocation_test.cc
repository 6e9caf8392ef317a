// The steady state of the op table: after one warm-up, 1,000 runs of the plan of every sample make
// no call to malloc, new or mmap in the whole process, and all have the same bits, with 1, 2 and 4
// workers. So do 100 runs of the plan cut finely, in which the workers have something to share.
// What oneDNN allocates in a convolution is the only exception.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>

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

class Allocation : public testing::TestWithParam<OpCase> {
 protected:
  // The bits of the first run of all are those that every other has, too.
  void run_often(const LoweredPlan& lowered, const ProgramCalls& calls, int runs) {
    const fb::PlanT& plan = lowered.plan;
    const auto executable = load_watched(lowered);
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
      if (!bits_.has_value()) bits_ = (*run)->digest(0);
      bool ok = true;
      int other = (*run)->digest(0) != *bits_;
      AllocationCount count;
      for (int i = 0; i < runs; ++i) {
        ok = (*run)->call(0).ok() && ok;
        other += (*run)->digest(0) != *bits_;
      }
      EXPECT_EQ(count.stop(), 0) << count.describe();
      EXPECT_TRUE(ok);
      EXPECT_EQ(other, 0) << "runs with other bits";
      if (!may_allocate(plan)) EXPECT_EQ(count.excused(), 0);
      const int64_t helped = take_chunks_of_helpers();
      if (expects_help) EXPECT_GT(helped, 0) << "the workers took no part";
    }
  }

 private:
  std::optional<uint64_t> bits_;
};

TEST_P(Allocation, AThousandRunsAllocateNothingAndHaveTheSameBits) {
  const GraphRef graph = *sample_graph(GetParam());
  ProgramCalls calls;
  calls.calls.push_back({"main", {*sample_inputs(GetParam())}});
  CompileOptions options;
  const absl::StatusOr<DimBinding> binding = bind_inputs(*graph, calls.calls[0].inputs[0]);
  ASSERT_TRUE(binding.ok()) << binding.status();
  for (const auto& [symbol, extent] : *binding) options.dims[symbol] = {extent, extent};
  absl::StatusOr<CpuProgram> program = compile_for_cpu(graph, options);
  ASSERT_TRUE(program.ok()) << program.status();
  LoweredPlan& lowered = program->compiled.lowered;
  run_often(lowered, calls, 1000);
  SCOPED_TRACE("cut finely");
  cpu::cut_finely(lowered.plan);
  run_often(lowered, calls, 100);
}

INSTANTIATE_TEST_SUITE_P(OpTable, Allocation, testing::ValuesIn(op_cases()),
                         [](const auto& info) { return op_case_name(info); });

}  // namespace
}  // namespace modellib
