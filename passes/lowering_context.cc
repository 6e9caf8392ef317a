#include "modellib/passes/lowering_context.h"

#include "modellib/graph/status_macros.h"
#include "modellib/passes/views.h"

namespace modellib {

uint32_t PlanTables::kernel(const std::string& name) {
  auto [it, inserted] = kernel_index_.try_emplace(name, static_cast<uint32_t>(kernels.size()));
  if (inserted) kernels.push_back(name);
  return it->second;
}

uint32_t PlanTables::variable(const VariableRef& variable) {
  auto [it, inserted] =
      variable_index_.try_emplace(variable->name, static_cast<uint32_t>(variables.size()));
  if (inserted) variables.push_back(variable);
  return it->second;
}

absl::StatusOr<int64_t> LoweringContext::max_bytes(const Dim& bytes) {
  if (bytes.is_static()) return bytes.value();
  MODELLIB_ASSIGN_OR_RETURN(const fb::Scalar scalar, slots.scalar(bytes));
  return scalar.value();
}

absl::StatusOr<int64_t> LoweringContext::max_bytes(const TensorType& type) {
  const Dim bytes = byte_size(type);
  const DimRange range = bytes.range(ranges);
  // Without a maximum: the slot's error says so.
  if (range.max == DimRange::kUnbounded) return slots.scalar(bytes).status();
  return range.max;
}

int LoweringContext::buffer_of_constant(int index) {
  auto [it, inserted] = constant_buffers_.try_emplace(index, 0);
  if (inserted) {
    const ConstantPool::Item& item = tables.constants.items()[static_cast<size_t>(index)];
    it->second = buffers.add({.space = fb::Space::Constant,
                              .index = static_cast<uint32_t>(index),
                              .bytes = item.tensor.bytes(),
                              .name = item.name});
  }
  return it->second;
}

int LoweringContext::constant_buffer(const Tensor& tensor, const std::string& name) {
  return buffer_of_constant(tables.constants.raw(tensor, name));
}

absl::StatusOr<int> LoweringContext::packed_buffer(const Tensor& tensor,
                                                   const PackedConstant& packed,
                                                   const std::string& name) {
  MODELLIB_ASSIGN_OR_RETURN(const int index, tables.constants.pack(tensor, packed, name));
  return buffer_of_constant(index);
}

}  // namespace modellib
