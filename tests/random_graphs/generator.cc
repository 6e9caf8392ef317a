#include "modellib/tests/random_graphs/generator.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/dropout.h"
#include "modellib/ops/index.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/normalization.h"
#include "modellib/ops/optimizers.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/pool.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/softmax.h"

namespace modellib {
namespace {

constexpr int64_t kBatch = 3;          // what the free dimension is bound to
constexpr int64_t kMaxElements = 512;  // of a value
constexpr double kLargest = 8;         // magnitude above which a value is squashed

// A value with what is known of its numbers.
struct Item {
  Value value;
  double bound = 2;    // of magnitudes
  bool exact = false;  // the same bits on every executor: rounding has not touched it
};

int64_t extent_of(const Dim& d) { return d.is_static() ? d.value() : kBatch; }
int64_t elements_of(const Shape& shape) {
  int64_t n = 1;
  for (const Dim& d : shape) n *= extent_of(d);
  return n;
}

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed), b_(builtin_ops(), absl::StrCat("g", seed)) {}

  GraphCase run() {
    if (random_.chance(0.4)) batch_ = Dim::symbol("batch");
    const int64_t inputs = random_.between(1, 4);
    for (int64_t i = 0; i < inputs; ++i)
      add_input(random_.chance(0.85) ? DType::kF32 : DType::kI64);
    const int64_t variables = random_.below(3);
    for (int64_t i = 0; i < variables; ++i) add_variable();
    const int64_t steps = random_.between(5, 24);
    for (int64_t i = 0; i < steps; ++i) {
      constexpr size_t kSteps = std::size(kTable);
      (this->*kTable[static_cast<size_t>(random_.below(kSteps))])();
    }
    add_outputs();
    absl::StatusOr<GraphRef> graph = b_.build();
    if (!graph.ok()) {
      // A mistake of the generator.
      std::fprintf(stderr, "random graph: %s\n", graph.status().ToString().c_str());
      std::abort();
    }
    result_.graph = *std::move(graph);
    return std::move(result_);
  }

 private:
  using Step = void (Generator::*)();

  // Inputs and variables.

  Shape random_shape(bool free) {
    static constexpr int64_t kExtents[] = {1, 2, 3, 4, 5, 7, 8, 16};
    while (true) {
      Shape shape;
      const int64_t rank = random_.between(free ? 1 : 0, 4);
      for (int64_t i = 0; i < rank; ++i) {
        shape.push_back(Dim(kExtents[random_.below(std::size(kExtents))]));
      }
      if (free && batch_.has_value() && random_.chance(0.7)) shape[0] = *batch_;
      if (elements_of(shape) <= kMaxElements) return shape;
    }
  }

  Tensor random_tensor(DType dtype, const Shape& shape, double low, double high) {
    std::vector<int64_t> extents;
    for (const Dim& d : shape) extents.push_back(extent_of(d));
    Tensor t = *Tensor::zeros(dtype, extents);
    for (int64_t i = 0; i < t.elements(); ++i) {
      if (is_floating(dtype)) {
        t.set(i, low + (high - low) * random_.uniform());
      } else {
        t.set_int(i, random_.between(static_cast<int64_t>(low), static_cast<int64_t>(high)));
      }
    }
    return t;
  }

  Item add_input_of(const TensorType& type) {
    const Value value = b_.input(absl::StrCat("x", result_.inputs.size()), type);
    result_.inputs.push_back(random_tensor(type.dtype, type.shape, -2, 2));
    items_.push_back({value, 2, true});
    return items_.back();
  }
  void add_input(DType dtype) { add_input_of({dtype, random_shape(true)}); }

  void add_variable() {
    const Variable v{absl::StrCat("w", result_.variables.size()),
                     {DType::kF32, random_shape(false)}};
    result_.variables[v.name] = random_tensor(v.type.dtype, v.type.shape, -1, 1);
    variables_.push_back(v);
    items_.push_back({b_.variable(v), 1, true});
  }

  Value random_constant(const Shape& shape, double magnitude = 1) {
    return b_.constant(random_tensor(DType::kF32, shape, -magnitude, magnitude));
  }

  // Choice.

  template <class Fits>
  std::optional<Item> pick(Fits fits) {
    std::vector<Item> candidates;
    for (const Item& item : items_) {
      if (fits(item)) candidates.push_back(item);
    }
    if (candidates.empty()) return std::nullopt;
    // Late values more often, so that graphs grow deep as well as wide.
    const auto n = static_cast<int64_t>(candidates.size());
    return candidates[static_cast<size_t>(std::max(random_.below(n), random_.below(n)))];
  }
  static bool is_f32(const Item& i) { return i.value.dtype() == DType::kF32; }
  static bool is_number(const Item& i) { return i.value.dtype() != DType::kBool; }
  std::optional<Item> pick_float() { return pick(is_f32); }
  // An axis whose extent is a number; none: no value.
  std::optional<int64_t> static_axis(const Value& v) {
    std::vector<int64_t> axes;
    for (int i = 0; i < v.rank(); ++i) {
      if (v.dim(i).is_static()) axes.push_back(i);
    }
    if (axes.empty()) return std::nullopt;
    return axes[static_cast<size_t>(random_.below(static_cast<int64_t>(axes.size())))];
  }
  template <class T>
  T one_of(std::initializer_list<T> list) {
    return list.begin()[random_.below(static_cast<int64_t>(list.size()))];
  }

