#include "modellib/passes/lowering_context.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/formats/plan_limits.h"
#include "modellib/graph/status_macros.h"
#include "modellib/passes/views.h"

namespace modellib {
namespace {

constexpr auto kMaxBytes = static_cast<int64_t>(kMaxPlanBytes);

absl::Status too_many_bytes(const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": too many bytes, more than 2^62 at the largest extents"));
}

}  // namespace

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
  if (bytes.range(ranges).max > kMaxBytes && slots.is_bounded(bytes)) {
    return too_many_bytes(bytes.to_string());
  }
  MODELLIB_ASSIGN_OR_RETURN(const fb::Scalar scalar, slots.scalar(bytes));
  if (scalar.value() > kMaxBytes) return too_many_bytes(bytes.to_string());
  return scalar.value();
}

absl::StatusOr<int64_t> LoweringContext::max_bytes(const TensorType& type) {
  // An extent that is 0, or is never more, hides nothing: recipes multiply those beside it all the
  // same.
  const int64_t element = std::max<int64_t>(1, (bits_of(type.dtype) + 7) / 8);
  int64_t room = kMaxBytes / element;
  bool is_empty = false;
  int64_t largest = element;  // the bytes of all extents at their maxima at once
  for (const Dim& extent : type.shape) {
    const int64_t most = extent.range(ranges).max;
    // Without a maximum: the slot's error says so.
    if (most == DimRange::kUnbounded && !slots.is_bounded(extent)) {
      return slots.scalar(extent).status();
    }
    room /= std::max<int64_t>(1, most);
    is_empty = is_empty || most <= 0;
    if (room > 0) largest *= std::max<int64_t>(1, most);
  }
  const Dim bytes = byte_size(type);
  if (bytes.is_too_large()) return slots.scalar(bytes).status();
  const int64_t most = bytes.range(ranges).max;
  if (room == 0 || most > kMaxBytes) return too_many_bytes(to_string(type));
  // Where one extent falls as another grows, [10 - n, n], there are never so many bytes; but steps
  // are checked for each extent by itself.
  return is_empty ? most : std::max(most, largest);
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
