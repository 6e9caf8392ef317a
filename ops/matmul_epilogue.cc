#include "modellib/ops/matmul_epilogue.h"

#include "absl/strings/str_cat.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/epilogue.h"
#include "modellib/ops/families.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"

namespace modellib {
namespace {

absl::Status infer(InferenceContext& c) {
  const auto& t = c.attributes.as<MatmulEpilogueAttributes>();
  if (!is_epilogue_activation(t.activation)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown activation '", t.activation, "'"));
  }
  const OpDef product = matmul_ops().front();
  const Attributes attributes = Attributes::of(MatmulAttributes{
      .transpose_a = t.transpose_a, .transpose_b = t.transpose_b, .accumulate = {}});
  InferenceContext inner{c.inputs.subspan(0, 2), attributes, {}, {}};
  if (absl::Status s = product.infer(inner); !s.ok()) return s;
  c.constraints = inner.constraints;
  const TensorType& result = inner.outputs[0];
  if (c.has(2)) {
    if (absl::Status s = require_rank(c, 2, 1); !s.ok()) return s;
    if (absl::Status s = c.require_equal(c.input(2).shape[0], result.shape.back(), "bias");
        !s.ok()) {
      return s;
    }
  }
  // Of extents that are equal once they are bound, passes may leave either.
  if (c.has(3)) {
    if (absl::Status s = require_type(c, result, c.input(3), "residual"); !s.ok()) return s;
  }
  c.outputs = inner.outputs;
  return absl::OkStatus();
}

std::vector<Value> decompose(OpCall& c) {
  const auto& t = c.attributes.as<MatmulEpilogueAttributes>();
  Value y = matmul(c.in(0), c.in(1), {.transpose_a = t.transpose_a, .transpose_b = t.transpose_b});
  if (c.has(2)) y = y + c.in(2);
  if (c.has(3) && !t.residual_after) y = y + c.in(3);
  y = apply_epilogue_activation(t.activation, y);
  if (c.has(3) && t.residual_after) y = y + c.in(3);
  return {y};
}

std::vector<OpSample> samples() {
  std::vector<OpSample> all;
  const auto add = [&](const std::string& activation, bool after) {
    OpSample s;
    s.name = absl::StrCat(activation, after ? ", residual after" : "");
    s.inputs = {f32({5, 20}), f32({18, 20}), f32({18}), f32({5, 18})};
    s.attributes = Attributes::of(MatmulEpilogueAttributes{
        .transpose_b = true, .activation = activation, .residual_after = after});
    s.low = -1;
    s.high = 1;
    // Kinks.
    s.check_gradient = activation != "relu" && activation != "relu6" &&
                       activation != "hard_swish" && activation != "hard_sigmoid";
    all.push_back(std::move(s));
  };
  for (const std::string& activation : epilogue_activations()) {
    add(activation, false);
    add(activation, true);
  }
  OpSample s;
  s.name = "batched, residual alone";
  s.inputs = {f32({2, 3, 5, 7}), f32({2, 3, 7, 4}), {}, f32({2, 3, 5, 4})};
  s.attributes = Attributes::of(MatmulEpilogueAttributes{});
  all.push_back(std::move(s));
  return all;
}

}  // namespace

std::vector<OpDef> matmul_epilogue_ops() {
  OpDef op;
  op.name = "matmul_epilogue";
  op.kind = OpDef::Kind::kComposite;
  op.attributes = AttributesSchema::of<MatmulEpilogueAttributes>();
  op.min_inputs = 2;
  op.max_inputs = 4;
  op.infer = infer;
  op.decompose = decompose;
  op.differentiable = OpDef::Gradient::kDecomposition;
  op.samples = samples;
  return {op};
}

Value matmul_epilogue(Value a, Value b, Value bias, Value residual,
                      MatmulEpilogueAttributes attributes) {
  return emit_op_one("matmul_epilogue", {a, b, bias, residual}, Attributes::of(attributes));
}

}  // namespace modellib
