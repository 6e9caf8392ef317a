#include "modellib/frontends/onnx/contents.h"

#include <cmath>
#include <functional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "modellib/frontends/onnx/numbers.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/index.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {
namespace {

constexpr int64_t kMostElements = 1024;
// Of all the numbers that are kept, in parts of their expressions: some hundred MiB. Models compute
// shapes of few numbers; functions that call functions can say more in a few bytes.
constexpr size_t kMostKept = size_t{1} << 22;

// One node whose operands are small.
struct Site {
  const Graph& graph;
  const Graph::Node& node;
  std::vector<const std::vector<Number>*> operands;  // null: unknown
  std::vector<int64_t> shape;                        // of the first output

  const std::vector<Number>& in(size_t i) const { return *operands[i]; }
  std::vector<int64_t> in_shape(size_t i) const {
    return *static_extents(graph.type(node.inputs[i]).shape);
  }
  template <class T>
  const T& attributes() const {
    return node.attributes.as<T>();
  }
};
using Numbers = std::vector<Number>;

Number at(const Numbers& numbers, int64_t i) { return numbers[static_cast<size_t>(i)]; }

// Element by element; `pick` gives the operand's element for an index of the result.
Numbers gathered(const Site& s, const std::function<Number(absl::Span<const int64_t>)>& pick) {
  Numbers result;
  for_each_index(s.shape, [&](absl::Span<const int64_t> index) { result.push_back(pick(index)); });
  return result;
}

Numbers of_tensor(const Tensor& t) {
  Numbers result;
  for (int64_t i = 0; i < t.elements(); ++i) {
    if (is_floating(t.dtype())) {
      result.push_back(Number::of_real(t.at(i)));
    } else {
      // Numbers of u64 above those of i64 are not followed.
      const int64_t n = t.int_at(i);
      result.push_back(t.dtype() == DType::kU64 && n < 0 ? Number() : Number::of(n));
    }
  }
  return result;
}

Numbers broadcast(const Site& s, size_t operand) {
  const auto shape = s.in_shape(operand);
  return gathered(s, [&](absl::Span<const int64_t> index) {
    return at(s.in(operand), broadcast_offset(index, shape));
  });
}

Numbers transposed(const Site& s) {
  std::vector<int64_t> perm = s.attributes<TransposeAttributes>().perm;
  const auto shape = s.in_shape(0);
  if (perm.empty()) {
    for (size_t d = shape.size(); d-- > 0;) perm.push_back(static_cast<int64_t>(d));
  }
  std::vector<int64_t> from(shape.size());
  return gathered(s, [&](absl::Span<const int64_t> index) {
    for (size_t d = 0; d < perm.size(); ++d) {
      from[static_cast<size_t>(axis_of(perm[d], static_cast<int>(shape.size())))] = index[d];
    }
    return at(s.in(0), offset_of(from, shape));
  });
}

Numbers sliced(const Site& s) {
  const auto& a = s.attributes<SliceAttributes>();
  if (!is_static(a.starts)) return {};
  const auto shape = s.in_shape(0);
  std::vector<int64_t> from(shape.size());
  return gathered(s, [&](absl::Span<const int64_t> index) {
    for (size_t d = 0; d < shape.size(); ++d) {
      from[d] = a.starts[d].value() + index[d] * (a.steps.empty() ? 1 : a.steps[d]);
    }
    return at(s.in(0), offset_of(from, shape));
  });
}

Numbers concatenated(const Site& s) {
  const auto axis = static_cast<size_t>(
      axis_of(s.attributes<AxisAttributes>().axis, static_cast<int>(s.shape.size())));
  std::vector<std::vector<int64_t>> shapes;
  for (size_t i = 0; i < s.operands.size(); ++i) shapes.push_back(s.in_shape(i));
  std::vector<int64_t> from(s.shape.size());
  return gathered(s, [&](absl::Span<const int64_t> index) {
    from.assign(index.begin(), index.end());
    size_t operand = 0;
    while (from[axis] >= shapes[operand][axis]) from[axis] -= shapes[operand++][axis];
    if (s.operands[operand] == nullptr) return Number();
    return at(s.in(operand), offset_of(from, shapes[operand]));
  });
}

Numbers picked(const Site& s) {
  const auto shape = s.in_shape(0), indices = s.in_shape(1);
  const auto axis = static_cast<size_t>(
      axis_of(s.attributes<AxisAttributes>().axis, static_cast<int>(shape.size())));
  std::vector<int64_t> from(shape.size());
  return gathered(s, [&](absl::Span<const int64_t> index) {
    const Number i = at(s.in(1), offset_of(index.subspan(axis, indices.size()), indices));
    if (!i.known() || !i.integer.is_static()) return Number();
    const int64_t n = shape[axis];
    const int64_t row = i.integer.value() < 0 ? i.integer.value() + n : i.integer.value();
    if (row < 0 || row >= n) return Number();
    for (size_t d = 0; d < shape.size(); ++d) {
      from[d] = d < axis ? index[d] : d == axis ? row : index[d + indices.size() - 1];
    }
    return at(s.in(0), offset_of(from, shape));
  });
}

Numbers reduced(const Site& s, absl::string_view op) {
  const auto& a = s.attributes<ReduceAttributes>();
  const auto shape = s.in_shape(0);
  const auto axes = normal_axes(a.axes, static_cast<int>(shape.size()));
  if (!axes.ok()) return {};
  std::vector<bool> drop(shape.size(), false);
  for (int axis : *axes) drop[static_cast<size_t>(axis)] = true;
  const absl::string_view step = op == "reduce_sum"    ? "add"
                                 : op == "reduce_prod" ? "mul"
                                 : op == "reduce_max"  ? "maximum"
                                 : op == "reduce_min"  ? "minimum"
                                 : op == "reduce_any"  ? "logical_or"
                                                       : "logical_and";
  const DType dtype = s.graph.type(s.node.inputs[0]).dtype;
  std::vector<int64_t> kept;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (!drop[d]) kept.push_back(shape[d]);
  }
  int64_t count = 1;
  for (int64_t extent : kept) count *= extent;
  Numbers result(static_cast<size_t>(count));
  std::vector<bool> begun(result.size(), false);
  int64_t i = 0;
  for_each_index(shape, [&](absl::Span<const int64_t> index) {
    std::vector<int64_t> to;
    for (size_t d = 0; d < shape.size(); ++d) {
      if (!drop[d]) to.push_back(index[d]);
    }
    const auto o = static_cast<size_t>(offset_of(to, kept));
    const Number x = at(s.in(0), i++);
    result[o] = begun[o] ? binary_number(step, result[o], x, dtype) : x;
    begun[o] = true;
  });
  // Over no elements: 0 or 1.
  if (op == "reduce_sum" || op == "reduce_prod") {
    for (size_t o = 0; o < result.size(); ++o) {
      if (!begun[o]) result[o] = Number::of(op == "reduce_sum" ? 0 : 1);
    }
  }
  return result;
}

