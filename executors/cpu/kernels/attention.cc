#include "modellib/executors/cpu/kernels/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "executors/cpu/kernels/attention.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/math-inl.h"
#include "modellib/executors/cpu/kernels/tile_memory-inl.h"
#include "modellib/graph/philox.h"
#include "modellib/graph/status_macros.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kQ = kAttentionQueryBlock;
constexpr int64_t kK = kAttentionKeyBlock;
constexpr int64_t kMax = kAttentionMaxSize;
constexpr int64_t kStrip = 16;  // columns that a strip of the products below has
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

int64_t padded(int64_t n) { return (n + kStrip - 1) / kStrip * kStrip; }

// R rows of C [., 16] += A [., depth] B [depth, 16]; each sum runs in the order of the depth.
template <int R>
HWY_INLINE void product_strip(const float* a, int64_t a_row, int64_t a_col, const float* b,
                              int64_t ldb, float* c, int64_t ldc, int64_t depth) {
  namespace hn = hwy::HWY_NAMESPACE;
  constexpr int kV = static_cast<int>(kStrip / static_cast<int64_t>(kN));
  const F32 d;
  VF sum[R][kV];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < kV; ++v)
      sum[r][v] = hn::LoadU(d, c + r * ldc + v * static_cast<int64_t>(kN));
  }
  for (int64_t p = 0; p < depth; ++p) {
    VF row[kV];
    for (int v = 0; v < kV; ++v) row[v] = hn::LoadU(d, b + p * ldb + v * static_cast<int64_t>(kN));
    for (int r = 0; r < R; ++r) {
      const VF x = hn::Set(d, a[r * a_row + p * a_col]);
      for (int v = 0; v < kV; ++v) sum[r][v] = hn::MulAdd(x, row[v], sum[r][v]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < kV; ++v)
      hn::StoreU(sum[r][v], d, c + r * ldc + v * static_cast<int64_t>(kN));
  }
}

// C [rows, cols] += A [rows, depth] B [depth, cols]; cols is a multiple of 16.
HWY_NOINLINE void product(const float* a, int64_t a_row, int64_t a_col, const float* b, int64_t ldb,
                          float* c, int64_t ldc, int64_t rows, int64_t cols, int64_t depth) {
  for (int64_t j = 0; j < cols; j += kStrip) {
    int64_t i = 0;
    for (; i + 6 <= rows; i += 6)
      product_strip<6>(a + i * a_row, a_row, a_col, b + j, ldb, c + i * ldc + j, ldc, depth);
    for (; i + 2 <= rows; i += 2)
      product_strip<2>(a + i * a_row, a_row, a_col, b + j, ldb, c + i * ldc + j, ldc, depth);
    if (i < rows)
      product_strip<1>(a + i * a_row, a_row, a_col, b + j, ldb, c + i * ldc + j, ldc, depth);
  }
}

// C [R, keys], rows 64 apart, = A [R, size] B^T for B [keys, size]: for so few rows that packing B
// would cost more than the products.
template <int R>
HWY_INLINE void dot_rows(const float* a, int64_t a_row, const float* b, int64_t b_row, float* c,
                         int64_t keys, int64_t size) {
  namespace hn = hwy::HWY_NAMESPACE;
  const F32 d;
  const auto lanes = static_cast<int64_t>(kN);
  for (int64_t j = 0; j < keys; ++j) {
    const float* row = b + j * b_row;
    VF sum[R];
    for (int r = 0; r < R; ++r) sum[r] = hn::Zero(d);
    int64_t p = 0;
    for (; p + lanes <= size; p += lanes) {
      const VF x = hn::LoadU(d, row + p);
      for (int r = 0; r < R; ++r) sum[r] = hn::MulAdd(hn::LoadU(d, a + r * a_row + p), x, sum[r]);
    }
    for (int r = 0; r < R; ++r) {
      float total = hn::GetLane(hn::SumOfLanes(d, sum[r]));
      for (int64_t t = p; t < size; ++t) total += a[r * a_row + t] * row[t];
      c[r * kK + j] = total;
    }
  }
}
constexpr int64_t kFewRows = 4;
HWY_NOINLINE void few_dots(const float* a, int64_t a_row, const float* b, int64_t b_row, float* c,
                           int64_t rows, int64_t keys, int64_t size) {
  int64_t i = 0;
  for (; i + 2 <= rows; i += 2) dot_rows<2>(a + i * a_row, a_row, b, b_row, c + i * kK, keys, size);
  if (i < rows) dot_rows<1>(a + i * a_row, a_row, b, b_row, c + i * kK, keys, size);
}

