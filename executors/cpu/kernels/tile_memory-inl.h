// What tile programs do beside pointwise work: moving elements between operands and registers with
// conversion, row reductions, and random numbers. A per-target header.
// clang-format off
#if defined(MODELLIB_EXECUTORS_CPU_KERNELS_TILE_MEMORY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MODELLIB_EXECUTORS_CPU_KERNELS_TILE_MEMORY_INL_H_
#undef MODELLIB_EXECUTORS_CPU_KERNELS_TILE_MEMORY_INL_H_
#else
#define MODELLIB_EXECUTORS_CPU_KERNELS_TILE_MEMORY_INL_H_
#endif
// clang-format on

#include <algorithm>
#include <cstring>
#include <limits>

#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/tile_ops-inl.h"
#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/philox.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {

// ---- loads and stores: `n` elements of `Mem`, `stride` elements apart, to and from a register of
// `Reg`.

template <class Mem, class Reg, class F>
HWY_INLINE void load_strided(const void* from, int64_t stride, void* to, int64_t n, F convert) {
  const Mem* a = static_cast<const Mem*>(from);
  Reg* y = static_cast<Reg*>(to);
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) y[i] = convert(a[i]);
  } else if (stride == 0) {
    const Reg value = convert(a[0]);
    for (int64_t i = 0; i < n; ++i) y[i] = value;
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = convert(a[i * stride]);
  }
}

template <class Mem, class Reg, class F>
HWY_INLINE void store_strided(const void* from, void* to, int64_t stride, int64_t n, F convert) {
  const Reg* a = static_cast<const Reg*>(from);
  Mem* y = static_cast<Mem*>(to);
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) y[i] = convert(a[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * stride] = convert(a[i]);
  }
}

HWY_INLINE float f16_value(uint16_t bits) { return to_f32(Float16{bits}); }

inline HWY_NOINLINE void load_f16(const void* from, int64_t stride, void* to, int64_t n) {
  namespace hn = hwy::HWY_NAMESPACE;
  int64_t done = 0;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  if (stride == 1) {
    const F32 d;
    const hn::Rebind<hwy::float16_t, F32> half;
    const auto* a = static_cast<const hwy::float16_t*>(from);
    for (; done + static_cast<int64_t>(kN) <= n; done += kN) {
      hn::StoreU(hn::PromoteTo(d, hn::LoadU(half, a + done)), d, static_cast<float*>(to) + done);
    }
  }
#endif
  load_strided<uint16_t, float>(static_cast<const uint16_t*>(from) + done * stride, stride,
                                static_cast<float*>(to) + done, n - done, f16_value);
}

inline HWY_NOINLINE void store_f16(const void* from, void* to, int64_t stride, int64_t n) {
  namespace hn = hwy::HWY_NAMESPACE;
  int64_t done = 0;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  if (stride == 1) {
    const F32 d;
    const hn::Rebind<hwy::float16_t, F32> half;
    auto* y = static_cast<hwy::float16_t*>(to);
    for (; done + static_cast<int64_t>(kN) <= n; done += kN) {
      hn::StoreU(hn::DemoteTo(half, hn::LoadU(d, static_cast<const float*>(from) + done)), half,
                 y + done);
    }
  }
#endif
  store_strided<uint16_t, float>(static_cast<const float*>(from) + done,
                                 static_cast<uint16_t*>(to) + done * stride, stride, n - done,
                                 [](float v) { return to_f16(v).bits; });
}

template <class Mem, class Reg>
HWY_NOINLINE void load_as(const void* from, int64_t stride, void* to, int64_t n) {
  if (sizeof(Mem) == sizeof(Reg) && stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(Mem));
    return;
  }
  load_strided<Mem, Reg>(from, stride, to, n, [](Mem v) { return static_cast<Reg>(v); });
}
template <class Mem, class Reg>
HWY_NOINLINE void store_as(const void* from, void* to, int64_t stride, int64_t n) {
  if (sizeof(Mem) == sizeof(Reg) && stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(Mem));
    return;
  }
  store_strided<Mem, Reg>(from, to, stride, n, [](Reg v) { return static_cast<Mem>(v); });
}

