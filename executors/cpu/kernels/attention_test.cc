#include "modellib/executors/cpu/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"
#include "modellib/graph/philox.h"

namespace modellib::cpu {
namespace {

using ::testing::HasSubstr;

constexpr runtime::Kernel kForward = {"cpu.attention_f32", validate_attention, run_attention};
constexpr runtime::Kernel kGradient = {"cpu.attention_grad_f32", validate_attention_grad,
                                       run_attention_grad};
constexpr uint64_t kKey = 0x123456789abcdef;
constexpr double kInf = std::numeric_limits<double>::infinity();

struct Problem {
  AttentionScalars s;
  std::vector<float> q, k, v, g, add;
  std::vector<uint8_t> allow;
  std::vector<int64_t> lengths;

  explicit Problem(uint32_t seed) {
    std::mt19937 rng(seed);
    const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<uint32_t>(n)); };
    const int64_t sizes[] = {1, 5, 16, 64, 72};
    s.batch = 1 + pick(2);
    s.kv_heads = 1 + pick(2);
    s.heads = s.kv_heads * (1 + pick(2));
    s.queries = pick(4) == 0 ? 1 : 1 + pick(110);
    s.keys = 1 + pick(150);
    s.size = sizes[pick(5)];
    s.value_size = sizes[pick(5)];
    s.scale = double_bits(1 / std::sqrt(static_cast<double>(s.size)));
    s.causal = pick(2);
    s.causal_offset = pick(3) ? 0 : pick(20) - 10;
    s.mask = pick(3);
    s.has_lengths = pick(2);
    s.has_dropout = pick(2);
    s.dropout = double_bits(0.25);
    s.stream = 7;
    // [batch, position, head, size], as projections give it
    const auto strides = [](int64_t* out, int64_t heads, int64_t positions, int64_t size) {
      out[0] = heads * positions * size;
      out[1] = size;
      out[2] = heads * size;
    };
    strides(s.q_stride, s.heads, s.queries, s.size);
    strides(s.k_stride, s.kv_heads, s.keys, s.size);
    strides(s.v_stride, s.kv_heads, s.keys, s.value_size);
    strides(s.o_stride, s.heads, s.queries, s.value_size);
    s.mask_stride[2] = s.keys;
    s.mask_stride[3] = 1;
    if (pick(2)) s.mask_stride[0] = s.queries * s.keys;
    std::normal_distribution<float> normal;
    const auto numbers = [&](int64_t n) {
      std::vector<float> values(static_cast<size_t>(n));
      for (float& x : values) x = normal(rng);
      return values;
    };
    q = numbers(s.batch * s.heads * s.queries * s.size);
    k = numbers(s.batch * s.kv_heads * s.keys * s.size);
    v = numbers(s.batch * s.kv_heads * s.keys * s.value_size);
    g = numbers(s.batch * s.heads * s.queries * s.value_size);
    add = numbers(s.batch * s.queries * s.keys);
    for (float& x : add) x = pick(9) == 0 ? -std::numeric_limits<float>::infinity() : x;
    for (size_t i = 0; i < add.size(); ++i) allow.push_back(pick(3) != 0);
    for (int64_t b = 0; b < s.batch; ++b) lengths.push_back(pick(static_cast<int>(s.keys) + 1));
  }

  void add_inputs(KernelCase& c) const {
    c.set_scalars(s);
    c.add_input(q);
    c.add_input(k);
    c.add_input(v);
    if (s.mask == 1) c.add_input(add);
    if (s.mask == 2) c.add_input(allow);
    if (s.mask == 0) c.add_absent_input();
    s.has_lengths ? c.add_input(lengths) : c.add_absent_input();
    s.has_dropout ? c.add_input(std::vector<uint64_t>{kKey}) : c.add_absent_input();
  }

