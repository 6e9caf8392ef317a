// The compiler's side of a device that does not exist: kernels are the CPU's, but there are three
// lanes, and memory of its own. Steps that compute alternate between two lanes as a seed decides,
// and read and write the device's memory alone; what comes from the caller and what goes to it is
// copied by steps on the third. So the plan of almost any graph has waits between lanes.
//
// Loops and branches have no recipe of the backend's: a pass of its own, the last, puts a copy
// before and behind each of them.
#ifndef MODELLIB_TESTS_PROBES_FAKE_DEVICE_BACKEND_H_
#define MODELLIB_TESTS_PROBES_FAKE_DEVICE_BACKEND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "modellib/passes/backend.h"
#include "modellib/passes/compile.h"

namespace modellib {

class FakeDeviceBackend final : public Backend {
 public:
  enum Lane : int { kCompute, kSide, kCopy };

  explicit FakeDeviceBackend(uint64_t seed = 0) : seed_(seed) {}

  absl::string_view name() const override { return "fake"; }
  std::vector<std::string> lanes() const override { return {"compute", "side", "copy"}; }
  bool takes_composite(const Graph& graph, const Graph::Node& node) const override;
  bool takes_epilogue(const Graph& graph, const Graph::Node& product,
                      const Epilogue& epilogue) const override;
  std::optional<DType> computes_in(const Graph& graph, const Graph::Node& node) const override;
  int64_t channels_last_gain(const Graph& graph, const Graph::Node& node) const override;
  bool can_fuse(const Graph& graph, const Graph::Node& node) const override;
  absl::Status accepts_region(const Graph& region) const override;
  absl::StatusOr<NodeRecipe> recipe(const RecipeSite& site) const override;
  StepRecipe copy(const Dim& bytes) const override;

 private:
  const uint64_t seed_;
};

// `options` with the pass.
CompileOptions for_fake_device(CompileOptions options = {});

}  // namespace modellib

#endif  // MODELLIB_TESTS_PROBES_FAKE_DEVICE_BACKEND_H_