// to [cols][64] = from [rows, cols] transposed, zeros beyond `rows`.
HWY_NOINLINE void pack_transposed(const float* from, int64_t stride, int64_t rows, int64_t cols,
                                  float* to) {
  for (int64_t c = 0; c < cols; ++c) std::fill(to + c * kK + rows, to + (c + 1) * kK, 0.0f);
  for (int64_t r0 = 0; r0 < rows; r0 += 16) {
    const int64_t r1 = std::min(rows, r0 + 16);
    for (int64_t c = 0; c < cols; ++c) {
      for (int64_t r = r0; r < r1; ++r) to[c * kK + r] = from[r * stride + c];
    }
  }
}

// to [rows, padded(cols)], zeros beyond `cols`.
HWY_NOINLINE void pack_rows(const float* from, int64_t stride, int64_t rows, int64_t cols,
                            float* to) {
  const int64_t width = padded(cols);
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(to + r * width, from + r * stride, static_cast<size_t>(cols) * sizeof(float));
    std::fill(to + r * width + cols, to + (r + 1) * width, 0.0f);
  }
}

// One batch row and head, and what its queries may see.
struct Head {
  const AttentionScalars& s;
  const runtime::KernelArgs& args;
  int64_t b, h, kv;
  const float *q, *k, *v;
  int64_t limit;   // keys that are valid
  int64_t offset;  // query i sees keys up to i + offset
  float scale;

  // first: the buffer of q; the inputs follow in the order of the kernels.
  Head(const AttentionScalars& scalars, const runtime::KernelArgs& a, int first, int64_t batch,
       int64_t head)
      : s(scalars), args(a), b(batch), h(head), kv(head / (scalars.heads / scalars.kv_heads)) {
    const auto at = [&](int i, int64_t head_number, const int64_t* stride) {
      return reinterpret_cast<const float*>(args.buffers[first + i]) + b * stride[0] +
             head_number * stride[1];
    };
    q = at(0, h, s.q_stride);
    k = at(1, kv, s.k_stride);
    v = at(2, kv, s.v_stride);
    mask = args.buffers[first + 3];
    limit = s.keys;
    offset = s.causal_offset;
    if (s.has_lengths != 0) {
      const int64_t length = reinterpret_cast<const int64_t*>(args.buffers[first + 4])[b];
      if (length < 0 || length > s.keys)
        args.fault->report(runtime::Fault::kIndexOutOfRange, length, s.keys + 1);
      limit = std::clamp<int64_t>(length, 0, s.keys);
      offset = limit - s.queries;
    }
    scale = static_cast<float>(std::bit_cast<double>(s.scale));
    if (s.has_dropout != 0) key = *reinterpret_cast<const uint64_t*>(args.buffers[first + 5]);
  }

  // The first key that no query before `end` sees.
  int64_t key_end(int64_t end) const {
    return s.causal == 0 ? limit : std::clamp<int64_t>(end + offset, 0, limit);
  }

  // How many of the keys [j0, j0 + keys) query i sees, whatever the mask says: the first ones.
  int64_t keys_seen(int64_t i, int64_t j0, int64_t keys) const {
    int64_t seen = std::min(keys, limit - j0);
    if (s.causal != 0) seen = std::min(seen, i + offset + 1 - j0);
    return std::max<int64_t>(seen, 0);
  }

