// softmax and log_softmax over one axis.
//
// The largest element is subtracted first, so nothing overflows; no gradient goes through it. A row
// of -inf alone gives NaN, as in PyTorch. f16 and bf16 are computed in f32 and rounded once.
#ifndef MODELLIB_OPS_SOFTMAX_H_
#define MODELLIB_OPS_SOFTMAX_H_

#include <cstdint>
#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

struct SoftmaxAttributes {
  int64_t axis = -1;
  static constexpr auto fields() {
    return std::make_tuple(field("axis", &SoftmaxAttributes::axis));
  }
};

// exp(x) / Σ exp(x), the sum over `axis`.
Value softmax(Value x, SoftmaxAttributes attributes = {});
// x - log Σ exp(x).
Value log_softmax(Value x, SoftmaxAttributes attributes = {});
// softmax(-x).
Value softmin(Value x, SoftmaxAttributes attributes = {});

}  // namespace modellib

#endif  // MODELLIB_OPS_SOFTMAX_H_
