#include "modellib/tests/random_graphs/graph_maker.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "modellib/ops/activations.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

// What computes element by element.
namespace modellib {

void GraphMaker::unary() {
  const auto x = pick_float();
  if (!x.has_value()) return;
  const Value v = x->value;
  switch (random_.below(14)) {
    case 0:
      return keep(neg(v), x->bound, x->exact);
    case 1:
      return keep(abs(v), x->bound, x->exact);
    case 2:
      return keep(relu(v), x->bound, x->exact);
    case 3:
      return keep(tanh(v), 1);
    case 4:
      return keep(sigmoid(v), 1);
    case 5:
      return keep(exp(tanh(v)), 2.8);
    case 6:
      return keep(erf(v), 1);
    case 7:
      return keep(sin(v), 1);
    case 8:
      return keep(cos(v), 1);
    case 9:
      return keep(sqrt(abs(v) + 0.5), std::sqrt(x->bound + 0.5));
    case 10:
      return keep(rsqrt(abs(v) + 0.5), 1.5);
    case 11:
      return keep(log1p(abs(v)), std::log1p(x->bound));
    case 12:
      return keep(reciprocal(abs(v) + 1.0), 1);
    default:
      return keep(square(v), x->bound * x->bound);
  }
}

void GraphMaker::activation() {
  const auto x = pick_float();
  if (!x.has_value()) return;
  const Value v = x->value;
  switch (random_.below(7)) {
    case 0:
      return keep(gelu(v), x->bound);
    case 1:
      return keep(gelu(v, {.approximate = "tanh"}), x->bound);
    case 2:
      return keep(silu(v), x->bound);
    case 3:
      return keep(elu(v), std::max(1.0, x->bound));
    case 4:
      return keep(softplus(v), x->bound + 1);
    case 5:
      return keep(leaky_relu(v), x->bound);
    default:
      return keep(hard_swish(v), x->bound);
  }
}

void GraphMaker::stepwise() {
  const auto x = pick([](const Item& i) { return is_f32(i) && i.exact; });
  if (!x.has_value()) return;
  const Value v = x->value;
  keep(one_of({floor, ceil, round, trunc, sign})(v), x->bound + 1, true);
}

void GraphMaker::binary() {
  const auto a = pick(is_number);
  if (!a.has_value()) return;
  const auto b = partner(*a);
  const Value x = a->value, y = b->value;
  const bool exact = !is_floating(x.dtype());
  switch (random_.below(6)) {
    case 0:
      return keep(x + y, a->bound + b->bound, exact);
    case 1:
      return keep(x - y, a->bound + b->bound, exact);
    case 2:
      return keep(x * y, a->bound * b->bound, exact);
    case 3:
      return keep(minimum(x, y), std::max(a->bound, b->bound), a->exact && b->exact);
    case 4:
      return keep(maximum(x, y), std::max(a->bound, b->bound), a->exact && b->exact);
    default:
      if (is_floating(x.dtype())) return keep(x / (abs(y) + 1.0), a->bound);
      return keep(floor_div(x, y), a->bound + 1, true);
  }
}

void GraphMaker::with_number() {
  const auto x = pick_float();
  if (!x.has_value()) return;
  const double c = one_of({0.5, 1.0, -1.0, 2.0, 0.25, 3.0});
  switch (random_.below(4)) {
    case 0:
      return keep(x->value + c, x->bound + std::abs(c));
    case 1:
      return keep(x->value * c, x->bound * std::abs(c));
    case 2:
      return keep(x->value / c, x->bound / std::abs(c));
    default:
      return keep(c - x->value, x->bound + std::abs(c));
  }
}

void GraphMaker::compare() {
  const auto a = pick([](const Item& i) { return is_number(i) && i.exact; });
  if (!a.has_value()) return;
  const auto b = partner(*a, true);
  using Compare = Value (*)(Value, Value);
  const auto op = one_of<Compare>({equal, not_equal, less, less_equal, greater, greater_equal});
  keep(op(a->value, b->value), 1, true);
}

void GraphMaker::logic() {
  const auto a = pick([](const Item& i) { return i.value.dtype() == DType::kBool; });
  if (!a.has_value()) return compare();
  using Logic = Value (*)(Value, Value);
  if (random_.chance(0.3)) return keep(logical_not(a->value), 1, true);
  keep(one_of<Logic>({logical_and, logical_or, logical_xor})(a->value, partner(*a)->value), 1,
       true);
}

void GraphMaker::select() {
  const auto c = pick([](const Item& i) { return i.value.dtype() == DType::kBool; });
  if (!c.has_value()) return compare();
  const auto a = pick(
      [&](const Item& i) { return is_number(i) && broadcast(i.value.shape(), c->value.shape()); });
  if (!a.has_value()) return;
  const Value taken = where(c->value, a->value, zeros_like(a->value));
  keep(taken, a->bound, a->exact);
}

void GraphMaker::convert() {
  const auto x = pick([](const Item&) { return true; });
  switch (x->value.dtype()) {
    case DType::kF32:
      if (x->exact && random_.chance(0.5)) return keep(cast(x->value, DType::kI32), x->bound, true);
      return keep(cast(x->value, DType::kF64), x->bound, x->exact);
    case DType::kF64:
    case DType::kF16:
    case DType::kBF16:
      return keep(cast(x->value, DType::kF32), x->bound);
    default:
      return keep(cast(x->value, one_of({DType::kF32, DType::kI64})), x->bound, true);
  }
}

}  // namespace modellib
