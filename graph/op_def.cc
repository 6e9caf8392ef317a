#include "modellib/graph/op_def.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace modellib {

absl::Status InferenceContext::require_equal(const Dim& a, const Dim& b, absl::string_view reason) {
  if (a == b) return absl::OkStatus();
  if ((a - b).is_static()) {
    return absl::InvalidArgumentError(
        absl::StrCat(reason, ": ", a.to_string(), " and ", b.to_string(), " differ"));
  }
  constraints.push_back({a, b, std::string(reason)});
  return absl::OkStatus();
}

absl::Status InferenceContext::require_at_most(const Dim& a, const Dim& b,
                                               absl::string_view reason) {
  if (is_at_most(a, b, {})) return absl::OkStatus();
  if ((b - a).is_static()) {
    return absl::InvalidArgumentError(
        absl::StrCat(reason, ": ", a.to_string(), " is more than ", b.to_string()));
  }
  return require_equal(min(a, b), a, reason);
}

std::vector<const TensorType*> operand_types(const Graph& graph,
                                             absl::Span<const ValueId> operands) {
  std::vector<const TensorType*> types;
  for (ValueId id : operands) types.push_back(id == kNoValue ? nullptr : &graph.type(id));
  return types;
}

namespace {

// " (operands: f32[2,3], absent)". Of the very many that a hostile file may have, the first.
std::string list_operands(absl::Span<const TensorType* const> operands) {
  constexpr size_t kShown = 16;
  if (operands.empty()) return "";
  const std::string types =
      absl::StrJoin(operands.subspan(0, kShown), ", ", [](std::string* out, const TensorType* t) {
        absl::StrAppend(out, t == nullptr ? "absent" : to_string(*t));
      });
  return absl::StrCat(" (operands: ", types, operands.size() > kShown ? ", ...)" : ")");
}

absl::Status check_and_infer(const OpDef& op, InferenceContext& context) {
  const int count = static_cast<int>(context.inputs.size());
  if (count < op.min_inputs || (op.max_inputs != OpDef::kVariadic && count > op.max_inputs)) {
    const std::string most = op.max_inputs == OpDef::kVariadic ? " or more"
                             : op.max_inputs == op.min_inputs  ? ""
                                                              : absl::StrCat(" to ", op.max_inputs);
    return absl::InvalidArgumentError(
        absl::StrCat("takes ", op.min_inputs, most, " operands, got ", count));
  }
  for (int i = 0; i < op.min_inputs; ++i) {
    if (!context.has(i)) {
      return absl::InvalidArgumentError(absl::StrCat("operand ", i, " is a null value"));
    }
  }
  if (op.attributes.matches != nullptr ? !op.attributes.matches(context.attributes)
                                       : !context.attributes.empty()) {
    return absl::InvalidArgumentError("attributes of another op");
  }
  if (absl::Status status = op.infer(context); !status.ok()) return status;
  for (size_t i = 0; i < context.outputs.size(); ++i) {
    if (absl::Status status = check_shape(context.outputs[i].shape); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("output ", i, ": ", status.message()));
    }
  }
  for (const Graph::Constraint& c : context.constraints) {
    if (c.left.is_too_large() || c.right.is_too_large()) {
      return absl::InvalidArgumentError(absl::StrCat(c.reason, ": too large an expression"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status infer_types(const OpDef& op, InferenceContext& context) {
  absl::Status status = check_and_infer(op, context);
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(status.message(), list_operands(context.inputs)));
}

absl::Status OpRegistry::add(OpDef op) {
  const auto missing = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("op '", op.name, "' has no ", what));
  };
  if (op.name.empty()) return absl::InvalidArgumentError("an op needs a name");
  if (op.infer == nullptr) return missing("type inference");
  if (op.kind == OpDef::Kind::kPrimitive && op.reference == nullptr)
    return missing("reference kernel");
  if (op.kind == OpDef::Kind::kComposite && op.decompose == nullptr)
    return missing("decomposition");
  if (op.differentiable == OpDef::Gradient::kUndeclared) {
    return missing("declared gradient (a rule, that of its decomposition, or none)");
  }
  if (op.differentiable == OpDef::Gradient::kRule && op.gradient == nullptr) {
    return missing("gradient rule");
  }
  if (op.differentiable == OpDef::Gradient::kDecomposition && op.decompose == nullptr) {
    return missing("decomposition to differentiate");
  }
  std::string name = op.name;
  auto [it, inserted] = ops_.try_emplace(name, nullptr);
  if (!inserted) return absl::AlreadyExistsError(absl::StrCat("op '", name, "' exists"));
  it->second = std::make_unique<const OpDef>(std::move(op));
  return absl::OkStatus();
}

const OpDef* OpRegistry::find(absl::string_view name) const {
  auto it = ops_.find(name);
  return it == ops_.end() ? nullptr : it->second.get();
}

std::vector<const OpDef*> OpRegistry::all() const {
  std::vector<const OpDef*> ops;
  for (const auto& [name, op] : ops_) ops.push_back(op.get());
  std::sort(ops.begin(), ops.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  return ops;
}

}  // namespace modellib
