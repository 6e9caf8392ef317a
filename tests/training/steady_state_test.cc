// The steady state of every test program (tests/support/test_programs.h): after one warm-up no run
// allocates anything in the whole process, whatever the number of workers; each of a thousand runs
// of each entry has the bits that it has with any other number of workers; and what a program
// computes from its first state does not depend on what ran before. Many are so small that each
// step is one chunk, in which workers have nothing to share: so a hundred runs of the plan cut
// finely must allocate nothing either, and have the same bits.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/tests/alloc_counter.h"
#include "modellib/tests/support/cpu_program.h"
#include "modellib/tests/support/fine_chunks.h"
#include "modellib/tests/support/program_run.h"
#include "modellib/tests/support/std_workers.h"
#include "modellib/tests/support/test_programs.h"
#include "modellib/tests/support/watched_kernels.h"

namespace modellib {
namespace {

// Everything that a thousand runs gave.
struct Trace {
  std::vector<uint64_t> digests;  // by run
  uint64_t variables = 0;         // after the last
};

// Whether helpers have something to do in an entry that is called.
bool calls_have_work(const fb::PlanT& plan, const TestProgram& program) {
  for (const auto& entry : plan.entries) {
    for (const ProgramCalls::Call& call : program.calls.calls) {
      if (call.entry == entry->name && has_work_for_helpers(*entry)) return true;
    }
  }
  return false;
}

class SteadyState : public testing::TestWithParam<TestProgramCase> {
 protected:
  void SetUp() override {
    auto program = GetParam().make();
    ASSERT_TRUE(program.ok()) << program.status();
    program_ = *std::move(program);
    absl::StatusOr<CompileResult> compiled = compile_test_program(program_);
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    LoweredPlan& lowered = compiled->lowered;
    uses_onednn_ = may_allocate(lowered.plan);
    ASSERT_NO_FATAL_FAILURE(load(lowered, as_compiled_));
    if (is_large()) return;
    cpu::cut_finely(lowered.plan);
    ASSERT_NO_FATAL_FAILURE(load(lowered, cut_finely_));
  }

  // A second plan would double what such a program holds, and has no more to show: steps of a large
  // one are of several chunks as it is.
  virtual bool is_large() const { return false; }

  struct Loaded {
    std::shared_ptr<const runtime::Executable> executable;
    bool work_for_helpers = false;
  };

  void load(const LoweredPlan& lowered, Loaded& loaded) const {
    loaded.work_for_helpers = calls_have_work(lowered.plan, program_);
    const auto executable = load_watched(lowered);
    ASSERT_TRUE(executable.ok()) << executable.status();
    loaded.executable = *executable;
  }

  size_t calls() const { return program_.calls.calls.size(); }

  std::unique_ptr<ProgramRun> start(const Loaded& loaded, int threads) const {
    auto run = ProgramRun::create(
        loaded.executable, program_.calls,
        {.threads = threads, .workers = [](int n) { return std::make_shared<StdWorkers>(n); }});
    EXPECT_TRUE(run.ok()) << run.status();
    return run.ok() ? *std::move(run) : nullptr;
  }

  // One round of the calls.
  void round(ProgramRun& run, std::vector<uint64_t>& digests) const {
    for (size_t i = 0; i < calls(); ++i) {
      ASSERT_EQ(run.call(i), absl::OkStatus()) << "call " << i;
      digests.push_back(run.digest(i));
    }
  }

  // A round to warm up, then `rounds` that must not allocate: each call runs as often.
  void trace(const Loaded& loaded, int threads, size_t rounds, Trace& trace) const {
    const size_t runs = rounds * calls();
    const auto run = start(loaded, threads);
    ASSERT_NE(run, nullptr);
    trace.digests.reserve(calls() + runs);
    const bool expects_help = threads > 1 && loaded.work_for_helpers;
    take_chunks_of_helpers(expects_help);
    ASSERT_NO_FATAL_FAILURE(round(*run, trace.digests));
    const std::vector<uint64_t> first = trace.digests;
    bool ok = true;
    AllocationCount count;
    for (size_t i = 0; i < runs; ++i) {
      ok = run->call(i % calls()).ok() && ok;
      trace.digests.push_back(run->digest(i % calls()));
    }
    EXPECT_EQ(count.stop(), 0) << count.describe();
    EXPECT_TRUE(ok);
    if (uses_onednn_) {
      std::printf("%s: %lld calls in %zu runs, all inside cpu.conv2d\n", GetParam().name.c_str(),
                  static_cast<long long>(count.excused()), runs);
    } else {
      EXPECT_EQ(count.excused(), 0);
    }
    const int64_t helped = take_chunks_of_helpers();
    if (expects_help) EXPECT_GT(helped, 0) << "the workers took no part";
    if (program_.repeats) {
      for (size_t i = 0; i < runs; ++i) {
        ASSERT_EQ(trace.digests[calls() + i], first[i % calls()]) << "run " << i;
      }
    }
    const auto variables = run->variables_digest();
    ASSERT_TRUE(variables.ok()) << variables.status();
    trace.variables = *variables;
  }

