#include "modellib/ops/embedding.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/index.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

// quote: begin
namespace modellib {
namespace {

// embedding(weight, ids) -> rows

absl::Status infer(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  MODELLIB_RETURN_IF_ERROR(require_rank(c, 0, 2));
  MODELLIB_RETURN_IF_ERROR(require_integer(c, 1));
  const TensorType& weight = c.input(0);
  const auto padding = c.attributes.as<EmbeddingAttributes>().padding_idx;
  const Dim rows = weight.shape[0];
  if (padding.has_value() && (*padding < 0 || (rows.is_static() && *padding >= rows.value()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("padding_idx must lie in [0, ", rows.to_string(), "), is ", *padding));
  }
  Shape shape = c.input(1).shape;
  shape.push_back(weight.shape[1]);
  c.outputs.push_back({weight.dtype, std::move(shape)});
  return absl::OkStatus();
}

// Whether the graph says so: of constants, and of positions, which are counted from 0.
bool never_negative(const Graph& graph, Value ids) {
  const Tensor* known = constant_value(graph, ids.id());
  if (known == nullptr) {
    const NodeId producer = graph.value(ids.id()).producer;
    return producer >= 0 && graph.node(producer).op->name == "iota";
  }
  int64_t least = 0;
  for (int64_t i = 0; i < known->elements(); ++i) least = std::min(least, known->int_at(i));
  return least == 0;
}

// What gather and scatter_add are to read. For them a negative number counts from the end, as an id
// it is a mistake: it is put out of range.
Value checked_ids(const OpCall& c) {
  if (never_negative(c.builder.so_far(), c.in(1))) return c.in(1);
  const Value ids = as_dtype(c.in(1), DType::kI64);
  const Dim rows = c.in(0).dim(0);
  const Value outside = rows.is_static()
                            ? c.builder.scalar(static_cast<double>(rows.value()), DType::kI64)
                            : dim_value(c.builder, rows);
  return where(less(ids, 0.0), outside, ids);
}

std::vector<Value> decompose(OpCall& c) { return {gather(c.in(0), checked_ids(c), 0)}; }

std::vector<Value> gradient(OpCall& c, absl::Span<const Value> gradients) {
  const auto padding = c.attributes.as<EmbeddingAttributes>().padding_idx;
  Value g = gradients[0];
  if (padding.has_value()) {
    const Value is_padding = equal(c.in(1), static_cast<double>(*padding));
    g = where(unsqueeze(is_padding, {-1}), 0.0, g);
  }
  return {scatter_add(zeros_like(c.in(0)), checked_ids(c), g, 0), Value()};
}

std::vector<OpSample> samples() {
  const auto sample = [](const char* name, TensorType weight, TensorType ids,
                         EmbeddingAttributes attributes = {}) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(weight), std::move(ids)};
    s.attributes = Attributes::of(attributes);
    s.domains = {{1, 0, 4}};  // ids of a table of five rows
    return s;
  };
  const Dim batch = Dim::symbol("batch");
  std::vector<OpSample> samples = {sample("matrix", f32({5, 3}), i64({2, 4})),
                                   sample("scalar", f32({5, 3}), i32({})),
                                   sample("symbolic", f32({5, 3}), i64({batch}))};
  samples.back().binding = {{"batch", 3}};
  // Without ids of the padding: what it drops is not the gradient of the decomposition.
  samples.push_back(sample("padding", f32({5, 3}), i64({7}), {.padding_idx = 2}));
  samples.back().domains = {{1, 3, 4}};
  return samples;
}

}  // namespace

std::vector<OpDef> embedding_ops() {
  OpDef op = composite("embedding", 2, 2, infer, decompose, samples);
  op.attributes = AttributesSchema::of<EmbeddingAttributes>();
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  return {op};
}

Value embedding(Value weight, Value ids, EmbeddingAttributes attributes) {
  return emit_op_one("embedding", {weight, ids}, Attributes::of(attributes));
}

}  // namespace modellib
// quote: end
