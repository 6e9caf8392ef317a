// What values of a graph under construction hold, as far as constants and extents determine it.
//
// Exporters compute shapes with nodes: Shape, Gather, Concat, Reshape. Nothing of that is special
// here: such nodes become nodes of the graph like all others. Where an op needs numbers ahead (the
// shape of a reshape, the bounds of a slice), Contents says what a value holds: integers as
// expressions over the symbols of the graph, other numbers when they are constant. It follows small
// values through the ops that shape arithmetic is made of, back from the one that is asked for; the
// nodes that nobody needs any more vanish later.
#ifndef MODELLIB_FRONTENDS_ONNX_CONTENTS_H_
#define MODELLIB_FRONTENDS_ONNX_CONTENTS_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "modellib/graph/builder.h"

namespace modellib::onnx {

// One element.
struct Number {
  enum class Kind : uint8_t { kUnknown, kInteger, kReal };
  Kind kind = Kind::kUnknown;
  Dim integer;      // of integers and bools, and of floats that hold an extent
  double real = 0;  // kReal: of floats, always constant

  static Number of(Dim value) { return {Kind::kInteger, std::move(value), 0}; }
  static Number of_real(double value) { return {Kind::kReal, 0, value}; }
  bool known() const { return kind != Kind::kUnknown; }
  // The number, if it is one already.
  std::optional<double> constant() const;
};

class Contents {
 public:
  // The elements in C order; null for a value of which nothing is known or that is not small. The
  // pointer is valid until the next call.
  const std::vector<Number>* of(Value value);
  // An input of a region that stands for a value of the graph around it.
  void alias(Value inner, Value outer);
  // A region is done: its builder goes away.
  void forget(const GraphBuilder& builder);

 private:
  using Numbers = std::vector<Number>;
  struct Known {
    // Of the values that were asked for, and those that they are computed from. Nothing: unknown.
    absl::flat_hash_map<ValueId, std::optional<Numbers>> values;
    absl::flat_hash_map<ValueId, Value> outer;  // what inputs stand for
  };
  Value origin(Value value) const;
  // Null if the value was not looked at yet.
  const std::optional<Numbers>* find(Value value) const;
  void look_at(Value value);

  absl::flat_hash_map<const GraphBuilder*, Known> builders_;
  size_t kept_ = 0;  // parts of all the numbers that were ever known
};

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_CONTENTS_H_
