// Scaled dot-product attention, and rotary embeddings of its operands.
//
// Vaswani et al., "Attention Is All You Need", 2017. The attention of a row is computed without its
// matrix of scores being kept: the result comes with the log-sum-exp of each row, from which the
// gradient recomputes the probabilities (Dao et al., "FlashAttention", 2022). A backend without a
// kernel for it decomposes it into matmuls and a softmax.
#ifndef MODELLIB_OPS_ATTENTION_H_
#define MODELLIB_OPS_ATTENTION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

struct AttentionAttributes {
  // Query i sees the keys up to i (aligned top-left where their numbers differ, as in PyTorch);
  // with `lengths`, up to the query's own position.
  bool is_causal = false;
  std::optional<double> scale;  // of q·k; default 1 / sqrt(head size)
  // A query that sees no key, or has no score but -inf, gives NaN, as a softmax of such scores
  // does, rather than zeros. It is for inference: no gradient is promised through such a query.
  bool nan_where_blind = false;
  // Probability of dropping a probability, 1: all; the others are scaled by 1 / (1 - p). Needs
  // `key` where > 0.
  double dropout_p = 0.0;
  int64_t stream = -1;  // of the random numbers; -1: attention() takes the builder's next
  // The order of the axes: "BHSD" is [batch, heads, positions, size], "BSHD" [batch, positions,
  // heads, size], as projections give it. The first is that of q, the result and its gradient, the
  // second that of k and v. The pass "attention-layout" chooses them; lse is the same in both.
  std::string query_layout = "BHSD";
  std::string key_layout = "BHSD";
  static constexpr auto fields() {
    return std::make_tuple(field("is_causal", &AttentionAttributes::is_causal),
                           field("scale", &AttentionAttributes::scale),
                           field("nan_where_blind", &AttentionAttributes::nan_where_blind),
                           field("dropout_p", &AttentionAttributes::dropout_p),
                           field("stream", &AttentionAttributes::stream),
                           field("query_layout", &AttentionAttributes::query_layout),
                           field("key_layout", &AttentionAttributes::key_layout));
  }
};

// What attention() may be given beside queries, keys and values; all may be null.
struct AttentionOperands {
  // Broadcasts to [batch, heads, queries, keys]. bool: true lets the query see the key. Of q's
  // type: is added to the scaled scores, and gets a gradient.
  Value mask;
  // i64 [batch]: how many keys of each row are valid, counted from the first. The queries are then
  // the last of them: query i of row b sits at position lengths[b] - queries + i. So one graph
  // decodes rows of different age from a key-value cache, with a key dimension of the cache's
  // capacity.
  Value lengths;
  Value key;  // of the random numbers (random.h)
};

struct AttentionOutputs {
  Value out;  // [batch, heads, queries, value size], like q
  Value lse;  // [batch, heads, queries], f32 or f64: log Σ exp(scores); -inf where nothing is seen
};

// Extents of a value in the order batch, heads, positions, size.
Shape attention_shape(const Shape& shape, const std::string& layout);

// softmax(q kᵀ scale + mask) v for q [batch, heads, queries, size], k [batch, kv heads, keys, size]
// and v [batch, kv heads, keys, value size], all of one type. Each group of heads / kv heads
// queries shares a key and value head (grouped-query attention). A query that sees no key gives
// zeros, unless `nan_where_blind`.
Value attention(Value q, Value k, Value v, AttentionAttributes attributes = {},
                const AttentionOperands& operands = {});
AttentionOutputs attention_with_lse(Value q, Value k, Value v, AttentionAttributes attributes = {},
                                    const AttentionOperands& operands = {});

// Rotates pairs of x [batch, heads, positions, size] by the angles position · base^(-2i/size), pair
// i of size/2. `positions`: i64, [positions] or [batch, positions]. Pairs are elements i and i +
// size/2, or, if `interleaved`, 2i and 2i + 1. The size must be an even number, known ahead. Su et
// al., "RoFormer", 2021.
Value rotary_embedding(Value x, Value positions, double base = 10000.0, bool interleaved = false);

}  // namespace modellib

#endif  // MODELLIB_OPS_ATTENTION_H_
