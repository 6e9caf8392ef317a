// Matmul against a double loop in float64, on every target this machine runs.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/matmul.h"
#include "modellib/executors/cpu/kernels/matmul_kernels.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/executors/cpu/kernels/step_view_of.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {
namespace {

constexpr float kGuard = 12345.678f;
constexpr int64_t kGuardFloats = 64;

// A buffer with guards around it.
class Guarded {
 public:
  explicit Guarded(int64_t count) : all_(count + 2 * kGuardFloats, kGuard), count_(count) {}
  float* data() { return all_.data() + kGuardFloats; }
  int64_t size() const { return count_; }
  std::vector<float> values() const {
    return {all_.begin() + kGuardFloats, all_.begin() + kGuardFloats + count_};
  }
  bool intact() const {
    const auto is_guard = [](float x) { return x == kGuard; };
    return std::all_of(all_.begin(), all_.begin() + kGuardFloats, is_guard) &&
           std::all_of(all_.end() - kGuardFloats, all_.end(), is_guard);
  }

 private:
  std::vector<float> all_;
  int64_t count_;
};

// One problem with everything that the kernel can do; strides are padded by `pad`.
struct Problem {
  int64_t m, n, k;
  bool transpose_a = false, transpose_b = false;
  enum { kInPlace, kPacked, kPackedByStep } b = kInPlace;
  BiasAxis bias = BiasAxis::kNone;
  bool residual = false, accumulate = false, residual_after = false;
  Activation activation = Activation::kNone;
  double alpha = 1;
  int64_t batch0 = 1, batch1 = 1;
  bool b_shared = false;
  int64_t pad = 0;
  int64_t m_grain = 0, n_grain = 0;  // 0: as planned

  std::string text() const {
    return "m " + std::to_string(m) + " n " + std::to_string(n) + " k " + std::to_string(k) +
           " ta " + std::to_string(transpose_a) + " tb " + std::to_string(transpose_b) + " b " +
           std::to_string(b) + " bias " + std::to_string(static_cast<int>(bias)) + " residual " +
           std::to_string(residual) + " accumulate " + std::to_string(accumulate) + " after " +
           std::to_string(residual_after) + " act " + std::to_string(static_cast<int>(activation)) +
           " batch " + std::to_string(batch0) + "x" + std::to_string(batch1) + " shared " +
           std::to_string(b_shared) + " pad " + std::to_string(pad) + " grains " +
           std::to_string(m_grain) + "," + std::to_string(n_grain);
  }
};

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kGeluErf:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kRelu6:
      return std::min(std::max(x, 0.0), 6.0);
    case Activation::kHardSwish:
      return x * std::min(std::max(x + 3, 0.0), 6.0) / 6;
    case Activation::kHardSigmoid:
      return std::min(std::max(x + 3, 0.0), 6.0) / 6;
    default:
      return x;
  }
}

std::vector<float> random_floats(int64_t count, std::mt19937& random) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> x(count);
  for (float& v : x) v = uniform(random);
  return x;
}

// Validates and runs a step, its chunks in random order.
template <typename Scalars>
void run_step(const runtime::Kernel& kernel, const Scalars& scalars, int64_t chunks,
              const std::vector<float*>& buffers, const std::vector<uint64_t>& outputs,
              const std::vector<uint64_t>& inputs, const std::vector<int>& aliases,
              std::mt19937& random) {
  const auto ranges = ranges_of(scalars);
  const absl::Status status = kernel.validate(view_of(ranges, outputs, inputs, chunks, aliases));
  ASSERT_TRUE(status.ok()) << status;
  std::vector<std::byte*> addresses;
  for (float* buffer : buffers) addresses.push_back(reinterpret_cast<std::byte*>(buffer));
  int64_t values[sizeof(Scalars) / 8];
  std::memcpy(values, &scalars, sizeof(scalars));
  runtime::Fault fault;
  const runtime::KernelArgs args = {addresses.data(), values, nullptr, nullptr, &fault};
  std::vector<int64_t> order(chunks);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  for (const int64_t chunk : order) kernel.run(args, chunk);
  kernel.run(args, chunks);  // one too many does nothing
}

