// The CUDA devices of this machine. The build finds a toolkit by itself (third_party/cuda); without
// one this file is all that stands of CUDA, and it says so. Nothing of CUDA is needed to start the
// program: the toolkit's runtime is linked statically, and looks for a driver when it is asked.
#ifndef MODELLIB_EXECUTORS_CUDA_DEVICES_H_
#define MODELLIB_EXECUTORS_CUDA_DEVICES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace modellib::cuda {

struct Device {
  std::string name;         // "NVIDIA H100"
  int compute_major = 0;    // 9 of 9.0
  int compute_minor = 0;    // 0 of 9.0
  uint64_t memory = 0;      // bytes, in all
  int multiprocessors = 0;  // streaming multiprocessors
};

// The devices in the driver's order; none where the driver sees none. Unavailable in a build
// without a toolkit, and where the driver is missing, too old, or fails.
absl::StatusOr<std::vector<Device>> devices();

}  // namespace modellib::cuda

#endif  // MODELLIB_EXECUTORS_CUDA_DEVICES_H_
