// Lowering of one graph: values to places in buffers, nodes to steps, steps to an order, buffers to
// offsets. See lower.h for the whole.
#ifndef MODELLIB_PASSES_ENTRY_LOWERING_H_
#define MODELLIB_PASSES_ENTRY_LOWERING_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/graph/graph.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/constant_pool.h"
#include "modellib/passes/scheduler.h"
#include "modellib/passes/slot_table.h"

namespace modellib {

// What the entries of a plan share.
struct PlanTables {
  ConstantPool constants;
  std::vector<std::string> kernels;
  std::vector<VariableRef> variables;

  uint32_t kernel(const std::string& name);
  uint32_t variable(const VariableRef& variable);

 private:
  absl::flat_hash_map<std::string, uint32_t> kernel_index_, variable_index_;
};

struct LoweredEntry {
  std::unique_ptr<fb::EntryT> entry;
  int64_t topological_peak = 0;
  int64_t peak = 0;
};

absl::StatusOr<LoweredEntry> lower_entry(const std::string& name, const Graph& graph,
                                         const Backend& backend, PlanTables& tables);

}  // namespace modellib

#endif  // MODELLIB_PASSES_ENTRY_LOWERING_H_
