// constant: a tensor that stands in the graph.
#include "modellib/graph/constant.h"

#include "modellib/ops/families.h"

namespace modellib {
namespace {

absl::Status infer(InferenceContext& c) {
  const Tensor& t = c.attributes.as<ConstantAttributes>().value;
  if (t.dtype() == DType::kInvalid) return absl::InvalidArgumentError("a constant needs a tensor");
  c.outputs.push_back({t.dtype(), Shape(t.shape().begin(), t.shape().end())});
  return absl::OkStatus();
}

absl::Status reference(ReferenceContext& c) {
  c.out(0) = c.attributes.as<ConstantAttributes>().value;
  return absl::OkStatus();
}

std::vector<OpSample> samples() {
  return {
      {.name = "vector",
       .inputs = {},
       .attributes = Attributes::of(ConstantAttributes{*Tensor::of<float>({3}, {1, -2, 0.5f})})}};
}

}  // namespace

std::vector<OpDef> constant_ops() {
  OpDef constant;
  constant.name = "constant";
  constant.attributes = AttributesSchema::of<ConstantAttributes>();
  constant.min_inputs = constant.max_inputs = 0;
  constant.infer = infer;
  constant.reference = reference;
  constant.differentiable = OpDef::Gradient::kNone;
  constant.samples = samples;
  return {constant};
}

}  // namespace modellib
