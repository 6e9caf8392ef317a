// Elementary functions on Highway vectors of float, shared by every CPU kernel, so that an
// activation gives the same bits whether it is fused into a matmul or runs in a tile program.
//
// A per-target header: include it after "hwy/highway.h" inside a file that foreach_target.h
// includes again for each target, and call the functions as modellib::cpu::HWY_NAMESPACE::exp(d,
// v).
//
// Special values: a NaN gives a NaN; infinities and overflow give what <cmath> gives. Errors,
// measured by math_test.cc over the float range, in units in the last place (ulp) of the true
// value:
//
//   exp <= 2    log <= 2    tanh <= 2    erf <= 2    sigmoid <= 2.5
//
// Results may differ in the last bit between targets with and without FMA, never between runs.
// clang-format off
#if defined(MODELLIB_EXECUTORS_CPU_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MODELLIB_EXECUTORS_CPU_KERNELS_MATH_INL_H_
#undef MODELLIB_EXECUTORS_CPU_KERNELS_MATH_INL_H_
#else
#define MODELLIB_EXECUTORS_CPU_KERNELS_MATH_INL_H_
#endif
// clang-format on

#include <limits>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {

// x cut off at both ends; NaN stays NaN, and -0 becomes a `low` of 0, as relu has it.
template <class V>
HWY_INLINE V within(V x, V low, V high) {
  namespace hn = hwy::HWY_NAMESPACE;
  x = hn::IfThenElse(hn::Le(x, low), low, x);
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR
  return hn::IfThenElse(hn::Gt(x, high), high, x);
#else
  // Of a number and a NaN instructions give the second operand, or the NaN.
  return hn::Min(high, x);
#endif
}

// e^x. Below -103.97 the result is zero, above 88.72 infinity.
template <class D, class V>
HWY_INLINE V exp(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  // Highway's range reduction leaves 32-bit integers outside of [-104, 104]; there the limits hold.
  const V clamped = hn::Min(hn::Max(x, hn::Set(d, -105.0f)), hn::Set(d, 104.0f));
  return hn::IfThenElse(hn::Eq(x, x), hn::Exp(d, clamped), x);
}

// Natural logarithm. log(0) = -inf, log(negative) = NaN, log(inf) = inf; subnormals are exact
// inputs.
template <class D, class V>
HWY_INLINE V log(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V inf = hn::Set(d, std::numeric_limits<float>::infinity());
  const V nan = hn::Set(d, std::numeric_limits<float>::quiet_NaN());
  V y = hn::Log(d, x);
  y = hn::IfThenElse(hn::Lt(x, inf), y, x);  // inf and NaN give themselves
  y = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(inf), y);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), nan, y);
}

// 1 / (1 + e^-x), to full relative accuracy on both tails (the exponential's argument is never
// positive).
template <class D, class V>
HWY_INLINE V sigmoid(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V one = hn::Set(d, 1.0f);
  const V z = exp(d, hn::Neg(hn::Abs(x)));
  return hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), z, one), hn::Add(one, z));
}

// Hyperbolic tangent as in Cephes' tanhf (Moshier, netlib.org/cephes): an odd polynomial below
// 0.625, 1 - 2 / (e^2x + 1) above.
template <class D, class V>
HWY_INLINE V tanh(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V one = hn::Set(d, 1.0f);
  const V ax = hn::Abs(x);
  const V u = hn::Mul(x, x);
  V p = hn::Set(d, -5.70498872745e-3f);
  p = hn::MulAdd(p, u, hn::Set(d, 2.06390887954e-2f));
  p = hn::MulAdd(p, u, hn::Set(d, -5.37397155531e-2f));
  p = hn::MulAdd(p, u, hn::Set(d, 1.33314422036e-1f));
  p = hn::MulAdd(p, u, hn::Set(d, -3.33332819422e-1f));
  const V small = hn::MulAdd(hn::Mul(p, u), ax, ax);
  const V e = exp(d, hn::Add(ax, ax));
  const V large = hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(e, one)));
  // A NaN takes the polynomial branch and stays one.
  const V y = hn::IfThenElse(hn::Ge(ax, hn::Set(d, 0.625f)), large, small);
  return hn::CopySign(y, x);
}

// Error function (Abramowitz and Stegun, 7.1). Below 1: x + x P(x^2), the form of the series 7.1.5.
// Above: 1 - e^-Q(x), where Q approximates -log(erfc(x)) on [1, 4]; erf(4) rounds to 1. P and Q are
// our own minimax fits (Lawson's iteration), each within 1.2e-9 relative to erf.
template <class D, class V>
HWY_INLINE V erf(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V one = hn::Set(d, 1.0f);
  const V u = hn::Mul(x, x);
  V p = hn::Set(d, 7.889119297033176e-05f);
  p = hn::MulAdd(p, u, hn::Set(d, -0.0008020841050893068f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.005189535208046436f));
  p = hn::MulAdd(p, u, hn::Set(d, -0.026854444295167923f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.11283600330352783f));
  p = hn::MulAdd(p, u, hn::Set(d, -0.3761262595653534f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.12837916612625122f));
  const V small = hn::MulAdd(p, x, x);

  const V ax = hn::Abs(x);
  const V t = hn::Min(ax, hn::Set(d, 4.0f));
  V q = hn::Set(d, -0.0001863800862338394f);
  q = hn::MulAdd(q, t, hn::Set(d, 0.002947666682302952f));
  q = hn::MulAdd(q, t, hn::Set(d, -0.021838096901774406f));
  q = hn::MulAdd(q, t, hn::Set(d, 0.10310681909322739f));
  q = hn::MulAdd(q, t, hn::Set(d, 0.6381447315216064f));
  q = hn::MulAdd(q, t, hn::Set(d, 1.127089262008667f));
  q = hn::MulAdd(q, t, hn::Set(d, 0.00034151258296333253f));
  const V large = hn::CopySign(hn::Sub(one, exp(d, hn::Neg(q))), x);
  return hn::IfThenElse(hn::Ge(ax, one), large, small);
}

// x * sigmoid(x).
template <class D, class V>
HWY_INLINE V silu(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  return hn::Mul(x, sigmoid(d, x));
}

// x/2 (1 + erf(x / sqrt 2)): GELU as Hendrycks and Gimpel define it (2016).
template <class D, class V>
HWY_INLINE V gelu_erf(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V e = erf(d, hn::Mul(x, hn::Set(d, 0.70710678118654752f)));
  const V half = hn::Mul(x, hn::Set(d, 0.5f));
  return hn::MulAdd(half, e, half);
}

// Their tanh form x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), computed as x sigmoid(2 ...),
// which is the same function and keeps its digits on the negative tail.
template <class D, class V>
HWY_INLINE V gelu_tanh(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V cubic = hn::MulAdd(hn::Mul(hn::Set(d, 0.044715f), hn::Mul(x, x)), x, x);
  return hn::Mul(x, sigmoid(d, hn::Mul(hn::Set(d, 1.5957691216057308f), cubic)));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
