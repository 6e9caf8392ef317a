// The CPU's kernels under observation: which chunks helpers ran (without which "the same bits with
// four workers" says nothing), and what a kernel that may allocate allocates, counted apart
// (AllocationCount::excused).
#ifndef MODELLIB_TESTS_SUPPORT_WATCHED_KERNELS_H_
#define MODELLIB_TESTS_SUPPORT_WATCHED_KERNELS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/passes/lower.h"

namespace modellib {

// The plan as the CPU's runtime loads it, with these kernels. Its sessions should use StdWorkers.
absl::StatusOr<std::shared_ptr<const runtime::Executable>> load_watched(const LoweredPlan& lowered);

// Chunks that helpers of StdWorkers ran since the last call of this, in all sessions. If `linger`,
// the threads that call sessions stay a little in each chunk until helpers took one, so that they
// come to it however busy the machine is.
int64_t take_chunks_of_helpers(bool linger = false);

// Whether helpers have something to do in any run of this entry: a step of several chunks, whatever
// the extents.
bool has_work_for_helpers(const fb::EntryT& entry);

}  // namespace modellib

#endif  // MODELLIB_TESTS_SUPPORT_WATCHED_KERNELS_H_
