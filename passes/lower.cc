#include "modellib/passes/lower.h"

#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "modellib/graph/status_macros.h"
#include "modellib/passes/entry_lowering.h"

namespace modellib {
namespace {

constexpr int64_t kAlignment = 64;
// From here on a constant is worth a segment, which starts on a page of its own.
constexpr int64_t kLargeConstant = int64_t{1} << 16;

absl::Status lay_out_constants(const ConstantPool& pool, LoweredPlan& result) {
  int64_t small_bytes = 0;
  result.segments.resize(1);
  std::vector<std::pair<int64_t, const Tensor*>> small;
  for (const ConstantPool::Item& item : pool.items()) {
    auto constant = std::make_unique<fb::ConstantT>();
    constant->bytes = static_cast<uint64_t>(item.tensor.bytes());
    constant->hash = item.hash;
    constant->name = item.name;
    if (item.tensor.bytes() >= kLargeConstant) {
      constant->segment = static_cast<uint32_t>(result.segments.size());
      result.segments.push_back(item.tensor);
    } else {
      constant->offset = static_cast<uint64_t>(small_bytes);
      small.emplace_back(small_bytes, &item.tensor);
      small_bytes += (item.tensor.bytes() + kAlignment - 1) / kAlignment * kAlignment;
    }
    result.plan.constants.push_back(std::move(constant));
  }
  MODELLIB_ASSIGN_OR_RETURN(result.segments[0], Tensor::zeros(DType::kU8, {small_bytes}));
  for (const auto& [offset, tensor] : small) {
    if (tensor->bytes() == 0) continue;
    std::memcpy(result.segments[0].mutable_data() + offset, tensor->data(),
                static_cast<size_t>(tensor->bytes()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoweredPlan> lower(const Program& program, const Backend& backend) {
  MODELLIB_RETURN_IF_ERROR(program.verify());
  LoweredPlan result;
  fb::PlanT& plan = result.plan;
  PlanTables tables;
  std::vector<std::string> unsupported;  // by entry, all its nodes
  for (const Program::Entry& e : program.entries) {
    absl::StatusOr<LoweredEntry> lowered = lower_entry(e.name, *e.graph, backend, tables);
    if (lowered.status().code() == absl::StatusCode::kUnimplemented) {
      unsupported.emplace_back(lowered.status().message());
      continue;
    }
    if (!lowered.ok()) return lowered.status();
    plan.entries.push_back(std::move(lowered->entry));
    result.schedules.push_back({lowered->topological_peak, lowered->peak});
  }
  if (!unsupported.empty()) return absl::UnimplementedError(absl::StrJoin(unsupported, "\n"));
  plan.producer = "modellib 0.1";
  plan.kernel_abi = kKernelAbi;
  plan.device = std::string(backend.name());
  plan.kernels = tables.kernels;
  std::set<std::string> features;
  for (const std::string& kernel : plan.kernels) {
    for (std::string& feature : backend.features(kernel)) features.insert(std::move(feature));
  }
  plan.features.assign(features.begin(), features.end());
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
  MODELLIB_RETURN_IF_ERROR(lay_out_constants(tables.constants, result));
  return result;
}

void add_variable_contents(const absl::btree_map<std::string, Tensor>& contents,
                           LoweredPlan& lowered) {
  for (const auto& variable : lowered.plan.variables) {
    const auto content = contents.find(variable->name);
    if (content == contents.end()) continue;
    variable->segment = static_cast<int32_t>(lowered.segments.size());
    variable->offset = 0;
    lowered.segments.push_back(content->second);
  }
}

absl::StatusOr<std::shared_ptr<const PlanFile>> make_plan_file(const LoweredPlan& lowered) {
  std::vector<SharedBytes> segments;
  for (const Tensor& tensor : lowered.segments) {
    auto owner = std::make_shared<const Tensor>(tensor);
    segments.push_back({{tensor.data(), static_cast<size_t>(tensor.bytes())}, owner});
  }
  return PlanFile::from_parts(lowered.plan, std::move(segments));
}

}  // namespace modellib
