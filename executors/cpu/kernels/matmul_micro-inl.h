// The innermost loops of matmul, per target: the register-tiled micro-kernel, the transposition
// that packing needs, and activations. See matmul.h.
// clang-format off
#if defined(MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_MICRO_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_MICRO_INL_H_
#undef MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_MICRO_INL_H_
#else
#define MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_MICRO_INL_H_
#endif
// clang-format on

#include <cstddef>
#include <cstdint>
#include <limits>

#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/math-inl.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using TileTag = hn::CappedTag<float, kPanel>;
inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(TileTag()));
inline constexpr int kVectorsPerPanel = static_cast<int>(kPanel) / kLanes;

// The tallest tile of so many panels, or 0: as many rows of accumulators as registers hold beside a
// row of B and a broadcast.
constexpr int max_rows(int panels) {
#if HWY_TARGET <= HWY_AVX3
  return panels <= 2 ? 12 : panels == 4 ? 6 : 3;  // 24 accumulators of 32 registers
#elif HWY_TARGET == HWY_AVX2
  return panels == 1 ? 6 : panels == 2 ? 3 : panels == 4 ? 1 : 0;  // 12, 12 and 8 of 16
#else
  return panels == 1 ? 3 : panels == 2 ? 1 : 0;  // 12 and 8 of 16
#endif
}
inline constexpr int kMaxRows = max_rows(1);

// The tallest tile where there are columns enough for a wider one. With AVX-512 one of 12 rows is
// no faster than one of 6, which loads less in each step; and where A's rows lie a multiple of 4096
// bytes apart, 12 of them do not fit into one set of the first cache.
#if HWY_TARGET <= HWY_AVX3
inline constexpr int kUsualRows = 6;
#else
inline constexpr int kUsualRows = kMaxRows;
#endif

// A in runs takes a pointer for each row.
inline constexpr int kMaxRunRows = kUsualRows;

// Panels of the widest tile of so many rows. A low tile is wide, for FMAs that wait for none of the
// others: at least 8 accumulators.
constexpr int panels_for(int rows) {
  int panels = 8;
  while (panels > 1 && max_rows(panels) < rows) panels /= 2;
  return panels;
}

// Where a panel is two vectors, the last columns of a matrix may be one vector wide: such a tile
// has twice the rows.
inline constexpr bool kHasNarrow = kVectorsPerPanel == 2;
inline constexpr int64_t kNarrow = kLanes;
inline constexpr int kMaxNarrowRows = 2 * kMaxRows;

// Whether a tile asks for what comes next. A lower tile runs through B as fast as memory gives it,
// and the hardware looks ahead well enough.
constexpr bool prefetches(int rows) {
#if HWY_TARGET <= HWY_AVX3
  return rows >= 4;
#elif HWY_TARGET == HWY_AVX2
  return rows >= 3;
#else
  return rows >= 2;
#endif
}

// What a micro-kernel works on: rows x panels of C += one block of k.
struct Tile {
  const float* a;  // rows `a_stride` apart, k adjacent
  size_t a_stride;
  // A in runs, in the place of `a`: where the first run of each row begins, then the second of
  // each, `runs_stride` pointers further. Runs are `run` long; of the first, `first_run` are left.
  const float* const* runs;
  size_t runs_stride;
  size_t run, first_run;
  const float* b;  // k `b_stride` apart, panels `b_panel` apart
  size_t b_stride;
  size_t b_panel;
  size_t k;
  float alpha;
  bool clamps;  // whether results are cut off at `low` and `high`; NaN stays NaN
  float low, high;
  const float* bias_n;  // added to each row, or null
  const float* bias_m;  // one for each row, or null
  const float* addend;  // rows `addend_stride` apart, or null
  size_t addend_stride;
  float* c;
  size_t c_stride;
  // Packed B that comes next: in every kSteps steps of k, so many cache lines from `prefetch` on
  // are asked for. B in place: in each step, the row that lies `prefetch_ahead` floats further.
  const float* prefetch;
  size_t prefetch_lines;
  size_t prefetch_ahead;
};

// Steps of k in one turn of the micro-kernel's loop. Another program on the core's second thread
// leaves this one half of the instructions that can be issued, which is about what a step's FMAs
// and loads take: what counts loops and moves pointers has to be rare.
inline constexpr size_t kSteps = 8;

// C is asked for so many turns before it is needed: some hundred cycles, for B passes through the
// first cache until then.
#if HWY_TARGET <= HWY_AVX3
inline constexpr size_t kTurnsForC = 2;
#else
inline constexpr size_t kTurnsForC = 16;
#endif

