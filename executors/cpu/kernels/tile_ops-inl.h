// The operations of tile programs on arrays: what one instruction does to one tile. A per-target
// header.
// clang-format off
#if defined(MODELLIB_EXECUTORS_CPU_KERNELS_TILE_OPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MODELLIB_EXECUTORS_CPU_KERNELS_TILE_OPS_INL_H_
#undef MODELLIB_EXECUTORS_CPU_KERNELS_TILE_OPS_INL_H_
#else
#define MODELLIB_EXECUTORS_CPU_KERNELS_TILE_OPS_INL_H_
#endif
// clang-format on

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/math-inl.h"
#include "modellib/executors/cpu/kernels/tile_loops-inl.h"
#include "modellib/executors/cpu/kernels/tile_math-inl.h"
#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/graph/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {

// Unary and binary operations that all number types share and that f32 takes too, where it has no
// vector form.
template <class T>
HWY_INLINE bool run_plain_number(TileOp op, const OpArgs& o) {
  switch (op) {
    case TileOp::kFloorDiv:
      binary_plain<T>(o, [](T a, T b) { return floor_divide(a, b); });
      return true;
    case TileOp::kMod:
      binary_plain<T>(o, [](T a, T b) { return modulo(a, b); });
      return true;
    case TileOp::kRem:
      binary_plain<T>(o, [](T a, T b) { return remainder(a, b); });
      return true;
    case TileOp::kPow:
      binary_plain<T>(o, [](T a, T b) { return power(a, b); });
      return true;
    case TileOp::kAtan2:
      if constexpr (std::is_floating_point_v<T>) {
        binary_plain<T>(o, [](T a, T b) { return std::atan2(a, b); });
      }
      return true;
    default:
      return false;
  }
}

