// What the operations of tile programs are made of: loops over the elements of a tile, and
// arithmetic of one element. f32 goes through Highway; the other types are plain loops that the
// compiler vectorises for the target. A per-target header.
// clang-format off
#if defined(MODELLIB_EXECUTORS_CPU_KERNELS_TILE_LOOPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MODELLIB_EXECUTORS_CPU_KERNELS_TILE_LOOPS_INL_H_
#undef MODELLIB_EXECUTORS_CPU_KERNELS_TILE_LOOPS_INL_H_
#else
#define MODELLIB_EXECUTORS_CPU_KERNELS_TILE_LOOPS_INL_H_
#endif
// clang-format on

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {

// Lanes of the widest vector: lengths given to operations are multiples of it, so that none has a
// tail.
inline constexpr size_t kTileLanes = 16;

// One instruction on `rows` stretches of `n` elements. step: 1, or 0 for a source whose first 16
// elements are one value. row_step: elements from the source's place in a row to that in the next.
struct OpArgs {
  const void* src[3];
  size_t step[3];
  void* dst;
  size_t n;
  int64_t imm;
  size_t rows;
  size_t row_step[3];
  size_t dst_row_step;
};

// Whether a source has one value for all rows. One with a value for each row has not, even where
// the tile is of one row: bits must not depend on where the tiles are cut.
inline bool is_uniform(const OpArgs& o, int s) { return o.step[s] == 0 && o.row_step[s] == 0; }

using F32 = hwy::HWY_NAMESPACE::ScalableTag<float>;
using S32 = hwy::HWY_NAMESPACE::ScalableTag<int32_t>;
using VF = hwy::HWY_NAMESPACE::Vec<F32>;
inline constexpr size_t kN = hwy::HWY_NAMESPACE::MaxLanes(F32());
static_assert(kTileLanes % kN == 0);

template <class F>
HWY_INLINE void unary_f32(const OpArgs& o, F f) {
  namespace hn = hwy::HWY_NAMESPACE;
  const F32 d;
  for (size_t r = 0; r < o.rows; ++r) {
    const float* a = static_cast<const float*>(o.src[0]) + r * o.row_step[0];
    float* y = static_cast<float*>(o.dst) + r * o.dst_row_step;
    for (size_t i = 0; i < o.n; i += kN) {
      hn::StoreU(f(d, hn::LoadU(d, a + i * o.step[0])), d, y + i);
    }
  }
}

template <class F>
HWY_INLINE void binary_f32(const OpArgs& o, F f) {
  namespace hn = hwy::HWY_NAMESPACE;
  const F32 d;
  const size_t sa = o.step[0] * kTileLanes;
  const size_t sb = o.step[1] * kTileLanes;
  for (size_t r = 0; r < o.rows; ++r) {
    const float* a = static_cast<const float*>(o.src[0]) + r * o.row_step[0];
    const float* b = static_cast<const float*>(o.src[1]) + r * o.row_step[1];
    float* y = static_cast<float*>(o.dst) + r * o.dst_row_step;
    for (size_t i = 0; i < o.n; i += kTileLanes) {
      for (size_t j = 0; j < kTileLanes; j += kN) {
        hn::StoreU(f(d, hn::LoadU(d, a + j), hn::LoadU(d, b + j)), d, y + j);
      }
      a += sa;
      b += sb;
      y += kTileLanes;
    }
  }
}

template <class F>
HWY_INLINE void ternary_f32(const OpArgs& o, F f) {
  namespace hn = hwy::HWY_NAMESPACE;
  const F32 d;
  for (size_t r = 0; r < o.rows; ++r) {
    const float* a = static_cast<const float*>(o.src[0]) + r * o.row_step[0];
    const float* b = static_cast<const float*>(o.src[1]) + r * o.row_step[1];
    const float* c = static_cast<const float*>(o.src[2]) + r * o.row_step[2];
    float* y = static_cast<float*>(o.dst) + r * o.dst_row_step;
    for (size_t i = 0; i < o.n; i += kTileLanes) {
      for (size_t j = 0; j < kTileLanes; j += kN) {
        hn::StoreU(f(d, hn::LoadU(d, a + j), hn::LoadU(d, b + j), hn::LoadU(d, c + j)), d, y + j);
      }
      a += o.step[0] * kTileLanes;
      b += o.step[1] * kTileLanes;
      c += o.step[2] * kTileLanes;
      y += kTileLanes;
    }
  }
}

// A comparison of f32, whose result is a lane mask.
template <class F>
HWY_INLINE void compare_f32(const OpArgs& o, F f) {
  namespace hn = hwy::HWY_NAMESPACE;
  binary_f32(o, [&](F32 d, VF a, VF b) { return hn::VecFromMask(d, f(a, b)); });
}

template <class T, class R = T, class F>
HWY_INLINE void unary_plain(const OpArgs& o, F f) {
  for (size_t r = 0; r < o.rows; ++r) {
    const T* a = static_cast<const T*>(o.src[0]) + r * o.row_step[0];
    R* y = static_cast<R*>(o.dst) + r * o.dst_row_step;
    if (o.step[0] == 0) {
      const R value = f(a[0]);
      for (size_t i = 0; i < o.n; ++i) y[i] = value;
    } else {
      for (size_t i = 0; i < o.n; ++i) y[i] = f(a[i]);
    }
  }
}

template <class T, class R = T, class F>
HWY_INLINE void binary_plain(const OpArgs& o, F f) {
  for (size_t r = 0; r < o.rows; ++r) {
    const T* a = static_cast<const T*>(o.src[0]) + r * o.row_step[0];
    const T* b = static_cast<const T*>(o.src[1]) + r * o.row_step[1];
    R* y = static_cast<R*>(o.dst) + r * o.dst_row_step;
    if (o.step[0] == 1 && o.step[1] == 1) {
      for (size_t i = 0; i < o.n; ++i) y[i] = f(a[i], b[i]);
    } else if (o.step[0] == 1) {
      const T value = b[0];
      for (size_t i = 0; i < o.n; ++i) y[i] = f(a[i], value);
    } else {
      const T value = a[0];
      for (size_t i = 0; i < o.n; ++i) y[i] = f(value, b[i * o.step[1]]);
    }
  }
}

template <class A, class T, class F>
HWY_INLINE void ternary_plain(const OpArgs& o, F f) {
  for (size_t r = 0; r < o.rows; ++r) {
    const A* a = static_cast<const A*>(o.src[0]) + r * o.row_step[0];
    const T* b = static_cast<const T*>(o.src[1]) + r * o.row_step[1];
    const T* c = static_cast<const T*>(o.src[2]) + r * o.row_step[2];
    T* y = static_cast<T*>(o.dst) + r * o.dst_row_step;
    for (size_t i = 0; i < o.n; ++i) {
      y[i] = f(a[i * o.step[0]], b[i * o.step[1]], c[i * o.step[2]]);
    }
  }
}

// Wraps as unsigned arithmetic does: overflow is no undefined behaviour.
template <class T, class F>
HWY_INLINE T wrapping(T a, T b, F f) {
  using U = std::make_unsigned_t<T>;
  return static_cast<T>(f(static_cast<U>(a), static_cast<U>(b)));
}

template <class T>
HWY_INLINE T nan_max(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return a > b || a != a ? a : b;
  return a > b ? a : b;
}
template <class T>
HWY_INLINE T nan_min(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return a < b || a != a ? a : b;
  return a < b ? a : b;
}
HWY_INLINE VF nan_max(VF a, VF b) {
  namespace hn = hwy::HWY_NAMESPACE;
  return hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::IsNaN(a)), a, b);
}
HWY_INLINE VF nan_min(VF a, VF b) {
  namespace hn = hwy::HWY_NAMESPACE;
  return hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(a)), a, b);
}

