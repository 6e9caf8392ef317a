#include "modellib/frontends/nn/attention.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/nn/random_state.h"
#include "modellib/frontends/nn/spatial.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/dropout.h"
#include "modellib/ops/index.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib::nn {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Both masks as one operand of attention(): a bool that is true where a key is seen, or addends.
Value joined_mask(const MultiHeadAttentionInputs& in, const Value& scores_like, Dim batch,
                  int64_t heads, Dim keys) {
  Value mask = in.attn_mask;
  if (!mask.is_null() && mask.rank() == 3) {
    mask = reshape(mask, {batch, heads, mask.dim(1), mask.dim(2)});
  }
  const bool adds = !mask.is_null() && mask.dtype() != DType::kBool;
  if (!mask.is_null() && !adds) mask = logical_not(mask);
  if (in.key_padding_mask.is_null()) return mask;
  const Value hidden =
      unsqueeze(with_shape(in.key_padding_mask, {batch, keys}, "key_padding_mask"), {1, 2});
  if (mask.is_null()) return logical_not(hidden);
  if (!adds) return logical_and(mask, logical_not(hidden));
  return mask + where(hidden, full(scores_like, {}, -kInfinity), 0.0);
}

// The probabilities that attention() does not keep, from the log-sum-exp of each row.
Value probabilities(Value q, Value k, Value mask, Value lse, bool is_causal) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.dim(3).value()));
  Value scores = matmul(q * scale, k, {.transpose_b = true});
  if (!mask.is_null() && mask.dtype() != DType::kBool) scores = scores + mask;
  if (!mask.is_null() && mask.dtype() == DType::kBool) scores = where(mask, scores, -kInfinity);
  if (is_causal) {
    GraphBuilder& b = *q.builder();
    const Value row = iota(b, {q.dim(2), 1}), column = iota(b, {1, k.dim(2)}, {.axis = 1});
    scores = where(less_equal(column, row), scores, -kInfinity);
  }
  const Value shift = unsqueeze(where(equal(lse, -kInfinity), 0.0, lse), {3});
  return exp(scores - shift.to(scores.dtype()));
}

}  // namespace

Value split_heads(Value x, int64_t heads) {
  if (!check_rank(x, {3}, "split_heads", "[batch, length, features]")) return x;
  const Dim features = x.dim(2);
  if (heads < 1 || !features.is_static() || features.value() % heads != 0) {
    return x.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat(features.to_string(), " features cannot be split into ", heads, " heads")));
  }
  const Value split = reshape(x, {x.dim(0), x.dim(1), heads, features.value() / heads});
  return split.transpose(1, 2);
}

Value join_heads(Value x) {
  if (!check_rank(x, {4}, "join_heads", "[batch, heads, length, features]")) return x;
  return reshape(x.transpose(1, 2), {x.dim(0), x.dim(2), x.dim(1) * x.dim(3)});
}

MultiHeadAttention::MultiHeadAttention(int64_t embed_dim, int64_t num_heads, double dropout,
                                       bool bias, bool batch_first)
    : embed_dim(embed_dim),
      num_heads(num_heads),
      dropout(dropout),
      batch_first(batch_first),
      q_proj(embed_dim, embed_dim, bias),
      k_proj(embed_dim, embed_dim, bias),
      v_proj(embed_dim, embed_dim, bias),
      out_proj(embed_dim, embed_dim, bias) {
  register_module("q_proj", q_proj);
  register_module("k_proj", k_proj);
  register_module("v_proj", v_proj);
  register_module("out_proj", out_proj);
  // As PyTorch draws the stacked weights.
  for (Linear* projection : {&q_proj, &k_proj, &v_proj}) {
    projection->weight.set_initializer(init::xavier_uniform(embed_dim, 3 * embed_dim));
    projection->bias.set_initializer(init::zeros());
  }
  out_proj.bias.set_initializer(init::zeros());
}

Value MultiHeadAttention::forward(Value input) {
  return forward(input, input, input, {.need_weights = false}).output;
}

MultiHeadAttentionOutputs MultiHeadAttention::forward(Value query, Value key, Value value,
                                                      const MultiHeadAttentionInputs& inputs) {
  const ModuleScope scope(*this, query);
  for (Value* operand : {&query, &key, &value}) {
    if (!check_rank(*operand, {3}, "MultiHeadAttention",
                    batch_first ? "[batch, length, features]" : "[length, batch, features]")) {
      return {*operand, *operand};
    }
  }
  GraphBuilder& b = *query.builder();
  const auto heads_of = [&](Linear& projection, const Value& operand) {
    const Value y = projection.forward(operand);
    return split_heads(batch_first ? y : y.transpose(0, 1), num_heads);
  };
  const Value q = heads_of(q_proj, query), k = heads_of(k_proj, key), v = heads_of(v_proj, value);
  if (q.is_poisoned() || k.is_poisoned() || v.is_poisoned()) return {q, q};
  const Value mask = joined_mask(inputs, q, q.dim(0), num_heads, k.dim(2));

  AttentionAttributes attributes{.is_causal = inputs.is_causal};
  AttentionOperands operands{.mask = mask, .lengths = {}, .key = {}};
  if (is_training() && dropout != 0) {
    attributes.dropout_p = dropout;
    attributes.stream = b.next_random_stream();
    operands.key = random_key(b);
  }
  const AttentionOutputs attended = attention_with_lse(q, k, v, attributes, operands);
  const Value joined = join_heads(attended.out);
  const Value output = out_proj.forward(batch_first ? joined : joined.transpose(0, 1));
  if (!inputs.need_weights) return {output, {}};
  Value weights = probabilities(q, k, mask, attended.lse, inputs.is_causal);
  if (attributes.dropout_p != 0) {
    weights = modellib::dropout(weights, operands.key, {attributes.dropout_p, attributes.stream});
  }
  return {output, inputs.average_attn_weights ? weights.mean(1) : weights};
}

}  // namespace modellib::nn