inline HWY_NOINLINE void run_f32(TileOp op, const OpArgs& o) {
  namespace hn = hwy::HWY_NAMESPACE;
  namespace self = HWY_NAMESPACE;
  switch (op) {
    case TileOp::kNeg:
      return unary_f32(o, [](F32 d, VF a) { return hn::Neg(a); });
    case TileOp::kAbs:
      return unary_f32(o, [](F32 d, VF a) { return hn::Abs(a); });
    case TileOp::kSign:
      return unary_f32(o, [](F32 d, VF a) {
        const VF zero = hn::Zero(d);
        const VF one = hn::Set(d, 1.0f);
        return hn::Sub(hn::IfThenElseZero(hn::Gt(a, zero), one),
                       hn::IfThenElseZero(hn::Lt(a, zero), one));
      });
    case TileOp::kRelu:
      return unary_f32(o,
                       [](F32 d, VF a) { return hn::IfThenZeroElse(hn::Le(a, hn::Zero(d)), a); });
    case TileOp::kExp:
      return unary_f32(o, [](F32 d, VF a) { return self::exp(d, a); });
    case TileOp::kExpm1:
      return unary_f32(o, [](F32 d, VF a) { return self::expm1(d, a); });
    case TileOp::kLog:
      return unary_f32(o, [](F32 d, VF a) { return self::log(d, a); });
    case TileOp::kLog1p:
      return unary_f32(o, [](F32 d, VF a) { return self::log1p(d, a); });
    case TileOp::kSqrt:
      return unary_f32(o, [](F32 d, VF a) { return hn::Sqrt(a); });
    case TileOp::kRsqrt:
      return unary_f32(o, [](F32 d, VF a) { return hn::Div(hn::Set(d, 1.0f), hn::Sqrt(a)); });
    case TileOp::kReciprocal:
      return unary_f32(o, [](F32 d, VF a) { return hn::Div(hn::Set(d, 1.0f), a); });
    case TileOp::kTanh:
      return unary_f32(o, [](F32 d, VF a) { return self::tanh(d, a); });
    case TileOp::kSigmoid:
      return unary_f32(o, [](F32 d, VF a) { return self::sigmoid(d, a); });
    case TileOp::kErf:
      return unary_f32(o, [](F32 d, VF a) { return self::erf(d, a); });
    case TileOp::kSin:
      return unary_f32(o, [](F32 d, VF a) { return self::sin(d, a); });
    case TileOp::kCos:
      return unary_f32(o, [](F32 d, VF a) { return self::cos(d, a); });
    case TileOp::kFloor:
      return unary_f32(o, [](F32 d, VF a) { return hn::Floor(a); });
    case TileOp::kCeil:
      return unary_f32(o, [](F32 d, VF a) { return hn::Ceil(a); });
    case TileOp::kRound:
      return unary_f32(o, [](F32 d, VF a) { return hn::Round(a); });
    case TileOp::kTrunc:
      return unary_f32(o, [](F32 d, VF a) { return hn::Trunc(a); });
    case TileOp::kIsNan:
      return unary_f32(o, [](F32 d, VF a) { return hn::VecFromMask(d, hn::IsNaN(a)); });
    case TileOp::kIsInf:
      return unary_f32(o, [](F32 d, VF a) {
        const VF inf = hn::Set(d, std::numeric_limits<float>::infinity());
        return hn::VecFromMask(d, hn::Eq(hn::Abs(a), inf));
      });
    case TileOp::kIsFinite:
      return unary_f32(o, [](F32 d, VF a) {
        const VF inf = hn::Set(d, std::numeric_limits<float>::infinity());
        return hn::VecFromMask(d, hn::Lt(hn::Abs(a), inf));
      });
    case TileOp::kAdd:
      return binary_f32(o, [](F32, VF a, VF b) { return hn::Add(a, b); });
    case TileOp::kSub:
      return binary_f32(o, [](F32, VF a, VF b) { return hn::Sub(a, b); });
    case TileOp::kMul:
      return binary_f32(o, [](F32, VF a, VF b) { return hn::Mul(a, b); });
    case TileOp::kDiv:
      return binary_f32(o, [](F32, VF a, VF b) { return hn::Div(a, b); });
    case TileOp::kMin:
      return binary_f32(o, [](F32, VF a, VF b) { return nan_min(a, b); });
    case TileOp::kMax:
      return binary_f32(o, [](F32, VF a, VF b) { return nan_max(a, b); });
    case TileOp::kPow:
      // Squares and cubes are common (gelu, norms) and need no logarithm.
      if (is_uniform(o, 1) && *static_cast<const float*>(o.src[1]) == 2.0f) {
        return unary_f32(o, [](F32, VF a) { return hn::Mul(a, a); });
      }
      if (is_uniform(o, 1) && *static_cast<const float*>(o.src[1]) == 3.0f) {
        return unary_f32(o, [](F32, VF a) { return hn::Mul(hn::Mul(a, a), a); });
      }
      return binary_plain<float>(o, [](float a, float b) { return std::pow(a, b); });
    case TileOp::kEq:
      return compare_f32(o, [](VF a, VF b) { return hn::Eq(a, b); });
    case TileOp::kNe:
      // Not Eq: Highway's Ne is false for NaN.
      return compare_f32(o, [](VF a, VF b) { return hn::Not(hn::Eq(a, b)); });
    case TileOp::kLt:
      return compare_f32(o, [](VF a, VF b) { return hn::Lt(a, b); });
    case TileOp::kLe:
      return compare_f32(o, [](VF a, VF b) { return hn::Le(a, b); });
    case TileOp::kGt:
      return compare_f32(o, [](VF a, VF b) { return hn::Gt(a, b); });
    case TileOp::kGe:
      return compare_f32(o, [](VF a, VF b) { return hn::Ge(a, b); });
    case TileOp::kFma:
      return ternary_f32(o, [](F32, VF a, VF b, VF c) { return hn::MulAdd(a, b, c); });
    case TileOp::kClamp:
      return ternary_f32(o, [](F32, VF a, VF b, VF c) { return nan_min(nan_max(a, b), c); });
    default:
      run_plain_number<float>(op, o);
  }
}

