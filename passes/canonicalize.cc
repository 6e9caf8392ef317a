#include "modellib/passes/canonicalize.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "modellib/graph/constant.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/rebuild.h"

namespace modellib {
namespace {

// A rule sees a node whose op it is registered for, with operands in the new graph, and gives what
// stands for its first output, or nothing.
using Rule = std::optional<Value> (*)(RebuildSite&);

// The node that made `value` in the graph under construction, if it is of op `name`.
const Graph::Node* made_by(const Value& value, absl::string_view name) {
  const Graph& graph = value.builder()->so_far();
  const NodeId producer = graph.value(value.id()).producer;
  if (producer < 0 || graph.node(producer).op->name != name) return nullptr;
  return &graph.node(producer);
}
Value operand_of(const Value& value, const Graph::Node& node, int i) {
  return value.builder()->value(node.inputs[static_cast<size_t>(i)]);
}

// The number, if every element of the constant `value` is the same.
std::optional<double> uniform_constant(const Value& value) {
  const Tensor* tensor = constant_value(value.builder()->so_far(), value.id());
  if (tensor == nullptr || tensor->elements() != 1) return std::nullopt;
  return tensor->at(0);
}

const TensorType& result_type(const RebuildSite& site) {
  return site.graph.type(site.node.output(0));
}

std::optional<Value> same_type_is_identity(RebuildSite& site) {
  if (site.in(0).type() == result_type(site)) return site.in(0);
  return std::nullopt;
}

bool widens_exactly(DType from, DType to) {
  const bool half = from == DType::kF16 || from == DType::kBF16;
  return (half && (to == DType::kF32 || to == DType::kF64)) ||
         (from == DType::kF32 && to == DType::kF64);
}

// What widening gives is the same number, so the next cast may as well read the narrow one.
std::optional<Value> simplify_cast(RebuildSite& site) {
  const Value x = site.in(0);
  if (x.type() == result_type(site)) return x;
  const Graph::Node* inner = made_by(x, "cast");
  if (inner == nullptr) return std::nullopt;
  const Value narrow = operand_of(x, *inner, 0);
  if (!widens_exactly(narrow.dtype(), x.dtype())) return std::nullopt;
  const DType to = result_type(site).dtype;
  return narrow.dtype() == to ? narrow : cast(narrow, to);
}

std::optional<Value> drop_stop_gradient(RebuildSite& site) { return site.in(0); }

std::optional<Value> simplify_reshape(RebuildSite& site) {
  if (site.in(0).type() == result_type(site)) return site.in(0);
  if (const Graph::Node* inner = made_by(site.in(0), "reshape")) {
    return reshape(operand_of(site.in(0), *inner, 0), result_type(site).shape);
  }
  return std::nullopt;
}

std::optional<Value> simplify_transpose(RebuildSite& site) {
  const Value x = site.in(0);
  const std::vector<int64_t> perm = perm_of(site.node, x.rank());
  // Only axes of extent 1 move: the elements stay in order.
  std::vector<int64_t> moving;
  for (int64_t p : perm) {
    if (!(x.shape()[static_cast<size_t>(p)] == Dim(1))) moving.push_back(p);
  }
  if (std::is_sorted(moving.begin(), moving.end())) return reshape(x, result_type(site).shape);
  if (const Graph::Node* inner = made_by(x, "transpose")) {
    const std::vector<int64_t> first = perm_of(*inner, x.rank());
    std::vector<int64_t> both;
    for (int64_t p : perm) both.push_back(first[static_cast<size_t>(p)]);
    return transpose(operand_of(x, *inner, 0), both);
  }
  return std::nullopt;
}

std::optional<Value> simplify_slice(RebuildSite& site) {
  if (!(site.in(0).type() == result_type(site))) return std::nullopt;
  const auto& steps = site.node.attributes.as<SliceAttributes>().steps;
  if (std::any_of(steps.begin(), steps.end(), [](int64_t s) { return s < 0; })) return std::nullopt;
  return site.in(0);
}

std::optional<Value> simplify_pad(RebuildSite& site) {
  const auto& a = site.node.attributes.as<PadAttributes>();
  const auto zero = [](int64_t n) { return n == 0; };
  if (!std::all_of(a.low.begin(), a.low.end(), zero)) return std::nullopt;
  if (!std::all_of(a.high.begin(), a.high.end(), zero)) return std::nullopt;
  return site.in(0);
}

std::optional<Value> simplify_concat(RebuildSite& site) {
  if (site.inputs.size() == 1) return site.in(0);
  return std::nullopt;
}

// Reductions keep their axes, and give them up in a reshape: regions then have one rank.
std::optional<Value> keep_reduced_axes(RebuildSite& site) {
  const auto& a = site.node.attributes.as<ReduceAttributes>();
  if (a.keepdims) return std::nullopt;
  ReduceAttributes kept = a;
  kept.keepdims = true;
  const Value reduced =
      site.builder.emit(*site.node.op, site.inputs, Attributes::of(std::move(kept))).front();
  if (reduced.is_poisoned()) return std::nullopt;
  return reshape(reduced, result_type(site).shape);
}

// Over axes of extent 1 there is nothing to add up. The sign of a zero is free here: a sum
// that starts at 0 makes 0 of -0.
std::optional<Value> simplify_reduce(RebuildSite& site) {
  if (element_count(site.in(0).shape()) == element_count(result_type(site).shape)) {
    return reshape(site.in(0), result_type(site).shape);
  }
  return keep_reduced_axes(site);
}

// A neutral operand: x + 0, x * 1. The other must have the result's shape already.
std::optional<Value> neutral(RebuildSite& site, double number, bool either_side) {
  for (int i = either_side ? 0 : 1; i < 2; ++i) {
    const Value other = site.in(1 - i);
    const std::optional<double> c = uniform_constant(site.in(i));
    // -0 + 0 is 0, so only the zero that is neutral for every x counts: x + -0, x - 0.
    if (c == number && std::signbit(*c) == std::signbit(number) &&
        other.type() == result_type(site)) {
      return other;
    }
  }
  return std::nullopt;
}
std::optional<Value> simplify_add(RebuildSite& site) {
  if (is_integer(result_type(site).dtype)) return neutral(site, 0.0, true);
  return neutral(site, -0.0, true);
}
std::optional<Value> simplify_sub(RebuildSite& site) { return neutral(site, 0.0, false); }
std::optional<Value> simplify_mul(RebuildSite& site) { return neutral(site, 1.0, true); }
std::optional<Value> simplify_div(RebuildSite& site) {
  if (auto same = neutral(site, 1.0, false)) return same;
  // Division by a power of two is exact as a product. A divisor may have axes that x lacks.
  if (!(site.in(0).type() == result_type(site))) return std::nullopt;
  const std::optional<double> c = uniform_constant(site.in(1));
  int exponent;
  if (!c.has_value() || !std::isfinite(*c) || std::frexp(*c, &exponent) != 0.5) return std::nullopt;
  if (std::abs(exponent) > 14) return std::nullopt;  // the reciprocal is a normal f16 too
  return mul(site.in(0), site.builder.scalar(1.0 / *c, result_type(site).dtype));
}

std::optional<Value> simplify_pow(RebuildSite& site) {
  const std::optional<double> c = uniform_constant(site.in(1));
  if (!(site.in(0).type() == result_type(site))) return std::nullopt;
  if (c == 1.0) return site.in(0);
  if (c == 2.0) return mul(site.in(0), site.in(0));
  return std::nullopt;
}

std::optional<Value> simplify_neg(RebuildSite& site) {
  if (const Graph::Node* inner = made_by(site.in(0), "neg")) {
    return operand_of(site.in(0), *inner, 0);
  }
  return std::nullopt;
}

bool swaps_last_axes(const std::vector<int64_t>& perm) {
  const auto n = static_cast<int64_t>(perm.size());
  for (int64_t i = 0; i + 2 < n; ++i) {
    if (perm[static_cast<size_t>(i)] != i) return false;
  }
  return n >= 2 && perm[static_cast<size_t>(n - 1)] == n - 2;
}

// A transposed operand is read transposed.
std::optional<Value> absorb_transpose(RebuildSite& site) {
  MatmulAttributes a = site.node.attributes.as<MatmulAttributes>();
  Value operands[2] = {site.in(0), site.in(1)};
  bool changed = false;
  for (int i = 0; i < 2; ++i) {
    const Graph::Node* inner = made_by(operands[i], "transpose");
    if (inner == nullptr || !swaps_last_axes(perm_of(*inner, operands[i].rank()))) continue;
    operands[i] = operand_of(operands[i], *inner, 0);
    (i == 0 ? a.transpose_a : a.transpose_b) ^= true;
    changed = true;
  }
  if (!changed) return std::nullopt;
  return matmul(operands[0], operands[1], a);
}

struct Entry {
  const char* op;
  Rule rule;
};
constexpr Entry kRules[] = {
    {"add", simplify_add},           {"broadcast_to", same_type_is_identity},
    {"cast", simplify_cast},         {"concat", simplify_concat},
    {"div", simplify_div},           {"matmul", absorb_transpose},
    {"mul", simplify_mul},           {"neg", simplify_neg},
    {"pad", simplify_pad},           {"pow", simplify_pow},
    {"reduce_all", simplify_reduce}, {"reduce_any", simplify_reduce},
    {"reduce_max", simplify_reduce}, {"reduce_mean", simplify_reduce},
    {"reduce_min", simplify_reduce}, {"reduce_prod", simplify_reduce},
    {"reduce_sum", simplify_reduce}, {"reshape", simplify_reshape},
    {"slice", simplify_slice},       {"stop_gradient", drop_stop_gradient},
    {"sub", simplify_sub},           {"transpose", simplify_transpose},
};

const Entry* rule_for(absl::string_view op) {
  const auto* it = std::find_if(std::begin(kRules), std::end(kRules),
                                [&](const Entry& e) { return op == e.op; });
  return it == std::end(kRules) ? nullptr : it;
}

}  // namespace

absl::StatusOr<GraphRef> canonicalize(const GraphRef& graph, PassContext& context) {
  GraphRef current = graph;
  while (true) {
    bool changed = false;
    MODELLIB_ASSIGN_OR_RETURN(GraphRef next,
                              rebuild(*current, context.registry(),
                                      [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
                                        const Entry* entry = rule_for(site.node.op->name);
                                        if (entry == nullptr) return std::nullopt;
                                        const std::optional<Value> simpler = entry->rule(site);
                                        if (!simpler.has_value()) return std::nullopt;
                                        if (!context.may_rewrite()) return std::nullopt;
                                        changed = true;
                                        return std::vector<Value>{*simpler};
                                      }));
    if (!changed) {
      // A rebuild alone drops dead nodes and merges equal ones: that counts as a change too.
      if (next->nodes().size() == current->nodes().size() || !context.may_rewrite()) return current;
      return next;
    }
    current = std::move(next);
  }
}

}  // namespace modellib
