// Attention and its gradient on the tiled kernels. Layouts and broadcast masks are strides.
#include <cmath>
#include <utility>
#include <vector>

#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/backend/scalar_fields.h"
#include "modellib/executors/cpu/kernels/attention.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/attention.h"

namespace modellib::cpu {
namespace {

// Where the operands of attention and attention_grad stand among their inputs.
struct Operands {
  int q, mask;  // k and v follow q; lengths and the random key follow the mask
};
Operands operands_of(const Graph::Node& node) {
  return node.op->name == "attention" ? Operands{0, 3} : Operands{1, 6};
}

bool has_input(const Graph::Node& node, int i) {
  const auto at = static_cast<size_t>(i);
  return at < node.inputs.size() && node.inputs[at] != kNoValue;
}

// Elements from one batch row, head and position to the next.
std::vector<Dim> strides_of(const TensorType& type, const std::string& layout) {
  std::vector<Dim> strides = dense_strides(type.shape);
  if (layout == "BSHD") std::swap(strides[1], strides[2]);
  return strides;
}

}  // namespace

bool takes_attention(const Graph& graph, const Graph::Node& node) {
  const Operands at = operands_of(node);
  const auto type = [&](int i) -> const TensorType& {
    return graph.type(node.inputs[static_cast<size_t>(i)]);
  };
  const auto fits = [&](const Dim& size) {
    return size.is_static() && size.value() >= 1 && size.value() <= kAttentionMaxSize;
  };
  return type(at.q).dtype == DType::kF32 && fits(type(at.q).shape[3]) &&
         fits(type(at.q + 2).shape[3]);
}

absl::StatusOr<NodeRecipe> attention_recipe(const RecipeSite& site) {
  using S = AttentionScalars;
  if (!takes_attention(site.graph, site.node)) {
    return no_kernel(site, "attention is for f32 heads of at most 256 elements");
  }
  const auto& a = site.node.attributes.as<AttentionAttributes>();
  const Operands at = operands_of(site.node);
  const TensorType &q = site.in(at.q), &k = site.in(at.q + 1), &v = site.in(at.q + 2);
  const Shape q_shape = attention_shape(q.shape, a.query_layout);
  const Shape k_shape = attention_shape(k.shape, a.key_layout);
  const Dim &size = q_shape[3], &value_size = v.shape[3];

  S scalars;
  const double size_number = static_cast<double>(size.value());
  scalars.scale = scalar_bits(a.scale.value_or(1.0 / std::sqrt(size_number))).value();
  scalars.causal = a.is_causal;
  const bool has_mask = has_input(site.node, at.mask);
  const bool has_lengths = has_input(site.node, at.mask + 1);
  const bool has_dropout = a.dropout_p > 0;
  if (has_mask) {
    scalars.mask = static_cast<int64_t>(
        site.in(at.mask).dtype == DType::kBool ? AttentionMask::kBool : AttentionMask::kAdd);
  }
  scalars.has_lengths = has_lengths;
  scalars.has_dropout = has_dropout;
  scalars.dropout = scalar_bits(a.dropout_p).value();
  scalars.stream = a.stream;
  scalars.nan_where_blind = a.nan_where_blind;

  ScalarFields<S> fields(scalars);
  fields.set(&S::batch, q_shape[0]);
  fields.set(&S::heads, q_shape[1]);
  fields.set(&S::kv_heads, k_shape[1]);
  fields.set(&S::queries, q_shape[2]);
  fields.set(&S::keys, k_shape[2]);
  fields.set(&S::size, size);
  fields.set(&S::value_size, value_size);
  TensorType out = q;
  out.shape[3] = value_size;
  const std::vector<Dim> q_strides = strides_of(q, a.query_layout);
  const std::vector<Dim> k_strides = strides_of(k, a.key_layout);
  const std::vector<Dim> v_strides = strides_of(v, a.key_layout);
  const std::vector<Dim> o_strides = strides_of(out, a.query_layout);
  for (size_t i = 0; i < 3; ++i) {
    fields.set(&S::q_stride, i, q_strides[i]);
    fields.set(&S::k_stride, i, k_strides[i]);
    fields.set(&S::v_stride, i, v_strides[i]);
    fields.set(&S::o_stride, i, o_strides[i]);
  }
  if (has_mask) {
    const Shape& mask = site.in(at.mask).shape;
    const std::vector<Dim> strides = dense_strides(mask);
    const size_t lead = 4 - mask.size();
    for (size_t i = 0; i < mask.size(); ++i) {
      if (!(mask[i] == Dim(1))) fields.set(&S::mask_stride, lead + i, strides[i]);
    }
  }

  const auto input = [](int i) { return StepOperand{StepOperand::Kind::kInput, i}; };
  const auto optional = [&](bool there, int i) { return there ? input(i) : StepOperand{}; };
  StepRecipe step;
  step.outputs = all_outputs(site);
  step.inputs = {input(at.q),
                 input(at.q + 1),
                 input(at.q + 2),
                 optional(has_mask, at.mask),
                 optional(has_lengths, at.mask + 1),
                 optional(has_dropout, at.mask + 2)};
  const Dim query_blocks = ceil_div(q_shape[2], Dim(kAttentionQueryBlock));
  if (site.node.op->name == "attention") {
    step.kernel = "cpu.attention_f32";
    step.chunks = q_shape[0] * q_shape[1] * query_blocks;
  } else {
    step.kernel = "cpu.attention_grad_f32";
    step.inputs.insert(step.inputs.end(), {input(4), input(5), input(0)});
    step.chunks = q_shape[0] * (q_shape[1] * query_blocks +
                                k_shape[1] * ceil_div(k_shape[2], Dim(kAttentionKeyBlock)));
  }
  step.scalars = fields.take();
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

}  // namespace modellib::cpu
