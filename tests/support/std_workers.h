// The runtime's own threads, as many as are asked for, whatever the machine has and whatever TBB
// would give; they know that they are helpers.
#ifndef MODELLIB_TESTS_SUPPORT_STD_WORKERS_H_
#define MODELLIB_TESTS_SUPPORT_STD_WORKERS_H_

#include <memory>

#include "modellib/executors/runtime/workers.h"

namespace modellib {

class StdWorkers final : public runtime::Workers {
 public:
  // threads - 1 helpers.
  explicit StdWorkers(int threads) : pool_(runtime::thread_workers(threads)) {}

  int threads() const override { return pool_->threads(); }
  // Ends the process if `help` is not the function of earlier calls: the runtime has one.
  void summon(void (*help)(void*), void* context) override;

  // Whether the calling thread is a helper, of whichever instance.
  static bool on_helper();

 private:
  const std::shared_ptr<runtime::Workers> pool_;
};

}  // namespace modellib

#endif  // MODELLIB_TESTS_SUPPORT_STD_WORKERS_H_