  // Keeps a value, squashed if its numbers could be large.
  void keep(Value v, double bound, bool exact = false) {
    if (elements_of(v.shape()) > kMaxElements) return;
    if (is_floating(v.dtype()) && bound > kLargest) {
      v = random_.chance(0.5) ? tanh(v) : v * (1.0 / bound);
      bound = 1;
      exact = false;
    }
    if (is_integer(v.dtype()) && bound > 1e6) return;
    items_.push_back({v, bound, exact || !is_floating(v.dtype())});
  }

  // Whether two shapes broadcast without a constraint that the binding could break.
  static bool broadcast(const Shape& a, const Shape& b) {
    const size_t n = std::min(a.size(), b.size());
    for (size_t i = 1; i <= n; ++i) {
      const Dim &x = a[a.size() - i], &y = b[b.size() - i];
      if (!(x == y) && !(x == Dim(1)) && !(y == Dim(1))) return false;
    }
    return true;
  }
  std::optional<Item> partner(const Item& a, bool exact = false) {
    return pick([&](const Item& i) {
      return i.value.dtype() == a.value.dtype() && broadcast(i.value.shape(), a.value.shape()) &&
             (!exact || i.exact);
    });
  }

  // Pointwise.

  void unary() {
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
  void activation() {
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
  void stepwise() {
    const auto x = pick([](const Item& i) { return is_f32(i) && i.exact; });
    if (!x.has_value()) return;
    const Value v = x->value;
    keep(one_of({floor, ceil, round, trunc, sign})(v), x->bound + 1, true);
  }
  void binary() {
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
  void with_number() {
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
  void compare() {
    const auto a = pick([](const Item& i) { return is_number(i) && i.exact; });
    if (!a.has_value()) return;
    const auto b = partner(*a, true);
    using Compare = Value (*)(Value, Value);
    const auto op = one_of<Compare>({equal, not_equal, less, less_equal, greater, greater_equal});
    keep(op(a->value, b->value), 1, true);
  }
  void logic() {
    const auto a = pick([](const Item& i) { return i.value.dtype() == DType::kBool; });
    if (!a.has_value()) return compare();
    using Logic = Value (*)(Value, Value);
    if (random_.chance(0.3)) return keep(logical_not(a->value), 1, true);
    keep(one_of<Logic>({logical_and, logical_or, logical_xor})(a->value, partner(*a)->value), 1,
         true);
  }
  void select() {
    const auto c = pick([](const Item& i) { return i.value.dtype() == DType::kBool; });
    if (!c.has_value()) return compare();
    const auto a = pick([&](const Item& i) {
      return is_number(i) && broadcast(i.value.shape(), c->value.shape());
    });
    if (!a.has_value()) return;
    const Value taken = where(c->value, a->value, zeros_like(a->value));
    keep(taken, a->bound, a->exact);
  }
  void convert() {
    const auto x = pick([](const Item&) { return true; });
    switch (x->value.dtype()) {
      case DType::kF32:
        if (x->exact && random_.chance(0.5))
          return keep(cast(x->value, DType::kI32), x->bound, true);
        return keep(cast(x->value, DType::kF64), x->bound, x->exact);
      case DType::kF64:
        return keep(cast(x->value, DType::kF32), x->bound);
      default:
        return keep(cast(x->value, one_of({DType::kF32, DType::kI64})), x->bound, true);
    }
  }

  // Reductions and norms.

  void reduction() {
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
  void along_axis() {
    const auto x =
        pick([](const Item& i) { return is_number(i) && i.value.rank() > 0 && i.exact; });
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
  void normalise() {
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

  // Products.

  void product() {
    const auto x = pick([](const Item& i) {
      return is_f32(i) && i.value.rank() >= 2 && i.value.dim(-1).is_static();
    });
    if (!x.has_value()) return;
    const Dim k = x->value.dim(-1);
    const Dim n = random_.between(1, 9);
    const bool transposed = random_.chance(0.5);
    Value y = matmul(x->value, random_constant(transposed ? Shape{n, k} : Shape{k, n}),
                     {.transpose_b = transposed});
    double bound = x->bound * static_cast<double>(k.value());
    if (random_.chance(0.5)) y = y + random_constant({n}), bound += 1;
    if (random_.chance(0.3)) y = relu(y);
    if (random_.chance(0.3)) y = gelu(y);
    keep(y * (1.0 / static_cast<double>(k.value())), bound / static_cast<double>(k.value()));
  }
  void gram() {
    const auto x = pick([](const Item& i) {
      return is_f32(i) && i.value.rank() >= 2 && i.value.dim(-1).is_static();
    });
    if (!x.has_value()) return;
    keep(matmul(x->value, x->value, {.transpose_b = true}),
         x->bound * x->bound * static_cast<double>(x->value.dim(-1).value()));
  }
  void attend() {
    const Item q = add_input_of({DType::kF32, {2, 2, 3, 4}});
    const Item k = add_input_of({DType::kF32, {2, 2, 5, 4}});
    if (random_.chance(0.5)) return keep(attention(q.value, k.value, k.value), 2);
    // Spelled out.
    const Value scores = matmul(q.value, transpose(k.value, {0, 1, 3, 2})) * 0.5;
    keep(matmul(softmax(scores), k.value), 2);
  }
  void convolve() {
    const Item x = add_input_of({DType::kF32, {2, 3, 5, 6}});
    const Value y = conv2d(x.value, random_constant({4, 3, 3, 3}, 0.3),
                           {.padding_low = {1, 1}, .padding_high = {1, 1}});
    keep(random_.chance(0.5) ? max_pool(relu(y), {.kernel = {2, 2}}) : y * 0.25, 8);
  }

  // What moves elements.

  void reshape_or_view() {
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
  void piece() {
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
  void join() {
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
  void border() {
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
  void lookup() {
    const auto x = pick([](const Item& i) { return i.value.rank() > 0; });
    if (!x.has_value()) return;
    const auto axis = static_axis(x->value);
    if (!axis.has_value()) return;
    const int64_t extent = x->value.dim(static_cast<int>(*axis)).value();
    const Shape shape = random_.chance(0.5) ? Shape{random_.between(1, 4)} : Shape{};
    const Value indices = b_.constant(random_tensor(
        DType::kI64, shape, static_cast<double>(-extent), static_cast<double>(extent - 1)));
    const Value found = gather(x->value, indices, *axis);
    keep(found, x->bound, x->exact);
    if (is_f32(*x) && !shape.empty() && random_.chance(0.4)) {
      keep(scatter_add(x->value, indices, found, *axis), 5 * x->bound);
    }
  }
  void drop() {
    const auto x = pick_float();
    if (!x.has_value()) return;
    const Value key = b_.constant(Tensor::scalar(random_.between(0, 1000)));
    keep(dropout(x->value, key, {.p = 0.25, .stream = random_.between(0, 1000)}), 2 * x->bound);
  }

  // Composites in primitives, as an importer brings them.
  void spelled() {
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

  void add_outputs() {
    for (const Variable& v : variables_) {
      if (!random_.chance(0.7)) continue;
      const auto g = pick([&](const Item& i) { return i.value.type() == v.type; });
      if (!g.has_value()) continue;
      const Value now = b_.variable(v);
      const OptimizerStep step{.lr = b_.scalar(0.1), .step = b_.scalar(1, DType::kI64)};
      b_.assign(v, random_.chance(0.5) ? sgd_update({now}, g->value, step).param : g->value);
    }
    const std::vector<std::vector<NodeId>> users = b_.so_far().users();
    int outputs = 0;
    for (size_t i = items_.size(); i-- > 0 && outputs < 6;) {
      const bool sink = users[static_cast<size_t>(items_[i].value.id())].empty();
      if (sink || random_.chance(0.1)) b_.output(absl::StrCat("y", outputs++), items_[i].value);
    }
  }

  static constexpr Step kTable[] = {
      &Generator::unary,           &Generator::unary,       &Generator::activation,
      &Generator::stepwise,        &Generator::binary,      &Generator::binary,
      &Generator::binary,          &Generator::with_number, &Generator::with_number,
      &Generator::compare,         &Generator::logic,       &Generator::select,
      &Generator::convert,         &Generator::reduction,   &Generator::reduction,
      &Generator::along_axis,      &Generator::normalise,   &Generator::normalise,
      &Generator::product,         &Generator::product,     &Generator::gram,
      &Generator::attend,          &Generator::convolve,    &Generator::reshape_or_view,
      &Generator::reshape_or_view, &Generator::piece,       &Generator::join,
      &Generator::border,          &Generator::lookup,      &Generator::drop,
      &Generator::spelled,         &Generator::spelled};

  SeededNumbers random_;
  GraphBuilder b_;
  GraphCase result_;
  std::optional<Dim> batch_;
  std::vector<Item> items_;
  std::vector<Variable> variables_;
};

}  // namespace

GraphCase random_graph(uint64_t seed) { return Generator(seed).run(); }

}  // namespace modellib
