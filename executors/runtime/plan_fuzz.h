// The harness of the plan fuzzers: whatever bytes pretend to be a plan, a Status, or a session that
// runs within its memory.
#ifndef MODELLIB_EXECUTORS_RUNTIME_PLAN_FUZZ_H_
#define MODELLIB_EXECUTORS_RUNTIME_PLAN_FUZZ_H_

#include <cstddef>

#include "absl/types/span.h"
#include "modellib/executors/runtime/kernel_table.h"

namespace modellib::runtime::testing {

// The bytes are taken three ways: as a container; as a container whose checksums are mended first,
// or nearly all changes would end there; and as the metadata alone, with one segment beside it.
// What loads is run, for a few milliseconds.
void fuzz_plan(absl::Span<const std::byte> bytes, const KernelTable& kernels);

}  // namespace modellib::runtime::testing

#endif  // MODELLIB_EXECUTORS_RUNTIME_PLAN_FUZZ_H_
