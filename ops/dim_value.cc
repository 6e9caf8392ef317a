// dim_value: an extent as a number of the graph.
#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

absl::Status infer(InferenceContext& c) {
  const Shape& dims = c.attributes.as<DimValueAttributes>().dims;
  c.outputs.push_back({DType::kI64, {static_cast<int64_t>(dims.size())}});
  return absl::OkStatus();
}

absl::Status reference(ReferenceContext& c) {
  const Shape& dims = c.attributes.as<DimValueAttributes>().dims;
  for (size_t i = 0; i < dims.size(); ++i) {
    MODELLIB_ASSIGN_OR_RETURN(const int64_t value, dims[i].evaluate(c.binding));
    c.out(0).set_int(static_cast<int64_t>(i), value);
  }
  return absl::OkStatus();
}

std::vector<OpSample> samples() {
  return {{.name = "numbers",
           .inputs = {},
           .attributes = Attributes::of(DimValueAttributes{{3, 40}}),
           .tolerance = 0}};
}

}  // namespace

std::vector<OpDef> dim_value_ops() {
  OpDef op;
  op.name = "dim_value";
  op.attributes = AttributesSchema::of<DimValueAttributes>();
  op.min_inputs = op.max_inputs = 0;
  op.infer = infer;
  op.reference = reference;
  op.differentiable = OpDef::Gradient::kNone;
  op.samples = samples;
  return {op};
}

Value dim_value(GraphBuilder& builder, Dim dim) {
  const Value vector =
      builder.emit_one("dim_value", {}, Attributes::of(DimValueAttributes{{std::move(dim)}}));
  return reshape(vector, {});
}

}  // namespace modellib
