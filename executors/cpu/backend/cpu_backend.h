// The CPU as a backend: which kernels carry out a node, with which scalars.
#ifndef MODELLIB_EXECUTORS_CPU_BACKEND_CPU_BACKEND_H_
#define MODELLIB_EXECUTORS_CPU_BACKEND_CPU_BACKEND_H_

#include "modellib/passes/backend.h"

namespace modellib::cpu {

// The lane of collectives, in CpuBackend::lanes().
inline constexpr int kCommunicationLane = 1;

// Stateless: one serves all compilations.
class CpuBackend final : public Backend {
 public:
  absl::string_view name() const override { return "cpu"; }
  std::vector<std::string> lanes() const override { return {"compute", "communication"}; }
  bool takes_composite(const Graph& graph, const Graph::Node& node) const override;
  bool takes_epilogue(const Graph& graph, const Graph::Node& product,
                      const Epilogue& epilogue) const override;
  std::optional<DType> computes_in(const Graph& graph, const Graph::Node& node) const override;
  int64_t channels_last_gain(const Graph& graph, const Graph::Node& node) const override;
  bool can_fuse(const Graph& graph, const Graph::Node& node) const override;
  absl::Status accepts_region(const Graph& region) const override;
  absl::StatusOr<NodeRecipe> recipe(const RecipeSite& site) const override;
  StepRecipe copy(const Dim& bytes) const override;
};

const Backend& cpu_backend();

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_BACKEND_CPU_BACKEND_H_
