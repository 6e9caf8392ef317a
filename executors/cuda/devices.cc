#include "modellib/executors/cuda/devices.h"

#include "absl/strings/str_cat.h"

#ifdef MODELLIB_HAS_CUDA
#include <cuda_runtime_api.h>
#endif

namespace modellib::cuda {

#ifdef MODELLIB_HAS_CUDA

namespace {

absl::Status unavailable(cudaError_t error) {
  return absl::UnavailableError(absl::StrCat("CUDA: ", cudaGetErrorString(error)));
}

}  // namespace

absl::StatusOr<std::vector<Device>> devices() {
  int count = 0;
  const cudaError_t counted = cudaGetDeviceCount(&count);
  if (counted == cudaErrorNoDevice) return std::vector<Device>();
  if (counted != cudaSuccess) return unavailable(counted);
  std::vector<Device> devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    if (const cudaError_t e = cudaGetDeviceProperties(&properties, i); e != cudaSuccess) {
      return unavailable(e);
    }
    devices.push_back({properties.name, properties.major, properties.minor,
                       static_cast<uint64_t>(properties.totalGlobalMem),
                       properties.multiProcessorCount});
  }
  return devices;
}

#else

absl::StatusOr<std::vector<Device>> devices() {
  return absl::UnavailableError("this library was built without a CUDA toolkit");
}

#endif

}  // namespace modellib::cuda
