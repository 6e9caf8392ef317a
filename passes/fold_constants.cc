#include "modellib/passes/fold_constants.h"

#include <algorithm>

#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

constexpr int64_t kMaxGrowth = int64_t{1} << 20;

bool has_region(const Attributes& attributes) {
  for (const auto& [name, value] : attributes.list(/*all=*/true)) {
    if (std::holds_alternative<GraphRef>(value)) return true;
  }
  return false;
}

// The node's results, or nothing if it can't or should not be computed now.
std::vector<Tensor> compute(const RebuildSite& site) {
  const OpDef& op = *site.node.op;
  // Without operands only what is small is worth it: extents as numbers, no random bits, no iotas.
  const bool computable = !site.inputs.empty() || op.name == "dim_value";
  if (op.kind != OpDef::Kind::kPrimitive || !op.pure || !computable) return {};
  std::vector<Tensor> inputs, outputs;
  int64_t input_bytes = 0, output_bytes = 0;
  for (const Value& in : site.inputs) {
    if (in.is_null()) {
      inputs.emplace_back();
      continue;
    }
    const Tensor* tensor = constant_value(site.builder.so_far(), in.id());
    if (tensor == nullptr) return {};
    inputs.push_back(*tensor);
    input_bytes += tensor->bytes();
  }
  if (has_region(site.node.attributes)) return {};
  for (int i = 0; i < site.node.num_outputs; ++i) {
    const TensorType& type = site.graph.type(site.node.output(i));
    const absl::StatusOr<std::vector<int64_t>> extents = static_extents(type.shape);
    if (!extents.ok()) return {};
    // Before memory is taken: a model may ask for more than there is.
    const absl::StatusOr<int64_t> elements = checked_elements(type.dtype, *extents);
    if (!elements.ok()) return {};
    output_bytes += bytes_of(type.dtype, *elements);
    if (output_bytes > std::max(kMaxGrowth, input_bytes)) return {};
    absl::StatusOr<Tensor> tensor = Tensor::zeros(type.dtype, *extents);
    if (!tensor.ok()) return {};
    outputs.push_back(*std::move(tensor));
  }
  const DimBinding nothing_bound;
  ReferenceContext reference{site.node.attributes, inputs, absl::MakeSpan(outputs), nothing_bound,
                             nullptr};
  if (!op.reference(reference).ok()) return {};  // the mistake shows when the node runs
  return outputs;
}

}  // namespace

absl::StatusOr<GraphRef> fold_constants(const GraphRef& graph, PassContext& context) {
  return rebuild(*graph, context.registry(),
                 [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
                   std::vector<Tensor> results = compute(site);
                   if (results.empty() || !context.may_rewrite()) return std::nullopt;
                   std::vector<Value> values;
                   for (Tensor& t : results) values.push_back(site.builder.constant(std::move(t)));
                   return values;
                 });
}

}  // namespace modellib
