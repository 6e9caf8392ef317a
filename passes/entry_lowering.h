// Lowering of one graph to an entry of a plan: its inputs, outputs and variables become the borders
// of a sequence of steps (sequence_lowering.h), which is planned (sequence_planning.h) and written
// down as data. See lower.h for the whole.
#ifndef MODELLIB_PASSES_ENTRY_LOWERING_H_
#define MODELLIB_PASSES_ENTRY_LOWERING_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/graph/graph.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/lowering_context.h"

namespace modellib {

struct LoweredEntry {
  std::unique_ptr<fb::EntryT> entry;
  int64_t topological_peak = 0;
  int64_t peak = 0;
};

absl::StatusOr<LoweredEntry> lower_entry(const std::string& name, const Graph& graph,
                                         const Backend& backend, PlanTables& tables);

}  // namespace modellib

#endif  // MODELLIB_PASSES_ENTRY_LOWERING_H_
