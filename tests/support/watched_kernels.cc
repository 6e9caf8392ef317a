#include "modellib/tests/support/watched_kernels.h"

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/graph/status_macros.h"
#include "modellib/tests/alloc_counter.h"
#include "modellib/tests/support/std_workers.h"

namespace modellib {
namespace {

using runtime::Kernel;
using runtime::KernelArgs;
using Run = void (*)(const KernelArgs&, int64_t);

constexpr auto kLinger = std::chrono::microseconds(300);
// Half a minute in all: steps of one chunk, and those of lanes without helpers, linger for nothing.
constexpr int kLingers = 100'000;

std::atomic<int64_t> by_helpers{0};
std::atomic<int> lingers_left{0};

// Holds a chunk back for a while, until helpers took a first one.
void linger() {
  if (by_helpers.load(std::memory_order_relaxed) > 0) return;
  if (lingers_left.load(std::memory_order_relaxed) <= 0) return;
  lingers_left.fetch_sub(1, std::memory_order_relaxed);
  const auto end = std::chrono::steady_clock::now() + kLinger;
  while (by_helpers.load(std::memory_order_relaxed) == 0 &&
         std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
}

constexpr size_t kMost = 64;
Kernel originals[kMost];

// A kernel is a plain function and cannot know which one it stands for: so there is one for each.
template <size_t I>
void watch(const KernelArgs& args, int64_t chunk) {
  if (StdWorkers::on_helper()) {
    by_helpers.fetch_add(1, std::memory_order_relaxed);
  } else {
    linger();
  }
  if (originals[I].may_allocate) {
    const AllocationExcuse excuse;
    originals[I].run(args, chunk);
  } else {
    originals[I].run(args, chunk);
  }
}
template <size_t... I>
constexpr std::array<Run, kMost> all_watches(std::index_sequence<I...>) {
  return {&watch<I>...};
}

absl::StatusOr<runtime::KernelTable> make_table() {
  static std::vector<Kernel> watched;
  static constexpr std::array<Run, kMost> kWatches = all_watches(std::make_index_sequence<kMost>());
  const absl::Span<const Kernel> kernels = cpu::cpu_kernels();
  if (kernels.size() > kMost) return absl::InternalError("more kernels than can be watched");
  for (size_t i = 0; i < kernels.size(); ++i) {
    originals[i] = kernels[i];
    watched.push_back(kernels[i]);
    watched.back().run = kWatches[i];
  }
  return runtime::KernelTable::create({watched});
}

}  // namespace

absl::StatusOr<std::shared_ptr<const runtime::Executable>> load_watched(
    const LoweredPlan& lowered) {
  static const auto* const table = new absl::StatusOr<runtime::KernelTable>(make_table());
  MODELLIB_RETURN_IF_ERROR(table->status());
  MODELLIB_ASSIGN_OR_RETURN(const std::shared_ptr<const PlanFile> file, make_plan_file(lowered));
  return runtime::Executable::load(file, **table);
}

int64_t take_chunks_of_helpers(bool linger) {
  lingers_left = linger ? kLingers : 0;
  return by_helpers.exchange(0);
}

bool has_work_for_helpers(const fb::EntryT& entry) {
  for (const auto& step : entry.sequences[0]->steps) {
    // Other lanes have no helpers.
    if (step->lane == 0 && step->chunks != nullptr && step->chunks->slot() < 0 &&
        step->chunks->value() > 1) {
      return true;
    }
  }
  return false;
}

}  // namespace modellib