  // What dropout multiplies a probability by.
  double factor(int64_t b, int64_t h, int64_t i, int64_t j) const {
    if (!s.has_dropout) return 1;
    const auto element = static_cast<uint64_t>(((b * s.heads + h) * s.queries + i) * s.keys + j);
    const double p = std::bit_cast<double>(s.dropout);
    const auto stream = static_cast<uint64_t>(s.stream);
    return philox_uniform(philox_bits(kKey, stream, element)) >= p ? 1 / (1 - p) : 0;
  }
};

// In double, row by row.
struct Reference {
  std::vector<double> o, lse, dq, dk, dv;

  explicit Reference(const Problem& p) {
    const AttentionScalars& s = p.s;
    o.assign(p.g.size(), 0);
    lse.assign(static_cast<size_t>(s.batch * s.heads * s.queries), -kInf);
    dq.assign(p.q.size(), 0);
    dk.assign(p.k.size(), 0);
    dv.assign(p.v.size(), 0);
    const double scale = std::bit_cast<double>(s.scale);
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t h = 0; h < s.heads; ++h) {
        for (int64_t i = 0; i < s.queries; ++i) {
          const int64_t kv = h / (s.heads / s.kv_heads);
          const auto at = [&](const int64_t* stride, int64_t head, int64_t position) {
            return static_cast<size_t>(b * stride[0] + head * stride[1] + position * stride[2]);
          };
          const size_t qi = at(s.q_stride, h, i), oi = at(s.o_stride, h, i);
          const int64_t limit = s.has_lengths ? p.lengths[static_cast<size_t>(b)] : s.keys;
          const int64_t offset = s.has_lengths ? limit - s.queries : s.causal_offset;
          std::vector<double> score(static_cast<size_t>(s.keys), -kInf);
          double top = -kInf;
          for (int64_t j = 0; j < limit; ++j) {
            if (s.causal && j > i + offset) continue;
            double dot = 0;
            for (int64_t d = 0; d < s.size; ++d)
              dot += double{p.q[qi + static_cast<size_t>(d)]} *
                     p.k[at(s.k_stride, kv, j) + static_cast<size_t>(d)];
            const size_t m = static_cast<size_t>(b * s.mask_stride[0] + i * s.mask_stride[2] + j);
            double value = dot * scale;
            if (s.mask == 1) value += p.add[m];
            if (s.mask == 2 && !p.allow[m]) value = -kInf;
            score[static_cast<size_t>(j)] = value;
            top = std::max(top, value);
          }
          if (top == -kInf) continue;
          double sum = 0;
          for (const double x : score) sum += std::exp(x - top);
          lse[static_cast<size_t>((b * s.heads + h) * s.queries + i)] = top + std::log(sum);
          double delta = 0;
          for (int64_t j = 0; j < s.keys; ++j) {
            const double w = std::exp(score[static_cast<size_t>(j)] - top) / sum;
            for (int64_t d = 0; d < s.value_size; ++d) {
              o[oi + static_cast<size_t>(d)] +=
                  w * p.factor(b, h, i, j) * p.v[at(s.v_stride, kv, j) + static_cast<size_t>(d)];
            }
          }
          for (int64_t d = 0; d < s.value_size; ++d)
            delta += o[oi + static_cast<size_t>(d)] * p.g[oi + static_cast<size_t>(d)];
          for (int64_t j = 0; j < s.keys; ++j) {
            const double w = std::exp(score[static_cast<size_t>(j)] - top) / sum;
            const double factor = p.factor(b, h, i, j);
            double dp = 0;
            for (int64_t d = 0; d < s.value_size; ++d) {
              const size_t vi = at(s.v_stride, kv, j) + static_cast<size_t>(d);
              dp += double{p.g[oi + static_cast<size_t>(d)]} * p.v[vi];
              dv[vi] += w * factor * p.g[oi + static_cast<size_t>(d)];
            }
            const double ds = w * (dp * factor - delta) * scale;
            for (int64_t d = 0; d < s.size; ++d) {
              const size_t ki = at(s.k_stride, kv, j) + static_cast<size_t>(d);
              dq[qi + static_cast<size_t>(d)] += ds * p.k[ki];
              dk[ki] += ds * p.q[qi + static_cast<size_t>(d)];
            }
          }
        }
      }
    }
  }
};