  // scores [rows, 64] of queries [i0, ...) and keys [j0, ...), of which `keys` exist: scaled,
  // masked; -inf where unseen.
  HWY_NOINLINE void finish_scores(float* scores, int64_t i0, int64_t rows, int64_t j0,
                                  int64_t keys) const {
    const auto kind = static_cast<AttentionMask>(s.mask);
    for (int64_t r = 0; r < rows; ++r) {
      float* row = scores + r * kK;
      const int64_t i = i0 + r;
      const int64_t seen = keys_seen(i, j0, keys);
      for (int64_t j = 0; j < seen; ++j) row[j] *= scale;
      const int64_t at = b * s.mask_stride[0] + h * s.mask_stride[1] + i * s.mask_stride[2] +
                         j0 * s.mask_stride[3];
      if (kind == AttentionMask::kAdd) {
        const float* m = reinterpret_cast<const float*>(mask) + at;
        for (int64_t j = 0; j < seen; ++j) row[j] += m[j * s.mask_stride[3]];
      } else if (kind == AttentionMask::kBool) {
        const auto* m = reinterpret_cast<const uint8_t*>(mask) + at;
        for (int64_t j = 0; j < seen; ++j)
          row[j] = m[j * s.mask_stride[3]] != 0 ? row[j] : kMinusInfinity;
      }
      for (int64_t j = seen; j < kK; ++j) row[j] = kMinusInfinity;
    }
  }

  // row = exp(row - shift), 64 wide; -inf gives 0.
  static HWY_INLINE void exponentials(float* row, float shift) {
    const F32 d;
    namespace hn = hwy::HWY_NAMESPACE;
    for (int64_t j = 0; j < kK; j += static_cast<int64_t>(kN)) {
      hn::StoreU(HWY_NAMESPACE::exp(d, hn::Sub(hn::LoadU(d, row + j), hn::Set(d, shift))), d,
                 row + j);
    }
  }

  // What dropout multiplies the probabilities of query i and keys [j0, j0 + keys) by: 0, or 1 / (1
  // - p).
  HWY_NOINLINE void dropout_factors(int64_t i, int64_t j0, int64_t keys, float* factors) const {
    const double p = std::bit_cast<double>(s.dropout);
    const auto limit = static_cast<float>(p);
    const auto kept = p < 1 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0f;
    const uint64_t row = static_cast<uint64_t>((b * s.heads + h) * s.queries + i);
    const auto element =
        static_cast<int64_t>(row * static_cast<uint64_t>(s.keys) + static_cast<uint64_t>(j0));
    uint32_t bits[kK];
    random_elements(key, static_cast<uint64_t>(s.stream), element, 1, keys, false, bits);
    for (int64_t j = 0; j < keys; ++j) factors[j] = philox_uniform(bits[j]) >= limit ? kept : 0.0f;
  }

  const std::byte* mask;
  uint64_t key = 0;  // of the random numbers
};

// out [rows, width] += the probabilities of queries [i0, ...) times the values of keys [j0, ...).
// What a query does not see is left out, for 0 times an infinity would be NaN.
HWY_NOINLINE void add_values(const Head& head, const float* probabilities, int64_t i0, int64_t rows,
                             const float* values, int64_t stride, int64_t j0, int64_t keys,
                             float* out, int64_t width) {
  const auto add = [&](int64_t r, int64_t count, int64_t first, int64_t end) {
    product(probabilities + r * kK + first, kK, 1, values + first * stride, stride, out + r * width,
            width, count, width, end - first);
  };
  const int64_t seen = head.keys_seen(i0, j0, keys);
  if (seen == head.keys_seen(i0 + rows - 1, j0, keys)) {
    add(0, rows, 0, seen);
    return;
  }
  // On the diagonal: a few rows at a time the keys that all of them see, then what each sees more.
  constexpr int64_t kGroup = 6;
  for (int64_t r0 = 0; r0 < rows; r0 += kGroup) {
    const int64_t group = std::min(kGroup, rows - r0);
    const int64_t shared = head.keys_seen(i0 + r0, j0, keys);
    add(r0, group, 0, shared);
    for (int64_t r = r0 + 1; r < r0 + group; ++r) {
      const int64_t end = head.keys_seen(i0 + r, j0, keys);
      if (end > shared) add(r, 1, shared, end);
    }
  }
}

// What a chunk of the forward pass works in.
struct ForwardSpace {
  alignas(64) float keys[kMax * kK];
  alignas(64) float values[kK * kMax];
  alignas(64) float scores[kQ * kK];
  alignas(64) float out[kQ * kMax];
  float top[kQ];
  float sum[kQ];
};

