// matmul with what follows it in one: bias, residual and activation, applied as the product is
// stored.
#ifndef MODELLIB_OPS_MATMUL_EPILOGUE_H_
#define MODELLIB_OPS_MATMUL_EPILOGUE_H_

#include <string>
#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

struct MatmulEpilogueAttributes {
  bool transpose_a = false;
  bool transpose_b = false;
  std::string activation = "none";  // one of ops/epilogue.h
  bool residual_after = false;      // the residual is added to what the activation gives
  static constexpr auto fields() {
    return std::make_tuple(field("transpose_a", &MatmulEpilogueAttributes::transpose_a),
                           field("transpose_b", &MatmulEpilogueAttributes::transpose_b),
                           field("activation", &MatmulEpilogueAttributes::activation),
                           field("residual_after", &MatmulEpilogueAttributes::residual_after));
  }
};

// activation(matmul(a, b) + bias + residual), or activation(matmul(a, b) + bias) + residual. bias:
// [n] or null; residual: of the product's shape or null. Made by the pass "epilogue"; models write
// the parts.
Value matmul_epilogue(Value a, Value b, Value bias, Value residual,
                      MatmulEpilogueAttributes attributes = {});

}  // namespace modellib

#endif  // MODELLIB_OPS_MATMUL_EPILOGUE_H_
