#include "modellib/tests/random_graphs/graph_maker.h"

#include <algorithm>
#include <cmath>

#include "modellib/ops/index.h"
#include "modellib/ops/normalization.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/softmax.h"

// Reductions, norms, and composites that are spelled out in primitives.
namespace modellib {

void GraphMaker::reduction() {
  const auto x = pick([](const Item& i) { return i.value.rank() > 0; });
  if (!x.has_value()) return;
  ReduceAttributes a;
  double count = 1;
  for (int i = 0; i < x->value.rank(); ++i) {
    if (!random_.chance(0.5) && !(a.axes.empty() && i + 1 == x->value.rank())) continue;
    a.axes.push_back(random_.chance(0.5) ? i : i - x->value.rank());
    count *= static_cast<double>(extent_of(x->value.dim(i)));
  }
  a.keepdims = random_.chance(0.5);
  const Value v = x->value;
  if (v.dtype() == DType::kBool) {
    return keep(random_.chance(0.5) ? reduce_any(v, a) : reduce_all(v, a), 1, true);
  }
  switch (random_.below(is_floating(v.dtype()) ? 4 : 3)) {
    case 0:
      return keep(reduce_max(v, a), x->bound, x->exact);
    case 1:
      return keep(reduce_min(v, a), x->bound, x->exact);
    case 2:
      return keep(reduce_sum(v, a), x->bound * count);
    default:
      return keep(reduce_mean(v, a), x->bound);
  }
}

void GraphMaker::along_axis() {
  const auto x = pick([](const Item& i) { return is_number(i) && i.value.rank() > 0 && i.exact; });
  if (!x.has_value()) return;
  const auto axis = static_axis(x->value);
  if (!axis.has_value()) return;
  const int64_t extent = x->value.dim(static_cast<int>(*axis)).value();
  switch (random_.below(4)) {
    case 0:
      return keep(argmax(x->value, {.axis = *axis, .keepdims = random_.chance(0.5)}), 16, true);
    case 1:
      return keep(cumsum(x->value, {.axis = *axis, .reverse = random_.chance(0.5)}),
                  x->bound * static_cast<double>(extent));
    case 2:
      return keep(sort(x->value, {.axis = *axis, .descending = random_.chance(0.5)}).values,
                  x->bound, true);
    default: {
      const auto top = top_k(x->value, {.k = random_.between(1, extent), .axis = *axis});
      keep(top.values, x->bound, true);
      return keep(top.indices, 16, true);
    }
  }
}

void GraphMaker::normalise() {
  const auto x = pick([](const Item& i) { return is_f32(i) && i.value.rank() > 0; });
  if (!x.has_value()) return;
  const Value v = x->value;
  const bool row = v.dim(-1).is_static();
  switch (random_.below(row ? 4 : 2)) {
    case 0:
      return keep(softmax(v, {random_.between(-v.rank(), v.rank() - 1)}), 1);
    case 1:
      return keep(log_softmax(v, {-1}), 2 * x->bound + 4);
    // A large eps: rows of equal elements must not magnify rounding.
    case 2: {
      const Shape shape = {v.dim(-1)};
      return keep(layer_norm(v, random_constant(shape), random_constant(shape), {.eps = 0.1}), 5);
    }
    default:
      return keep(rms_norm(v, {}, {.eps = 0.1}), 4);
  }
}

void GraphMaker::spelled() {
  const auto x = pick([](const Item& i) { return is_f32(i) && i.value.rank() > 0; });
  if (!x.has_value()) return;
  const Value v = x->value;
  const std::vector<int64_t> last = {-1};
  switch (random_.below(4)) {
    case 0:
      return keep(v * (erf(v / std::sqrt(2.0)) + 1.0) * 0.5, x->bound);
    case 1:
      return keep(v * sigmoid(v), x->bound);
    case 2: {
      const Value e = exp(v - reduce_max(v, {.axes = last, .keepdims = true}));
      return keep(e / reduce_sum(e, {.axes = last, .keepdims = true}), 1);
    }
    default: {
      const Value d = v - reduce_mean(v, {.axes = last, .keepdims = true});
      const Value var = reduce_mean(square(d), {.axes = last, .keepdims = true});
      return keep(d / sqrt(var + 0.1), 5);
    }
  }
}

}  // namespace modellib
