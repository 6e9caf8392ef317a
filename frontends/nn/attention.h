// MultiHeadAttention, as torch.nn.MultiheadAttention. Vaswani et al., 2017.
//
// The projections of queries, keys and values are layers of their own, as the specification names
// them: q_proj, k_proj, v_proj. PyTorch keeps their weights stacked as in_proj_weight and
// in_proj_bias; state_dict.h splits these.
#ifndef MODELLIB_FRONTENDS_NN_ATTENTION_H_
#define MODELLIB_FRONTENDS_NN_ATTENTION_H_

#include <cstdint>

#include "modellib/frontends/nn/linear.h"
#include "modellib/frontends/nn/module.h"

namespace modellib::nn {

// [batch, length, features] -> [batch, heads, length, features / heads], and back. Heads must
// divide the features.
Value split_heads(Value x, int64_t heads);
Value join_heads(Value x);

// All may be left out.
struct MultiHeadAttentionInputs {
  Value key_padding_mask;  // bool [batch, keys]: true hides a key
  bool need_weights = true;
  // [queries, keys], or [batch · heads, queries, keys]. bool: true hides a key from a query. Of the
  // queries' type: is added to the scaled scores.
  Value attn_mask;
  bool average_attn_weights = true;  // over the heads
  bool is_causal = false;            // query i sees the keys up to i; beside the masks
};

struct MultiHeadAttentionOutputs {
  Value output;  // like the queries
  // [batch, queries, keys], or [batch, heads, queries, keys] if not averaged; null if not needed.
  // In training with dropout these are the weights that were used. A step that does not use them
  // does not compute them.
  Value weights;
};

class MultiHeadAttention : public Module {
 public:
  // num_heads must divide embed_dim. `batch_first`: operands are [batch, length, embed_dim], else
  // [length, batch, embed_dim].
  MultiHeadAttention(int64_t embed_dim, int64_t num_heads, double dropout = 0.0, bool bias = true,
                     bool batch_first = false);

  // A query that sees no key gives what out_proj makes of zeros, and weights of zero.
  MultiHeadAttentionOutputs forward(Value query, Value key, Value value,
                                    const MultiHeadAttentionInputs& inputs = {});
  // Self-attention without masks: the output alone.
  Value forward(Value input) override;

  int64_t embed_dim, num_heads;
  double dropout;
  bool batch_first;
  Linear q_proj, k_proj, v_proj, out_proj;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_ATTENTION_H_