// Loops over registers must be unrolled entirely, or the accumulators would live in memory.
#define MODELLIB_UNROLL _Pragma("clang loop unroll(full)")

// The loop over the steps of a turn need not be; with the sanitizers' checks of every access the
// compiler would be at it for minutes.
#if HWY_IS_ASAN || HWY_IS_TSAN
#define MODELLIB_UNROLL_STEPS _Pragma("clang loop unroll(disable)")
#else
#define MODELLIB_UNROLL_STEPS MODELLIB_UNROLL
#endif

// Keeps the order in which the source computes `vector` and loads from memory. Left alone, the
// compiler gathers the loads of several steps ahead of their use, and spills.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_SSSE3
#define MODELLIB_PIN(vector) asm volatile("" : "+v"((vector).raw) : : "memory")
#else
#define MODELLIB_PIN(vector)
#endif

enum class AForm { kRows, kRuns };

// kPacked: rows of B lie kPanel floats apart.
template <int kRows, int kVectors, bool kPacked, AForm kForm>
HWY_NOINLINE void micro_kernel(const Tile& t) {
  const TileTag d;
  using V = hn::Vec<TileTag>;
  constexpr int kPanels = (kVectors + kVectorsPerPanel - 1) / kVectorsPerPanel;
  V acc[kRows][kVectors];
  MODELLIB_UNROLL
  for (int i = 0; i < kRows; ++i) {
    MODELLIB_UNROLL
    for (int j = 0; j < kVectors; ++j) acc[i][j] = hn::Zero(d);
  }

  // One pointer for three rows: x86 adds an index once or twice its size. The compiler is kept from
  // seeing that the pointers are related, or it spends registers and additions on that.
  constexpr int kShare = kForm == AForm::kRuns ? 1 : 3;
  constexpr int kPointers = (kRows + kShare - 1) / kShare;
  const size_t a_stride = t.a_stride;
  const float* a[kPointers];
  if constexpr (kForm == AForm::kRows) {
    MODELLIB_UNROLL
    for (int i = 0; i < kPointers; ++i) {
      a[i] = t.a + 3 * i * a_stride;
      asm("" : "+r"(a[i]));
    }
  }
  const float* b[kPanels];
  MODELLIB_UNROLL
  for (int j = 0; j < kPanels; ++j) b[j] = t.b + j * t.b_panel;
  const size_t b_stride = kPacked ? kPanel : t.b_stride;

  [[maybe_unused]] const float* prefetch = t.prefetch;
  [[maybe_unused]] const size_t prefetch_lines = prefetches(kRows) ? t.prefetch_lines : 0;
  [[maybe_unused]] const size_t prefetch_ahead = t.prefetch_ahead;
  const auto prefetch_c = [&]() HWY_ATTR __attribute__((always_inline)) {
    MODELLIB_UNROLL
    for (int i = 0; i < kRows; ++i) {
      MODELLIB_UNROLL
      for (int j = 0; j < kPanels; ++j) __builtin_prefetch(t.c + i * t.c_stride + j * kPanel, 1, 3);
    }
  };
  // The step `s` of a turn: the pointers to A, and to packed B, stay where they are.
  const auto step = [&](size_t s) HWY_ATTR __attribute__((always_inline)) {
    const auto b_row = [&](int j) HWY_ATTR __attribute__((always_inline)) {
      const float* from = b[j / kVectorsPerPanel] + (kPacked ? s * kPanel : 0);
      return hn::LoadU(d, from + j % kVectorsPerPanel * kLanes);
    };
    if constexpr (!kPacked && prefetches(kRows)) {
      MODELLIB_UNROLL
      for (int p = 0; p < kPanels; ++p) __builtin_prefetch(b[p] + prefetch_ahead, 0, 2);
    }
    V row[kVectors];
    MODELLIB_UNROLL
    for (int j = 0; j < kVectors; ++j) row[j] = b_row(j);
    MODELLIB_UNROLL
    for (int i = 0; i < kRows; ++i) {
      const V x = hn::Set(d, a[i / kShare][static_cast<size_t>(i % kShare) * a_stride + s]);
      MODELLIB_UNROLL
      for (int j = 0; j < kVectors; ++j) {
        acc[i][j] = hn::MulAdd(x, row[j], acc[i][j]);
        MODELLIB_PIN(acc[i][j]);
      }
    }
    if constexpr (!kPacked) {
      MODELLIB_UNROLL
      for (int p = 0; p < kPanels; ++p) b[p] += b_stride;
    }
  };
  const auto advance = [&](size_t steps) HWY_ATTR __attribute__((always_inline)) {
    MODELLIB_UNROLL
    for (int i = 0; i < kPointers; ++i) {
      a[i] += steps;
      asm("" : "+r"(a[i]));
    }
    if constexpr (kPacked) {
      MODELLIB_UNROLL
      for (int p = 0; p < kPanels; ++p) {
        b[p] += steps * kPanel;
        asm("" : "+r"(b[p]));
      }
    }
  };
  const auto go = [&](size_t k) HWY_ATTR __attribute__((always_inline)) {
    const size_t turns_for_c = k / kSteps < kTurnsForC ? k / kSteps : kTurnsForC;
    for (; k >= kSteps; k -= kSteps) {
      if (kForm == AForm::kRows && k / kSteps == turns_for_c) prefetch_c();
      if constexpr (kPacked && prefetches(kRows)) {
        for (size_t i = 0; i < prefetch_lines; ++i) {
          __builtin_prefetch(prefetch, 0, 2);
          prefetch += kPanel;
        }
      }
      MODELLIB_UNROLL_STEPS
      for (size_t i = 0; i < kSteps; ++i) step(i);
      advance(kSteps);
    }
    for (; k > 0; --k) {
      step(0);
      advance(1);
    }
  };
  if constexpr (kForm == AForm::kRows) {
    go(t.k);
  } else {
    prefetch_c();
    const float* const* runs = t.runs;
    size_t left = t.k, length = t.first_run;
    while (left > 0) {
      MODELLIB_UNROLL
      for (int i = 0; i < kRows; ++i) {
        a[i] = runs[i];
        asm("" : "+r"(a[i]));
      }
      const size_t k = length < left ? length : left;
      go(k);
      left -= k;
      length = t.run;
      runs += t.runs_stride;
    }
  }

  if (t.alpha != 1.0f) {
    const V alpha = hn::Set(d, t.alpha);
    MODELLIB_UNROLL
    for (int i = 0; i < kRows; ++i) {
      MODELLIB_UNROLL
      for (int j = 0; j < kVectors; ++j) acc[i][j] = hn::Mul(acc[i][j], alpha);
    }
  }
  if (t.bias_n != nullptr) {
    MODELLIB_UNROLL
    for (int j = 0; j < kVectors; ++j) {
      const V bias = hn::LoadU(d, t.bias_n + j * kLanes);
      MODELLIB_UNROLL
      for (int i = 0; i < kRows; ++i) acc[i][j] = hn::Add(acc[i][j], bias);
    }
  }
  if (t.bias_m != nullptr) {
    MODELLIB_UNROLL
    for (int i = 0; i < kRows; ++i) {
      const V bias = hn::Set(d, t.bias_m[i]);
      MODELLIB_UNROLL
      for (int j = 0; j < kVectors; ++j) acc[i][j] = hn::Add(acc[i][j], bias);
    }
  }
  if (t.addend != nullptr) {
    MODELLIB_UNROLL
    for (int i = 0; i < kRows; ++i) {
      MODELLIB_UNROLL
      for (int j = 0; j < kVectors; ++j) {
        acc[i][j] = hn::Add(acc[i][j], hn::LoadU(d, t.addend + i * t.addend_stride + j * kLanes));
      }
    }
  }
  if (t.clamps) {
    const V low = hn::Set(d, t.low), high = hn::Set(d, t.high);
    MODELLIB_UNROLL
    for (int i = 0; i < kRows; ++i) {
      MODELLIB_UNROLL
      for (int j = 0; j < kVectors; ++j) acc[i][j] = within(acc[i][j], low, high);
    }
  }
  MODELLIB_UNROLL
  for (int i = 0; i < kRows; ++i) {
    MODELLIB_UNROLL
    for (int j = 0; j < kVectors; ++j) hn::StoreU(acc[i][j], d, t.c + i * t.c_stride + j * kLanes);
  }
}

