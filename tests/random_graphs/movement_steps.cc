#include "modellib/tests/random_graphs/graph_maker.h"

#include <algorithm>

#include "modellib/ops/dropout.h"
#include "modellib/ops/index.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

// What moves elements, looks them up or drops them.
namespace modellib {

void GraphMaker::reshape_or_view() {
  const auto x = pick([](const Item& i) { return i.value.rank() > 0; });
  if (!x.has_value()) return;
  const Value v = x->value;
  const int rank = v.rank();
  switch (random_.below(5)) {
    case 0:
      return keep(flatten(v, v.dim(0).is_static() || rank == 1 ? 0 : 1), x->bound, x->exact);
    case 1:
      return keep(rank < 4 ? unsqueeze(v, {random_.between(0, rank)}) : flatten(v, 1), x->bound,
                  x->exact);
    case 2: {
      std::vector<int64_t> perm;
      for (int i = 0; i < rank; ++i) perm.push_back(i);
      for (size_t i = perm.size(); i > 1; --i) {
        std::swap(perm[i - 1], perm[static_cast<size_t>(random_.below(static_cast<int64_t>(i)))]);
      }
      return keep(transpose(v, perm), x->bound, x->exact);
    }
    case 3: {
      if (rank >= 4) return;
      Shape shape = v.shape();
      shape.insert(shape.begin(), Dim(random_.between(1, 3)));
      return keep(broadcast_to(v, shape), x->bound, x->exact);
    }
    default: {
      // Folds the last axis in two.
      const Dim last = v.dim(-1);
      if (!last.is_static() || last.value() % 2 != 0 || rank >= 4) return;
      Shape shape = v.shape();
      shape.back() = last.value() / 2;
      shape.push_back(2);
      return keep(reshape(v, shape), x->bound, x->exact);
    }
  }
}

void GraphMaker::piece() {
  const auto x = pick([](const Item& i) { return i.value.rank() > 0; });
  if (!x.has_value()) return;
  const auto axis = static_axis(x->value);
  if (!axis.has_value()) return;
  const int64_t extent = x->value.dim(static_cast<int>(*axis)).value();
  if (random_.chance(0.2)) return keep(flip(x->value, {*axis}), x->bound, x->exact);
  const int64_t start = random_.below(extent);
  const int64_t limit = random_.between(start + 1, extent);
  keep(slice_axis(x->value, *axis, start, limit, random_.between(1, 2)), x->bound, x->exact);
}

void GraphMaker::join() {
  const auto x = pick([](const Item& i) { return i.value.rank() > 0; });
  if (!x.has_value()) return;
  const auto axis = static_axis(x->value);
  if (!axis.has_value()) return;
  const auto y = pick([&](const Item& i) {
    if (i.value.dtype() != x->value.dtype() || i.value.rank() != x->value.rank()) return false;
    for (int d = 0; d < i.value.rank(); ++d) {
      if (d != *axis && !(i.value.dim(d) == x->value.dim(d))) return false;
    }
    return i.value.dim(static_cast<int>(*axis)).is_static();
  });
  keep(concat({x->value, y->value}, *axis), std::max(x->bound, y->bound), x->exact && y->exact);
}

void GraphMaker::border() {
  const auto x = pick([](const Item& i) { return is_f32(i) && i.value.rank() > 0; });
  if (!x.has_value()) return;
  PadAttributes a;
  for (int i = 0; i < x->value.rank(); ++i) {
    const bool grows = x->value.dim(i).is_static() && random_.chance(0.5);
    a.low.push_back(grows ? random_.below(3) : 0);
    a.high.push_back(grows ? random_.below(3) : 0);
  }
  if (random_.chance(0.3)) a.mode = "edge";
  keep(pad(x->value, a), x->bound, x->exact);
}

void GraphMaker::lookup() {
  const auto x = pick([](const Item& i) { return i.value.rank() > 0; });
  if (!x.has_value()) return;
  const auto axis = static_axis(x->value);
  if (!axis.has_value()) return;
  const int64_t extent = x->value.dim(static_cast<int>(*axis)).value();
  const Shape shape = random_.chance(0.5) ? Shape{random_.between(1, 4)} : Shape{};
  const Value indices = b_.constant(random_tensor(DType::kI64, shape, static_cast<double>(-extent),
                                                  static_cast<double>(extent - 1)));
  const Value found = gather(x->value, indices, *axis);
  keep(found, x->bound, x->exact);
  if (is_f32(*x) && !shape.empty() && random_.chance(0.4)) {
    keep(scatter_add(x->value, indices, found, *axis), 5 * x->bound);
  }
}

void GraphMaker::drop() {
  const auto x = pick_float();
  if (!x.has_value()) return;
  const Value key = b_.constant(Tensor::scalar(random_.between(0, 1000)));
  keep(dropout(x->value, key, {.p = 0.25, .stream = random_.between(0, 1000)}), 2 * x->bound);
}

}  // namespace modellib
