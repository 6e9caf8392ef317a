// Plans that name the CPU's own kernels, with whatever scalars, extents and operands: each kernel's
// check must refuse what would read or write outside.
#include <cstddef>
#include <cstdint>

#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/runtime/plan_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace modellib;  // NOLINT(google-build-using-namespace)
  runtime::testing::fuzz_plan({reinterpret_cast<const std::byte*>(data), size},
                              cpu::cpu_kernel_table());
  return 0;
}
