#include "modellib/passes/recast.h"

#include "modellib/graph/op_def.h"
#include "modellib/ops/pointwise.h"

namespace modellib {

bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

std::vector<Value> emit_recast(RebuildSite& site, absl::FunctionRef<DType(int operand)> wanted) {
  std::vector<Value> operands;
  for (size_t i = 0; i < site.inputs.size(); ++i) {
    const Value x = site.inputs[i];
    const bool stays = x.is_null() || x.dtype() == wanted(static_cast<int>(i));
    operands.push_back(stays ? x : cast(x, wanted(static_cast<int>(i))));
  }
  std::vector<Value> outputs = site.builder.emit(*site.node.op, operands, site.node.attributes);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const DType old = site.graph.type(site.node.output(static_cast<int>(i))).dtype;
    if (!outputs[i].is_poisoned() && outputs[i].dtype() != old) outputs[i] = cast(outputs[i], old);
  }
  return outputs;
}

}  // namespace modellib