// f64, i32 and i64.
template <class T>
HWY_NOINLINE void run_plain(TileOp op, const OpArgs& o) {
  if (run_plain_number<T>(op, o)) return;
  constexpr bool kFloat = std::is_floating_point_v<T>;
  switch (op) {
    case TileOp::kNeg:
      return unary_plain<T>(o, [](T a) {
        if constexpr (kFloat)
          return -a;
        else
          return sub<T>(0, a);
      });
    case TileOp::kAbs:
      return unary_plain<T>(o, [](T a) {
        if constexpr (kFloat)
          return std::fabs(a);
        else
          return a < 0 ? sub<T>(0, a) : a;
      });
    case TileOp::kSign:
      return unary_plain<T>(o, [](T a) { return sign(a); });
    case TileOp::kRelu:
      return unary_plain<T>(o, [](T a) { return a <= 0 ? T{0} : a; });
    case TileOp::kAdd:
      return binary_plain<T>(o, [](T a, T b) { return add(a, b); });
    case TileOp::kSub:
      return binary_plain<T>(o, [](T a, T b) { return sub(a, b); });
    case TileOp::kMul:
      return binary_plain<T>(o, [](T a, T b) { return mul(a, b); });
    case TileOp::kDiv:
      return binary_plain<T>(o, [](T a, T b) { return divide(a, b); });
    case TileOp::kMin:
      return binary_plain<T>(o, [](T a, T b) { return nan_min(a, b); });
    case TileOp::kMax:
      return binary_plain<T>(o, [](T a, T b) { return nan_max(a, b); });
    case TileOp::kEq:
      return binary_plain<T, int32_t>(o, [](T a, T b) { return -int32_t{a == b}; });
    case TileOp::kNe:
      return binary_plain<T, int32_t>(o, [](T a, T b) { return -int32_t{a != b}; });
    case TileOp::kLt:
      return binary_plain<T, int32_t>(o, [](T a, T b) { return -int32_t{a < b}; });
    case TileOp::kLe:
      return binary_plain<T, int32_t>(o, [](T a, T b) { return -int32_t{a <= b}; });
    case TileOp::kGt:
      return binary_plain<T, int32_t>(o, [](T a, T b) { return -int32_t{a > b}; });
    case TileOp::kGe:
      return binary_plain<T, int32_t>(o, [](T a, T b) { return -int32_t{a >= b}; });
    case TileOp::kClamp:
      return ternary_plain<T, T>(o, [](T a, T b, T c) { return nan_min(nan_max(a, b), c); });
    default:
      break;
  }
  if constexpr (kFloat) {
    switch (op) {
      case TileOp::kExp:
        return unary_plain<T>(o, [](T a) { return std::exp(a); });
      case TileOp::kExpm1:
        return unary_plain<T>(o, [](T a) { return std::expm1(a); });
      case TileOp::kLog:
        return unary_plain<T>(o, [](T a) { return std::log(a); });
      case TileOp::kLog1p:
        return unary_plain<T>(o, [](T a) { return std::log1p(a); });
      case TileOp::kSqrt:
        return unary_plain<T>(o, [](T a) { return std::sqrt(a); });
      case TileOp::kRsqrt:
        return unary_plain<T>(o, [](T a) { return 1 / std::sqrt(a); });
      case TileOp::kReciprocal:
        return unary_plain<T>(o, [](T a) { return 1 / a; });
      case TileOp::kTanh:
        return unary_plain<T>(o, [](T a) { return std::tanh(a); });
      case TileOp::kSigmoid:
        return unary_plain<T>(o, [](T a) {
          const T z = std::exp(-std::fabs(a));
          return (a < 0 ? z : T{1}) / (1 + z);
        });
      case TileOp::kErf:
        return unary_plain<T>(o, [](T a) { return std::erf(a); });
      case TileOp::kSin:
        return unary_plain<T>(o, [](T a) { return std::sin(a); });
      case TileOp::kCos:
        return unary_plain<T>(o, [](T a) { return std::cos(a); });
      case TileOp::kFloor:
        return unary_plain<T>(o, [](T a) { return std::floor(a); });
      case TileOp::kCeil:
        return unary_plain<T>(o, [](T a) { return std::ceil(a); });
      case TileOp::kRound:
        return unary_plain<T>(o, [](T a) { return std::nearbyint(a); });
      case TileOp::kTrunc:
        return unary_plain<T>(o, [](T a) { return std::trunc(a); });
      case TileOp::kIsNan:
        return unary_plain<T, int32_t>(o, [](T a) { return -int32_t{a != a}; });
      case TileOp::kIsInf:
        return unary_plain<T, int32_t>(o, [](T a) { return -int32_t{std::isinf(a)}; });
      case TileOp::kIsFinite:
        return unary_plain<T, int32_t>(o, [](T a) { return -int32_t{std::isfinite(a)}; });
      case TileOp::kFma:
        return ternary_plain<T, T>(o, [](T a, T b, T c) { return std::fma(a, b, c); });
      default:
        return;
    }
  } else {
    switch (op) {
      case TileOp::kNot:
        return unary_plain<T>(o, [](T a) { return ~a; });
      case TileOp::kAnd:
        return binary_plain<T>(o, [](T a, T b) { return a & b; });
      case TileOp::kOr:
        return binary_plain<T>(o, [](T a, T b) { return a | b; });
      case TileOp::kXor:
        return binary_plain<T>(o, [](T a, T b) { return a ^ b; });
      default:
        return;
    }
  }
}