Numbers counted(const Site& s) {
  const auto& a = s.attributes<IotaAttributes>();
  const auto axis = static_cast<size_t>(axis_of(a.axis, static_cast<int>(s.shape.size())));
  return gathered(s, [&](absl::Span<const int64_t> index) {
    return is_floating(a.dtype) ? Number::of_real(static_cast<double>(index[axis]))
                                : Number::of(index[axis]);
  });
}

Numbers pointwise(const Site& s) {
  const std::string& op = s.node.op->name;
  std::vector<std::vector<int64_t>> shapes;
  for (size_t i = 0; i < s.operands.size(); ++i) shapes.push_back(s.in_shape(i));
  const DType in = s.graph.type(s.node.inputs.back()).dtype;
  const DType out = s.graph.type(s.node.first_output).dtype;
  return gathered(s, [&](absl::Span<const int64_t> index) {
    std::vector<Number> x;
    for (size_t i = 0; i < shapes.size(); ++i) {
      x.push_back(s.operands[i] == nullptr ? Number()
                                           : at(s.in(i), broadcast_offset(index, shapes[i])));
    }
    if (op == "where") return choose_number(x[0], x[1], x[2]);
    if (op == "cast") return cast_number(x[0], in, out);
    return x.size() == 1 ? unary_number(op, x[0], in) : binary_number(op, x[0], x[1], in);
  });
}

Numbers evaluate(const Site& s) {
  const std::string& op = s.node.op->name;
  if (op == "concat") return concatenated(s);
  if (s.node.op->pointwise && s.node.inputs.size() <= 3) return pointwise(s);
  for (const auto* operand : s.operands) {
    if (operand == nullptr) return {};
  }
  if (op == "reshape") return s.in(0);
  if (op == "broadcast_to") return broadcast(s, 0);
  if (op == "transpose") return transposed(s);
  if (op == "slice") return sliced(s);
  if (op == "gather") return picked(s);
  if (op == "iota") return counted(s);
  if (op == "dim_value") {
    Numbers result;
    for (const Dim& d : s.attributes<DimValueAttributes>().dims) result.push_back(Number::of(d));
    return result;
  }
  if (op == "constant") return of_tensor(s.attributes<ConstantAttributes>().value);
  if (s.node.attributes.is<ReduceAttributes>() && op != "reduce_mean") return reduced(s, op);
  return {};
}

