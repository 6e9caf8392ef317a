#include "modellib/executors/runtime/worker_team.h"

#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <limits>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "modellib/executors/runtime/floating_point.h"

namespace modellib::runtime {
namespace {

// A pool of its own, as a host might bring one.
class Pool final : public Workers {
 public:
  explicit Pool(int threads) : threads_count_(threads) {
    for (int i = 1; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~Pool() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  int threads() const override { return threads_count_; }
  void summon(void (*help)(void*), void* context) override {
    ++summons;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      calls_.emplace_back(help, context);
    }
    changed_.notify_one();
  }
  std::atomic<int> summons{0};

 private:
  void work() {
    while (true) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return closed_ || !calls_.empty(); });
      if (calls_.empty()) return;
      const auto call = calls_.front();
      calls_.pop_front();
      lock.unlock();
      call.first(call.second);
    }
  }

  const int threads_count_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<void (*)(void*), void*>> calls_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

// Helpers that come only when they are let in, perhaps after the team is gone.
class LateHelpers final : public Workers {
 public:
  explicit LateHelpers(int threads) : threads_(threads) {}
  int threads() const override { return threads_; }
  void summon(void (*help)(void*), void* context) override { calls_.emplace_back(help, context); }
  void let_in() {
    for (const auto& call : calls_) call.first(call.second);
    calls_.clear();
  }
  size_t waiting() const { return calls_.size(); }

 private:
  const int threads_;
  std::vector<std::pair<void (*)(void*), void*>> calls_;
};

// Chunk i adds one to the i-th counter behind buffers[0]; scalars[0] is how much work it is.
void count(const KernelArgs& args, int64_t chunk) {
  volatile int64_t spin = 0;
  for (int64_t i = 0; i < args.scalars[0]; ++i) spin = spin + i;
  reinterpret_cast<int64_t*>(args.buffers[0])[chunk] += 1;
}

struct Job {
  explicit Job(int64_t work) : work(work) {}
  int64_t work;
  std::vector<int64_t> counts = std::vector<int64_t>(200);
  std::byte* buffer = reinterpret_cast<std::byte*>(counts.data());
  KernelArgs args{&buffer, &work, nullptr, nullptr, nullptr};
};

void run_many_jobs(WorkerTeam& team, int jobs) {
  Job job(20);
  std::vector<int64_t> expected(200);
  for (int j = 0; j < jobs; ++j) {
    const int64_t begin = j % 3, end = begin + 1 + j * 7 % 198;
    team.run(&count, job.args, begin, end);
    for (int64_t i = begin; i < end; ++i) ++expected[static_cast<size_t>(i)];
  }
  EXPECT_EQ(job.counts, expected);
}

TEST(WorkerTeamTest, EachChunkRunsOnce) {
  WorkerTeam alone(nullptr);
  run_many_jobs(alone, 1000);
  for (const int threads : {1, 2, 4}) {
    WorkerTeam team(std::make_shared<Pool>(threads));
    run_many_jobs(team, 5000);
  }
}

TEST(WorkerTeamTest, EachChunkRunsOnceOnTbb) {
  WorkerTeam own(tbb_workers(2));
  run_many_jobs(own, 5000);
  tbb::task_arena arena(2);
  WorkerTeam foreign(tbb_workers(arena, 2));
  run_many_jobs(foreign, 5000);
}

TEST(WorkerTeamTest, TakesNoMoreOfTbbThanItMayHaveAndPrintsNothing) {
  const int cores = tbb::info::default_concurrency();
  ::testing::internal::CaptureStderr();
  for (const int threads : {cores + 1, 1000, 10'000'000, std::numeric_limits<int>::max()}) {
    const auto workers = tbb_workers(threads);
    EXPECT_EQ(workers->threads(), cores) << threads;
    WorkerTeam team(workers);
    run_many_jobs(team, 100);
  }
  {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                    static_cast<size_t>(cores) + 3);
    EXPECT_EQ(tbb_workers(cores + 2)->threads(), cores + 2);
    EXPECT_EQ(tbb_workers(cores + 9)->threads(), cores + 3);
  }
  {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, 1);
    EXPECT_EQ(tbb_workers(cores + 1)->threads(), 1);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(WorkerTeamTest, HelpersLeaveWhenIdleAndAreSummonedAgain) {
  auto pool = std::make_shared<Pool>(2);
  WorkerTeam team(pool);
  Job job(1000);
  team.run(&count, job.args, 0, 200);
  EXPECT_EQ(pool->summons, 1);
  // Far longer than a helper stays; a loaded machine only makes it longer.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  team.run(&count, job.args, 0, 200);
  EXPECT_EQ(pool->summons, 2);
}

// A pool without memory for another task.
class ThrowingHelpers final : public Workers {
 public:
  int threads() const override { return 4; }
  void summon(void (*)(void*), void*) override { throw std::bad_alloc(); }
};

TEST(WorkerTeamTest, DoesNotDependOnHelpersThatCannotBeSummoned) {
  WorkerTeam team(std::make_shared<ThrowingHelpers>());
  run_many_jobs(team, 1000);
}

TEST(WorkerTeamTest, DoesNotDependOnHelpersThatNeverCome) {
  auto late = std::make_shared<LateHelpers>(4);
  {
    WorkerTeam team(late);
    run_many_jobs(team, 1000);
    EXPECT_EQ(late->waiting(), 3u);  // no more than there is room for
  }
  late->let_in();  // the team is gone: they find nothing and leave
  EXPECT_EQ(late->waiting(), 0u);
}

TEST(WorkerTeamTest, ScopeOfFloatingPointIsIeeeAndGivesBackTheHostsMode) {
#if defined(__x86_64__)
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);  // flush to zero, denormals are zero
  volatile float tiny = 1e-40f;
  EXPECT_EQ(tiny * 1.0f, 0.0f);
  {
    const FloatingPointScope scope;
    EXPECT_NE(tiny * 1.0f, 0.0f);
  }
  EXPECT_EQ(tiny * 1.0f, 0.0f);
  _mm_setcsr(before);
#else
  const FloatingPointScope scope;
  volatile float tiny = 1e-40f;
  EXPECT_NE(tiny * 1.0f, 0.0f);
#endif
}

}  // namespace
}  // namespace modellib::runtime