#undef MODELLIB_UNROLL_STEPS
#undef MODELLIB_UNROLL
#undef MODELLIB_PIN

using MicroKernel = void (*)(const Tile&);

// The micro-kernels for `kRows` rows and 1, 2, 4 or 8 panels (index 0 to 3), up to
// panels_for(kRows).
template <int kRows, int kPanels, bool kPacked, AForm kForm>
constexpr MicroKernel micro_kernel_or_null() {
  constexpr bool kIsRuns = kForm == AForm::kRuns;
  if constexpr (kRows <= (kIsRuns ? kMaxRunRows : kMaxRows) && kPanels <= panels_for(kRows))
    return &micro_kernel<kRows, kPanels * kVectorsPerPanel, kPacked, kForm>;
  return nullptr;
}
#define MODELLIB_MICRO_KERNELS(rows)                     \
  {                                                      \
    micro_kernel_or_null<rows, 1, kPacked, kForm>(),     \
        micro_kernel_or_null<rows, 2, kPacked, kForm>(), \
        micro_kernel_or_null<rows, 4, kPacked, kForm>(), \
        micro_kernel_or_null<rows, 8, kPacked, kForm>()  \
  }
template <bool kPacked, AForm kForm>
inline constexpr MicroKernel kMicroKernels[12][4] = {
    MODELLIB_MICRO_KERNELS(1),  MODELLIB_MICRO_KERNELS(2),  MODELLIB_MICRO_KERNELS(3),
    MODELLIB_MICRO_KERNELS(4),  MODELLIB_MICRO_KERNELS(5),  MODELLIB_MICRO_KERNELS(6),
    MODELLIB_MICRO_KERNELS(7),  MODELLIB_MICRO_KERNELS(8),  MODELLIB_MICRO_KERNELS(9),
    MODELLIB_MICRO_KERNELS(10), MODELLIB_MICRO_KERNELS(11), MODELLIB_MICRO_KERNELS(12),
};

