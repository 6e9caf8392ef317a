#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "modellib/executors/runtime/workers.h"

namespace modellib::runtime {
namespace {

class ThreadWorkers final : public Workers {
 public:
  explicit ThreadWorkers(int threads) : limit_(threads - 1) {
    tasks_.reserve(64);
    for (int i = 0; i < limit_; ++i) {
      // Fewer threads than wanted cost time alone.
      try {
        threads_.emplace_back([this] { work(); });
      } catch (const std::system_error&) {
        break;
      }
    }
  }

  // What was summoned comes, if only to see that all is done.
  ~ThreadWorkers() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      quit_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int threads() const override { return static_cast<int>(threads_.size()) + 1; }

  void summon(void (*help)(void*), void* context) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      tasks_.push_back({help, context});
    }
    wake_.notify_one();
  }

 private:
  struct Task {
    void (*help)(void*);
    void* context;
  };

  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return quit_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const Task task = tasks_.back();
      tasks_.pop_back();
      lock.unlock();
      task.help(task.context);
      lock.lock();
    }
  }

  const int limit_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Task> tasks_;
  bool quit_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::shared_ptr<Workers> thread_workers(int threads) {
  return std::make_shared<ThreadWorkers>(threads);
}

}  // namespace modellib::runtime