void expect_near(const std::vector<float>& got, const std::vector<double>& want, const char* what,
                 uint32_t seed) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isinf(want[i])) {
      ASSERT_EQ(got[i], want[i]) << what << " seed " << seed;
    } else {
      ASSERT_NEAR(got[i], want[i], 3e-5 * (1 + std::fabs(want[i])))
          << what << " seed " << seed << " at " << i;
    }
  }
}

TEST(Attention, ForwardAndGradientOfRandomProblems) {
  for (uint32_t seed = 0; seed < 120; ++seed) {
    const Problem p(seed);
    const Reference want(p);
    KernelCase f;
    p.add_inputs(f);
    f.chunks = attention_chunks(p.s);
    f.seed = seed;
    f.add_output<float>(want.o.size());
    f.add_output<float>(want.lse.size());
    absl::Status status = f.run(kForward);
    ASSERT_TRUE(status.ok()) << status;
    expect_near(f.output<float>(0), want.o, "o", seed);
    expect_near(f.output<float>(1), want.lse, "lse", seed);

    KernelCase g;
    p.add_inputs(g);
    g.chunks = attention_grad_chunks(p.s);
    g.seed = seed + 1;
    g.add_input(f.output<float>(0));
    g.add_input(f.output<float>(1));
    g.add_input(p.g);
    g.add_output<float>(want.dq.size());
    g.add_output<float>(want.dk.size());
    g.add_output<float>(want.dv.size());
    status = g.run(kGradient);
    ASSERT_TRUE(status.ok()) << status;
    expect_near(g.output<float>(0), want.dq, "dq", seed);
    expect_near(g.output<float>(1), want.dk, "dk", seed);
    expect_near(g.output<float>(2), want.dv, "dv", seed);
    if (HasFailure()) return;
  }
}

TEST(Attention, RowsThatSeeNothingAreNanWhereAskedFor) {
  int blind = 0;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    Problem p(seed);
    std::vector<float> o[2], lse[2];
    for (const int nan : {0, 1}) {
      p.s.nan_where_blind = nan;
      KernelCase c;
      p.add_inputs(c);
      c.chunks = attention_chunks(p.s);
      c.add_output<float>(p.g.size());
      c.add_output<float>(static_cast<size_t>(p.s.batch * p.s.heads * p.s.queries));
      const absl::Status status = c.run(kForward);
      ASSERT_TRUE(status.ok()) << status;
      o[nan] = c.output<float>(0);
      lse[nan] = c.output<float>(1);
    }
    EXPECT_EQ(lse[0], lse[1]);
    for (int64_t row = 0; row < p.s.batch * p.s.heads * p.s.queries; ++row) {
      const int64_t i = row % p.s.queries, h = row / p.s.queries % p.s.heads,
                    b = row / p.s.queries / p.s.heads;
      const int64_t first = b * p.s.o_stride[0] + h * p.s.o_stride[1] + i * p.s.o_stride[2];
      const bool sees = !std::isinf(lse[0][static_cast<size_t>(row)]);
      if (!sees) ++blind;
      for (int64_t d = 0; d < p.s.value_size; ++d) {
        const auto at = static_cast<size_t>(first + d);
        if (sees) {
          ASSERT_EQ(o[0][at], o[1][at]) << "seed " << seed;
        } else {
          ASSERT_EQ(o[0][at], 0.0f) << "seed " << seed;
          ASSERT_TRUE(std::isnan(o[1][at])) << "seed " << seed;
        }
      }
    }
  }
  EXPECT_GT(blind, 0);
}

