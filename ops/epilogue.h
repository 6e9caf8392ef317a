// What may follow a product (matmul, conv) and be applied as the product is stored: a bias, a
// residual, an activation. The ops "matmul_epilogue" and "conv_epilogue" share this.
#ifndef MODELLIB_OPS_EPILOGUE_H_
#define MODELLIB_OPS_EPILOGUE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/graph.h"

namespace modellib {

// Names of activations that an epilogue may have, "none" first: "relu", "relu6", "gelu",
// "gelu_tanh", "silu", "sigmoid", "tanh", "hard_swish", "hard_sigmoid".
std::vector<std::string> epilogue_activations();
bool is_epilogue_activation(absl::string_view name);
// x under the activation, which must be one of them.
Value apply_epilogue_activation(absl::string_view name, Value x);
// Name of the activation that the node applies to its first operand; empty if it is none of them.
std::string epilogue_activation_of(const Graph::Node& node);

}  // namespace modellib

#endif  // MODELLIB_OPS_EPILOGUE_H_
