#include "modellib/executors/cuda/devices.h"

#include <gtest/gtest.h>

namespace modellib::cuda {
namespace {

// With and without a toolkit, with and without a driver: the program starts, and the answer fits.
TEST(DevicesTest, ListsDevicesOrSaysWhyNot) {
  const absl::StatusOr<std::vector<Device>> found = devices();
  if (!found.ok()) {
    EXPECT_EQ(found.status().code(), absl::StatusCode::kUnavailable) << found.status();
    EXPECT_GT(found.status().message().size(), std::string("CUDA: ").size()) << found.status();
    return;
  }
  for (const Device& device : *found) {
    EXPECT_FALSE(device.name.empty());
    EXPECT_GT(device.memory, 0);
    EXPECT_GT(device.multiprocessors, 0);
    EXPECT_GE(device.compute_major, 1);
  }
}

}  // namespace
}  // namespace modellib::cuda
