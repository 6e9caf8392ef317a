// Workers that are threads of std: as many as asked for, whatever the machine has and whatever TBB
// would give. They stand from the start, so that summoning them allocates nothing.
#ifndef MODELLIB_TESTS_SUPPORT_STD_WORKERS_H_
#define MODELLIB_TESTS_SUPPORT_STD_WORKERS_H_

#include <array>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include "modellib/executors/runtime/workers.h"

namespace modellib {

class StdWorkers final : public runtime::Workers {
 public:
  // threads - 1 helpers.
  explicit StdWorkers(int threads);
  ~StdWorkers() override;
  StdWorkers(const StdWorkers&) = delete;
  StdWorkers& operator=(const StdWorkers&) = delete;

  int threads() const override { return static_cast<int>(helpers_.size()) + 1; }
  void summon(void (*help)(void*), void* context) override;

  // Whether the calling thread is a helper, of whichever instance.
  static bool on_helper();

 private:
  struct Call {
    void (*help)(void*);
    void* context;
  };
  void work();

  std::mutex mutex_;
  std::condition_variable called_;
  // A team summons no more helpers at once than it has; a session has a team for each lane.
  std::array<Call, 256> calls_ = {};
  size_t first_ = 0, count_ = 0;
  bool over_ = false;
  std::vector<std::thread> helpers_;
};

}  // namespace modellib

#endif  // MODELLIB_TESTS_SUPPORT_STD_WORKERS_H_
