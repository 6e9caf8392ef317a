#include "modellib/executors/cpu/machine/limits.h"

#include <tbb/info.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "modellib/executors/cpu/machine/fma_peak.h"

namespace modellib::cpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTries = 5;
constexpr int64_t kFmaSteps = 400000;  // some 3 ms

// Of each of a thread's three arrays. Machines of many cores have large caches, but not so much
// larger ones: 32 MiB where threads are few, 4 MiB where they are many.
size_t triad_floats(int threads) {
  return (size_t{8} << 20) / static_cast<size_t>(std::clamp(threads / 4, 1, 8));
}

// Does all of `work(thread)` at once, as often as there are tries, and returns the least seconds
// from the moment when all threads stood ready to the end of the last.
double best_seconds(int threads, const std::function<void(int)>& work) {
  double best = 0;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    std::atomic<int> waiting{threads};
    Clock::time_point start;
    const auto run = [&](int thread) {
      // The last to come reads the clock before it lets the others go.
      if (waiting.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        start = Clock::now();
        waiting.store(-1, std::memory_order_release);
      }
      while (waiting.load(std::memory_order_acquire) >= 0) std::this_thread::yield();
      work(thread);
    };
    std::vector<std::thread> helpers;
    for (int i = 1; i < threads; ++i) helpers.emplace_back(run, i);
    run(0);
    for (std::thread& helper : helpers) helper.join();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = attempt == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

struct TriadArrays {
  explicit TriadArrays(size_t floats) : a(floats), b(floats), c(floats) {}

  void run(float scale) {
    float* const to = a.data();
    const float *const x = b.data(), *const y = c.data();
    for (size_t i = 0; i < a.size(); ++i) to[i] = x[i] + scale * y[i];
  }

  std::vector<float> a, b, c;
};

}  // namespace

MachineLimits measure_machine_limits(int threads) {
  MachineLimits limits;
  limits.threads = threads > 0 ? threads : tbb::info::default_concurrency();
  const auto count = static_cast<size_t>(limits.threads);
  std::vector<double> done(count);
  const double fma_seconds = best_seconds(limits.threads, [&](int thread) {
    done[static_cast<size_t>(thread)] = run_fma_loop(kFmaSteps);
  });
  for (const double flops : done) limits.flops_per_second += flops / fma_seconds;

  const size_t floats = triad_floats(limits.threads);
  std::vector<TriadArrays> arrays(count, TriadArrays(floats));
  volatile float scale = 3;
  const double triad_seconds = best_seconds(
      limits.threads, [&](int thread) { arrays[static_cast<size_t>(thread)].run(scale); });
  limits.bytes_per_second = static_cast<double>(count * floats * 3 * sizeof(float)) / triad_seconds;
  return limits;
}

}  // namespace modellib::cpu
