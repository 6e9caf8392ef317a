// Pointwise ops: each element of the result comes from one element of each operand.
//
// Operands of binary ops have one element type (there is no promotion: cast), and their shapes are
// broadcast as in NumPy. A free dimension meets a 1 or, as a constraint that is checked when it is
// bound, an equal one. Arithmetic on f16 and bf16 is done in f32 and rounded; that on integers
// wraps. Ties, NaN and subgradients follow PyTorch: minimum and maximum propagate NaN and split the
// gradient of a tie in halves; relu and abs have derivative 0 at 0.
//
// A null operand gives a null Value, a mistake poisons (graph/builder.h).
#ifndef MODELLIB_OPS_POINTWISE_H_
#define MODELLIB_OPS_POINTWISE_H_

#include "modellib/graph/builder.h"

namespace modellib {

// Real or signed integer operands.
Value neg(Value x);
Value abs(Value x);
Value sign(Value x);  // of NaN: 0, as in PyTorch
Value relu(Value x);

// Real operands.
Value exp(Value x);
Value expm1(Value x);
Value log(Value x);
Value log1p(Value x);
Value sqrt(Value x);
Value rsqrt(Value x);
Value reciprocal(Value x);
Value sin(Value x);
Value cos(Value x);
Value tanh(Value x);
Value sigmoid(Value x);
Value erf(Value x);
// Gradient 0.
Value floor(Value x);
Value ceil(Value x);
Value round(Value x);  // halves to even
Value trunc(Value x);
// bool results.
Value is_nan(Value x);
Value is_finite(Value x);
// bool operand.
Value logical_not(Value x);

// Numbers.
Value add(Value a, Value b);
Value sub(Value a, Value b);
Value mul(Value a, Value b);
// Real operands. For integers there is floor_div.
Value div(Value a, Value b);
// The quotient rounded down. Integers: x / 0 is 0. Gradient 0.
Value floor_div(Value a, Value b);
// a - b * floor(a / b): has the sign of b, as Python's %. Integers: x mod 0 is x.
Value mod(Value a, Value b);
// Integers: a negative exponent gives the truncated quotient (0, or +-1 for bases +-1).
Value pow(Value a, Value b);
Value minimum(Value a, Value b);
Value maximum(Value a, Value b);

// bool results; numbers or, for the first two, bools.
Value equal(Value a, Value b);
Value not_equal(Value a, Value b);
Value less(Value a, Value b);
Value less_equal(Value a, Value b);
Value greater(Value a, Value b);
Value greater_equal(Value a, Value b);

// bool operands.
Value logical_and(Value a, Value b);
Value logical_or(Value a, Value b);
Value logical_xor(Value a, Value b);

// condition ? a : b, element by element. condition: bool; all three broadcast together.
Value where(Value condition, Value a, Value b);

// Another element type. To an integer: truncated towards zero, saturated, NaN gives 0; between
// integers: the low bits; to bool: x != 0. The gradient passes between real types.
Value cast(Value x, DType dtype);
// x, with no gradient through it.
Value stop_gradient(Value x);

// The same with a number, of the other operand's element type.
Value add(Value a, double b);
Value sub(Value a, double b);
Value sub(double a, Value b);
Value mul(Value a, double b);
Value div(Value a, double b);
Value div(double a, Value b);
Value pow(Value a, double b);
Value minimum(Value a, double b);
Value maximum(Value a, double b);
Value equal(Value a, double b);
Value not_equal(Value a, double b);
Value less(Value a, double b);
Value less_equal(Value a, double b);
Value greater(Value a, double b);
Value greater_equal(Value a, double b);
Value where(Value condition, Value a, double b);
Value where(Value condition, double a, Value b);

inline Value square(Value x) { return mul(x, x); }

inline Value operator-(Value x) { return neg(x); }
inline Value operator+(Value a, Value b) { return add(a, b); }
inline Value operator-(Value a, Value b) { return sub(a, b); }
inline Value operator*(Value a, Value b) { return mul(a, b); }
inline Value operator/(Value a, Value b) { return div(a, b); }
inline Value operator+(Value a, double b) { return add(a, b); }
inline Value operator-(Value a, double b) { return sub(a, b); }
inline Value operator*(Value a, double b) { return mul(a, b); }
inline Value operator/(Value a, double b) { return div(a, b); }
inline Value operator+(double a, Value b) { return add(b, a); }
inline Value operator-(double a, Value b) { return sub(a, b); }
inline Value operator*(double a, Value b) { return mul(b, a); }
inline Value operator/(double a, Value b) { return div(a, b); }

struct CastAttributes {
  DType dtype = DType::kF32;
  static constexpr auto fields() { return std::make_tuple(field("dtype", &CastAttributes::dtype)); }
};

}  // namespace modellib

#endif  // MODELLIB_OPS_POINTWISE_H_
