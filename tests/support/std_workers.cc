#include "modellib/tests/support/std_workers.h"

#include <cstdio>
#include <cstdlib>

namespace modellib {
namespace {
thread_local bool is_helper = false;
}  // namespace

StdWorkers::StdWorkers(int threads) {
  for (int i = 1; i < threads; ++i) helpers_.emplace_back([this] { work(); });
}

StdWorkers::~StdWorkers() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
  }
  called_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

bool StdWorkers::on_helper() { return is_helper; }

void StdWorkers::summon(void (*help)(void*), void* context) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (count_ == calls_.size()) {
      std::fprintf(stderr, "more helpers are summoned than the runtime says it will\n");
      std::abort();
    }
    calls_[(first_ + count_++) % calls_.size()] = {help, context};
  }
  called_.notify_one();
}

void StdWorkers::work() {
  is_helper = true;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    called_.wait(lock, [&] { return over_ || count_ > 0; });
    if (count_ == 0) return;
    const Call call = calls_[first_];
    first_ = (first_ + 1) % calls_.size();
    --count_;
    lock.unlock();
    call.help(call.context);
    lock.lock();
  }
}

}  // namespace modellib
