// "cpu.dim_values": the step's scalars as an i64 tensor: extents that are decided by each run. One
// output, no inputs; scalars: their number, then the values.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_DIM_VALUES_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_DIM_VALUES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

absl::Status validate_dim_values(const runtime::StepView& step);
void run_dim_values(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_DIM_VALUES_H_
