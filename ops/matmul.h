// Matrix product.
#ifndef MODELLIB_OPS_MATMUL_H_
#define MODELLIB_OPS_MATMUL_H_

#include <optional>
#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

struct MatmulAttributes {
  bool transpose_a = false;  // a is [..., k, m]
  bool transpose_b = false;  // b is [..., n, k]
  // The type in which products are summed, at least. Default: f32 for f16 and bf16, else the
  // operands'. The result has the operands' type.
  std::optional<DType> accumulate = std::nullopt;
  static constexpr auto fields() {
    return std::make_tuple(field("transpose_a", &MatmulAttributes::transpose_a),
                           field("transpose_b", &MatmulAttributes::transpose_b),
                           field("accumulate", &MatmulAttributes::accumulate));
  }
};

// [..., m, k] x [..., k, n] -> [..., m, n], numbers of one type, rank 2 at least. Leading axes
// broadcast. Integers wrap.
Value matmul(Value a, Value b, MatmulAttributes attributes = {});

}  // namespace modellib

#endif  // MODELLIB_OPS_MATMUL_H_
