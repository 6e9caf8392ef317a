// Ops that find elements by number: gather, scatter, update_slice, top_k, sort, iota.
//
// Indices are i64 or i32. Negative ones count from the end. One that is still out of range ends the
// run with OutOfRange.
#ifndef MODELLIB_OPS_INDEX_H_
#define MODELLIB_OPS_INDEX_H_

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include "modellib/graph/builder.h"
#include "modellib/ops/shape.h"

namespace modellib {

// data [a…, n, b…] and indices [i…] give [a…, i…, b…]: whole slices along `axis`.
Value gather(Value data, Value indices, int64_t axis = 0);
// data [a…, n, b…] plus updates [a…, i…, b…]: the gradient of gather; with indices of rank 1 it is
// torch.index_add. Equal indices add up.
Value scatter_add(Value data, Value indices, Value updates, int64_t axis = 0);

// torch.gather: data and indices have one rank, the result the shape of indices: element by
// element, the coordinate of `axis` is replaced by the index. Other extents of indices are at most
// data's.
Value gather_elements(Value data, Value indices, int64_t axis);

struct ScatterElementsAttributes {
  int64_t axis = 0;
  // "none": an update replaces; of several for one element the last in C order stands, and their
  // gradient is that of the last, given to each. "add": they add up.
  std::string reduction = "none";
  static constexpr auto fields() {
    return std::make_tuple(field("axis", &ScatterElementsAttributes::axis),
                           field("reduction", &ScatterElementsAttributes::reduction));
  }
};
// torch.scatter: writes updates (of the shape of indices) where gather_elements would read.
Value scatter_elements(Value data, Value indices, Value updates,
                       ScatterElementsAttributes attributes = {});

// x with `update` written at `start` along `axis`; other extents are equal. start: an i64 scalar,
// or [batch] with one for each row of axis 0 (a key-value cache whose rows have different ages).
// OutOfRange unless 0 <= start and start plus the update's extent is within x.
Value update_slice(Value x, Value update, Value start, int64_t axis);

struct IotaAttributes {
  Shape shape;
  int64_t axis = 0;
  DType dtype = DType::kI64;
  static constexpr auto fields() {
    return std::make_tuple(field("shape", &IotaAttributes::shape),
                           field("axis", &IotaAttributes::axis),
                           field("dtype", &IotaAttributes::dtype));
  }
};
struct IotaOptions {
  int64_t axis = 0;
  DType dtype = DType::kI64;  // a number type
};
// The coordinate along `axis` of each element.
Value iota(GraphBuilder& builder, Shape shape, IotaOptions options = {});

struct OneHotOptions {
  int64_t axis = -1;  // of the result
  DType dtype = DType::kF32;
};
// [i…] with values in [0, depth) to [i…, depth]: 1 at the index, else 0; a row of zeros for an
// index out of range.
Value one_hot(Value indices, Dim depth, OneHotOptions options = {});

struct TopKAttributes {
  int64_t k = 1;
  int64_t axis = -1;
  bool largest = true;
  static constexpr auto fields() {
    return std::make_tuple(field("k", &TopKAttributes::k), field("axis", &TopKAttributes::axis),
                           field("largest", &TopKAttributes::largest));
  }
};
struct SortAttributes {
  int64_t axis = -1;
  bool descending = false;
  static constexpr auto fields() {
    return std::make_tuple(field("axis", &SortAttributes::axis),
                           field("descending", &SortAttributes::descending));
  }
};
struct ValuesAndIndices {
  Value values, indices;  // indices: i64
};
// The k largest (smallest) along the axis, the most extreme first. Both keep the order of equal
// elements, and a NaN counts as larger than all.
ValuesAndIndices top_k(Value x, TopKAttributes attributes);
ValuesAndIndices sort(Value x, SortAttributes attributes = {});

}  // namespace modellib

#endif  // MODELLIB_OPS_INDEX_H_
