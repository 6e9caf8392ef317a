// The library as a guest: what belongs to the host is as it was.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <signal.h>
#include <tbb/task_arena.h>
#include <unistd.h>
#include <xmmintrin.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "modellib/compiler.h"
#include "modellib/modellib.h"
#include "modellib/tests/alloc_counter.h"
#include "modellib/tests/embedding/host_program.h"

namespace modellib::embedding {
namespace {

modellib_session* open(const modellib_plan* plan, modellib_session_options options) {
  options.size = sizeof(options);
  modellib_session* session = nullptr;
  EXPECT_EQ(modellib_session_create(plan, &options, &session), MODELLIB_OK)
      << modellib_error_message();
  return session;
}

// The most threads that the process had while `session` ran, asked after each step. Set as on_step.
struct MostThreads {
  std::atomic<int> most{0};
  static void look(void* user, const modellib_step*) {
    auto& most = static_cast<MostThreads*>(user)->most;
    most.store(std::max(most.load(), thread_count()));
  }
};

// First of all tests: nothing has started a thread yet.
TEST(AHost, WithOneThreadKeepsIt) {
  ASSERT_EQ(thread_count(), 1);
  modellib_plan* const plan = compile_busy_plan();
  EXPECT_EQ(thread_count(), 1) << "compiling";
  MostThreads seen;
  modellib_session_options options = {};
  options.on_step = &MostThreads::look;
  options.step_user = &seen;
  // By number, and by an arena of one thread: entered, as a pipeline's stage does, and from
  // outside.
  options.threads = 1;
  modellib_session* session = open(plan, options);
  const std::vector<float> expected = run_busy(session);
  ASSERT_FALSE(expected.empty());
  modellib_session_free(session);
  EXPECT_EQ(seen.most.load(), 1);

  tbb::task_arena arena(1);
  options.threads = 0;
  options.tbb_arena = &arena;
  session = open(plan, options);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(run_busy(session), expected);
    arena.execute([&] { EXPECT_EQ(run_busy(session), expected); });
  }
  EXPECT_EQ(seen.most.load(), 1);
  options.threads = 4;  // more than the arena has
  modellib_session* const greedy = open(plan, options);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(run_busy(greedy), expected);
  EXPECT_EQ(seen.most.load(), 1);
  EXPECT_EQ(thread_count(), 1);
  modellib_session_free(greedy);
  modellib_session_free(session);
  modellib_plan_free(plan);
}

TEST(AHost, WithAnArenaOfTwoHasTwo) {
  modellib_plan* const plan = compile_busy_plan();
  const std::vector<float> expected = run_anew(plan, 1);
  tbb::task_arena arena(2);
  MostThreads seen;
  modellib_session_options options = {};
  options.on_step = &MostThreads::look;
  options.step_user = &seen;
  options.tbb_arena = &arena;
  modellib_session* const session = open(plan, options);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(run_busy(session), expected);
  EXPECT_LE(seen.most.load(), 2);
  modellib_session_free(session);
  modellib_plan_free(plan);
}

TEST(AHost, MayBringThreadsOfItsOwn) {
  modellib_plan* const plan = compile_busy_plan();
  const std::vector<float> expected = run_anew(plan, 1);
  struct Pool {
    std::atomic<int> summoned{0};
    std::vector<std::thread> threads;
  } pool;
  modellib_workers workers = {};
  workers.size = sizeof(workers);
  workers.threads = 3;
  workers.user = &pool;
  workers.summon = [](void* user, void (*help)(void*), void* context) {
    auto& to = *static_cast<Pool*>(user);
    to.summoned.fetch_add(1);
    to.threads.emplace_back(help, context);
  };
  modellib_session_options options = {};
  options.workers = &workers;
  modellib_session* const session = open(plan, options);
  EXPECT_EQ(run_busy(session), expected);
  modellib_session_free(session);
  EXPECT_GT(pool.summoned.load(), 0);
  for (std::thread& thread : pool.threads) thread.join();
  modellib_plan_free(plan);
}

// Two sessions of one thread each, on threads of the host, give what one gives.
TEST(AHost, RunsSessionsSideBySide) {
  modellib_plan* const plan = compile_busy_plan();
  const std::vector<float> expected = run_anew(plan, 1);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      modellib_session_options options = {};
      options.threads = 1;
      modellib_session* const session = open(plan, options);
      for (int i = 0; i < 100; ++i) wrong.fetch_add(run_busy(session) == expected ? 0 : 1);
      modellib_session_free(session);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  modellib_plan_free(plan);
}

TEST(AHost, KeepsItsFloatingPointState) {
  modellib_plan* const plain = compile_busy_plan();
  const std::vector<float> expected = run_anew(plain, 2);
  std::fenv_t before;
  ASSERT_EQ(std::fegetenv(&before), 0);
  // Flush to zero, denormals are zero, upwards, and a flag that is raised.
  std::fesetround(FE_UPWARD);
  std::feclearexcept(FE_ALL_EXCEPT);
  _mm_setcsr(_mm_getcsr() | 0x8040);
  const unsigned host = _mm_getcsr();
  modellib_plan* const plan = compile_busy_plan();
  const std::vector<float> result = run_anew(plan, 2);
  const unsigned after = _mm_getcsr();
  const int rounding = std::fegetround();
  std::fesetenv(&before);
  EXPECT_EQ(after, host);
  EXPECT_EQ(rounding, FE_UPWARD);
  EXPECT_EQ(result, expected) << "the host's state has no influence";
  modellib_plan_free(plan);
  modellib_plan_free(plain);
}

// oneDNN wants one thread of OpenMP's: that is set back too.
TEST(AHost, KeepsItsOpenMpThreads) {
  omp_set_num_threads(7);
  modellib_plan* const plan = compile_busy_plan();
  EXPECT_FALSE(run_anew(plan, 1).empty());
  EXPECT_EQ(omp_get_max_threads(), 7);
  modellib_plan_free(plan);
}

std::vector<struct sigaction> handlers() {
  std::vector<struct sigaction> all(SIGRTMAX + 1);
  for (int i = 1; i <= SIGRTMAX; ++i) sigaction(i, nullptr, &all[static_cast<size_t>(i)]);
  return all;
}

TEST(AHost, KeepsItsSignalsAndItsOutput) {
  const std::vector<struct sigaction> before = handlers();
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/output";
  const int saved[] = {dup(1), dup(2)};
  const int file = ::open(path.c_str(), O_CREAT | O_RDWR | O_TRUNC, 0600);
  std::fflush(nullptr);
  dup2(file, 1);
  dup2(file, 2);
  modellib_plan* const plan = compile_busy_plan();
  const bool ran = !run_anew(plan, 2).empty();
  modellib_plan* none = nullptr;
  const bool failed =
      modellib_plan_load_file("/nowhere", nullptr, &none) != MODELLIB_OK &&
      modellib_compile_memory("graph \"x\" {", 11, nullptr, &none) != MODELLIB_OK &&
      modellib_compile_memory("\x08\x07\x12\x7fgarbage", 11, nullptr, &none) != MODELLIB_OK &&
      modellib_session_run(nullptr, 0, nullptr) != MODELLIB_OK;
  modellib_plan_free(plan);
  std::fflush(nullptr);
  dup2(saved[0], 1);
  dup2(saved[1], 2);
  close(file);
  EXPECT_TRUE(ran);
  EXPECT_TRUE(failed);
  std::ifstream in(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "");
  const std::vector<struct sigaction> after = handlers();
  for (size_t i = 1; i < before.size(); ++i) {
    EXPECT_EQ(after[i].sa_handler, before[i].sa_handler) << "signal " << i;
  }
}

// Through the C API too. The convolution is oneDNN's, which may allocate: a plan without one.
TEST(AHost, SeesNoAllocationInRuns) {
  if (!AllocationCount::available()) GTEST_SKIP() << "allocations cannot be counted here";
  constexpr char kModel[] = R"(graph "mlp" (x: f32[batch,64], w: f32[64,64]) {
    dim batch in 1..32
    h = matmul(x, w)
    y = softmax(h) {axis: -1}
    return y
  })";
  modellib_plan* plan = nullptr;
  ASSERT_EQ(modellib_compile_memory(kModel, sizeof(kModel) - 1, nullptr, &plan), MODELLIB_OK)
      << modellib_error_message();
  modellib_session_options options = {};
  options.threads = 2;
  modellib_session* const session = open(plan, options);
  const std::vector<float> x(32 * 64, 0.5f), w(64 * 64, 0.01f);
  std::vector<float> y(32 * 64);
  const int64_t square[] = {64, 64};
  modellib_cancel* cancel = nullptr;
  ASSERT_EQ(modellib_cancel_create(&cancel), MODELLIB_OK);
  modellib_run_options run = {};
  run.size = sizeof(run);
  run.cancel = cancel;
  run.deadline_ns = INT64_MAX;
  const auto step = [&](int64_t batch) {
    const int64_t extents[] = {batch, 64};
    return modellib_session_bind_input(session, 0, 0, x.data(), extents, 2) == MODELLIB_OK &&
           modellib_session_bind_input(session, 0, 1, w.data(), square, 2) == MODELLIB_OK &&
           modellib_session_bind_output(session, 0, 0, y.data(), y.size() * 4) == MODELLIB_OK &&
           modellib_session_run(session, 0, &run) == MODELLIB_OK;
  };
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(step(i + 1));
  AllocationCount count;
  bool ok = true;
  for (int i = 0; i < 1000; ++i) ok = step(i % 32 + 1) && ok;
  EXPECT_EQ(count.stop(), 0) << count.describe();
  EXPECT_TRUE(ok);
  modellib_cancel_free(cancel);
  modellib_session_free(session);
  modellib_plan_free(plan);
}

}  // namespace
}  // namespace modellib::embedding
