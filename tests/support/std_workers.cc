#include "modellib/tests/support/std_workers.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace modellib {
namespace {

thread_local bool is_helper = false;
std::atomic<void (*)(void*)> help_of_runtime{nullptr};

void help_as_helper(void* context) {
  is_helper = true;
  help_of_runtime.load()(context);
}

}  // namespace

bool StdWorkers::on_helper() { return is_helper; }

void StdWorkers::summon(void (*help)(void*), void* context) {
  const auto before = help_of_runtime.exchange(help);
  if (before != nullptr && before != help) {
    std::fprintf(stderr, "the runtime helps with more than one function\n");
    std::abort();
  }
  pool_->summon(&help_as_helper, context);
}

}  // namespace modellib
