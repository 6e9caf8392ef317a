// Attention of f32 without its matrix of scores: tiles of queries and keys, softmax online (Milakov
// and Gimelshein, "Online normalizer calculation for softmax", 2018; Dao et al., "FlashAttention",
// 2022). The gradient recomputes the probabilities from the log-sum-exp of each query.
//
//   o[b, h, i] = sum_j softmax_j(scale * q[b, h, i] . k[b, h / group, j] + mask[b, h, i, j]) v[b, h
//   / group, j]
//
// Query i sees key j if j < lengths[b] (where given) and, if causal, j <= i + offset; offset is
// `causal_offset`, or lengths[b] - queries where lengths are given. A query that sees nothing gives
// zeros, or NaN if `nan_where_blind` and there are keys, and a log-sum-exp of -inf.
//
// Keys and values that lengths or causality hide from a query do not touch its row, whatever they
// hold. Values that a mask hides are multiplied by 0, and keys under a mask of -inf have it added
// to their scores: infinities and NaN among them may come through. The gradient multiplies all that
// is hidden by 0.
//
// With dropout each probability is dropped, or scaled by 1 / (1 - p), by the random number that
// element (b, h, i, j) of [batch, heads, queries, keys] has under key and stream (graph/philox.h).
// The log-sum-exp is that without dropout.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_ATTENTION_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_ATTENTION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

inline constexpr int64_t kAttentionMaxSize = 256;  // of heads, for queries and values
inline constexpr int64_t kAttentionQueryBlock = 48;
inline constexpr int64_t kAttentionKeyBlock = 64;

enum class AttentionMask : int64_t {
  kNone = 0,
  kAdd = 1,
  kBool = 2
};  // f32 added to the scores; true: may be seen

// Strides count elements, of batch, head and position; the last dimension is dense. k_stride and
// v_stride go by key head.
struct AttentionScalars {
  int64_t batch = 1;
  int64_t heads = 1;
  int64_t kv_heads = 1;  // divides heads; static, as heads
  int64_t queries = 1;
  int64_t keys = 1;
  int64_t size = 1;        // of q and k; static
  int64_t value_size = 1;  // of v and o; static
  int64_t q_stride[3] = {};
  int64_t k_stride[3] = {};
  int64_t v_stride[3] = {};
  int64_t o_stride[3] = {};
  int64_t scale = 0;  // bits of a double
  int64_t causal = 0;
  int64_t causal_offset = 0;
  int64_t mask = 0;             // AttentionMask; static
  int64_t mask_stride[4] = {};  // of batch, head, query, key; 0 broadcasts
  int64_t has_lengths = 0;      // static
  int64_t has_dropout = 0;      // static
  int64_t dropout = 0;          // bits of a double in [0, 1]: the probability
  int64_t stream = 0;
  int64_t nan_where_blind = 0;  // static; the gradient does not look at it
};

// "cpu.attention_f32": outputs o and lse [batch, heads, queries] (may be absent); inputs q, k, v,
// mask, lengths (i64 [batch]), random key (i64); the last three may be absent. chunks = batch *
// heads * ceil(queries / 48).
//
// "cpu.attention_grad_f32": the same scalars and strides; outputs dq, dk, dv (strides of q, k, v);
// inputs q, k, v, mask, lengths, random key, o, lse, do (strides of o for o and do). chunks = batch
// * (heads * ceil(queries / 48) + kv_heads * ceil(keys / 64)): each owns a block of dq, or of dk
// and dv, so every sum has one order.
int64_t attention_chunks(const AttentionScalars& scalars);
int64_t attention_grad_chunks(const AttentionScalars& scalars);

absl::Status validate_attention(const runtime::StepView& step);
void run_attention(const runtime::KernelArgs& args, int64_t chunk);
absl::Status validate_attention_grad(const runtime::StepView& step);
void run_attention_grad(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_ATTENTION_H_
