// Activations: pointwise composites, each with the formula, the defaults and the subgradients of
// PyTorch's function of that name. On f16 and bf16 the whole formula is computed in f32 and rounded
// once.
//
// relu, sigmoid and tanh are primitives (pointwise.h); softmax and its kin are in softmax.h.
#ifndef MODELLIB_OPS_ACTIVATIONS_H_
#define MODELLIB_OPS_ACTIVATIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

struct GeluAttributes {
  std::string approximate = "none";  // "none" or "tanh"
  static constexpr auto fields() {
    return std::make_tuple(field("approximate", &GeluAttributes::approximate));
  }
};
// x Φ(x), Φ the normal distribution's: x/2 (1 + erf(x/√2)); "tanh": x/2 (1 + tanh(√(2/π) (x +
// 0.044715 x³))). Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
Value gelu(Value x, GeluAttributes attributes = {});

// x sigmoid(x); also called swish.
Value silu(Value x);
// x tanh(log(1 + exp(x))). Misra, 2019.
Value mish(Value x);

struct EluAttributes {
  double alpha = 1.0;
  static constexpr auto fields() { return std::make_tuple(field("alpha", &EluAttributes::alpha)); }
};
// x where x > 0, else alpha (exp(x) - 1). Clevert et al., 2015.
Value elu(Value x, EluAttributes attributes = {});
// 1.0507… elu(x) with alpha = 1.6732…, for which mean 0 and variance 1 are a fixed point.
// Klambauer et al., 2017.
Value selu(Value x);

struct LeakyReluAttributes {
  double negative_slope = 0.01;
  static constexpr auto fields() {
    return std::make_tuple(field("negative_slope", &LeakyReluAttributes::negative_slope));
  }
};
// x where x > 0, else negative_slope x.
Value leaky_relu(Value x, LeakyReluAttributes attributes = {});
// leaky_relu with learned slopes: `weight` is [1], or [c] for x of [batch, c, …].
Value prelu(Value x, Value weight);

struct SoftplusAttributes {
  double beta = 1.0;
  double threshold = 20.0;  // where beta x is larger, the result is x itself
  static constexpr auto fields() {
    return std::make_tuple(field("beta", &SoftplusAttributes::beta),
                           field("threshold", &SoftplusAttributes::threshold));
  }
};
// log(1 + exp(beta x)) / beta.
Value softplus(Value x, SoftplusAttributes attributes = {});
// log(sigmoid(x)), without overflow.
Value log_sigmoid(Value x);
// x / (1 + |x|).
Value softsign(Value x);

// relu6(x + 3) / 6.
Value hard_sigmoid(Value x);
// x relu6(x + 3) / 6. Howard et al., "Searching for MobileNetV3", 2019.
Value hard_swish(Value x);
// min(max(x, 0), 6); gradient 0 at 0 and 6.
Value relu6(Value x);

struct HardTanhAttributes {
  double min_val = -1.0;
  double max_val = 1.0;
  static constexpr auto fields() {
    return std::make_tuple(field("min_val", &HardTanhAttributes::min_val),
                           field("max_val", &HardTanhAttributes::max_val));
  }
};
// x cut off at both limits; gradient 0 on them.
Value hard_tanh(Value x, HardTanhAttributes attributes = {});

struct ClampAttributes {
  std::optional<double> min;
  std::optional<double> max;
  static constexpr auto fields() {
    return std::make_tuple(field("min", &ClampAttributes::min),
                           field("max", &ClampAttributes::max));
  }
};
// x cut off at the limits that are given; gradient 0 on them. NaN stays.
Value clamp(Value x, ClampAttributes attributes);

// The first half of `axis` times the sigmoid of the second; its extent must be an even number.
// Dauphin et al., "Language Modeling with Gated Convolutional Networks", 2016.
Value glu(Value x, int64_t axis = -1);

}  // namespace modellib

#endif  // MODELLIB_OPS_ACTIVATIONS_H_
