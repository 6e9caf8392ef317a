#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cstddef>

#include "modellib/executors/runtime/fork_guard.h"
#include "modellib/executors/runtime/workers.h"

namespace modellib::runtime {
namespace {

constexpr size_t kMostThreads = 4096;  // whatever the host allows TBB

class ForeignArena final : public Workers {
 public:
  ForeignArena(tbb::task_arena& arena, int threads)
      : arena_(arena), threads_(threads > 0 ? threads : arena.max_concurrency()) {}
  int threads() const override { return threads_; }
  void summon(void (*help)(void*), void* context) override {
    arena_.enqueue([help, context] { help(context); });
  }

 private:
  tbb::task_arena& arena_;
  const int threads_;
};

// The caller never enters the arena, so all its slots are for helpers.
class OwnArena final : public Workers {
 public:
  explicit OwnArena(int threads) : threads_(threads), arena_(threads - 1, 0) {
    arena_.initialize();
  }
  int threads() const override { return threads_; }
  void summon(void (*help)(void*), void* context) override {
    arena_.enqueue([help, context] { help(context); });
  }

 private:
  const int threads_;
  tbb::task_arena arena_;
};

class Alone final : public Workers {
 public:
  int threads() const override { return 1; }
  void summon(void (*help)(void*), void* context) override { help(context); }
};

// An arena of more makes TBB print a warning, and one of millions ends the process.
int most_threads() {
  // A process that was forked has threads of its own: locks inside TBB may be held for ever there.
  if (process_generation() != 0) return static_cast<int>(kMostThreads);
  const size_t allowed =
      tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism);
  return static_cast<int>(std::clamp<size_t>(allowed, 1, kMostThreads));
}

}  // namespace

std::shared_ptr<Workers> tbb_workers(int threads) {
  threads = threads <= 0 ? tbb::info::default_concurrency() : std::min(threads, most_threads());
  if (threads == 1) return std::make_shared<Alone>();
  if (process_generation() != 0) return thread_workers(threads);
  return std::make_shared<OwnArena>(threads);
}

std::shared_ptr<Workers> tbb_workers(tbb::detail::d1::task_arena& arena, int threads) {
  return std::make_shared<ForeignArena>(arena, threads);
}

}  // namespace modellib::runtime
