// conv with what follows it in one: bias, residual and activation, applied as the result is stored.
#ifndef MODELLIB_OPS_CONV_EPILOGUE_H_
#define MODELLIB_OPS_CONV_EPILOGUE_H_

#include <string>
#include <tuple>

#include "modellib/graph/builder.h"
#include "modellib/ops/conv.h"

namespace modellib {

// Those of conv (without `shape`), and an activation of ops/epilogue.h.
struct ConvEpilogueAttributes : ConvAttributes {
  std::string activation = "none";
  bool residual_after = false;  // the residual is added to what the activation gives
  static constexpr auto fields() {
    return std::tuple_cat(
        ConvAttributes::fields(),
        std::make_tuple(field("activation", &ConvEpilogueAttributes::activation),
                        field("residual_after", &ConvEpilogueAttributes::residual_after)));
  }
};

// The attributes of the convolution that a node of op "conv", "conv_epilogue" or of one of the
// gradients carries out; null for another op.
const ConvAttributes* conv_attributes(const Graph::Node& node);

// activation(conv(x, filter) + bias + residual), or activation(conv(x, filter) + bias) + residual.
// bias: [out channels] or null; residual: of the result's shape or null. Made by the pass
// "epilogue"; models write the parts.
Value conv_epilogue(Value x, Value filter, Value bias, Value residual,
                    ConvEpilogueAttributes attributes = {});

}  // namespace modellib

#endif  // MODELLIB_OPS_CONV_EPILOGUE_H_
