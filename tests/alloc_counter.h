// Counts every allocation of the process between start and stop, on whatever thread: malloc,
// calloc, realloc, aligned_alloc, posix_memalign, memalign, valloc, operator new (which calls them)
// and mmap. It proves that a run allocates nothing.
//
//   run_once();                       // warm up
//   AllocationCount count;
//   for (int i = 0; i < 1000; ++i) run_once();
//   EXPECT_EQ(count.stop(), 0) << count.describe();
//
// A program that links this library has these functions replaced by ones that count and then do
// what the C library's do. Sanitizers replace them too: there, and without glibc, nothing is
// counted, and available() is false.
#ifndef MODELLIB_TESTS_ALLOC_COUNTER_H_
#define MODELLIB_TESTS_ALLOC_COUNTER_H_

#include <cstdint>
#include <string>

namespace modellib {

class AllocationCount {
 public:
  // Starts to count. One at a time.
  AllocationCount();
  ~AllocationCount();
  AllocationCount(const AllocationCount&) = delete;
  AllocationCount& operator=(const AllocationCount&) = delete;

  static bool available();
  // Stops; returns the number of calls. Frees are not counted.
  int64_t stop();
  int64_t calls() const;
  // Calls under an AllocationExcuse, which are no part of the above.
  int64_t excused() const;
  // For a failed test: counts by kind, and where the first allocations came from.
  std::string describe() const;
};

// While it lives, what this thread allocates is counted apart: for the one library below that may
// allocate while a plan runs.
class AllocationExcuse {
 public:
  AllocationExcuse();
  ~AllocationExcuse();
  AllocationExcuse(const AllocationExcuse&) = delete;
  AllocationExcuse& operator=(const AllocationExcuse&) = delete;
};

}  // namespace modellib

#endif  // MODELLIB_TESTS_ALLOC_COUNTER_H_
