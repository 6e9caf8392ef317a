// The attributes of the op "constant": the one op that the builder itself emits.
#ifndef MODELLIB_GRAPH_CONSTANT_H_
#define MODELLIB_GRAPH_CONSTANT_H_

#include <tuple>

#include "modellib/graph/attributes.h"
#include "modellib/graph/graph.h"

namespace modellib {

struct ConstantAttributes {
  Tensor value;
  static constexpr auto fields() {
    return std::make_tuple(field("value", &ConstantAttributes::value));
  }
};

// The tensor, if `value` is the output of a "constant" node; else null.
const Tensor* constant_value(const Graph& graph, ValueId value);

}  // namespace modellib

#endif  // MODELLIB_GRAPH_CONSTANT_H_
