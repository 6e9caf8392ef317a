// A handful of ops for tests of graph/, which may not see ops/: several outputs, absent operands,
// regions, constraints, and one whose attributes are of every kind.
#ifndef MODELLIB_GRAPH_TESTING_OPS_H_
#define MODELLIB_GRAPH_TESTING_OPS_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "modellib/graph/attributes.h"
#include "modellib/graph/op_def.h"

namespace modellib::testing {

// Of the op "everything".
struct EverythingAttributes {
  bool flag = false;
  int64_t count = 0;
  double ratio = 0;
  std::string label;
  DType dtype = DType::kInvalid;
  std::vector<int64_t> sizes;
  std::vector<double> factors;
  Shape extents;
  Tensor table;
  GraphRef body;
  std::optional<int64_t> axis;
  static constexpr auto fields() {
    using A = EverythingAttributes;
    return std::make_tuple(
        field("flag", &A::flag), field("count", &A::count), field("ratio", &A::ratio),
        field("label", &A::label), field("dtype", &A::dtype), field("sizes", &A::sizes),
        field("factors", &A::factors), field("extents", &A::extents), field("table", &A::table),
        field("body", &A::body), field("axis", &A::axis));
  }
};

// Of the op "split".
struct SplitAttributes {
  int64_t parts = 2;
  static constexpr auto fields() {
    return std::make_tuple(field("parts", &SplitAttributes::parts));
  }
};

// constant, relu(x), add(x, y; equal shapes, a constraint where they are symbolic),
// select(x, y?, z?), split(x) {parts} along the first dimension, everything(x), effect(x) without
// outputs, and "odd op!"(x).
const OpRegistry& ops();

}  // namespace modellib::testing

#endif  // MODELLIB_GRAPH_TESTING_OPS_H_