// Runs the problem by the kernels and checks it against float64. Returns C, dense.
std::vector<float> solve(const Problem& p, unsigned seed) {
  std::mt19937 random(seed);
  MatmulShape shape;
  shape.m = p.m;
  shape.n = p.n;
  shape.k = p.k;
  shape.batch = p.batch0 * p.batch1;
  shape.transpose_a = p.transpose_a;
  shape.transpose_b = p.transpose_b;
  shape.b_shared = p.b_shared || shape.batch == 1;
  MatmulPlan plan = plan_matmul(shape);
  plan.b_layout = p.b != Problem::kInPlace ? BLayout::kPacked
                  : p.transpose_b          ? BLayout::kTransposed
                                           : BLayout::kRows;
  MatmulScalars s = matmul_scalars(shape, plan);
  s.batch0 = p.batch0;
  s.batch1 = p.batch1;
  const int64_t a_rows = p.transpose_a ? p.k : p.m, a_columns = p.transpose_a ? p.m : p.k;
  const int64_t b_rows = p.transpose_b ? p.n : p.k, b_columns = p.transpose_b ? p.k : p.n;
  s.lda = a_columns + p.pad;
  // batch1 inside of the rows, as attention heads are: [batch0, rows, batch1, columns].
  s.a_batch1 = s.lda;
  s.lda *= p.batch1;
  s.a_batch0 = a_rows * s.lda;
  const int64_t ldb_in = (b_columns + p.pad) * (p.b_shared ? 1 : p.batch1);
  const int64_t b_batch1_in = p.b_shared ? 0 : b_columns + p.pad;
  const int64_t b_batch0_in = p.b_shared ? 0 : b_rows * ldb_in;
  s.ldc = (p.n + p.pad) * p.batch1;
  s.c_batch1 = p.n + p.pad;
  s.c_batch0 = p.m * s.ldc;
  s.ld_residual = s.ldc;
  s.residual_batch0 = s.c_batch0;
  s.residual_batch1 = s.c_batch1;
  s.bias_axis = static_cast<int64_t>(p.bias);
  s.residual = static_cast<int64_t>(p.residual_after             ? ResidualAt::kAfterActivation
                                    : p.residual || p.accumulate ? ResidualAt::kBeforeActivation
                                                                 : ResidualAt::kNone);
  s.activation = static_cast<int64_t>(p.activation);
  s.alpha = std::bit_cast<int64_t>(p.alpha);
  if (p.m_grain != 0) s.m_grain = p.m_grain;
  if (p.n_grain != 0) s.n_grain = p.n_grain;

  const auto reach = [](int64_t count, int64_t tail) { return count == 0 ? 0 : count - tail; };
  // Without the padding behind the last row, so that reading it would be seen by asan.
  std::vector<float> a = random_floats(reach(p.batch0 * s.a_batch0, p.pad), random);
  const int64_t b_matrices0 = p.b_shared ? 1 : p.batch0;
  std::vector<float> b = random_floats(reach(b_matrices0 * b_rows * ldb_in, p.pad), random);
  a.shrink_to_fit();
  b.shrink_to_fit();
  std::vector<float> bias = random_floats(p.bias == BiasAxis::kN   ? p.n
                                          : p.bias == BiasAxis::kM ? p.m
                                                                   : 0,
                                          random);
  std::vector<float> residual = random_floats(reach(p.batch0 * s.c_batch0, p.pad), random);
  Guarded c(static_cast<int64_t>(residual.size()));
  if (p.accumulate) std::copy(residual.begin(), residual.end(), c.data());

  // B, packed or not.
  Guarded packed(p.b == Problem::kInPlace
                     ? 0
                     : packed_b_floats(p.k, p.n) * (p.b_shared ? 1 : p.batch0 * p.batch1));
  float* b_operand = b.data();
  uint64_t b_bytes = b.size() * 4;
  if (p.b == Problem::kInPlace) {
    s.ldb = ldb_in;
    s.b_batch0 = b_batch0_in;
    s.b_batch1 = b_batch1_in;
  } else {
    s.ldb = 0;
    s.b_batch1 = p.b_shared ? 0 : packed_b_floats(p.k, p.n);
    s.b_batch0 = s.b_batch1 * p.batch1;
    if (p.b == Problem::kPacked && p.batch0 * p.batch1 == 1) {
      pack_b(p.k, p.n, p.transpose_b, b.data(), ldb_in, packed.data());
    } else {
      PackBScalars t = pack_b_scalars(shape, plan);
      t.batch0 = p.b_shared ? 1 : p.batch0;
      t.batch1 = p.b_shared ? 1 : p.batch1;
      t.ldb = ldb_in;
      t.b_batch0 = b_batch0_in;
      t.b_batch1 = b_batch1_in;
      t.packed_batch0 = s.b_batch0;
      t.packed_batch1 = s.b_batch1;
      run_step(kPackBF32, t, pack_b_chunks(t), {packed.data(), b.data()},
               {static_cast<uint64_t>(packed.size()) * 4}, {b.size() * 4}, {-1}, random);
    }
    EXPECT_TRUE(packed.intact()) << p.text();
    b_operand = packed.data();
    b_bytes = static_cast<uint64_t>(packed.size()) * 4;
  }

  run_step(kMatmulF32, s, matmul_chunks(s),
           {c.data(), a.data(), b_operand, bias.empty() ? nullptr : bias.data(),
            p.accumulate ? c.data()
            : s.residual ? residual.data()
                         : nullptr},
           {static_cast<uint64_t>(c.size()) * 4},
           {a.size() * 4, b_bytes, bias.size() * 4, s.residual ? residual.size() * 4 : 0},
           {p.accumulate ? 3 : -1}, random);
  EXPECT_TRUE(c.intact()) << p.text();

  std::vector<float> dense;
  const std::vector<float> got = c.values();
  std::vector<bool> written(got.size(), false);
  int failures = 0;
  for (int64_t b0 = 0; b0 < p.batch0; ++b0) {
    for (int64_t b1 = 0; b1 < p.batch1; ++b1) {
      for (int64_t i = 0; i < p.m; ++i) {
        for (int64_t j = 0; j < p.n; ++j) {
          double sum = 0, size = 0;
          for (int64_t q = 0; q < p.k; ++q) {
            const double x = a[b0 * s.a_batch0 + b1 * s.a_batch1 +
                               (p.transpose_a ? q * s.lda + i : i * s.lda + q)];
            const double y = b[b0 * b_batch0_in + b1 * b_batch1_in +
                               (p.transpose_b ? j * ldb_in + q : q * ldb_in + j)];
            sum += x * y;
            size += std::abs(x * y);
          }
          const int64_t at = b0 * s.c_batch0 + b1 * s.c_batch1 + i * s.ldc + j;
          double want = p.alpha * sum;
          if (p.bias == BiasAxis::kN) want += bias[j];
          if (p.bias == BiasAxis::kM) want += bias[i];
          if (s.residual && !p.residual_after) want += residual[at];
          want = activate(p.activation, want);
          if (p.residual_after) want += residual[at];
          const double tolerance = 1e-6 * (std::abs(p.alpha) * size + 3);
          if (!(std::abs(got[at] - want) <= tolerance) && ++failures <= 3) {
            ADD_FAILURE() << p.text() << " at " << b0 << "," << b1 << "," << i << "," << j
                          << ": got " << got[at] << ", want " << want;
          }
          written[at] = true;
          dense.push_back(got[at]);
        }
      }
    }
  }
  // The gaps between rows are as they were.
  for (size_t i = 0; i < got.size(); ++i) {
    if (!written[i]) EXPECT_EQ(got[i], p.accumulate ? residual[i] : kGuard) << p.text();
  }
  return dense;
}

class MatmulTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

TEST_P(MatmulTest, ManyShapesAndAllTranspositions) {
  unsigned seed = 1;
  for (const int64_t m : {1, 2, 3, 6, 7, 14, 15, 59}) {
    for (const int64_t n : {1, 7, 16, 33, 100, 131}) {
      for (const int64_t k : {1, 2, 67, 300}) {
        Problem p = {m, n, k};
        p.transpose_a = seed & 1;
        p.transpose_b = seed >> 1 & 1;
        p.b = seed % 3 == 0   ? Problem::kInPlace
              : seed % 3 == 1 ? Problem::kPacked
                              : Problem::kPackedByStep;
        p.pad = seed % 5 == 0 ? 3 : 0;
        solve(p, seed++);
      }
    }
  }
}

TEST_P(MatmulTest, EveryPathOnOneOddShape) {
  unsigned seed = 1;
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      for (const auto b : {Problem::kInPlace, Problem::kPacked, Problem::kPackedByStep}) {
        for (const int64_t m : {1, 4, 9, 45}) {
          Problem p = {m, 83, 301};
          p.transpose_a = transpose_a;
          p.transpose_b = transpose_b;
          p.b = b;
          p.pad = 2;
          solve(p, seed++);
          p.m_grain = 5;
          p.n_grain = 48;
          solve(p, seed++);
        }
      }
    }
  }
}

