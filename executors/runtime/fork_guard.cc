#include "modellib/executors/runtime/fork_guard.h"

#include <pthread.h>
#include <time.h>

#include <atomic>

#include "absl/strings/str_cat.h"

namespace modellib::runtime {
namespace {

constexpr int64_t kPollNanoseconds = 50'000;
constexpr int64_t kPatience = 10'000'000'000;

std::atomic<uint64_t> generation{0};
std::atomic<int> forking{0};
std::atomic<int> holders{0};
thread_local int depth = 0;

void nap() {
  const timespec time = {0, kPollNanoseconds};
  nanosleep(&time, nullptr);
}

void before_fork() {
  forking.fetch_add(1);
  // A callback of the host may fork within a call of the library: it does not wait for itself.
  const int own = depth > 0 ? 1 : 0;
  for (int64_t waited = 0; holders.load() > own && waited < kPatience; waited += kPollNanoseconds) {
    nap();
  }
}

void in_parent() { forking.fetch_sub(1); }

void in_child() {
  generation.fetch_add(1);
  holders.store(depth > 0 ? 1 : 0);
  forking.store(0);
}

// Before main, or when the library is loaded: a child must know that it is one even where its
// parent had made nothing yet, as TBB may have been at work already.
[[maybe_unused]] const int registered = pthread_atfork(before_fork, in_parent, in_child);

}  // namespace

uint64_t process_generation() { return generation.load(std::memory_order_relaxed); }

ForkBarrier::ForkBarrier() {
  if (depth++ > 0) return;
  while (true) {
    holders.fetch_add(1);
    if (forking.load() == 0) return;
    holders.fetch_sub(1);
    nap();
  }
}

ForkBarrier::~ForkBarrier() {
  if (--depth == 0) holders.fetch_sub(1);
}

absl::Status check_generation(uint64_t made, absl::string_view what) {
  if (made == process_generation()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the ", what,
                   " belongs to the process that this one was forked from; make "
                   "another here"));
}

}  // namespace modellib::runtime
