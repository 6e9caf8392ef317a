// Ops that move elements and compute nothing: reshape, transpose, broadcast, slice, concat, pad.
#ifndef MODELLIB_OPS_SHAPE_H_
#define MODELLIB_OPS_SHAPE_H_

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "absl/types/span.h"
#include "modellib/graph/builder.h"

namespace modellib {

struct ReshapeAttributes {
  Shape shape;  // one entry may be -1: what remains
  static constexpr auto fields() {
    return std::make_tuple(field("shape", &ReshapeAttributes::shape));
  }
};
// The same elements in C order under another shape.
Value reshape(Value x, Shape shape);

struct TransposeAttributes {
  std::vector<int64_t> perm = {};
  static constexpr auto fields() {
    return std::make_tuple(field("perm", &TransposeAttributes::perm));
  }
};
// Axis i of the result is axis perm[i] of x; an empty perm reverses the axes.
Value transpose(Value x, std::vector<int64_t> perm = {});
// The perm of a node "transpose", written out and counted from the front.
std::vector<int64_t> perm_of(const Graph::Node& node, int rank);

struct BroadcastToAttributes {
  Shape shape;
  static constexpr auto fields() {
    return std::make_tuple(field("shape", &BroadcastToAttributes::shape));
  }
};
// Repeats axes of extent 1, and leading axes that x lacks.
Value broadcast_to(Value x, Shape shape);

struct SliceAttributes {
  // One entry for each axis. Element k of an axis is starts + k * steps while it is before `limits`
  // (after it, for a negative step). 0 <= starts <= extent and 0 <= limits <= extent for a positive
  // step, extent > starts and limits >= -1 for a negative one: already clamped, -1 is no "last".
  Shape starts, limits;
  std::vector<int64_t> steps = {};  // empty: 1 everywhere
  static constexpr auto fields() {
    return std::make_tuple(field("starts", &SliceAttributes::starts),
                           field("limits", &SliceAttributes::limits),
                           field("steps", &SliceAttributes::steps));
  }
};
Value slice(Value x, SliceAttributes attributes);
// Elements [start, limit) of one axis. Numbers below 0 count from the end; a limit beyond is
// clamped.
Value slice_axis(Value x, int64_t axis, Dim start, Dim limit, int64_t step = 1);

struct AxisAttributes {
  int64_t axis = 0;
  static constexpr auto fields() { return std::make_tuple(field("axis", &AxisAttributes::axis)); }
};
// Joins at least one operand along an axis; the other extents are equal.
Value concat(absl::Span<const Value> xs, int64_t axis);

struct PadAttributes {
  // Elements before and after each axis; a constant pad may be negative, which crops.
  std::vector<int64_t> low, high;
  double value = 0;  // of a constant pad
  // Or "reflect" (without the border element), "edge", "wrap" (PyTorch: "circular").
  std::string mode = "constant";
  static constexpr auto fields() {
    return std::make_tuple(field("low", &PadAttributes::low), field("high", &PadAttributes::high),
                           field("value", &PadAttributes::value),
                           field("mode", &PadAttributes::mode));
  }
};
Value pad(Value x, PadAttributes attributes);

struct DimValueAttributes {
  Shape dims;
  static constexpr auto fields() {
    return std::make_tuple(field("dims", &DimValueAttributes::dims));
  }
};
// An extent as an i64 scalar, known when symbols are bound. (The op gives one for each entry of
// `dims`.)
Value dim_value(GraphBuilder& builder, Dim dim);

// Made of those above.
Value squeeze(Value x, std::vector<int64_t> axes);  // drops axes of extent 1; none given: all such
Value unsqueeze(Value x, std::vector<int64_t> axes);  // axes of the result
// Joins the axes [start, end] into one.
Value flatten(Value x, int64_t start = 0, int64_t end = -1);
// Pieces of the given extents along an axis; their sum is its extent.
std::vector<Value> split(Value x, absl::Span<const int64_t> sizes, int64_t axis);
// `count` equal pieces; InvalidArgument if a static extent is no multiple.
std::vector<Value> chunk(Value x, int64_t count, int64_t axis);
Value flip(Value x, std::vector<int64_t> axes);
Value stack(absl::Span<const Value> xs, int64_t axis);
// The whole of x, repeats[i] times along axis i.
Value tile(Value x, std::vector<int64_t> repeats);
// x with zeros above (tril) or below (triu) the diagonal of its last two axes; the diagonal is
// moved right by `diagonal`.
Value tril(Value x, int64_t diagonal = 0);
Value triu(Value x, int64_t diagonal = 0);
// A tensor of one number; `like` gives builder and element type.
Value full(Value like, Shape shape, double value);
Value full_like(Value x, double value);
Value zeros_like(Value x);
Value ones_like(Value x);

}  // namespace modellib

#endif  // MODELLIB_OPS_SHAPE_H_