TEST_P(MatmulTest, Epilogues) {
  unsigned seed = 1;
  for (int64_t activation = 0; activation < kActivationCount; ++activation) {
    for (const BiasAxis bias : {BiasAxis::kNone, BiasAxis::kN, BiasAxis::kM}) {
      for (int residual = 0; residual < 4; ++residual) {
        for (const int64_t k : {0, 33, 300}) {
          Problem p = {17, 45, k};
          p.activation = static_cast<Activation>(activation);
          p.bias = bias;
          p.residual = residual == 1;
          p.accumulate = residual == 2;
          p.residual_after = residual == 3;
          p.alpha = seed % 2 ? 1 : -0.125;
          p.b = seed % 3 ? Problem::kPacked : Problem::kInPlace;
          p.pad = seed % 4;
          solve(p, seed++);
        }
      }
    }
  }
}

// Sizes at which the kernel changes its ways: several blocks of k, stripes of packed B, B whose
// rows are pages apart, more rows than take their turn at once.
TEST_P(MatmulTest, LargeExtents) {
  unsigned seed = 1;
  for (const bool transpose_a : {false, true}) {
    for (const auto b : {Problem::kInPlace, Problem::kPacked}) {
      Problem p = {40, 1024, 400};
      p.transpose_a = transpose_a;
      p.b = b;
      p.bias = BiasAxis::kN;
      solve(p, seed++);
      p = {300, 33, 390};
      p.transpose_a = transpose_a;
      p.transpose_b = seed % 2 == 0;
      p.b = b;
      p.m_grain = 270;
      p.residual = true;
      solve(p, seed++);
    }
  }
}

TEST_P(MatmulTest, Batches) {
  unsigned seed = 1;
  for (const bool shared : {false, true}) {
    for (const auto b : {Problem::kInPlace, Problem::kPackedByStep}) {
      for (const bool transpose_b : {false, true}) {
        Problem p = {37, 50, 64};
        p.transpose_b = transpose_b;
        p.b = b;
        p.b_shared = shared;
        p.batch0 = 2;
        p.batch1 = 3;
        p.bias = BiasAxis::kN;
        p.residual = true;
        solve(p, seed++);
        p.transpose_a = true;
        p.pad = 1;
        p.m_grain = 20;
        p.n_grain = 32;
        solve(p, seed++);
      }
    }
  }
}

