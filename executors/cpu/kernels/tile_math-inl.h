// Elementary functions of f32 vectors that tile programs need beside those of math-inl.h, with the
// special values of C99 (infinities, NaN, zeros) and an error of a few ulp. A per-target header, to
// be included like math-inl.h.
// clang-format off
#if defined(MODELLIB_EXECUTORS_CPU_KERNELS_TILE_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MODELLIB_EXECUTORS_CPU_KERNELS_TILE_MATH_INL_H_
#undef MODELLIB_EXECUTORS_CPU_KERNELS_TILE_MATH_INL_H_
#else
#define MODELLIB_EXECUTORS_CPU_KERNELS_TILE_MATH_INL_H_
#endif
// clang-format on

#include <cmath>
#include <limits>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {

// e^x - 1, exact near 0.
template <class D, class V>
HWY_INLINE V expm1(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V far = hn::Sub(exp(d, x), hn::Set(d, 1.0f));
  const V near = hn::Expm1(d, hn::IfThenElseZero(hn::Lt(hn::Abs(x), hn::Set(d, 1.0f)), x));
  const V y = hn::IfThenElse(hn::Lt(hn::Abs(x), hn::Set(d, 1.0f)), near, far);
  return hn::IfThenElse(hn::Eq(x, hn::Zero(d)), x, y);  // keeps -0
}

// log(1 + x). What 1 + x lost to rounding is put back by the factor x / ((1 + x) - 1) (Goldberg,
// "What every computer scientist should know about floating-point arithmetic", 1991, theorem 4).
template <class D, class V>
HWY_INLINE V log1p(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V one = hn::Set(d, 1.0f);
  const V zero = hn::Zero(d);
  const V inf = hn::Set(d, std::numeric_limits<float>::infinity());
  const V u = hn::Add(x, one);
  const V kept = hn::Sub(u, one);
  V y = hn::Mul(log(d, u), hn::Div(x, kept));
  y = hn::IfThenElse(hn::Eq(kept, zero), x, y);
  y = hn::IfThenElse(hn::Eq(u, zero), hn::Neg(inf), y);
  return hn::IfThenElse(hn::Eq(x, inf), inf, y);
}

// sin and cos: Highway's reduction holds for |x| < 30000; a larger one goes through the C library,
// alone: what an element gives must not depend on its neighbours.
template <class D, class V, class Fast, class Slow>
HWY_INLINE V periodic(D d, V x, Fast fast, Slow slow) {
  namespace hn = hwy::HWY_NAMESPACE;
  const auto large = hn::Not(hn::Lt(hn::Abs(x), hn::Set(d, 30000.0f)));
  if (HWY_LIKELY(hn::AllFalse(d, large))) return fast(x);
  HWY_ALIGN float lanes[hn::MaxLanes(d)];
  hn::Store(x, d, lanes);
  for (float& lane : lanes) lane = slow(lane);
  return hn::IfThenElse(large, hn::Load(d, lanes), fast(hn::IfThenZeroElse(large, x)));
}
template <class D, class V>
HWY_INLINE V sin(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const auto fast = [&](V v) {
    return hn::IfThenElse(hn::Eq(v, hn::Zero(d)), v, hn::Sin(d, v));  // keeps -0
  };
  return periodic(d, x, fast, [](float v) { return std::sin(v); });
}
template <class D, class V>
HWY_INLINE V cos(D d, V x) {
  const auto fast = [&](V v) { return hwy::HWY_NAMESPACE::Cos(d, v); };
  return periodic(d, x, fast, [](float v) { return std::cos(v); });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
