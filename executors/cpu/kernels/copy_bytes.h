// A plain copy of contiguous bytes: what the lowering needs for outputs, assignments and kernels
// that work in place.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_COPY_BYTES_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_COPY_BYTES_H_

#include <cstdint>

#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

// "cpu.copy_bytes": one output, one input, the same bytes. chunks = ceil(bytes / per_chunk).
struct CopyBytesScalars {
  int64_t bytes = 0;
  int64_t per_chunk = int64_t{1} << 18;
};
extern const runtime::Kernel kCopyBytes;

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_COPY_BYTES_H_