// Those of one vector, for packed B and rows of A.
template <int kRows>
constexpr MicroKernel narrow_kernel_or_null() {
  if constexpr (kHasNarrow && kRows <= kMaxNarrowRows)
    return &micro_kernel<kRows, 1, true, AForm::kRows>;
  return nullptr;
}
inline constexpr MicroKernel kNarrowKernels[12] = {
    narrow_kernel_or_null<1>(),  narrow_kernel_or_null<2>(),  narrow_kernel_or_null<3>(),
    narrow_kernel_or_null<4>(),  narrow_kernel_or_null<5>(),  narrow_kernel_or_null<6>(),
    narrow_kernel_or_null<7>(),  narrow_kernel_or_null<8>(),  narrow_kernel_or_null<9>(),
    narrow_kernel_or_null<10>(), narrow_kernel_or_null<11>(), narrow_kernel_or_null<12>(),
};
#undef MODELLIB_MICRO_KERNELS

// to[j * to_stride + i] = from[i * from_stride + j] for i < rows, j < columns.
inline void transpose(const float* from, size_t from_stride, size_t rows, size_t columns, float* to,
                      size_t to_stride) {
  size_t i = 0;
#if HWY_TARGET <= HWY_AVX2
  constexpr size_t kSide = 8;
  const hn::FixedTag<float, 8> d;
  const hn::FixedTag<double, 4> pairs;
#else
  constexpr size_t kSide = 4;
  const hn::FixedTag<float, 4> d;
  const hn::FixedTag<double, 2> pairs;
#endif
  using V = hn::Vec<decltype(d)>;
  for (; i + kSide <= rows; i += kSide) {
    size_t j = 0;
    for (; j + kSide <= columns; j += kSide) {
      const float* src = from + i * from_stride + j;
      float* dst = to + j * to_stride + i;
      V r[kSide];
      for (size_t s = 0; s < kSide; ++s) r[s] = hn::LoadU(d, src + s * from_stride);
      // Within each group of four rows: 4x4 blocks turn by two rounds of interleaving.
      V q[kSide];
      for (size_t g = 0; g < kSide; g += 4) {
        const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, r[g], r[g + 1]));
        const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, r[g + 2], r[g + 3]));
        const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, r[g], r[g + 1]));
        const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, r[g + 2], r[g + 3]));
        q[g] = hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23));
        q[g + 1] = hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23));
        q[g + 2] = hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23));
        q[g + 3] = hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23));
      }
      if constexpr (kSide == 8) {
        for (size_t s = 0; s < 4; ++s) {
          hn::StoreU(hn::ConcatLowerLower(d, q[s + kSide - 4], q[s]), d, dst + s * to_stride);
          hn::StoreU(hn::ConcatUpperUpper(d, q[s + kSide - 4], q[s]), d, dst + (s + 4) * to_stride);
        }
      } else {
        for (size_t s = 0; s < kSide; ++s) hn::StoreU(q[s], d, dst + s * to_stride);
      }
    }
    for (; j < columns; ++j) {
      for (size_t s = 0; s < kSide; ++s)
        to[j * to_stride + i + s] = from[(i + s) * from_stride + j];
    }
  }
  for (; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) to[j * to_stride + i] = from[i * from_stride + j];
  }
}