HWY_INLINE void load_elements(DType dtype, const void* from, int64_t stride, void* to, int64_t n) {
  switch (dtype) {
    case DType::kF32:
      return load_as<float, float>(from, stride, to, n);
    case DType::kF64:
      return load_as<double, double>(from, stride, to, n);
    case DType::kF16:
      return load_f16(from, stride, to, n);
    case DType::kBF16:
      return load_strided<uint16_t, float>(from, stride, to, n,
                                           [](uint16_t v) { return bf16_value(v); });
    case DType::kI8:
      return load_as<int8_t, int32_t>(from, stride, to, n);
    case DType::kU8:
      return load_as<uint8_t, int32_t>(from, stride, to, n);
    case DType::kI16:
      return load_as<int16_t, int32_t>(from, stride, to, n);
    case DType::kU16:
      return load_as<uint16_t, int32_t>(from, stride, to, n);
    case DType::kI32:
      return load_as<int32_t, int32_t>(from, stride, to, n);
    case DType::kU32:
      return load_as<uint32_t, int64_t>(from, stride, to, n);
    case DType::kI64:
    case DType::kU64:
      return load_as<int64_t, int64_t>(from, stride, to, n);
    case DType::kBool:
      return load_strided<uint8_t, int32_t>(from, stride, to, n,
                                            [](uint8_t v) { return -int32_t{v != 0}; });
    default:
      return;
  }
}

HWY_INLINE void store_elements(DType dtype, const void* from, void* to, int64_t stride, int64_t n) {
  switch (dtype) {
    case DType::kF32:
      return store_as<float, float>(from, to, stride, n);
    case DType::kF64:
      return store_as<double, double>(from, to, stride, n);
    case DType::kF16:
      return store_f16(from, to, stride, n);
    case DType::kBF16:
      return store_strided<uint16_t, float>(from, to, stride, n,
                                            [](float v) { return bf16_bits(v); });
    case DType::kI8:
    case DType::kU8:
      return store_as<uint8_t, int32_t>(from, to, stride, n);
    case DType::kI16:
    case DType::kU16:
      return store_as<uint16_t, int32_t>(from, to, stride, n);
    case DType::kI32:
      return store_as<int32_t, int32_t>(from, to, stride, n);
    case DType::kU32:
      return store_as<uint32_t, int64_t>(from, to, stride, n);
    case DType::kI64:
    case DType::kU64:
      return store_as<int64_t, int64_t>(from, to, stride, n);
    case DType::kBool:
      return store_strided<uint8_t, int32_t>(from, to, stride, n,
                                             [](int32_t v) { return static_cast<uint8_t>(v & 1); });
    default:
      return;
  }
}

// ---- reductions: 32 lanes, restarted every 1,024 columns, so that rounding errors stay small and
// the order is that of the columns alone.

inline constexpr int kReduceLanes = 32;
inline constexpr int64_t kReduceBlock = 1024;

// 8-byte lanes hold every type.
struct Reduction {
  alignas(64) std::byte block[kReduceLanes * 8];
  alignas(64) std::byte total[kReduceLanes * 8];
};

template <class T>
struct ReduceSum {
  static T identity() { return T{0}; }
  T operator()(T a, T b) const { return add(a, b); }
  VF operator()(VF a, VF b) const { return hwy::HWY_NAMESPACE::Add(a, b); }
};
template <class T>
struct ReduceProd {
  static T identity() { return T{1}; }
  T operator()(T a, T b) const { return mul(a, b); }
  VF operator()(VF a, VF b) const { return hwy::HWY_NAMESPACE::Mul(a, b); }
};
template <class T>
struct ReduceMax {
  static T identity() {
    return std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity()
                                       : std::numeric_limits<T>::min();
  }
  T operator()(T a, T b) const { return nan_max(a, b); }
  VF operator()(VF a, VF b) const { return nan_max(a, b); }
};
template <class T>
struct ReduceMin {
  static T identity() {
    return std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity()
                                       : std::numeric_limits<T>::max();
  }
  T operator()(T a, T b) const { return nan_min(a, b); }
  VF operator()(VF a, VF b) const { return nan_min(a, b); }
};