// The extents of a value that is small enough to be followed; empty optional for all others.
std::optional<std::vector<int64_t>> small_shape(const TensorType& type) {
  if (bits_of(type.dtype) < 8 || type.shape.size() > 8 || !is_static(type.shape)) return {};
  const auto shape = *static_extents(type.shape);
  const auto count = checked_elements(type.dtype, shape);
  if (!count.ok() || *count > kMostElements) return {};
  return shape;
}

// The node that gives a small value from small ones; null for all other values.
const Graph::Node* small_node(const Graph& graph, ValueId id) {
  const Graph::ValueInfo& info = graph.value(id);
  if (info.producer < 0 || info.output_index != 0 || !small_shape(info.type).has_value()) {
    return nullptr;
  }
  const Graph::Node& node = graph.node(info.producer);
  for (ValueId in : node.inputs) {
    if (in == kNoValue || !small_shape(graph.type(in)).has_value()) return nullptr;
  }
  return &node;
}

// What is known of the value that the node gives, if anything is.
std::optional<Numbers> followed(const Site& site) {
  Numbers numbers = evaluate(site);
  int64_t count = 1;
  for (int64_t extent : site.shape) count *= extent;
  if (static_cast<int64_t>(numbers.size()) != count) return std::nullopt;
  bool any = count == 0;
  for (Number& n : numbers) {
    // A model may multiply expressions until they fill the memory.
    if (!is_modest(n.integer)) n = Number();
    any = any || n.known();
  }
  if (!any) return std::nullopt;
  return numbers;
}

}  // namespace

std::optional<double> Number::constant() const {
  if (kind == Kind::kReal) return real;
  if (kind == Kind::kInteger && integer.is_static()) return static_cast<double>(integer.value());
  return std::nullopt;
}

Value Contents::origin(Value value) const {
  while (true) {
    const auto known = builders_.find(value.builder());
    if (known == builders_.end()) return value;
    const auto outer = known->second.outer.find(value.id());
    if (outer == known->second.outer.end()) return value;
    value = outer->second;
  }
}

const std::optional<Contents::Numbers>* Contents::find(Value value) const {
  const auto known = builders_.find(value.builder());
  if (known == builders_.end()) return nullptr;
  const auto it = known->second.values.find(value.id());
  return it == known->second.values.end() ? nullptr : &it->second;
}

void Contents::look_at(Value value) {
  // Operands come first; chains of nodes may be longer than calls can nest.
  std::vector<Value> open = {value};
  while (!open.empty()) {
    const Value at = open.back();
    if (find(at) != nullptr) {
      open.pop_back();
      continue;
    }
    GraphBuilder& builder = *at.builder();
    const Graph& graph = builder.so_far();
    std::optional<Numbers> numbers;
    const Graph::Node* node = kept_ < kMostKept ? small_node(graph, at.id()) : nullptr;
    if (node != nullptr) {
      Site site{graph, *node, {}, *small_shape(graph.type(at.id()))};
      const size_t looked_at = open.size();
      for (ValueId in : node->inputs) {
        const Value operand = origin(builder.value(in));
        const std::optional<Numbers>* known = find(operand);
        if (known == nullptr) {
          open.push_back(operand);
        } else {
          site.operands.push_back(known->has_value() ? &**known : nullptr);
        }
      }
      if (open.size() > looked_at) continue;
      numbers = followed(site);
    }
    if (numbers.has_value()) {
      for (const Number& n : *numbers) kept_ += size_of(n.integer);
    }
    builders_[&builder].values.emplace(at.id(), std::move(numbers));
  }
}

const std::vector<Number>* Contents::of(Value value) {
  if (value.is_null() || value.is_poisoned()) return nullptr;
  value = origin(value);
  look_at(value);
  const std::optional<Numbers>* numbers = find(value);
  return numbers->has_value() ? &**numbers : nullptr;
}

void Contents::alias(Value inner, Value outer) {
  if (inner.is_null() || inner.is_poisoned() || outer.is_null() || inner == outer) return;
  builders_[inner.builder()].outer.emplace(inner.id(), outer);
}

void Contents::forget(const GraphBuilder& builder) { builders_.erase(&builder); }

}  // namespace modellib::onnx
