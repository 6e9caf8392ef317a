// The list of the CPU's kernels. Nothing registers itself: what is not here is not there.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_REGISTRY_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_REGISTRY_H_

#include "absl/types/span.h"
#include "modellib/executors/runtime/kernel.h"
#include "modellib/executors/runtime/kernel_table.h"

namespace modellib::cpu {

// Both live as long as the program.
absl::Span<const runtime::Kernel> cpu_kernels();
// What plans for the CPU are loaded with.
const runtime::KernelTable& cpu_kernel_table();

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_REGISTRY_H_