void forward(const AttentionScalars& s, const runtime::KernelArgs& args, int64_t chunk) {
  const int64_t blocks = ceil_div(s.queries, kQ);
  const int64_t i0 = chunk % blocks * kQ;
  const int64_t h = chunk / blocks % s.heads, b = chunk / blocks / s.heads;
  if (b >= s.batch) return;
  const int64_t rows = std::min(kQ, s.queries - i0);
  const Head head(s, args, 2, b, h);
  const int64_t width = padded(s.value_size);
  ForwardSpace space;
  std::fill_n(space.out, rows * width, 0.0f);
  std::fill_n(space.top, rows, kMinusInfinity);
  std::fill_n(space.sum, rows, 0.0f);
  const int64_t end = head.key_end(i0 + rows);
  for (int64_t j0 = 0; j0 < end; j0 += kK) {
    const int64_t keys = std::min(kK, s.keys - j0);
    const float* q = head.q + i0 * s.q_stride[2];
    const float* k = head.k + j0 * s.k_stride[2];
    if (rows <= kFewRows) {
      few_dots(q, s.q_stride[2], k, s.k_stride[2], space.scores, rows, keys, s.size);
    } else {
      pack_transposed(k, s.k_stride[2], keys, s.size, space.keys);
      std::fill_n(space.scores, rows * kK, 0.0f);
      product(q, s.q_stride[2], 1, space.keys, kK, space.scores, kK, rows, padded(keys), s.size);
    }
    head.finish_scores(space.scores, i0, rows, j0, keys);
    float block_top[kQ], block_sum[kQ];
    reduce_rows_f32(TileOp::kReduceMax, space.scores, kK, rows, kK, block_top);
    for (int64_t r = 0; r < rows; ++r) {
      const float top = nan_max(space.top[r], block_top[r]);
      // Where nothing was seen yet all scores are -inf, and their exponentials by any finite shift
      // 0.
      const float shift = top == kMinusInfinity ? 0.0f : top;
      Head::exponentials(space.scores + r * kK, shift);
      const float fade = space.top[r] == kMinusInfinity ? 0.0f : std::exp(space.top[r] - shift);
      space.sum[r] *= fade;
      if (fade != 1.0f) {
        for (int64_t c = 0; c < width; ++c) space.out[r * width + c] *= fade;
      }
      space.top[r] = top;
    }
    reduce_rows_f32(TileOp::kSum, space.scores, kK, rows, kK, block_sum);
    for (int64_t r = 0; r < rows; ++r) space.sum[r] += block_sum[r];
    for (int64_t r = 0; s.has_dropout != 0 && r < rows; ++r) {
      float factors[kK];
      head.dropout_factors(i0 + r, j0, keys, factors);
      for (int64_t j = 0; j < keys; ++j) space.scores[r * kK + j] *= factors[j];
    }
    const float* v = head.v + j0 * s.v_stride[2];
    int64_t v_stride = s.v_stride[2];
    if (width != s.value_size) {  // whole strips are read
      pack_rows(v, v_stride, keys, s.value_size, space.values);
      v = space.values;
      v_stride = width;
    }
    add_values(head, space.scores, i0, rows, v, v_stride, j0, keys, space.out, width);
  }
  float* o = reinterpret_cast<float*>(args.buffers[0]) + b * s.o_stride[0] + h * s.o_stride[1] +
             i0 * s.o_stride[2];
  float* lse = reinterpret_cast<float*>(args.buffers[1]);
  const float blind =
      s.nan_where_blind != 0 && s.keys > 0 ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
  for (int64_t r = 0; r < rows; ++r) {
    const bool nothing = space.top[r] == kMinusInfinity;
    const float scale = nothing ? blind : 1.0f / space.sum[r];
    for (int64_t c = 0; c < s.value_size; ++c)
      o[r * s.o_stride[2] + c] = space.out[r * width + c] * scale;
    if (lse != nullptr) {
      lse[(b * s.heads + h) * s.queries + i0 + r] =
          nothing ? kMinusInfinity : space.top[r] + std::log(space.sum[r]);
    }
  }
}