// Wherever blocks of queries and keys end.
TEST(Attention, WhatAQueryCannotSeeDoesNotTouchIt) {
  constexpr int64_t kPositions = 65, kSize = 5;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  AttentionScalars s;
  s.queries = s.keys = kPositions;
  s.size = s.value_size = kSize;
  s.scale = double_bits(1);
  for (int64_t* stride : {s.q_stride, s.k_stride, s.v_stride, s.o_stride}) {
    stride[0] = stride[1] = kPositions * kSize;
    stride[2] = kSize;
  }
  std::vector<float> x(kPositions * kSize);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  // The keys and values from `hidden` on are infinite.
  const auto run = [&](int64_t hidden) {
    std::vector<float> y = x;
    std::fill(y.begin() + hidden * kSize, y.end(), kInfinity);
    KernelCase c;
    c.set_scalars(s);
    c.add_input(x);
    c.add_input(s.has_lengths != 0 ? y : x);
    c.add_input(y);
    c.add_absent_input();
    s.has_lengths != 0 ? c.add_input(std::vector<int64_t>{hidden}) : c.add_absent_input();
    c.add_absent_input();
    c.chunks = attention_chunks(s);
    c.add_output<float>(x.size());
    c.add_output<float>(kPositions);
    const absl::Status status = c.run(kForward);
    EXPECT_TRUE(status.ok()) << status;
    return c.output<float>(0);
  };
  s.causal = 1;
  const std::vector<float> all = run(kPositions);
  for (const int64_t hidden : {1, 7, 47, 48, 50, 63, 64}) {
    const std::vector<float> got = run(hidden);
    for (int64_t i = 0; i < kPositions * kSize; ++i) {
      const auto at = static_cast<size_t>(i);
      ASSERT_EQ(got[at], i < hidden * kSize ? all[at] : kInfinity) << hidden << " at " << i;
    }
  }
  s.causal = 0;
  s.has_lengths = 1;
  for (const int64_t length : {1, 40, 64}) {
    for (const float value : run(length)) ASSERT_TRUE(std::isfinite(value)) << length;
  }
}

TEST(Attention, RefusesWrongSteps) {
  Problem p(3);
  const auto status = [&](const AttentionScalars& s, size_t less) {
    KernelCase c;
    Problem other = p;
    other.s = s;
    other.add_inputs(c);
    c.add_output<float>(p.g.size() - less);
    c.add_output<float>(static_cast<size_t>(p.s.batch * p.s.heads * p.s.queries));
    return c.validate(validate_attention).ToString();
  };
  EXPECT_EQ(status(p.s, 0), "OK");
  EXPECT_THAT(status(p.s, 1), HasSubstr("o is too small"));
  AttentionScalars bad = p.s;
  bad.keys += 1;
  EXPECT_THAT(status(bad, 0), HasSubstr("too small"));
  bad = p.s;
  bad.size = kAttentionMaxSize + 1;
  EXPECT_THAT(status(bad, 0), HasSubstr("size"));
  bad = p.s;
  bad.kv_heads = p.s.heads + 1;
  EXPECT_THAT(status(bad, 0), HasSubstr("divide"));
  bad = p.s;
  bad.has_dropout = 1;
  bad.dropout = double_bits(1.5);
  EXPECT_THAT(status(bad, 0), HasSubstr("dropout"));
  bad = p.s;
  bad.nan_where_blind = 2;
  EXPECT_THAT(status(bad, 0), HasSubstr("nan_where_blind"));
  bad = p.s;
  bad.keys = 1 << 20;  // all of them one key
  bad.k_stride[2] = bad.v_stride[2] = 0;
  EXPECT_THAT(status(bad, 0), HasSubstr("k is too small"));
  bad = p.s;
  bad.q_stride[0] = -1;
  bad.batch = 2;
  EXPECT_THAT(status(bad, 0), HasSubstr("too small"));
}

}  // namespace
}  // namespace modellib::cpu
