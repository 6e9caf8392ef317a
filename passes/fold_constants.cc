#include "modellib/passes/fold_constants.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pool.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

constexpr int64_t kMaxGrowth = int64_t{1} << 20;
// Reference kernels look for each tap of a window where it lies, by its indices: as long as so many
// products of a matmul.
constexpr double kTapWork = 10;

bool has_region(const Attributes& attributes) {
  for (const auto& [name, value] : attributes.list(/*all=*/true)) {
    if (std::holds_alternative<GraphRef>(value)) return true;
  }
  return false;
}

using Extents = std::vector<int64_t>;

double product_of(absl::Span<const int64_t> extents) {
  double product = 1;
  for (const int64_t e : extents) product *= static_cast<double>(e);
  return product;
}

// What the node takes of the budget where that is more than a few steps for each element.
double work_of(const Graph::Node& node, absl::Span<const Tensor> inputs, const Extents& output) {
  const std::string& op = node.op->name;
  if (node.attributes.is<MatmulAttributes>()) {
    const Extents& a = inputs[0].shape();
    const bool transposed = node.attributes.as<MatmulAttributes>().transpose_a;
    return product_of(output) * static_cast<double>(a[a.size() - (transposed ? 2 : 1)]);
  }
  if (node.attributes.is<ConvAttributes>()) {
    const Extents& filter = op == "conv_filter_gradient" ? output : inputs[1].shape();
    const Extents& y = op == "conv"                   ? output
                       : op == "conv_filter_gradient" ? inputs[1].shape()
                                                      : inputs[0].shape();
    return kTapWork * product_of(y) * product_of(absl::MakeConstSpan(filter).subspan(1));
  }
  if (node.attributes.is<PoolAttributes>()) {
    const Extents& y = op == "max_pool_gradient"   ? inputs[1].shape()
                       : op == "avg_pool_gradient" ? inputs[0].shape()
                                                   : output;
    return kTapWork * product_of(y) * product_of(node.attributes.as<PoolAttributes>().kernel);
  }
  return 0;
}

// Weights in another precision: cast in each run, they would be packed in each run, too.
bool casts_floats(const Graph& graph, const Graph::Node& node) {
  return node.op->name == "cast" && is_floating(graph.type(node.inputs[0]).dtype) &&
         is_floating(graph.type(node.output(0)).dtype);
}

// The bytes that may be read or written. Weights pass through a few nodes, of which all results
// exist at once; a text of a few kilobytes could ask for any number of them.
class Bytes {
 public:
  Bytes(const Graph& graph, ComputeBudget& budget) : budget_(budget) {
    constexpr int64_t kNodes = 8;  // that a constant passes through
    for (const Graph::Node& node : graph.nodes()) {
      if (node.op->name != "constant") continue;
      own_ += kNodes * node.attributes.as<ConstantAttributes>().value.bytes();
    }
  }
  // False, and nothing is taken, where fewer are left.
  bool take(int64_t bytes) {
    if (bytes > own_ + budget_.bytes) return false;
    const int64_t from_own = std::min(bytes, own_);
    own_ -= from_own;
    budget_.bytes -= bytes - from_own;
    return true;
  }

 private:
  ComputeBudget& budget_;
  int64_t own_ = 0;
};

// The node's results, or nothing if it can't or should not be computed now.
std::vector<Tensor> compute(const RebuildSite& site, PassContext& context, Bytes& bytes) {
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
    const bool grows = output_bytes > std::max(kMaxGrowth, input_bytes);
    if (grows && !casts_floats(site.graph, site.node)) return {};
    if (i == 0 && !bytes.take(std::max(input_bytes, bytes_of(type.dtype, *elements)))) {
      context.explain(absl::StrCat(op.name, " of constants stays: too much has been computed"));
      return {};
    }
    if (i == 0 && !context.compute().take(work_of(site.node, inputs, *extents))) {
      context.explain(absl::StrCat(op.name, " of constants stays: it would take too long now"));
      return {};
    }
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
  Bytes bytes(*graph, context.compute());
  return rebuild(*graph, context.registry(),
                 [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
                   if (context.exhausted()) return std::nullopt;
                   std::vector<Tensor> results = compute(site, context, bytes);
                   if (results.empty() || !context.may_rewrite()) return std::nullopt;
                   std::vector<Value> values;
                   for (Tensor& t : results) values.push_back(site.builder.constant(std::move(t)));
                   return values;
                 });
}

}  // namespace modellib