// a ? b : c on elements of 4 bytes, whatever they are.
inline HWY_NOINLINE void run_select32(const OpArgs& o) {
  namespace hn = hwy::HWY_NAMESPACE;
  ternary_f32(o, [](F32, VF a, VF b, VF c) { return hn::IfThenElse(hn::MaskFromVec(a), b, c); });
}
inline HWY_NOINLINE void run_select64(const OpArgs& o) {
  ternary_plain<int32_t, int64_t>(o,
                                  [](int32_t a, int64_t b, int64_t c) { return a != 0 ? b : c; });
}

// Towards zero, saturating; NaN gives 0. Integers wrap.
template <class To, class From>
HWY_INLINE To convert(From a) {
  if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // The bounds are powers of two, exact in every float type.
    constexpr From kBound = static_cast<From>(uint64_t{1} << (sizeof(To) * 8 - 1));
    if (!(a >= -kBound)) return a == a ? std::numeric_limits<To>::min() : To{0};
    if (a >= kBound) return std::numeric_limits<To>::max();
  }
  return static_cast<To>(a);
}

template <class From>
HWY_INLINE void cast_from(TileType to, const OpArgs& o) {
  switch (to) {
    case TileType::kF32:
      return unary_plain<From, float>(o, [](From a) { return convert<float>(a); });
    case TileType::kF64:
      return unary_plain<From, double>(o, [](From a) { return convert<double>(a); });
    case TileType::kI32:
      return unary_plain<From, int32_t>(o, [](From a) { return convert<int32_t>(a); });
    case TileType::kI64:
      return unary_plain<From, int64_t>(o, [](From a) { return convert<int64_t>(a); });
    case TileType::kBool:
      return unary_plain<From, int32_t>(o, [](From a) { return -int32_t{a != 0}; });
  }
}

