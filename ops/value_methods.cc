// The PyTorch methods of Value, which graph/builder.h declares.
#include "modellib/graph/builder.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

namespace modellib {

Value Value::mean(int64_t dim, bool keepdim) const {
  return reduce_mean(*this, {.axes = {dim}, .keepdims = keepdim});
}

Value Value::sum(int64_t dim, bool keepdim) const {
  return reduce_sum(*this, {.axes = {dim}, .keepdims = keepdim});
}

Value Value::reshape(Shape shape) const { return modellib::reshape(*this, std::move(shape)); }

Value Value::transpose(int64_t dim0, int64_t dim1) const {
  if (is_null() || is_poisoned()) return *this;
  const auto a = normal_axis(dim0, rank()), b = normal_axis(dim1, rank());
  if (!a.ok()) return builder()->poison(a.status());
  if (!b.ok()) return builder()->poison(b.status());
  std::vector<int64_t> perm(static_cast<size_t>(rank()));
  for (size_t i = 0; i < perm.size(); ++i) perm[i] = static_cast<int64_t>(i);
  std::swap(perm[static_cast<size_t>(*a)], perm[static_cast<size_t>(*b)]);
  return modellib::transpose(*this, perm);
}

Value Value::to(DType dtype) const { return cast(*this, dtype); }

}  // namespace modellib