// The probabilities of a block, after dropout, and dS = P (dP - delta) with P before it, both
// [rows, 64]. `keys` and `values`: packed transposed.
HWY_NOINLINE void gradient_block(const Head& head, const float* keys_t, const float* values_t,
                                 const float* dout, const float* out, const float* lse, int64_t i0,
                                 int64_t rows, int64_t j0, int64_t keys, float* p, float* ds) {
  const AttentionScalars& s = head.s;
  std::fill_n(p, rows * kK, 0.0f);
  product(head.q + i0 * s.q_stride[2], s.q_stride[2], 1, keys_t, kK, p, kK, rows, padded(keys),
          s.size);
  head.finish_scores(p, i0, rows, j0, keys);
  std::fill_n(ds, rows * kK, 0.0f);
  product(dout + i0 * s.o_stride[2], s.o_stride[2], 1, values_t, kK, ds, kK, rows, padded(keys),
          s.value_size);
  for (int64_t r = 0; r < rows; ++r) {
    const float* g = dout + (i0 + r) * s.o_stride[2];
    const float* y = out + (i0 + r) * s.o_stride[2];
    float delta = 0;
    for (int64_t c = 0; c < s.value_size; ++c) delta += g[c] * y[c];
    const float shift = lse[i0 + r];
    if (shift == kMinusInfinity) {  // saw nothing
      std::fill_n(p + r * kK, kK, 0.0f);
      std::fill_n(ds + r * kK, kK, 0.0f);
      continue;
    }
    Head::exponentials(p + r * kK, shift);
    float factors[kK];
    if (s.has_dropout != 0) {
      head.dropout_factors(i0 + r, j0, keys, factors);
      for (int64_t j = 0; j < keys; ++j) ds[r * kK + j] *= factors[j];
    }
    for (int64_t j = 0; j < kK; ++j)
      ds[r * kK + j] = p[r * kK + j] * (ds[r * kK + j] - delta) * head.scale;
    if (s.has_dropout != 0) {
      for (int64_t j = 0; j < keys; ++j) p[r * kK + j] *= factors[j];
    }
  }
}

struct GradientSpace {
  alignas(64) float keys_t[kMax * kK];
  alignas(64) float values_t[kMax * kK];
  alignas(64) float rows[kK * kMax];
  alignas(64) float p[kQ * kK];
  alignas(64) float ds[kQ * kK];
  alignas(64) float sum[kK * kMax];
  alignas(64) float sum2[kK * kMax];
};
// With the frames around it.
static_assert(std::max(sizeof(ForwardSpace), sizeof(GradientSpace)) + 16384 <=
              runtime::kKernelStackBytes);

struct GradientOperands {
  const float *out, *dout, *lse;
  GradientOperands(const AttentionScalars& s, const runtime::KernelArgs& args, int64_t b,
                   int64_t h) {
    const int64_t at = b * s.o_stride[0] + h * s.o_stride[1];
    out = reinterpret_cast<const float*>(args.buffers[9]) + at;
    lse = reinterpret_cast<const float*>(args.buffers[10]) + (b * s.heads + h) * s.queries;
    dout = reinterpret_cast<const float*>(args.buffers[11]) + at;
  }
};

// Each of the two has its own stack frame.
HWY_NOINLINE void query_gradient(const AttentionScalars& s, const runtime::KernelArgs& args,
                                 int64_t b, int64_t h, int64_t i0) {
  const int64_t rows = std::min(kQ, s.queries - i0);
  const Head head(s, args, 3, b, h);
  const GradientOperands g(s, args, b, h);
  const int64_t width = padded(s.size);
  GradientSpace space;
  std::fill_n(space.sum, rows * width, 0.0f);
  const int64_t end = head.key_end(i0 + rows);
  for (int64_t j0 = 0; j0 < end; j0 += kK) {
    const int64_t keys = std::min(kK, s.keys - j0);
    pack_transposed(head.k + j0 * s.k_stride[2], s.k_stride[2], keys, s.size, space.keys_t);
    pack_transposed(head.v + j0 * s.v_stride[2], s.v_stride[2], keys, s.value_size, space.values_t);
    pack_rows(head.k + j0 * s.k_stride[2], s.k_stride[2], keys, s.size, space.rows);
    gradient_block(head, space.keys_t, space.values_t, g.dout, g.out, g.lse, i0, rows, j0, keys,
                   space.p, space.ds);
    product(space.ds, kK, 1, space.rows, width, space.sum, width, rows, width, keys);
  }
  float* dq = reinterpret_cast<float*>(args.buffers[0]) + b * s.q_stride[0] + h * s.q_stride[1] +
              i0 * s.q_stride[2];
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(dq + r * s.q_stride[2], space.sum + r * width,
                static_cast<size_t>(s.size) * sizeof(float));
  }
}

