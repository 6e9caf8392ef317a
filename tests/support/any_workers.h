// That results do not depend on who computes them.
#ifndef MODELLIB_TESTS_SUPPORT_ANY_WORKERS_H_
#define MODELLIB_TESTS_SUPPORT_ANY_WORKERS_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/graph/tensor.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {

// What the entry "main" computes, on a new store: once as it was compiled, by one worker, and then
// by one, two and four with its steps cut finely (fine_chunks.h), so that they have something to
// share. Internal where the bits differ. Leaves the program cut.
absl::StatusOr<CpuResult> run_with_any_workers(CpuProgram& program,
                                               absl::Span<const Tensor> inputs);

}  // namespace modellib

#endif  // MODELLIB_TESTS_SUPPORT_ANY_WORKERS_H_
