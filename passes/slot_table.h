// The scalars of an entry that depend on free dimensions: each distinct expression gets one slot,
// which the runtime computes when inputs are bound.
#ifndef MODELLIB_PASSES_SLOT_TABLE_H_
#define MODELLIB_PASSES_SLOT_TABLE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/graph/dim.h"
#include "modellib/graph/graph.h"

namespace modellib {

class SlotTable {
 public:
  explicit SlotTable(const DimRanges& ranges) : ranges_(ranges) {}

  // The number, or the slot of the expression. InvalidArgument for one without a maximum, naming
  // the symbol, and for one whose maximum no number can say.
  absl::StatusOr<fb::Scalar> scalar(const Dim& dim);
  // Whether each of its symbols has a maximum (or there is none): its own, too, then, which may
  // still be beyond int64.
  bool is_bounded(const Dim& dim) const;
  // Takes over what must hold of the symbols when inputs are bound.
  void require(const Graph::Constraint& constraint);
  // Index of the symbol among those of the entry.
  int symbol(const std::string& name);

  // Hands the tables over to the plan.
  void take(fb::EntryT& entry);

 private:
  std::vector<fb::DimOp> code_of(const Dim& dim);
  // Kept within `range`, in which it is known to lie: whoever reads the plan looks at one operation
  // after the other, and may see less.
  std::vector<fb::DimOp> code_of(const Dim& dim, const DimRange& range);
  DimRange range_of_symbol(const std::string& name) const;

  const DimRanges& ranges_;
  std::vector<std::string> symbols_;
  std::vector<std::unique_ptr<fb::SlotT>> slots_;
  std::vector<std::unique_ptr<fb::ConstraintT>> constraints_;
  absl::flat_hash_map<std::string, int> index_;
};

}  // namespace modellib

#endif  // MODELLIB_PASSES_SLOT_TABLE_H_
