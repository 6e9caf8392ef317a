#include "modellib/ops/linear.h"

#include "absl/strings/str_cat.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib {

Value linear(Value x, Value w, Value b) {
  if (!usable("linear", {x, w})) return poisoned({x, w});
  if (x.rank() < 1 || w.rank() != 2) {
    return x.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("linear: expected x [..., in] and a weight [out, in], got ",
                     to_string(x.type()), " and ", to_string(w.type()))));
  }
  // With the rows in one matrix the gradient of w is one product, too.
  Dim rows = 1;
  for (int i = 0; i + 1 < x.rank(); ++i) rows = rows * x.dim(i);
  const Value matrix = x.rank() == 2 ? x : reshape(x, {rows, x.dim(-1)});
  Value y = matmul(matrix, w, {.transpose_b = true});
  if (!b.is_null()) y = y + with_shape(b, {w.dim(0)}, "linear: the bias");
  if (x.rank() == 2) return y;
  Shape shape = x.shape();
  shape.back() = w.dim(0);
  return reshape(y, std::move(shape));
}

}  // namespace modellib