  void check(size_t rounds) const {
    Trace one;
    ASSERT_NO_FATAL_FAILURE(trace(as_compiled_, 1, rounds, one));
    for (const int threads : {2, 4}) {
      SCOPED_TRACE(absl::StrCat(threads, " threads"));
      Trace other;
      ASSERT_NO_FATAL_FAILURE(trace(as_compiled_, threads, rounds, other));
      ASSERT_NO_FATAL_FAILURE(expect_bits(other, one));
      EXPECT_EQ(other.variables, one.variables) << "the variables have other bits";
    }
    if (!is_large()) ASSERT_NO_FATAL_FAILURE(check_cut_finely(rounds / 10, one));
    // From the first state again, in the same executable.
    const auto again = start(as_compiled_, 2);
    ASSERT_NE(again, nullptr);
    std::vector<uint64_t> digests;
    ASSERT_NO_FATAL_FAILURE(round(*again, digests));
    for (size_t i = 0; i < digests.size(); ++i) {
      EXPECT_EQ(digests[i], one.digests[i]) << "call " << i << " of a new run";
    }
  }

  // Of the runs that `got` made, the first of those of `expected`.
  static void expect_bits(const Trace& got, const Trace& expected) {
    ASSERT_LE(got.digests.size(), expected.digests.size());
    for (size_t i = 0; i < got.digests.size(); ++i) {
      ASSERT_EQ(got.digests[i], expected.digests[i]) << "run " << i << " has other bits";
    }
  }

  void check_cut_finely(size_t rounds, const Trace& as_compiled) const {
    SCOPED_TRACE("cut finely");
    Trace one;
    ASSERT_NO_FATAL_FAILURE(trace(cut_finely_, 1, rounds, one));
    ASSERT_NO_FATAL_FAILURE(expect_bits(one, as_compiled));
    for (const int threads : {2, 4}) {
      SCOPED_TRACE(absl::StrCat(threads, " threads"));
      Trace other;
      ASSERT_NO_FATAL_FAILURE(trace(cut_finely_, threads, rounds, other));
      ASSERT_NO_FATAL_FAILURE(expect_bits(other, one));
      EXPECT_EQ(other.variables, one.variables) << "the variables have other bits";
    }
  }

  TestProgram program_;
  bool uses_onednn_ = false;
  Loaded as_compiled_, cut_finely_;
};

TEST_P(SteadyState, AThousandRunsAllocateNothingAndHaveTheSameBits) { check(1000); }

INSTANTIATE_TEST_SUITE_P(Programs, SteadyState, testing::ValuesIn(test_programs()),
                         [](const auto& info) { return info.param.name; });

class LargeSteadyState : public SteadyState {
 protected:
  bool is_large() const override { return true; }
};

TEST_P(LargeSteadyState, ThreeRunsAllocateNothingAndHaveTheSameBits) { check(3); }

INSTANTIATE_TEST_SUITE_P(Programs, LargeSteadyState, testing::ValuesIn(large_test_programs()),
                         [](const auto& info) { return info.param.name; });

// The list would be nothing without these.
TEST(TestPrograms, SomeTrainWithChunksForSeveralWorkersAndSomeUseOneDnn) {
  int with_chunks = 0, with_onednn = 0;
  for (const TestProgramCase& c : test_programs()) {
    const auto program = c.make();
    ASSERT_TRUE(program.ok()) << c.name << ": " << program.status();
    absl::StatusOr<CompileResult> compiled = compile_test_program(*program);
    ASSERT_TRUE(compiled.ok()) << c.name << ": " << compiled.status();
    bool chunks = false;
    for (const auto& entry : compiled->lowered.plan.entries) {
      chunks = chunks || (entry->name == "train" && has_work_for_helpers(*entry));
    }
    with_chunks += chunks;
    with_onednn += may_allocate(compiled->lowered.plan);
    // A device's lanes have no helpers, and the steps of control flow are those of its bodies.
    if (c.name.starts_with("lanes_") || c.name == "control_flow") continue;
    cpu::cut_finely(compiled->lowered.plan);
    EXPECT_TRUE(calls_have_work(compiled->lowered.plan, *program)) << c.name;
  }
  EXPECT_GE(with_chunks, 5);
  EXPECT_GE(with_onednn, 1);
}

}  // namespace
}  // namespace modellib
