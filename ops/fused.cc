#include "modellib/ops/fused.h"

#include "absl/strings/str_cat.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/families.h"

namespace modellib {
namespace {

absl::Status infer(InferenceContext& c) {
  const GraphRef& region = c.attributes.as<FusedAttributes>().region;
  if (region == nullptr) return absl::InvalidArgumentError("a fused group needs a region");
  if (!region->variables().empty()) {
    return absl::InvalidArgumentError("a region cannot use variables");
  }
  if (c.inputs.size() != region->inputs().size()) {
    return absl::InvalidArgumentError(absl::StrCat("the region takes ", region->inputs().size(),
                                                   " operands, got ", c.inputs.size()));
  }
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const TensorType& expected = region->type(region->inputs()[i]);
    if (c.inputs[i] == nullptr || !(*c.inputs[i] == expected)) {
      return absl::InvalidArgumentError(
          absl::StrCat("operand ", i, " must be ", to_string(expected)));
    }
  }
  for (const Graph::Output& out : region->outputs()) c.outputs.push_back(region->type(out.value));
  return absl::OkStatus();
}

std::vector<Value> decompose(OpCall& call) {
  return call.builder.inline_graph(*call.attributes.as<FusedAttributes>().region, call.inputs)
      .outputs;
}

std::vector<OpSample> samples() {
  const TensorType type{DType::kF32, {2, 3}};
  // The registry is being made when samples are asked for, so the region holds no op of it.
  static const OpRegistry* const empty = new OpRegistry;
  GraphBuilder builder(*empty, "identity");
  builder.output("out0", builder.input("in0", type));
  return {{.name = "identity",
           .inputs = {type},
           .attributes = Attributes::of(FusedAttributes{*builder.build()})}};
}

}  // namespace

std::vector<OpDef> fused_ops() {
  OpDef fused;
  fused.name = "fused";
  fused.kind = OpDef::Kind::kComposite;
  fused.attributes = AttributesSchema::of<FusedAttributes>();
  fused.min_inputs = 0;
  fused.max_inputs = OpDef::kVariadic;
  fused.infer = infer;
  fused.decompose = decompose;
  fused.differentiable = OpDef::Gradient::kDecomposition;
  fused.samples = samples;
  return {fused};
}

}  // namespace modellib
