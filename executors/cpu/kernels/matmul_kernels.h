// The runtime's kernels `cpu.matmul_f32` and `cpu.pack_b_f32`. Operands and scalars:
// matmul_params.h.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_KERNELS_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_KERNELS_H_

#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

extern const runtime::Kernel kMatmulF32;
extern const runtime::Kernel kPackBF32;

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_KERNELS_H_
