// What the parts of lowering share: the tables of the plan, and of the entry under work.
#ifndef MODELLIB_PASSES_LOWERING_CONTEXT_H_
#define MODELLIB_PASSES_LOWERING_CONTEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "modellib/graph/dim.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/tensor.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/constant_pool.h"
#include "modellib/passes/slot_table.h"
#include "modellib/passes/step_sequence.h"

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

// What the sequences of an entry share.
class LoweringContext {
 public:
  // `ranges` are those of the entry's symbols; they hold in its regions too. All must outlive this.
  LoweringContext(const Backend& backend, const DimRanges& ranges, PlanTables& tables)
      : backend(backend), ranges(ranges), tables(tables), slots(ranges) {}

  const Backend& backend;
  const DimRanges& ranges;
  PlanTables& tables;
  SlotTable slots;
  StepBuffers buffers;
  std::vector<std::string> unsupported;  // a line for each node that the backend refused
  int sequences = 0;                     // made so far

  // At the largest extents. InvalidArgument for what has no maximum, naming the symbol, and for
  // more than a plan can name.
  absl::StatusOr<int64_t> max_bytes(const Dim& bytes);
  absl::StatusOr<int64_t> max_bytes(const TensorType& type);

  // The buffers of constants: as they are, or packed for a kernel.
  int constant_buffer(const Tensor& tensor, const std::string& name);
  absl::StatusOr<int> packed_buffer(const Tensor& tensor, const PackedConstant& packed,
                                    const std::string& name);

 private:
  int buffer_of_constant(int index);
  absl::flat_hash_map<int, int> constant_buffers_;  // by index in the pool
};

}  // namespace modellib

#endif  // MODELLIB_PASSES_LOWERING_CONTEXT_H_
