#include "modellib/passes/lower.h"

#include "modellib/graph/status_macros.h"
#include "modellib/passes/entry_lowering.h"

namespace modellib {
namespace {

constexpr uint64_t kConstantAlignment = 64;

}  // namespace

absl::StatusOr<LoweredPlan> lower(const Program& program, const Backend& backend) {
  MODELLIB_RETURN_IF_ERROR(program.verify());
  LoweredPlan result;
  fb::PlanT& plan = result.plan;
  PlanTables tables;
  for (const Program::Entry& e : program.entries) {
    MODELLIB_ASSIGN_OR_RETURN(LoweredEntry lowered, lower_entry(e.name, *e.graph, backend, tables));
    plan.entries.push_back(std::move(lowered.entry));
    result.schedules.push_back({lowered.topological_peak, lowered.peak});
  }
  plan.producer = "modellib 0.1";
  plan.device = std::string(backend.name());
  plan.features = backend.features();
  plan.kernels = tables.kernels;
  for (const VariableRef& v : tables.variables) {
    auto variable = std::make_unique<fb::VariableT>();
    variable->name = v->name;
    variable->kind = static_cast<fb::VariableKind>(v->kind);
    variable->dtype = static_cast<fb::DType>(v->type.dtype);
    MODELLIB_ASSIGN_OR_RETURN(variable->shape, static_extents(v->type.shape));
    MODELLIB_ASSIGN_OR_RETURN(const int64_t count,
                              checked_elements(v->type.dtype, variable->shape));
    variable->bytes = static_cast<uint64_t>(bytes_of(v->type.dtype, count));
    variable->segment = -1;
    plan.variables.push_back(std::move(variable));
  }
  uint64_t offset = 0;
  for (const ConstantPool::Item& item : tables.constants.items()) {
    auto constant = std::make_unique<fb::ConstantT>();
    constant->segment = 0;
    constant->offset = offset;
    constant->bytes = static_cast<uint64_t>(item.tensor.bytes());
    constant->hash = item.hash;
    constant->name = item.name;
    offset += (constant->bytes + kConstantAlignment - 1) / kConstantAlignment * kConstantAlignment;
    plan.constants.push_back(std::move(constant));
    result.constants.push_back(item.tensor);
  }
  return result;
}

}  // namespace modellib