template <class T>
HWY_INLINE T add(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return wrapping(a, b, [](auto x, auto y) { return x + y; });
  else
    return a + b;
}
template <class T>
HWY_INLINE T sub(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return wrapping(a, b, [](auto x, auto y) { return x - y; });
  else
    return a - b;
}
template <class T>
HWY_INLINE T mul(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return wrapping(a, b, [](auto x, auto y) { return x * y; });
  else
    return a * b;
}
template <class T>
HWY_INLINE T divide(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0) return 0;
    return b == -1 ? sub<T>(0, a) : a / b;
  } else {
    return a / b;
  }
}
template <class T>
HWY_INLINE T remainder(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return b == 0 || b == -1 ? 0 : a % b;
  else
    return std::fmod(a, b);
}
template <class T>
HWY_INLINE T modulo(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0) return a;
  }
  const T r = remainder(a, b);
  return r != 0 && ((r < 0) != (b < 0)) ? static_cast<T>(r + b) : r;
}
template <class T>
HWY_INLINE T floor_divide(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    const T q = divide(a, b);
    return b != 0 && b != -1 && a % b != 0 && ((a < 0) != (b < 0)) ? q - 1 : q;
  } else {
    if (b == 0) return a / b;
    // As PyTorch and Python: from the exact remainder, so that a - floor_div * b is mod.
    const T r = std::fmod(a, b);
    T q = (a - r) / b;
    if (r != 0 && ((r < 0) != (b < 0))) q -= 1;
    if (q == 0) return std::copysign(T{0}, a / b);
    const T whole = std::floor(q);
    return q - whole > T{0.5} ? whole + 1 : whole;
  }
}
template <class T>
HWY_INLINE T power(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
    T y = 1;
    for (; b != 0; b >>= 1) {
      if (b & 1) y = mul(y, a);
      a = mul(a, a);
    }
    return y;
  } else {
    return std::pow(a, b);
  }
}
template <class T>
HWY_INLINE T sign(T a) {
  return static_cast<T>((a > 0) - (a < 0));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