HWY_NOINLINE void key_gradient(const AttentionScalars& s, const runtime::KernelArgs& args,
                               int64_t b, int64_t kv, int64_t j0) {
  const int64_t keys = std::min(kK, s.keys - j0);
  const int64_t group = s.heads / s.kv_heads;
  const int64_t k_width = padded(s.size), v_width = padded(s.value_size);
  GradientSpace space;
  std::fill_n(space.sum, keys * k_width, 0.0f);
  std::fill_n(space.sum2, keys * v_width, 0.0f);
  for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
    const Head head(s, args, 3, b, h);
    const GradientOperands g(s, args, b, h);
    if (h == kv * group) {
      pack_transposed(head.k + j0 * s.k_stride[2], s.k_stride[2], keys, s.size, space.keys_t);
      pack_transposed(head.v + j0 * s.v_stride[2], s.v_stride[2], keys, s.value_size,
                      space.values_t);
    }
    for (int64_t i0 = 0; i0 < s.queries; i0 += kQ) {
      const int64_t rows = std::min(kQ, s.queries - i0);
      if (head.key_end(i0 + rows) <= j0) continue;
      gradient_block(head, space.keys_t, space.values_t, g.dout, g.out, g.lse, i0, rows, j0, keys,
                     space.p, space.ds);
      pack_rows(head.q + i0 * s.q_stride[2], s.q_stride[2], rows, s.size, space.rows);
      product(space.ds, 1, kK, space.rows, k_width, space.sum, k_width, keys, k_width, rows);
      pack_rows(g.dout + i0 * s.o_stride[2], s.o_stride[2], rows, s.value_size, space.rows);
      product(space.p, 1, kK, space.rows, v_width, space.sum2, v_width, keys, v_width, rows);
    }
  }
  float* dk = reinterpret_cast<float*>(args.buffers[1]) + b * s.k_stride[0] + kv * s.k_stride[1] +
              j0 * s.k_stride[2];
  float* dv = reinterpret_cast<float*>(args.buffers[2]) + b * s.v_stride[0] + kv * s.v_stride[1] +
              j0 * s.v_stride[2];
  for (int64_t j = 0; j < keys; ++j) {
    std::memcpy(dk + j * s.k_stride[2], space.sum + j * k_width,
                static_cast<size_t>(s.size) * sizeof(float));
    std::memcpy(dv + j * s.v_stride[2], space.sum2 + j * v_width,
                static_cast<size_t>(s.value_size) * sizeof(float));
  }
}

}  // namespace

void attention_chunk(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<AttentionScalars>(args);
  if (s.queries > 0) forward(s, args, chunk);
}