template <class T, class F>
HWY_INLINE void reduce_init(F f, Reduction& r) {
  T* block = reinterpret_cast<T*>(r.block);
  T* total = reinterpret_cast<T*>(r.total);
  for (int l = 0; l < kReduceLanes; ++l) block[l] = total[l] = F::identity();
}

// x: columns [col, col + n) of the row; col is a multiple of 32.
template <class T, class F>
HWY_INLINE void reduce_add(F f, Reduction& r, const void* from, int64_t col, int64_t n) {
  namespace hn = hwy::HWY_NAMESPACE;
  const T* x = static_cast<const T*>(from);
  T* HWY_RESTRICT block = reinterpret_cast<T*>(r.block);
  T* HWY_RESTRICT total = reinterpret_cast<T*>(r.total);
  for (int64_t i = 0; i < n;) {
    const int64_t end = std::min(n, i + kReduceBlock - (col + i) % kReduceBlock);
    if constexpr (std::is_same_v<T, float>) {
      constexpr int kVectors = kReduceLanes / static_cast<int>(kN);
      const F32 d;
      VF acc[kVectors];
      for (int v = 0; v < kVectors; ++v) acc[v] = hn::Load(d, block + v * kN);
      for (; i + kReduceLanes <= end; i += kReduceLanes) {
        for (int v = 0; v < kVectors; ++v) acc[v] = f(acc[v], hn::LoadU(d, x + i + v * kN));
      }
      for (int v = 0; v < kVectors; ++v) hn::Store(acc[v], d, block + v * kN);
    } else {
      for (; i + kReduceLanes <= end; i += kReduceLanes) {
        for (int l = 0; l < kReduceLanes; ++l) block[l] = f(block[l], x[i + l]);
      }
    }
    for (int l = 0; i < end; ++i, ++l) block[l] = f(block[l], x[i]);
    if ((col + i) % kReduceBlock == 0) {
      for (int l = 0; l < kReduceLanes; ++l) {
        total[l] = f(total[l], block[l]);
        block[l] = F::identity();
      }
    }
  }
}

template <class T, class F>
HWY_INLINE void reduce_finish(F f, Reduction& r, void* result) {
  T* block = reinterpret_cast<T*>(r.block);
  T* total = reinterpret_cast<T*>(r.total);
  for (int l = 0; l < kReduceLanes; ++l) total[l] = f(total[l], block[l]);
  for (int half = kReduceLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) total[l] = f(total[l], total[l + half]);
  }
  *static_cast<T*>(result) = total[0];
}

