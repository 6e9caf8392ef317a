#include "modellib/executors/reference/reference_executor.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/registry.h"

namespace modellib {
namespace {

std::string describe(const Tensor& t) {
  return absl::StrCat(to_string(t.dtype()), "[", absl::StrJoin(t.shape(), ","), "]");
}

absl::Status does_not_fit(const Graph& graph, ValueId id, const Tensor& t) {
  return absl::InvalidArgumentError(absl::StrCat("graph '", graph.name(), "', input '",
                                                 graph.value(id).name, "': expected ",
                                                 to_string(graph.type(id)), ", got ", describe(t)));
}

absl::Status check_bindings(const Graph& graph, const DimBinding& binding) {
  for (const auto& [symbol, range] : graph.ranges()) {
    auto it = binding.find(symbol);
    if (it != binding.end() && (it->second < range.min || it->second > range.max)) {
      return absl::InvalidArgumentError(absl::StrCat("graph '", graph.name(), "': dimension '",
                                                     symbol, "' is ", it->second, ", not within ",
                                                     range.min, "..", range.max));
    }
  }
  for (const Graph::Constraint& c : graph.constraints()) {
    MODELLIB_ASSIGN_OR_RETURN(const int64_t left, c.left.evaluate(binding));
    MODELLIB_ASSIGN_OR_RETURN(const int64_t right, c.right.evaluate(binding));
    if (left != right) {
      return absl::InvalidArgumentError(absl::StrCat("graph '", graph.name(), "': ", c.reason, ": ",
                                                     c.left.to_string(), " is ", left, ", ",
                                                     c.right.to_string(), " is ", right));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> has_type(const Tensor& t, const TensorType& type, const DimBinding& binding) {
  if (t.dtype() != type.dtype || t.rank() != type.rank()) return false;
  for (size_t d = 0; d < type.shape.size(); ++d) {
    MODELLIB_ASSIGN_OR_RETURN(const int64_t extent, type.shape[d].evaluate(binding));
    if (extent != t.shape()[d]) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<DimBinding> bind_inputs(const Graph& graph, absl::Span<const Tensor> inputs,
                                       DimBinding given) {
  DimBinding binding = std::move(given);
  if (inputs.size() != graph.inputs().size()) {
    return absl::InvalidArgumentError(absl::StrCat("graph '", graph.name(), "' takes ",
                                                   graph.inputs().size(), " inputs, got ",
                                                   inputs.size()));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape& shape = graph.type(graph.inputs()[i]).shape;
    for (size_t d = 0; d < shape.size() && inputs[i].rank() == static_cast<int>(shape.size());
         ++d) {
      if (shape[d].is_symbol()) {
        binding.try_emplace(shape[d].symbol_name(), inputs[i].shape()[d]);
      }
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ValueId id = graph.inputs()[i];
    MODELLIB_ASSIGN_OR_RETURN(const bool fits, has_type(inputs[i], graph.type(id), binding));
    if (!fits) return does_not_fit(graph, id, inputs[i]);
  }
  MODELLIB_RETURN_IF_ERROR(check_bindings(graph, binding));
  return binding;
}

ReferenceExecutor::ReferenceExecutor(GraphRef graph, ReferenceOptions options)
    : graph_(std::move(graph)), options_(std::move(options)) {}

absl::StatusOr<ReferenceResult> ReferenceExecutor::run(absl::Span<const Tensor> inputs,
                                                       const NamedTensors& variables) {
  return run_graph(*graph_, inputs, variables, {}, true);
}

absl::StatusOr<ReferenceResult> ReferenceExecutor::run_graph(const Graph& graph,
                                                             absl::Span<const Tensor> inputs,
                                                             const NamedTensors& variables,
                                                             const DimBinding& outer,
                                                             bool observed) {
  MODELLIB_ASSIGN_OR_RETURN(DimBinding binding, bind_inputs(graph, inputs, outer));
  binding.try_emplace("$rank", 0);  // it is one rank
  binding.try_emplace("$world", 1);
  std::vector<Tensor> values(graph.values().size());
  const auto define = [&](ValueId id, const Tensor& tensor) {
    values[static_cast<size_t>(id)] = tensor;
    if (observed && options_.observe) options_.observe(id, tensor);
  };

  for (size_t i = 0; i < inputs.size(); ++i) define(graph.inputs()[i], inputs[i]);
  for (const Graph::VariableUse& use : graph.variables()) {
    if (use.value == kNoValue) continue;
    auto it = variables.find(use.variable->name);
    if (it == variables.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("variable '", use.variable->name, "' has no value"));
    }
    MODELLIB_ASSIGN_OR_RETURN(const bool fits, has_type(it->second, use.variable->type, {}));
    if (!fits) {
      return absl::InvalidArgumentError(absl::StrCat("variable '", use.variable->name, "' is ",
                                                     to_string(use.variable->type), ", got ",
                                                     describe(it->second)));
    }
    define(use.value, it->second);
  }

  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Graph::Node& node = graph.nodes()[n];
    std::vector<Tensor> operands, results;
    for (ValueId in : node.inputs) {
      operands.push_back(in == kNoValue ? Tensor() : values[static_cast<size_t>(in)]);
    }
    if (absl::Status s = run_node(graph, node, binding, operands, results); !s.ok()) {
      const std::string& scope = graph.scopes()[static_cast<size_t>(node.scope)];
      return absl::Status(s.code(),
                          absl::StrCat("node ", n, " (", node.op->name, scope.empty() ? "" : " in ",
                                       scope, "): ", s.message()));
    }
    for (int i = 0; i < node.num_outputs; ++i) {
      define(node.output(i), results[static_cast<size_t>(i)]);
    }
  }

  ReferenceResult result;
  for (const Graph::Output& output : graph.outputs()) {
    result.outputs.push_back(values[static_cast<size_t>(output.value)]);
  }
  for (const Graph::VariableUse& use : graph.variables()) {
    if (use.assigned == kNoValue) continue;
    result.assigned[use.variable->name] = values[static_cast<size_t>(use.assigned)];
  }
  return result;
}

absl::Status ReferenceExecutor::run_node(const Graph& graph, const Graph::Node& node,
                                         const DimBinding& binding,
                                         absl::Span<const Tensor> operands,
                                         std::vector<Tensor>& results) {
  if (node.op->kind == OpDef::Kind::kComposite) {
    MODELLIB_ASSIGN_OR_RETURN(const GraphRef inner, decomposition(graph, node));
    std::vector<Tensor> present;
    for (const Tensor& t : operands) {
      if (t.dtype() != DType::kInvalid) present.push_back(t);
    }
    MODELLIB_ASSIGN_OR_RETURN(ReferenceResult inner_result,
                              run_graph(*inner, present, {}, binding, false));
    results = std::move(inner_result.outputs);
  } else {
    for (int i = 0; i < node.num_outputs; ++i) {
      std::vector<int64_t> extents;
      for (const Dim& d : graph.type(node.output(i)).shape) {
        MODELLIB_ASSIGN_OR_RETURN(const int64_t extent, d.evaluate(binding));
        extents.push_back(extent);
      }
      MODELLIB_ASSIGN_OR_RETURN(Tensor zeros,
                                Tensor::zeros(graph.type(node.output(i)).dtype, extents));
      results.push_back(std::move(zeros));
    }
    const auto run_region =
        [&](const Graph& region,
            absl::Span<const Tensor> inputs) -> absl::StatusOr<std::vector<Tensor>> {
      MODELLIB_ASSIGN_OR_RETURN(ReferenceResult r, run_graph(region, inputs, {}, binding, false));
      return std::move(r.outputs);
    };
    ReferenceContext context{node.attributes, operands, absl::MakeSpan(results), binding,
                             run_region};
    MODELLIB_RETURN_IF_ERROR(node.op->reference(context));
  }
  // What came must be what was inferred.
  for (int i = 0; i < node.num_outputs; ++i) {
    const TensorType& type = graph.type(node.output(i));
    const Tensor& t = results[static_cast<size_t>(i)];
    MODELLIB_ASSIGN_OR_RETURN(const bool fits, has_type(t, type, binding));
    if (!fits) {
      return absl::InternalError(
          absl::StrCat("output ", i, " is ", describe(t), ", inferred ", to_string(type)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<GraphRef> ReferenceExecutor::decomposition(const Graph& graph,
                                                          const Graph::Node& node) {
  GraphRef& kept = decompositions_[&node];
  if (kept != nullptr) return kept;
  GraphBuilder builder(options_.registry != nullptr ? *options_.registry : builtin_ops(),
                       node.op->name);
  OpCall call{builder, *node.op, node.attributes, {}, {}};
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId in = node.inputs[i];
    call.inputs.push_back(in == kNoValue ? Value()
                                         : builder.input(absl::StrCat("in", i), graph.type(in)));
  }
  const std::vector<Value> outputs = node.op->decompose(call);
  MODELLIB_RETURN_IF_ERROR(builder.status());
  if (static_cast<int>(outputs.size()) != node.num_outputs) {
    return absl::InternalError(absl::StrCat("the decomposition has ", outputs.size(),
                                            " outputs instead of ", node.num_outputs));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    builder.output(absl::StrCat("out", i), outputs[i]);
  }
  MODELLIB_ASSIGN_OR_RETURN(kept, builder.build());
  return kept;
}

absl::StatusOr<ReferenceResult> run_reference(GraphRef graph, absl::Span<const Tensor> inputs,
                                              const NamedTensors& variables) {
  return ReferenceExecutor(std::move(graph)).run(inputs, variables);
}

}  // namespace modellib