void attention_grad_chunk(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<AttentionScalars>(args);
  const int64_t query_blocks = ceil_div(s.queries, kQ), key_blocks = ceil_div(s.keys, kK);
  const int64_t for_queries = s.batch * s.heads * query_blocks;
  if (chunk < for_queries) {
    const int64_t block = chunk / query_blocks;
    query_gradient(s, args, block / s.heads, block % s.heads, chunk % query_blocks * kQ);
    return;
  }
  chunk -= for_queries;
  if (chunk >= s.batch * s.kv_heads * key_blocks) return;
  const int64_t block = chunk / key_blocks;
  key_gradient(s, args, block / s.kv_heads, block % s.kv_heads, chunk % key_blocks * kK);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace modellib::cpu {
namespace {

using Range = runtime::StepView::Range;

// first: the input that is q.
absl::Status check_attention(const char* name, const runtime::StepView& step, size_t outputs,
                             size_t inputs) {
  using S = AttentionScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(name, step, outputs, inputs));
  constexpr int64_t kSmall = int64_t{1} << 30;
  MODELLIB_CHECK_SCALAR(name, step, S, batch, 0, kSmall);
  MODELLIB_CHECK_SCALAR(name, step, S, heads, 1, kSmall);
  MODELLIB_CHECK_SCALAR(name, step, S, kv_heads, 1, kSmall);
  MODELLIB_CHECK_SCALAR(name, step, S, queries, 0, kSmall);
  MODELLIB_CHECK_SCALAR(name, step, S, keys, 0, kSmall);
  MODELLIB_CHECK_SCALAR(name, step, S, size, 1, kAttentionMaxSize);
  MODELLIB_CHECK_SCALAR(name, step, S, value_size, 1, kAttentionMaxSize);
  MODELLIB_CHECK_SCALAR(name, step, S, causal, 0, 1);
  MODELLIB_CHECK_SCALAR(name, step, S, causal_offset, -kSmall, kSmall);
  MODELLIB_CHECK_SCALAR(name, step, S, mask, 0, 2);
  MODELLIB_CHECK_SCALAR(name, step, S, has_lengths, 0, 1);
  MODELLIB_CHECK_SCALAR(name, step, S, has_dropout, 0, 1);
  MODELLIB_CHECK_SCALAR(name, step, S, nan_where_blind, 0, 1);
  const auto at = [&](size_t i) { return step.scalars[i]; };
  const Range heads = at(MODELLIB_SCALAR(S, heads)), kv_heads = at(MODELLIB_SCALAR(S, kv_heads));
  const Range batch = at(MODELLIB_SCALAR(S, batch)), queries = at(MODELLIB_SCALAR(S, queries));
  const Range keys = at(MODELLIB_SCALAR(S, keys)), size = at(MODELLIB_SCALAR(S, size));
  const Range value_size = at(MODELLIB_SCALAR(S, value_size));
  for (const size_t i :
       {MODELLIB_SCALAR(S, heads), MODELLIB_SCALAR(S, kv_heads), MODELLIB_SCALAR(S, size),
        MODELLIB_SCALAR(S, value_size), MODELLIB_SCALAR(S, mask), MODELLIB_SCALAR(S, has_lengths),
        MODELLIB_SCALAR(S, has_dropout), MODELLIB_SCALAR(S, dropout),
        MODELLIB_SCALAR(S, nan_where_blind)}) {
    if (at(i).min != at(i).max)
      return range_error(name, "a static scalar", at(i), at(i).min, at(i).min);
  }
  if (heads.min % kv_heads.min != 0)
    return absl::InvalidArgumentError(absl::StrCat(name, ": kv_heads does not divide heads"));
  if (checked_product(checked_product(std::max<int64_t>(1, batch.max), heads.max),
                      std::max<int64_t>({1, queries.max, keys.max})) > kMaxElements ||
      !in_range(step.chunks, 0, kMaxElements)) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": too much work"));
  }
  const auto fits = [&](size_t stride, Range head_count, Range positions, Range last,
                        uint64_t bytes) {
    Reach reach({0, 0});
    reach.add(batch, at(stride));
    reach.add(head_count, at(stride + 1));
    reach.add(positions, at(stride + 2));
    reach.add(last, {1, 1});
    return reach.fits(bytes, 4);
  };
  const bool gradient = outputs == 3;
  const auto wrong = [&](const char* what) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", what, " is too small for its strides"));
  };
  if (!fits(MODELLIB_SCALAR(S, q_stride), heads, queries, size, step.input_bytes[0]))
    return wrong("q");
  // No two keys, values or rows of o are one: their memory bounds the work.
  if (!fits(MODELLIB_SCALAR(S, k_stride), kv_heads, keys, size, step.input_bytes[1]) ||
      !dense_fits({keys.max, size.max}, 4, step.input_bytes[1])) {
    return wrong("k");
  }
  if (!fits(MODELLIB_SCALAR(S, v_stride), kv_heads, keys, value_size, step.input_bytes[2]) ||
      !dense_fits({keys.max, value_size.max}, 4, step.input_bytes[2])) {
    return wrong("v");
  }
  if (const int64_t mask = at(MODELLIB_SCALAR(S, mask)).min; mask != 0) {
    Reach reach({0, 0});
    reach.add(batch, at(MODELLIB_SCALAR(S, mask_stride)));
    reach.add(heads, at(MODELLIB_SCALAR(S, mask_stride) + 1));
    reach.add(queries, at(MODELLIB_SCALAR(S, mask_stride) + 2));
    reach.add(keys, at(MODELLIB_SCALAR(S, mask_stride) + 3));
    if (!reach.fits(step.input_bytes[3], mask == 1 ? 4 : 1)) return wrong("the mask");
  }
  if (at(MODELLIB_SCALAR(S, has_lengths)).min != 0 &&
      !dense_fits({batch.max}, 8, step.input_bytes[4])) {
    return wrong("lengths");
  }
  if (at(MODELLIB_SCALAR(S, has_dropout)).min != 0) {
    const double p = std::bit_cast<double>(at(MODELLIB_SCALAR(S, dropout)).min);
    if (!(p >= 0 && p <= 1))
      return absl::InvalidArgumentError(absl::StrCat(name, ": dropout with probability ", p));
    if (step.input_bytes[5] < 8) return wrong("the random key");
  }
  const auto o_fits = [&](uint64_t bytes) {
    return fits(MODELLIB_SCALAR(S, o_stride), heads, queries, value_size, bytes) &&
           dense_fits({batch.max, heads.max, queries.max, value_size.max}, 4, bytes);
  };
  const auto lse_fits = [&](uint64_t bytes) {
    return dense_fits({batch.max, heads.max, queries.max}, 4, bytes);
  };
  if (gradient) {
    if (!fits(MODELLIB_SCALAR(S, q_stride), heads, queries, size, step.output_bytes[0]))
      return wrong("dq");
    if (!fits(MODELLIB_SCALAR(S, k_stride), kv_heads, keys, size, step.output_bytes[1]))
      return wrong("dk");
    if (!fits(MODELLIB_SCALAR(S, v_stride), kv_heads, keys, value_size, step.output_bytes[2]))
      return wrong("dv");
    if (!o_fits(step.input_bytes[6])) return wrong("o");
    if (!lse_fits(step.input_bytes[7])) return wrong("lse");
    if (!o_fits(step.input_bytes[8])) return wrong("do");
  } else {
    if (!o_fits(step.output_bytes[0])) return wrong("o");
    if (step.output_bytes[1] != 0 && !lse_fits(step.output_bytes[1])) return wrong("lse");
  }
  for (const int alias : step.aliases) {
    if (alias >= 0) return absl::InvalidArgumentError(absl::StrCat(name, ": cannot run in place"));
  }
  return absl::OkStatus();
}

}  // namespace

HWY_EXPORT(attention_chunk);
HWY_EXPORT(attention_grad_chunk);

void run_attention(const runtime::KernelArgs& args, int64_t chunk) {
  HWY_DYNAMIC_DISPATCH(attention_chunk)(args, chunk);
}
void run_attention_grad(const runtime::KernelArgs& args, int64_t chunk) {
  HWY_DYNAMIC_DISPATCH(attention_grad_chunk)(args, chunk);
}

int64_t attention_chunks(const AttentionScalars& s) {
  return s.batch * s.heads * ceil_div(s.queries, kAttentionQueryBlock);
}
int64_t attention_grad_chunks(const AttentionScalars& s) {
  return s.batch * (s.heads * ceil_div(s.queries, kAttentionQueryBlock) +
                    s.kv_heads * ceil_div(s.keys, kAttentionKeyBlock));
}

absl::Status validate_attention(const runtime::StepView& step) {
  return check_attention("cpu.attention_f32", step, 2, 6);
}
absl::Status validate_attention_grad(const runtime::StepView& step) {
  return check_attention("cpu.attention_grad_f32", step, 3, 9);
}

}  // namespace modellib::cpu
#endif
