#include "modellib/tests/random_graphs/graph_maker.h"

#include <vector>

#include "modellib/ops/control.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

// Control flow, over a few ops of its own. Predicates are values that no rounding has touched.
namespace modellib {

using Values = std::vector<Value>;

void GraphMaker::branch() {
  const auto p = pick([](const Item& i) { return i.value.dtype() == DType::kBool; });
  if (!p.has_value()) return compare();
  const auto x = pick_float();
  if (!x.has_value()) return;
  const Value predicate = p->value.rank() == 0 ? p->value : reduce_any(p->value, {});
  const Value c = random_constant({}), v = x->value;
  const Value y = cond(
      b_, predicate, [&](GraphBuilder&) { return Values{tanh(v) * c + 0.5}; },
      [&](GraphBuilder&) { return Values{relu(v) * 0.5}; })[0];
  keep(y, x->bound + 1.5);
}

// A running sum along the first axis, which may be the free one.
void GraphMaker::loop() {
  const auto x = pick([](const Item& i) { return is_f32(i) && i.value.rank() > 0; });
  if (!x.has_value()) return;
  const Value v = x->value;
  const Shape slice(v.shape().begin() + 1, v.shape().end());
  const Value decay = random_constant({});
  const Value zero = broadcast_to(b_.scalar(0.0), slice);
  const bool counts = random_.chance(0.3);
  const ScanValues r =
      scan(b_, v.dim(0), {zero}, {v},
           [&](GraphBuilder&, Value index, absl::Span<const Value> c, absl::Span<const Value> s) {
             Value next = tanh(c[0] * decay + s[0]);
             if (counts) next = next / (cast(index, DType::kF32) + 1.0);
             return ScanValues{{next}, {next * 0.5}};
           },
           {.reverse = random_.chance(0.4)});
  keep(r.carries[0], 1);
  keep(r.ys[0], 0.5);
}

// As many times as an integer of the graph says, up to four.
void GraphMaker::repeat() {
  const auto x = pick_float();
  if (!x.has_value()) return;
  const auto n = pick([](const Item& i) { return i.value.dtype() == DType::kI64; });
  const Value times = n.has_value()
                          ? minimum(abs(n->value.rank() == 0 ? n->value : reduce_max(n->value, {})),
                                    b_.scalar(4, DType::kI64))
                          : b_.scalar(random_.below(4), DType::kI64);
  const Value c = random_constant({});
  const Values r = while_loop(
      b_, {x->value, b_.scalar(0, DType::kI64)},
      [&](GraphBuilder&, absl::Span<const Value> v) { return less(v[1], times); },
      [&](GraphBuilder& g, absl::Span<const Value> v) {
        return Values{v[0] * 0.5 + sin(v[0]) * c, v[1] + g.scalar(1, DType::kI64)};
      });
  keep(r[0], x->bound + 2);
  keep(r[1], 4, true);
}

}  // namespace modellib