// Rows of f32 in registers at once, [rows, pitch]: the same additions in the same order, in vectors
// all the way. Reads up to the next multiple of 16 columns.
template <class F>
HWY_NOINLINE void reduce_rows_f32(const float* x, int64_t pitch, int64_t rows, int64_t n,
                                  float* y) {
  namespace hn = hwy::HWY_NAMESPACE;
  constexpr int kVectors = kReduceLanes / static_cast<int>(kN);
  const F32 d;
  const F f;
  const VF identity = hn::Set(d, F::identity());
  for (int64_t r = 0; r < rows; ++r, x += pitch) {
    VF total[kVectors];
    for (int v = 0; v < kVectors; ++v) total[v] = identity;
    for (int64_t i = 0; i < n;) {
      const int64_t end = std::min(n, i + kReduceBlock);
      VF acc[kVectors];
      for (int v = 0; v < kVectors; ++v) acc[v] = identity;
      for (; i + kReduceLanes <= end; i += kReduceLanes) {
        for (int v = 0; v < kVectors; ++v) acc[v] = f(acc[v], hn::LoadU(d, x + i + v * kN));
      }
      for (int v = 0; v < kVectors; ++v) {
        const int64_t rest = end - i - v * static_cast<int64_t>(kN);
        if (rest <= 0) break;
        const auto in = hn::FirstN(d, static_cast<size_t>(rest));
        acc[v] = f(acc[v], hn::IfThenElse(in, hn::LoadU(d, x + i + v * kN), identity));
      }
      i = end;
      for (int v = 0; v < kVectors; ++v) total[v] = f(total[v], acc[v]);
    }
    for (int half = kVectors / 2; half > 0; half /= 2) {
      for (int v = 0; v < half; ++v) total[v] = f(total[v], total[v + half]);
    }
    HWY_ALIGN float lanes[kN];
    hn::Store(total[0], d, lanes);
    for (size_t half = kN / 2; half > 0; half /= 2) {
      for (size_t l = 0; l < half; ++l) lanes[l] = f(lanes[l], lanes[l + half]);
    }
    y[r] = lanes[0];
  }
}

HWY_INLINE void reduce_rows_f32(TileOp op, const float* x, int64_t pitch, int64_t rows, int64_t n,
                                float* y) {
  switch (op) {
    case TileOp::kSum:
      return reduce_rows_f32<ReduceSum<float>>(x, pitch, rows, n, y);
    case TileOp::kProd:
      return reduce_rows_f32<ReduceProd<float>>(x, pitch, rows, n, y);
    case TileOp::kReduceMax:
      return reduce_rows_f32<ReduceMax<float>>(x, pitch, rows, n, y);
    default:
      return reduce_rows_f32<ReduceMin<float>>(x, pitch, rows, n, y);
  }
}

enum class ReduceStep { kInit, kAdd, kFinish, kWhole };

// kWhole does all three.
template <class T, class F>
HWY_NOINLINE void reduce_step(ReduceStep step, Reduction& r, const void* x, int64_t col, int64_t n,
                              void* result) {
  const F f;
  if (step == ReduceStep::kInit || step == ReduceStep::kWhole) reduce_init<T>(f, r);
  if (step == ReduceStep::kAdd || step == ReduceStep::kWhole) reduce_add<T>(f, r, x, col, n);
  if (step == ReduceStep::kFinish || step == ReduceStep::kWhole) reduce_finish<T>(f, r, result);
}

template <class T>
HWY_INLINE void reduce_typed(TileOp op, ReduceStep step, Reduction& r, const void* x, int64_t col,
                             int64_t n, void* result) {
  switch (op) {
    case TileOp::kSum:
      return reduce_step<T, ReduceSum<T>>(step, r, x, col, n, result);
    case TileOp::kProd:
      return reduce_step<T, ReduceProd<T>>(step, r, x, col, n, result);
    case TileOp::kReduceMax:
      return reduce_step<T, ReduceMax<T>>(step, r, x, col, n, result);
    default:
      return reduce_step<T, ReduceMin<T>>(step, r, x, col, n, result);
  }
}

HWY_INLINE void reduce(TileOp op, TileType type, ReduceStep step, Reduction& r, const void* x,
                       int64_t col, int64_t n, void* result) {
  switch (type) {
    case TileType::kF32:
      return reduce_typed<float>(op, step, r, x, col, n, result);
    case TileType::kF64:
      return reduce_typed<double>(op, step, r, x, col, n, result);
    case TileType::kI64:
      return reduce_typed<int64_t>(op, step, r, x, col, n, result);
    case TileType::kI32:
      return reduce_typed<int32_t>(op, step, r, x, col, n, result);
    case TileType::kBool:
      // Masks are 0 and -1: any is their minimum as numbers. Of no columns, any is false and all is
      // true.
      if (op == TileOp::kReduceMax) {
        reduce_step<int32_t, ReduceMin<int32_t>>(step, r, x, col, n, result);
      } else {
        reduce_step<int32_t, ReduceMax<int32_t>>(step, r, x, col, n, result);
      }
      if (step == ReduceStep::kFinish || step == ReduceStep::kWhole) {
        int32_t& value = *static_cast<int32_t*>(result);
        if (value != 0 && value != -1) value = op == TileOp::kReduceMax ? 0 : -1;
      }
      return;
  }
}

