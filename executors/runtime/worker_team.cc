#include "modellib/executors/runtime/worker_team.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>

#include "modellib/executors/runtime/floating_point.h"
#include "modellib/executors/runtime/fork_guard.h"
#include "modellib/executors/runtime/spin.h"

// ThreadSanitizer does not see what a pool that is not instrumented (TBB's) orders: tell it that
// summoning happens before helping.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#define MODELLIB_TSAN(call, token) __tsan_##call(token)
#endif
#endif
#ifndef MODELLIB_TSAN
#define MODELLIB_TSAN(call, token)
#endif

namespace modellib::runtime {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kIdle = std::chrono::microseconds(200);
constexpr int kSpinsPerLook = 64;  // at the clock

// Links all Shared blocks. A helper that was summoned may come after its team has gone, or not
// before the process ends: until then its block stays reachable from here. Touched when a team is
// made and when its last user leaves, never in a run.
struct Registry {
  std::mutex mutex;
  std::unordered_set<const void*> blocks;
};
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

}  // namespace

// A job is what lies in body, args and end. `ticket` says how many of its chunks are left (low
// half) and which job it is (high half). A chunk is taken by counting the ticket down, with a
// compare-and-swap on the whole: it succeeds only if the job is still the one that was read,
// because the caller changes the job only when all its chunks are done, that is, with none left to
// take.
struct WorkerTeam::Shared {
  alignas(64) std::atomic<uint64_t> ticket{0};
  std::atomic<Body> body{nullptr};
  std::atomic<const KernelArgs*> args{nullptr};
  std::atomic<int64_t> end{0};
  alignas(64) std::atomic<uint64_t> pending{0};  // chunks not yet done
  alignas(64) std::atomic<int> summoned{0};      // helpers that work or will come
  std::atomic<int> users{1};
  std::atomic<bool> closed{false};

  Shared() {
    const ForkBarrier barrier;
    const std::lock_guard<std::mutex> lock(registry().mutex);
    registry().blocks.insert(this);
  }
  ~Shared() {
    const ForkBarrier barrier;
    const std::lock_guard<std::mutex> lock(registry().mutex);
    registry().blocks.erase(this);
  }

  // Runs chunks until none is left; returns how many.
  uint64_t work() {
    uint64_t done = 0;
    uint64_t seen = ticket.load(std::memory_order_acquire);
    while (static_cast<uint32_t>(seen) != 0) {
      const Body run = body.load(std::memory_order_relaxed);
      const KernelArgs* const with = args.load(std::memory_order_relaxed);
      const int64_t behind_last = end.load(std::memory_order_relaxed);
      if (!ticket.compare_exchange_weak(seen, seen - 1, std::memory_order_acquire)) continue;
      run(*with, behind_last - static_cast<uint32_t>(seen));
      // Counted one by one, so that a helper never holds back what it finished.
      pending.fetch_sub(1, std::memory_order_acq_rel);
      ++done;
      seen = ticket.load(std::memory_order_acquire);
    }
    return done;
  }

  void release() {
    if (users.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
};

WorkerTeam::WorkerTeam(std::shared_ptr<Workers> workers) : workers_(std::move(workers)) {
  helpers_ = workers_ == nullptr ? 0 : std::max(0, workers_->threads() - 1);
  if (helpers_ > 0) shared_ = new Shared();
}

WorkerTeam::~WorkerTeam() {
  if (shared_ == nullptr) return;
  shared_->closed.store(true, std::memory_order_release);
  shared_->release();
}

void WorkerTeam::help(void* context) {
  MODELLIB_TSAN(acquire, context);
  Shared& shared = *static_cast<Shared*>(context);
  {
    const FloatingPointScope floating_point;
    Clock::time_point idle_since = Clock::now();
    int spins = 0;
    while (!shared.closed.load(std::memory_order_acquire)) {
      if (shared.work() > 0) {
        idle_since = Clock::now();
        continue;
      }
      pause_briefly();
      if (++spins % kSpinsPerLook == 0 && Clock::now() - idle_since > kIdle) break;
    }
  }
  shared.summoned.fetch_sub(1, std::memory_order_acq_rel);
  shared.release();
}

void WorkerTeam::summon(int64_t chunks) {
  const int wanted = static_cast<int>(std::min<int64_t>(helpers_, chunks - 1));
  // Looked at once: helpers may come, find all done and leave while this thread is held up.
  int missing = wanted - shared_->summoned.load(std::memory_order_relaxed);
  for (; missing > 0; --missing) {
    shared_->summoned.fetch_add(1, std::memory_order_acq_rel);
    shared_->users.fetch_add(1, std::memory_order_acq_rel);
    MODELLIB_TSAN(release, shared_);
    try {
      workers_->summon(&WorkerTeam::help, shared_);
    } catch (...) {
      // Without memory for a task, say. The caller never depends on helpers.
      shared_->summoned.fetch_sub(1, std::memory_order_acq_rel);
      shared_->users.fetch_sub(1, std::memory_order_acq_rel);
      return;
    }
  }
}

void WorkerTeam::run(Body body, const KernelArgs& args, int64_t begin, int64_t end) {
  const int64_t chunks = end - begin;
  if (chunks <= 1 || shared_ == nullptr) {
    for (int64_t i = begin; i < end; ++i) body(args, i);
    return;
  }
  Shared& shared = *shared_;
  const auto count = static_cast<uint64_t>(chunks);
  shared.body.store(body, std::memory_order_relaxed);
  shared.args.store(&args, std::memory_order_relaxed);
  shared.end.store(end, std::memory_order_relaxed);
  shared.pending.store(count, std::memory_order_relaxed);
  const uint64_t job = (shared.ticket.load(std::memory_order_relaxed) >> 32) + 1;
  shared.ticket.store(job << 32 | count, std::memory_order_release);
  summon(chunks);
  shared.work();
  // What is left is under way on a helper.
  for (int spins = 0; shared.pending.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpins) {
      pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace modellib::runtime
