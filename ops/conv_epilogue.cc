#include "modellib/ops/conv_epilogue.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/epilogue.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"

namespace modellib {
namespace {

// conv_epilogue(x, filter, bias?, residual?) -> y

absl::Status infer(InferenceContext& c) {
  const auto& a = c.attributes.as<ConvEpilogueAttributes>();
  if (!is_epilogue_activation(a.activation)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown activation '", a.activation, "'"));
  }
  const OpDef product = conv_ops().front();
  const Attributes attributes = Attributes::of(static_cast<const ConvAttributes&>(a));
  InferenceContext inner{c.inputs.subspan(0, 2), attributes, {}, {}};
  MODELLIB_RETURN_IF_ERROR(product.infer(inner));
  c.constraints = inner.constraints;
  const TensorType& result = inner.outputs[0];
  MODELLIB_RETURN_IF_ERROR(require_vector(c, 2, c.input(1).shape[0], "bias"));
  if (c.has(2)) MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 2));
  // Of extents that are equal once they are bound, passes may leave either.
  if (c.has(3)) MODELLIB_RETURN_IF_ERROR(require_type(c, result, c.input(3), "residual"));
  c.outputs = inner.outputs;
  return absl::OkStatus();
}

std::vector<Value> decompose(OpCall& c) {
  const auto& a = c.attributes.as<ConvEpilogueAttributes>();
  Value y = conv(c.in(0), c.in(1), a);
  if (c.has(2)) y = y + (a.layout == "NHWC" ? c.in(2) : per_channel(c.in(2), y.rank()));
  if (c.has(3) && !a.residual_after) y = y + c.in(3);
  y = apply_epilogue_activation(a.activation, y);
  if (c.has(3) && a.residual_after) y = y + c.in(3);
  return {y};
}

std::vector<OpSample> samples() {
  std::vector<OpSample> all;
  const auto add = [&](std::string name, Shape x, Shape filter, Shape y, bool bias, bool residual,
                       ConvEpilogueAttributes attributes) {
    OpSample s;
    s.name = std::move(name);
    s.inputs = {f32(std::move(x)), f32(filter)};
    s.inputs.push_back(bias ? f32({filter[0]}) : TensorType());
    if (residual) s.inputs.push_back(f32(std::move(y)));
    const std::string& activation = attributes.activation;
    // Kinks.
    s.check_gradient =
        activation != "relu" && activation.substr(0, 5) != "hard_" && activation != "relu6";
    s.attributes = Attributes::of(std::move(attributes));
    s.low = -1;
    s.high = 1;
    all.push_back(std::move(s));
  };
  for (const std::string& activation : epilogue_activations()) {
    ConvEpilogueAttributes a;
    a.padding_low = a.padding_high = {1, 1};
    a.activation = activation;
    add(activation, {1, 3, 5, 4}, {4, 3, 3, 3}, {1, 4, 5, 4}, true, true, a);
    a.layout = "NHWC";
    add(activation + "_channels_last", {1, 5, 4, 3}, {4, 3, 3, 3}, {1, 5, 4, 4}, true, true, a);
    a.groups = 3;
    add(activation + "_depthwise", {2, 5, 4, 3}, {3, 1, 3, 3}, {}, true, false, a);
    a.groups = 1;
    a.residual_after = true;
    add(activation + "_residual_after_channels_last", {1, 5, 4, 3}, {4, 3, 3, 3}, {1, 5, 4, 4},
        true, true, a);
    a.layout = "NCHW";
    add(activation + "_residual_after", {1, 3, 5, 4}, {4, 3, 3, 3}, {1, 4, 5, 4}, true, true, a);
  }
  ConvEpilogueAttributes a;
  add("residual_alone", {2, 3, 4, 4}, {2, 3, 1, 1}, {2, 2, 4, 4}, false, true, a);
  add("one_axis", {2, 3, 6}, {2, 3, 3}, {}, true, false, a);
  add("three_axes", {1, 2, 4, 3, 4}, {2, 2, 2, 2, 3}, {1, 2, 3, 2, 2}, true, true, a);
  a.layout = "NHWC";
  add("pointwise_channels_last", {2, 3, 4, 5}, {6, 5, 1, 1}, {2, 3, 4, 6}, true, true, a);
  a.groups = 2;
  add("grouped_channels_last", {2, 3, 4, 6}, {20, 3, 2, 2}, {}, true, false, a);
  return all;
}

}  // namespace

std::vector<OpDef> conv_epilogue_ops() {
  OpDef op = composite("conv_epilogue", 2, 4, infer, decompose, samples);
  op.attributes = AttributesSchema::of<ConvEpilogueAttributes>();
  return {op};
}

const ConvAttributes* conv_attributes(const Graph::Node& node) {
  if (node.attributes.is<ConvAttributes>()) return &node.attributes.as<ConvAttributes>();
  if (node.attributes.is<ConvEpilogueAttributes>())
    return &node.attributes.as<ConvEpilogueAttributes>();
  return nullptr;
}

Value conv_epilogue(Value x, Value filter, Value bias, Value residual,
                    ConvEpilogueAttributes attributes) {
  return emit_op_one("conv_epilogue", {x, filter, bias, residual},
                     Attributes::of(std::move(attributes)));
}

}  // namespace modellib
