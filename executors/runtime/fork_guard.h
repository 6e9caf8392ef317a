// What fork() does to a library with threads and locks, and how this one lives with it.
//
// A child has one thread and a copy of the memory. Sessions and variable stores of the parent may
// be in the middle of something there, so they refuse to work (FailedPrecondition) and release
// nothing; executables are immutable and serve the child as they are. What a child makes anew
// works. No lock of the library, or of one that it uses, is held at the moment of the fork: whoever
// may hold one, be it that of a static variable's first use, stands within a ForkBarrier.
#ifndef MODELLIB_EXECUTORS_RUNTIME_FORK_GUARD_H_
#define MODELLIB_EXECUTORS_RUNTIME_FORK_GUARD_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace modellib::runtime {

// How many forks lie between the process that loaded the library and this one; 0 in the former.
// Costs a load: runs ask for it.
uint64_t process_generation();

// While one is alive, fork() on another thread waits (for ten seconds at most: then it goes on, and
// the child may hang where it wants a lock that was held). May be nested, and the outermost may
// itself wait for a fork that is under way.
class ForkBarrier {
 public:
  ForkBarrier();
  ~ForkBarrier();
  ForkBarrier(const ForkBarrier&) = delete;
  ForkBarrier& operator=(const ForkBarrier&) = delete;
};

// FailedPrecondition where what was made in `generation` is used in another process.
absl::Status check_generation(uint64_t generation, absl::string_view what);

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_FORK_GUARD_H_
