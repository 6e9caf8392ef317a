// The executor's side of a device that does not exist (fake_device_backend.h): it runs plans as the
// most adverse device that keeps the rules would.
//
// Each lane runs its own steps in order, one at a time; nothing but the waits and signals of the
// plan holds lanes back from each other. Which lane goes on next is drawn at random, between the
// start of a step and its completion as well as between steps. A step reads and writes at an
// unknown time in between: either at once, and then what it wrote is hidden (poisoned) until it
// completes, or at the last moment. The device has memory of its own, poisoned before each run,
// and no step but copies may touch the caller's, those of loops and branches neither. It is the
// only rank of its world. So a wait that is missing shows as a wrong result under some seed.
#ifndef MODELLIB_TESTS_PROBES_FAKE_DEVICE_H_
#define MODELLIB_TESTS_PROBES_FAKE_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/kernel_table.h"
#include "modellib/formats/container.h"
#include "modellib/graph/tensor.h"
#include "modellib/passes/lower.h"

namespace modellib {

class FakeDevice {
 public:
  // Both must outlive the device. Extents must be static or follow from rank and world
  // (Unimplemented).
  static absl::StatusOr<std::unique_ptr<FakeDevice>> create(const LoweredPlan& plan,
                                                            const runtime::KernelTable& kernels);

  // The outputs. Internal for a plan whose lanes wait for each other for ever, or in which a step
  // that is no copy touches the caller's memory; OutOfRange where a kernel reports a fault.
  absl::StatusOr<std::vector<Tensor>> run(absl::string_view entry, absl::Span<const Tensor> inputs,
                                          uint64_t seed);

  absl::StatusOr<Tensor> get_variable(absl::string_view name) const;
  absl::Status set_variable(absl::string_view name, const Tensor& value);

 private:
  class Run;
  struct Step {
    const runtime::Kernel* kernel = nullptr;  // null: control flow, or a collective
    std::unique_ptr<runtime::KernelState> state;
    std::vector<int64_t> scalars;
    int64_t chunks = 1;
  };
  struct Entry {
    const fb::EntryT* plan = nullptr;
    std::vector<std::vector<Step>> sequences;
    std::vector<OwnedBytes> arenas;
  };

  FakeDevice() = default;
  absl::Status prepare(const fb::EntryT& entry, const fb::StepT& step,
                       const runtime::KernelTable& kernels, Step& out) const;
  absl::StatusOr<size_t> variable(absl::string_view name) const;

  const LoweredPlan* lowered_ = nullptr;
  std::vector<Entry> entries_;
  std::vector<OwnedBytes> variables_, constants_;
};

}  // namespace modellib

#endif  // MODELLIB_TESTS_PROBES_FAKE_DEVICE_H_
