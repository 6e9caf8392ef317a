#include "modellib/tests/random_graphs/graph_maker.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/ops/optimizers.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/registry.h"

namespace modellib {
namespace {

constexpr int64_t kBatch = 3;          // what the free dimension is bound to
constexpr int64_t kMaxElements = 512;  // of a value
constexpr double kLargest = 8;         // magnitude above which a value is squashed

}  // namespace

// What comes next is drawn from here; what is common stands more than once.
const GraphMaker::Step GraphMaker::kTable[] = {&GraphMaker::unary,
                                               &GraphMaker::unary,
                                               &GraphMaker::activation,
                                               &GraphMaker::stepwise,
                                               &GraphMaker::binary,
                                               &GraphMaker::binary,
                                               &GraphMaker::binary,
                                               &GraphMaker::with_number,
                                               &GraphMaker::with_number,
                                               &GraphMaker::compare,
                                               &GraphMaker::logic,
                                               &GraphMaker::select,
                                               &GraphMaker::convert,
                                               &GraphMaker::reduction,
                                               &GraphMaker::reduction,
                                               &GraphMaker::along_axis,
                                               &GraphMaker::normalise,
                                               &GraphMaker::normalise,
                                               &GraphMaker::product,
                                               &GraphMaker::product,
                                               &GraphMaker::gram,
                                               &GraphMaker::attend,
                                               &GraphMaker::convolve,
                                               &GraphMaker::reshape_or_view,
                                               &GraphMaker::reshape_or_view,
                                               &GraphMaker::piece,
                                               &GraphMaker::join,
                                               &GraphMaker::border,
                                               &GraphMaker::lookup,
                                               &GraphMaker::drop,
                                               &GraphMaker::spelled,
                                               &GraphMaker::spelled,
                                               &GraphMaker::branch,
                                               &GraphMaker::loop,
                                               &GraphMaker::repeat,
                                               &GraphMaker::narrow_product};
const size_t GraphMaker::kSteps = std::size(kTable);

GraphMaker::GraphMaker(uint64_t seed) : random_(seed), b_(builtin_ops(), absl::StrCat("g", seed)) {}

GraphCase GraphMaker::run() {
  if (random_.chance(0.4)) batch_ = Dim::symbol("batch");
  const int64_t inputs = random_.between(1, 4);
  for (int64_t i = 0; i < inputs; ++i) add_input(random_.chance(0.85) ? DType::kF32 : DType::kI64);
  const int64_t variables = random_.below(3);
  for (int64_t i = 0; i < variables; ++i) add_variable();
  const int64_t steps = random_.between(5, 24);
  for (int64_t i = 0; i < steps; ++i) {
    (this->*kTable[static_cast<size_t>(random_.below(static_cast<int64_t>(kSteps)))])();
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

Shape GraphMaker::random_shape(bool free) {
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

Tensor GraphMaker::random_tensor(DType dtype, const Shape& shape, double low, double high) {
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

GraphMaker::Item GraphMaker::add_input_of(const TensorType& type) {
  const Value value = b_.input(absl::StrCat("x", result_.inputs.size()), type);
  result_.inputs.push_back(random_tensor(type.dtype, type.shape, -2, 2));
  items_.push_back({value, 2, true});
  return items_.back();
}

void GraphMaker::add_variable() {
  const Variable v{absl::StrCat("w", result_.variables.size()), {DType::kF32, random_shape(false)}};
  result_.variables[v.name] = random_tensor(v.type.dtype, v.type.shape, -1, 1);
  variables_.push_back(v);
  items_.push_back({b_.variable(v), 1, true});
}

Value GraphMaker::random_constant(const Shape& shape, double magnitude) {
  return b_.constant(random_tensor(DType::kF32, shape, -magnitude, magnitude));
}

int64_t GraphMaker::extent_of(const Dim& d) { return d.is_static() ? d.value() : kBatch; }

int64_t GraphMaker::elements_of(const Shape& shape) {
  int64_t n = 1;
  for (const Dim& d : shape) n *= extent_of(d);
  return n;
}

std::optional<int64_t> GraphMaker::static_axis(const Value& v) {
  std::vector<int64_t> axes;
  for (int i = 0; i < v.rank(); ++i) {
    if (v.dim(i).is_static()) axes.push_back(i);
  }
  if (axes.empty()) return std::nullopt;
  return axes[static_cast<size_t>(random_.below(static_cast<int64_t>(axes.size())))];
}
void GraphMaker::keep(Value v, double bound, bool exact) {
  if (elements_of(v.shape()) > kMaxElements) return;
  if (is_floating(v.dtype()) && bound > kLargest) {
    v = random_.chance(0.5) ? tanh(v) : v * (1.0 / bound);
    bound = 1;
    exact = false;
  }
  if (is_integer(v.dtype()) && bound > 1e6) return;
  items_.push_back({v, bound, exact || !is_floating(v.dtype())});
}

bool GraphMaker::broadcast(const Shape& a, const Shape& b) {
  const size_t n = std::min(a.size(), b.size());
  for (size_t i = 1; i <= n; ++i) {
    const Dim &x = a[a.size() - i], &y = b[b.size() - i];
    if (!(x == y) && !(x == Dim(1)) && !(y == Dim(1))) return false;
  }
  return true;
}
std::optional<GraphMaker::Item> GraphMaker::partner(const Item& a, bool exact) {
  return pick([&](const Item& i) {
    return i.value.dtype() == a.value.dtype() && broadcast(i.value.shape(), a.value.shape()) &&
           (!exact || i.exact);
  });
}

void GraphMaker::add_outputs() {
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

GraphCase random_graph(uint64_t seed) { return GraphMaker(seed).run(); }

}  // namespace modellib
