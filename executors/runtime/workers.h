// Where a session finds help. The calling thread always works itself and never depends on anybody:
// helpers that come late, or never, cost time alone. So a session can live inside a busy pipeline
// and share its threads.
#ifndef MODELLIB_EXECUTORS_RUNTIME_WORKERS_H_
#define MODELLIB_EXECUTORS_RUNTIME_WORKERS_H_

#include <memory>

namespace tbb::detail::d1 {
class task_arena;
}

namespace modellib::runtime {

class Workers {
 public:
  virtual ~Workers() = default;
  // Threads that may work for one session at a time, the calling one included; at least 1.
  virtual int threads() const = 0;
  // Runs help(context) once, at some time, on some thread; returns at once. It must not allocate in
  // steady state. `context` stays valid until help returned, and `help` returns soon after the
  // session has nothing to do (200 us). Where it throws, `help` is not run and the caller goes on
  // alone.
  virtual void summon(void (*help)(void*), void* context) = 0;
};

// TBB's threads, in an arena of its own with `threads` slots; 0: as many as the process has cores.
// No more than TBB may have in this process: as many as there are cores, or what the host's
// tbb::global_control says at this moment.
// In a process that was forked, thread_workers: TBB's pool does not survive a fork.
std::shared_ptr<Workers> tbb_workers(int threads);
// Threads of its own, `threads` - 1 of them, joined with the last reference.
std::shared_ptr<Workers> thread_workers(int threads);
// TBB's threads in the caller's arena (a tbb::task_arena), which must outlive what is returned.
// `threads` as above, 0: the arena's concurrency.
std::shared_ptr<Workers> tbb_workers(tbb::detail::d1::task_arena& arena, int threads = 0);

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_WORKERS_H_
