#include "modellib/ops/control_support.h"

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/shape.h"

namespace modellib {

absl::Status require_region(InferenceContext& c, const GraphRef& region, absl::string_view name,
                            absl::Span<const TensorType> inputs) {
  if (region == nullptr) return absl::InvalidArgumentError(absl::StrCat(name, " is missing"));
  if (region->inputs().size() != inputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat(name, " takes ", region->inputs().size(),
                                                   " values, is given ", inputs.size()));
  }
  if (!region->variables().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(name, " uses a variable; capture its value"));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    MODELLIB_RETURN_IF_ERROR(require_type(c, region->type(region->inputs()[i]), inputs[i],
                                          absl::StrCat("operand ", i, " of ", name)));
  }
  return absl::OkStatus();
}

TensorType output_type(const Graph& region, size_t i) {
  return region.type(region.outputs()[i].value);
}

std::vector<TensorType> types_of(absl::Span<const Value> values) {
  std::vector<TensorType> types;
  for (const Value& v : values) types.push_back(v.type());
  return types;
}

std::vector<Value> region_gradient(GraphBuilder& builder, const Graph& region,
                                   absl::Span<const Value> inputs,
                                   absl::Span<const Value> output_gradients) {
  const std::vector<Value> outputs = builder.inline_graph(region, inputs).outputs;
  std::vector<Value> real;
  for (const Value& v : inputs) {
    if (is_real(v.dtype())) real.push_back(v);
  }
  std::vector<Value> gradients = vjp(builder, outputs, output_gradients, real);
  // A value that is several inputs has one gradient, which counts at the first of them.
  absl::flat_hash_set<ValueId> seen;
  for (size_t i = 0; i < real.size(); ++i) {
    const bool counted = !gradients[i].is_null() && !seen.insert(real[i].id()).second;
    if (gradients[i].is_null() || counted) gradients[i] = zeros_like(real[i]);
  }
  return gradients;
}

}  // namespace modellib