// ---- random numbers

// The bits of elements [index, index + n): 16 counters at a time, in arrays that the compiler turns
// into vectors.
inline HWY_NOINLINE void random_run(uint64_t key, uint64_t stream, uint64_t index, int64_t n,
                                    uint32_t* y) {
  constexpr int kBlocks = 16;
  uint64_t block = index / 4;
  int64_t skip = static_cast<int64_t>(index % 4);
  for (int64_t done = 0; done < n; block += kBlocks) {
    uint32_t c0[kBlocks], c1[kBlocks], c2[kBlocks], c3[kBlocks];
    for (int l = 0; l < kBlocks; ++l) {
      c0[l] = static_cast<uint32_t>(block + l);
      c1[l] = static_cast<uint32_t>((block + l) >> 32);
      c2[l] = static_cast<uint32_t>(stream);
      c3[l] = static_cast<uint32_t>(stream >> 32);
    }
    uint32_t k0 = static_cast<uint32_t>(key);
    uint32_t k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      for (int l = 0; l < kBlocks; ++l) {
        const uint64_t p0 = uint64_t{0xD2511F53} * c0[l];
        const uint64_t p1 = uint64_t{0xCD9E8D57} * c2[l];
        c0[l] = static_cast<uint32_t>(p1 >> 32) ^ c1[l] ^ k0;
        c1[l] = static_cast<uint32_t>(p1);
        c2[l] = static_cast<uint32_t>(p0 >> 32) ^ c3[l] ^ k1;
        c3[l] = static_cast<uint32_t>(p0);
      }
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    uint32_t words[kBlocks * 4];
    for (int l = 0; l < kBlocks; ++l) {
      words[4 * l] = c0[l];
      words[4 * l + 1] = c1[l];
      words[4 * l + 2] = c2[l];
      words[4 * l + 3] = c3[l];
    }
    const int64_t take = std::min(n - done, kBlocks * 4 - skip);
    std::memcpy(y + done, words + skip, static_cast<size_t>(take) * sizeof(uint32_t));
    done += take;
    skip = 0;
  }
}

// Elements index, index + stride, ...; `uniform` turns the bits into floats in place.
HWY_INLINE void random_elements(uint64_t key, uint64_t stream, int64_t index, int64_t stride,
                                int64_t n, bool uniform, void* to) {
  uint32_t* y = static_cast<uint32_t*>(to);
  if (stride == 1) {
    random_run(key, stream, static_cast<uint64_t>(index), n, y);
  } else {
    for (int64_t i = 0; i < n; ++i) {
      y[i] = philox_bits(
          key, stream,
          static_cast<uint64_t>(index) + static_cast<uint64_t>(i) * static_cast<uint64_t>(stride));
    }
  }
  if (uniform) {
    for (int64_t i = 0; i < n; ++i) y[i] = std::bit_cast<uint32_t>(philox_uniform(y[i]));
  }
}

// start, start + stride, ... as numbers of T.
template <class T>
HWY_INLINE void iota_elements(int64_t start, int64_t stride, int64_t n, void* to) {
  T* y = static_cast<T*>(to);
  for (int64_t i = 0; i < n; ++i) {
    y[i] = static_cast<T>(static_cast<int64_t>(
        static_cast<uint64_t>(start) + static_cast<uint64_t>(i) * static_cast<uint64_t>(stride)));
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
