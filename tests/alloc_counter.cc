#include "modellib/tests/alloc_counter.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <sstream>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define MODELLIB_SANITIZED 1
#endif
#endif

#if defined(__GLIBC__) && !defined(MODELLIB_SANITIZED)
#define MODELLIB_COUNTS_ALLOCATIONS 1
#include <execinfo.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#endif

namespace modellib {
namespace {

enum Kind : int { kMalloc, kCalloc, kRealloc, kAligned, kMmap, kKinds };
constexpr const char* kNames[kKinds] = {"malloc", "calloc", "realloc", "aligned", "mmap"};
std::atomic<bool> counting{false};
std::atomic<int64_t> counts[kKinds] = {};
std::atomic<int64_t> excused_calls{0};
std::atomic<int> traces{0};
thread_local int excuses = 0;

#ifdef MODELLIB_COUNTS_ALLOCATIONS
constexpr int kTraces = 4;
constexpr int kDepth = 24;
void* frames[kTraces][kDepth];
int depths[kTraces];
thread_local bool in_trace = false;

void note(Kind kind) {
  if (!counting.load(std::memory_order_relaxed) || in_trace) return;
  if (excuses > 0) {
    excused_calls.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  counts[kind].fetch_add(1, std::memory_order_relaxed);
  if (traces.load(std::memory_order_relaxed) >= kTraces) return;
  const int i = traces.fetch_add(1, std::memory_order_relaxed);
  if (i >= kTraces) return;
  in_trace = true;
  depths[i] = backtrace(frames[i], kDepth);
  in_trace = false;
}
#endif

}  // namespace

bool AllocationCount::available() {
#ifdef MODELLIB_COUNTS_ALLOCATIONS
  return true;
#else
  return false;
#endif
}

AllocationCount::AllocationCount() {
#ifdef MODELLIB_COUNTS_ALLOCATIONS
  // The first backtrace of a process loads a library.
  void* warm_up[2];
  backtrace(warm_up, 2);
#endif
  for (auto& count : counts) count.store(0, std::memory_order_relaxed);
  excused_calls.store(0, std::memory_order_relaxed);
  traces.store(0, std::memory_order_relaxed);
  counting.store(true, std::memory_order_seq_cst);
}

AllocationCount::~AllocationCount() { stop(); }

int64_t AllocationCount::stop() {
  counting.store(false, std::memory_order_seq_cst);
  return calls();
}

int64_t AllocationCount::calls() const {
  int64_t sum = 0;
  for (const auto& count : counts) sum += count.load(std::memory_order_relaxed);
  return sum;
}

int64_t AllocationCount::excused() const { return excused_calls.load(std::memory_order_relaxed); }

AllocationExcuse::AllocationExcuse() { ++excuses; }
AllocationExcuse::~AllocationExcuse() { --excuses; }

std::string AllocationCount::describe() const {
  std::ostringstream out;
  for (int k = 0; k < kKinds; ++k) {
    out << kNames[k] << ": " << counts[k].load(std::memory_order_relaxed) << "  ";
  }
#ifdef MODELLIB_COUNTS_ALLOCATIONS
  for (int i = 0; i < std::min(traces.load(), kTraces); ++i) {
    out << "\nallocation " << i << ":\n";
    char** const symbols = backtrace_symbols(frames[i], depths[i]);
    for (int k = 0; symbols != nullptr && k < depths[i]; ++k) out << "  " << symbols[k] << "\n";
    std::free(symbols);
  }
#endif
  return out.str();
}

}  // namespace modellib

#ifdef MODELLIB_COUNTS_ALLOCATIONS

// What the C library's functions call in the end; glibc exports these for replacements like ours.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);

void* malloc(size_t size) {
  modellib::note(modellib::kMalloc);
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  modellib::note(modellib::kCalloc);
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  modellib::note(modellib::kRealloc);
  return __libc_realloc(memory, size);
}
void free(void* memory) { __libc_free(memory); }
void* memalign(size_t alignment, size_t size) {
  modellib::note(modellib::kAligned);
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  modellib::note(modellib::kAligned);
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) {
  modellib::note(modellib::kAligned);
  if (alignment % sizeof(void*) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) {
    return EINVAL;
  }
  void* const block = __libc_memalign(alignment, size);
  if (block == nullptr) return ENOMEM;
  *memory = block;
  return 0;
}
void* valloc(size_t size) {
  modellib::note(modellib::kAligned);
  return __libc_memalign(4096, size);
}
void* mmap(void* address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  modellib::note(modellib::kMmap);
  return reinterpret_cast<void*>(
      syscall(SYS_mmap, address, length, protection, flags, descriptor, offset));
}
void* mmap64(void* address, size_t length, int protection, int flags, int descriptor,
             off64_t offset) {
  return mmap(address, length, protection, flags, descriptor, offset);
}
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

#endif  // MODELLIB_COUNTS_ALLOCATIONS