// Lane masks are 0 or -1; as numbers they are 0 or 1.
inline HWY_NOINLINE void run_cast(TileType from, TileType to, const OpArgs& o) {
  switch (from) {
    case TileType::kF32:
      return cast_from<float>(to, o);
    case TileType::kF64:
      return cast_from<double>(to, o);
    case TileType::kI32:
      return cast_from<int32_t>(to, o);
    case TileType::kI64:
      return cast_from<int64_t>(to, o);
    case TileType::kBool:
      break;
  }
  switch (to) {
    case TileType::kF32:
      return unary_plain<int32_t, float>(o, [](int32_t a) { return static_cast<float>(a & 1); });
    case TileType::kF64:
      return unary_plain<int32_t, double>(o, [](int32_t a) { return static_cast<double>(a & 1); });
    case TileType::kI32:
      return unary_plain<int32_t, int32_t>(o, [](int32_t a) { return a & 1; });
    case TileType::kI64:
      return unary_plain<int32_t, int64_t>(o,
                                           [](int32_t a) { return static_cast<int64_t>(a & 1); });
    case TileType::kBool:
      return unary_plain<int32_t, int32_t>(o, [](int32_t a) { return a; });
  }
}

// Round to nearest even; NaN stays NaN.
HWY_INLINE uint16_t bf16_bits(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return static_cast<uint16_t>(value != value ? (bits >> 16) | 0x40 : rounded);
}
HWY_INLINE float bf16_value(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline HWY_NOINLINE void run_round(TileType type, const OpArgs& o) {
  namespace hn = hwy::HWY_NAMESPACE;
  switch (static_cast<DType>(o.imm)) {
    case DType::kF16:
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
      // F16C rounds to nearest even, subnormals and infinities included.
      return unary_f32(o, [](F32 d, VF a) {
        const hn::Rebind<hwy::float16_t, F32> half;
        return hn::PromoteTo(d, hn::DemoteTo(half, a));
      });
#else
      return unary_plain<float>(o, [](float a) { return to_f32(to_f16(a)); });
#endif
    case DType::kBF16:
      return unary_plain<float>(o, [](float a) { return bf16_value(bf16_bits(a)); });
    case DType::kI8:
      return unary_plain<int32_t>(o, [](int32_t a) { return int32_t{static_cast<int8_t>(a)}; });
    case DType::kU8:
      return unary_plain<int32_t>(o, [](int32_t a) { return int32_t{static_cast<uint8_t>(a)}; });
    case DType::kI16:
      return unary_plain<int32_t>(o, [](int32_t a) { return int32_t{static_cast<int16_t>(a)}; });
    case DType::kU16:
      return unary_plain<int32_t>(o, [](int32_t a) { return int32_t{static_cast<uint16_t>(a)}; });
    case DType::kU32:
      return unary_plain<int64_t>(o, [](int64_t a) { return int64_t{static_cast<uint32_t>(a)}; });
    default:
      return;
  }
}

// Any pointwise instruction; `type` is that of the first source (of the second for select).
HWY_INLINE void run_op(TileOp op, TileType type, TileType result, const OpArgs& o) {
  switch (op) {
    case TileOp::kSelect:
      return type == TileType::kF64 || type == TileType::kI64 ? run_select64(o) : run_select32(o);
    case TileOp::kCast:
      return run_cast(type, result, o);
    case TileOp::kRoundTo:
      return run_round(type, o);
    default:
      break;
  }
  switch (type) {
    case TileType::kF32:
      return run_f32(op, o);
    case TileType::kF64:
      return run_plain<double>(op, o);
    case TileType::kI64:
      return run_plain<int64_t>(op, o);
    case TileType::kI32:
      return run_plain<int32_t>(op, o);
    case TileType::kBool:
      // Masks are 0 and -1, so that true sorts below false as a number: compare the other way
      // round.
      switch (op) {
        case TileOp::kLt:
          return run_plain<int32_t>(TileOp::kGt, o);
        case TileOp::kLe:
          return run_plain<int32_t>(TileOp::kGe, o);
        case TileOp::kGt:
          return run_plain<int32_t>(TileOp::kLt, o);
        case TileOp::kGe:
          return run_plain<int32_t>(TileOp::kLe, o);
        default:
          return run_plain<int32_t>(op, o);
      }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