// The header's promise: the bits of an element depend on k alone.
TEST_P(MatmulTest, BitsDependOnNoPathAndNoBatch) {
  const int64_t n = 77, k = 777;
  std::mt19937 random(7);
  const std::vector<float> a = random_floats(64 * k, random), b = random_floats(k * n, random);
  std::vector<float> transposed_b(b.size()), packed(packed_b_floats(k, n));
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t j = 0; j < n; ++j) transposed_b[j * k + i] = b[i * n + j];
  }
  pack_b(k, n, false, b.data(), n, packed.data());
  std::vector<float> packed_from_transposed(packed.size());
  pack_b(k, n, true, transposed_b.data(), k, packed_from_transposed.data());
  ASSERT_EQ(packed, packed_from_transposed);

  std::vector<float> want;
  for (const int64_t m : {64, 1, 2, 3, 6, 15, 40, 63}) {
    for (const BLayout layout : {BLayout::kPacked, BLayout::kRows, BLayout::kTransposed}) {
      for (const int64_t grain : {64, 7}) {
        MatmulScalars s;
        s.m = m;
        s.n = n;
        s.k = k;
        s.lda = k;
        s.ldb = layout == BLayout::kPacked ? 0 : layout == BLayout::kRows ? n : k;
        s.ldc = n;
        s.b_layout = static_cast<int64_t>(layout);
        s.m_grain = grain;
        s.n_grain = grain == 7 ? 32 : 80;
        std::vector<float> c(m * n);
        for (int64_t chunk = 0; chunk < matmul_chunks(s); ++chunk) {
          matmul_chunk(s, a.data(),
                       layout == BLayout::kPacked ? packed.data()
                       : layout == BLayout::kRows ? b.data()
                                                  : transposed_b.data(),
                       nullptr, nullptr, c.data(), chunk);
        }
        if (want.empty()) want = c;
        EXPECT_EQ(0, std::memcmp(c.data(), want.data(), c.size() * 4))
            << "m " << m << " layout " << static_cast<int>(layout) << " grain " << grain;
      }
    }
  }
}

TEST_P(MatmulTest, SpecialValuesGoThrough) {
  // Padding must not turn an infinity of A into a NaN of C, nor hide a NaN.
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> a = {inf, 1, NAN, 1}, b = {1, 1, 1, 1, 1, 1}, packed(packed_b_floats(2, 3));
  pack_b(2, 3, false, b.data(), 3, packed.data());
  MatmulShape shape;
  shape.m = 2;
  shape.n = 3;
  shape.k = 2;
  shape.b_constant = true;
  MatmulScalars s = matmul_scalars(shape, plan_matmul(shape));
  s.activation = static_cast<int64_t>(Activation::kRelu);
  std::vector<float> c(6);
  ASSERT_EQ(matmul_chunks(s), 1);
  matmul_chunk(s, a.data(), packed.data(), nullptr, nullptr, c.data(), 0);
  for (int j = 0; j < 3; ++j) {
    EXPECT_EQ(c[j], inf);
    EXPECT_TRUE(std::isnan(c[3 + j]));
  }
}

TEST_P(MatmulTest, ActivatesWhatLiesInMemory) {
  std::mt19937 random(3);
  for (int64_t activation = 0; activation < kActivationCount; ++activation) {
    const auto a = static_cast<Activation>(activation);
    for (const int64_t count : {0, 1, 16, 45}) {
      std::vector<float> x = random_floats(count, random);
      for (float& v : x) v *= 8;
      Guarded y(count);
      std::copy(x.begin(), x.end(), y.data());
      apply_activation(a, y.data(), count);
      EXPECT_TRUE(y.intact());
      const std::vector<float> got = y.values();
      for (size_t i = 0; i < x.size(); ++i)
        EXPECT_NEAR(got[i], activate(a, x[i]), 1e-5) << activation << " of " << x[i];
    }
    float special[] = {NAN, -0.0f};
    apply_activation(a, special, 2);
    EXPECT_TRUE(std::isnan(special[0])) << activation;
    if (a == Activation::kRelu || a == Activation::kRelu6) EXPECT_FALSE(std::signbit(special[1]));
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, MatmulTest,
                         testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const testing::TestParamInfo<int64_t>& info) {
                           return std::string(hwy::TargetName(info.param));
                         });

}  // namespace
}  // namespace modellib::cpu