// Writes `k` rows of one panel: columns [0, columns) of B's block at `from`, zeros up to kPanel.
inline void pack_panel(const float* from, size_t from_stride, bool transposed, size_t k,
                       size_t columns, float* to) {
  const hn::FixedTag<float, 4> d4;
  if (columns < static_cast<size_t>(kPanel)) {
    for (size_t i = 0; i < k * kPanel; i += 4) hn::StoreU(hn::Zero(d4), d4, to + i);
  }
  if (transposed) {
    transpose(from, from_stride, columns, k, to, kPanel);
  } else if (columns == static_cast<size_t>(kPanel)) {
    const TileTag d;
    for (size_t i = 0; i < k; ++i) {
      for (int j = 0; j < static_cast<int>(kPanel); j += kLanes) {
        hn::StoreU(hn::LoadU(d, from + i * from_stride + j), d, to + i * kPanel + j);
      }
    }
  } else {
    for (size_t i = 0; i < k; ++i) {
      for (size_t j = 0; j < columns; ++j) to[i * kPanel + j] = from[i * from_stride + j];
    }
  }
}

template <class F>
HWY_INLINE void map_tile(float* c, size_t stride, size_t rows, size_t columns, F&& f) {
  const TileTag d;
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < columns; j += kLanes) {
      float* p = c + i * stride + j;
      hn::StoreU(f(d, hn::LoadU(d, p)), d, p);
    }
  }
}

// x within [0, high]; NaN stays NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V clip(D d, V x, float high) {
  const V low = hn::Zero(d), top = hn::Set(d, high);
  return within(x, low, top);
}

// Activations that only cut off: at 0, and at `clamp_top`.
inline bool is_clamp(Activation activation) {
  return activation == Activation::kRelu || activation == Activation::kRelu6;
}
inline float clamp_top(Activation activation) {
  return activation == Activation::kRelu6 ? 6.0f : std::numeric_limits<float>::infinity();
}

// Has the micro-kernel apply such an activation.
inline void set_clamp(Activation activation, Tile& tile) {
  tile.clamps = is_clamp(activation);
  tile.low = 0;
  tile.high = clamp_top(activation);
}

// c = act(c) over rows x columns, where columns is a multiple of kPanel, for the other activations.
inline void activate(Activation activation, float* c, size_t stride, size_t rows, size_t columns) {
  using V = hn::Vec<TileTag>;
  switch (activation) {
    case Activation::kNone:
    case Activation::kRelu:
    case Activation::kRelu6:
      break;
    case Activation::kGeluErf:
      map_tile(c, stride, rows, columns, [](TileTag d, V x) HWY_ATTR { return gelu_erf(d, x); });
      break;
    case Activation::kGeluTanh:
      map_tile(c, stride, rows, columns, [](TileTag d, V x) HWY_ATTR { return gelu_tanh(d, x); });
      break;
    case Activation::kSilu:
      map_tile(c, stride, rows, columns, [](TileTag d, V x) HWY_ATTR { return silu(d, x); });
      break;
    case Activation::kSigmoid:
      map_tile(c, stride, rows, columns, [](TileTag d, V x) HWY_ATTR { return sigmoid(d, x); });
      break;
    case Activation::kTanh:
      map_tile(c, stride, rows, columns, [](TileTag d, V x) HWY_ATTR { return tanh(d, x); });
      break;
    case Activation::kHardSwish:
      map_tile(c, stride, rows, columns, [](TileTag d, V x) HWY_ATTR {
        const V gate = hn::Div(clip(d, hn::Add(x, hn::Set(d, 3.0f)), 6.0f), hn::Set(d, 6.0f));
        // Below -3 the product of an infinity and 0 would be NaN.
        return hn::IfThenElse(hn::Le(x, hn::Set(d, -3.0f)), hn::Zero(d), hn::Mul(x, gate));
      });
      break;
    case Activation::kHardSigmoid:
      map_tile(c, stride, rows, columns, [](TileTag d, V x) HWY_ATTR {
        return hn::Div(clip(d, hn::Add(x, hn::Set(d, 3.0f)), 6.0f), hn::Set(d, 6.0f));
      });
      break;
  }
}

// y = act(y) of floats that come from no micro-kernel: `count` of them, a multiple of kPanel.
inline void activate_panels(Activation activation, float* y, size_t count) {
  using V = hn::Vec<TileTag>;
  if (is_clamp(activation)) {
    const float top = clamp_top(activation);
    map_tile(y, 0, 1, count, [top](TileTag d, V x) HWY_ATTR { return clip(d, x, top); });
  } else {
    activate(activation, y, 0, 1, count);
  }
}

// c += x.
inline void add_row(const float* x, float* c, int64_t count) {
  const TileTag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    hn::StoreU(hn::Add(hn::LoadU(d, c + i), hn::LoadU(d, x + i)), d, c + i);
  for (; i < count; ++i) c[i] += x[i];
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
