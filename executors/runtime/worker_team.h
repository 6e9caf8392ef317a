// The threads that share a step's chunks: the caller, and helpers that are summoned when there is
// work, stay for a while between steps (spinning, as a step takes microseconds), and leave.
//
// Which thread runs which chunk is left to chance; what a chunk computes is not.
#ifndef MODELLIB_EXECUTORS_RUNTIME_WORKER_TEAM_H_
#define MODELLIB_EXECUTORS_RUNTIME_WORKER_TEAM_H_

#include <cstdint>
#include <memory>

#include "modellib/executors/runtime/kernel.h"
#include "modellib/executors/runtime/workers.h"

namespace modellib::runtime {

class WorkerTeam {
 public:
  using Body = void (*)(const KernelArgs& args, int64_t chunk);

  // Null: the caller works alone.
  explicit WorkerTeam(std::shared_ptr<Workers> workers);
  // Does not wait for helpers that were summoned but have not come yet.
  ~WorkerTeam();
  WorkerTeam(const WorkerTeam&) = delete;
  WorkerTeam& operator=(const WorkerTeam&) = delete;

  // Runs body(args, i) for begin <= i < end, fewer than 2^32, each once; returns when all are done.
  // One caller at a time.
  void run(Body body, const KernelArgs& args, int64_t begin, int64_t end);

 private:
  struct Shared;
  static void help(void* shared);
  void summon(int64_t chunks);

  std::shared_ptr<Workers> workers_;
  Shared* shared_ = nullptr;  // counted by its users
  int helpers_ = 0;           // at most
};

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_WORKER_TEAM_H_
