#include "modellib/passes/control_flow.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/control.h"
#include "modellib/ops/index.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/rebuild.h"
#include "modellib/passes/views.h"

namespace modellib {
namespace {

using Replacement = std::optional<std::vector<Value>>;

bool is_read(const Graph& graph, ValueId value) {
  for (const Graph::Node& node : graph.nodes()) {
    if (std::find(node.inputs.begin(), node.inputs.end(), value) != node.inputs.end()) return true;
  }
  return std::any_of(graph.outputs().begin(), graph.outputs().end(),
                     [value](const Graph::Output& o) { return o.value == value; });
}

const Tensor* constant_of(const GraphBuilder& builder, const Value& value) {
  return constant_value(builder.so_far(), value.id());
}

// The captured value inside a region: a constant of its own, or a further input.
Value seen_inside(GraphBuilder& inner, GraphBuilder& outer, const Value& value) {
  if (const Tensor* constant = constant_of(outer, value)) return inner.constant(*constant);
  return inner.captured(value);
}

// Whether a region takes its operands `first…` better from a new capture.
bool improves(const RebuildSite& site, const Graph& region, absl::Span<const Value> captured,
              size_t first_input) {
  std::set<ValueId> seen;
  for (size_t i = 0; i < captured.size(); ++i) {
    if (constant_of(site.builder, captured[i]) != nullptr) return true;
    if (!seen.insert(captured[i].id()).second) return true;
    if (!is_read(region, region.inputs()[first_input + i])) return true;
  }
  return false;
}

// The region's outputs, inside `inner`: `own` stand for its first inputs, captured values for the
// rest.
std::vector<Value> inlined(GraphBuilder& inner, GraphBuilder& outer, const Graph& region,
                           std::vector<Value> own, absl::Span<const Value> captured) {
  for (const Value& v : captured) {
    // What is not read is not captured again.
    const bool read = is_read(region, region.inputs()[own.size()]);
    own.push_back(read ? seen_inside(inner, outer, v) : Value());
  }
  return inner.inline_graph(region, own).outputs;
}

std::vector<Value> joined(std::vector<Value> a, absl::Span<const Value> b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Replacement sink_into_cond(RebuildSite& site, PassContext& context) {
  const auto& a = site.node.attributes.as<CondAttributes>();
  const auto operands = absl::MakeConstSpan(site.inputs).subspan(1);
  const auto yes = operands.first(static_cast<size_t>(a.then_operands));
  const auto no = operands.subspan(static_cast<size_t>(a.then_operands));
  if (!improves(site, *a.then_branch, yes, 0) && !improves(site, *a.else_branch, no, 0)) return {};
  if (!context.may_rewrite()) return {};
  const auto branch = [&](const GraphRef& region, absl::Span<const Value> captured) -> BranchBody {
    return [&site, region, captured](GraphBuilder& b) {
      return inlined(b, site.builder, *region, {}, captured);
    };
  };
  return cond(site.builder, site.in(0), branch(a.then_branch, yes), branch(a.else_branch, no));
}

Replacement sink_into_scan(RebuildSite& site, PassContext& context) {
  const auto& a = site.node.attributes.as<ScanAttributes>();
  const auto carries = static_cast<size_t>(a.carries), xs = static_cast<size_t>(a.xs);
  const auto operands = absl::MakeConstSpan(site.inputs);
  const auto captured = operands.subspan(carries + xs);
  if (!improves(site, *a.body, captured, 1 + carries + xs) || !context.may_rewrite()) return {};
  const ScanValues result =
      scan(site.builder, a.trips[0], operands.first(carries), operands.subspan(carries, xs),
           [&](GraphBuilder& b, Value index, absl::Span<const Value> c, absl::Span<const Value> x) {
             std::vector<Value> outputs =
                 inlined(b, site.builder, *a.body, joined(joined({index}, c), x), captured);
             const auto split = outputs.begin() + a.carries;
             return ScanValues{{outputs.begin(), split}, {split, outputs.end()}};
           },
           {.reverse = a.reverse});
  return joined(result.carries, result.ys);
}

Replacement sink_into_while(RebuildSite& site, PassContext& context) {
  const auto& a = site.node.attributes.as<WhileAttributes>();
  const auto carries = static_cast<size_t>(a.carries);
  const auto operands = absl::MakeConstSpan(site.inputs);
  const auto of_condition = operands.subspan(carries, static_cast<size_t>(a.condition_captures));
  const auto of_body = operands.subspan(carries + of_condition.size());
  if (!improves(site, *a.condition, of_condition, carries) &&
      !improves(site, *a.body, of_body, carries)) {
    return {};
  }
  if (!context.may_rewrite()) return {};
  const auto condition = [&](GraphBuilder& b, absl::Span<const Value> c) {
    return inlined(b, site.builder, *a.condition, joined({}, c), of_condition)[0];
  };
  const auto body = [&](GraphBuilder& b, absl::Span<const Value> c) {
    return inlined(b, site.builder, *a.body, joined({}, c), of_body);
  };
  const auto first = operands.first(carries);
  return a.max_trips.empty() ? while_loop(site.builder, first, condition, body)
                             : while_loop(site.builder, first, a.max_trips[0], condition, body);
}

// A scan in other form: carries beside those that it has, and slices by index or by stride.
class ScanForm {
 public:
  ScanForm(RebuildSite& site, bool counts_down, bool by_index)
      : site_(site),
        a_(site.node.attributes.as<ScanAttributes>()),
        carries_(static_cast<size_t>(a_.carries)),
        xs_(static_cast<size_t>(a_.xs)),
        counts_down_(counts_down),
        by_index_(by_index) {}

  std::vector<Value> emit() {
    const auto operands = absl::MakeConstSpan(site_.inputs);
    const size_t ys = static_cast<size_t>(site_.node.num_outputs) - carries_;
    std::vector<Value> carries = joined({}, operands.first(carries_));
    if (by_index_) {
      for (size_t i = 0; i < ys; ++i) carries.push_back(empty(static_cast<int>(carries_ + i)));
    }
    if (counts_down_) {
      carries.push_back(dim_value(site_.builder, a_.trips[0]) - one());
    }
    const ScanValues result =
        scan(site_.builder, a_.trips[0], carries,
             by_index_ ? absl::Span<const Value>() : operands.subspan(carries_, xs_),
             [&](GraphBuilder& b, Value index, absl::Span<const Value> c,
                 absl::Span<const Value> x) { return trip(b, index, c, x); },
             {.reverse = a_.reverse && !by_index_});
    if (!by_index_)
      return joined({result.carries.begin(), result.carries.begin() + a_.carries}, result.ys);
    return {result.carries.begin(),
            result.carries.begin() + static_cast<std::ptrdiff_t>(carries_ + ys)};
  }

 private:
  Value one() { return site_.builder.scalar(1, DType::kI64); }
  // Where the slices of an output are written.
  Value empty(int output) {
    const TensorType& type = site_.graph.type(site_.node.output(output));
    return broadcast_to(site_.builder.scalar(0, type.dtype), type.shape);
  }

  ScanValues trip(GraphBuilder& b, Value index, absl::Span<const Value> c,
                  absl::Span<const Value> x) {
    const Value at = counts_down_ ? c.back() : index;
    const auto operands = absl::MakeConstSpan(site_.inputs);
    std::vector<Value> inputs = joined({at}, c.first(carries_));
    if (by_index_) {
      for (const Value& stacked : operands.subspan(carries_, xs_)) {
        inputs.push_back(gather(b.captured(stacked), at, 0));
      }
    } else {
      inputs = joined(std::move(inputs), x);
    }
    const std::vector<Value> outputs =
        inlined(b, site_.builder, *a_.body, std::move(inputs), operands.subspan(carries_ + xs_));
    ScanValues result;
    const auto split = outputs.begin() + a_.carries;
    result.carries = {outputs.begin(), split};
    if (by_index_) {
      size_t next = carries_;
      for (auto y = split; y != outputs.end(); ++y) {
        Shape shape = y->shape();
        shape.insert(shape.begin(), 1);
        result.carries.push_back(update_slice(c[next++], reshape(*y, shape), at, 0));
      }
    } else {
      result.ys = {split, outputs.end()};
    }
    if (counts_down_) result.carries.push_back(at - b.scalar(1, DType::kI64));
    return result;
  }

  RebuildSite& site_;
  const ScanAttributes& a_;
  const size_t carries_, xs_;
  const bool counts_down_, by_index_;
};

Replacement stride_scan(RebuildSite& site, PassContext& context) {
  const auto& a = site.node.attributes.as<ScanAttributes>();
  const Graph& body = *a.body;
  const auto carries = static_cast<size_t>(a.carries), xs = static_cast<size_t>(a.xs);
  const auto moves_freely = [&](ValueId slice) { return !byte_size(body.type(slice)).is_static(); };
  bool has_slices = xs > 0, free = false;
  for (size_t i = 0; i < xs; ++i) free = free || moves_freely(body.inputs()[1 + carries + i]);
  for (size_t i = carries; i < body.outputs().size(); ++i) {
    has_slices = true;
    free = free || moves_freely(body.outputs()[i].value);
  }
  if (a.trips[0] == Dim(0)) {
    if (!context.may_rewrite()) return {};
    std::vector<Value> outputs(site.inputs.begin(), site.inputs.begin() + a.carries);
    for (size_t i = carries; i < body.outputs().size(); ++i) {
      const TensorType& type = site.graph.type(site.node.output(static_cast<int>(i)));
      outputs.push_back(broadcast_to(site.builder.scalar(0, type.dtype), type.shape));
    }
    return outputs;
  }
  const bool reads_index = a.reverse && is_read(body, body.inputs()[0]);
  if (reads_index) {
    // It is made anew, of the types of the operands: one may have a symbol where the body has the
    // number that a constraint holds it equal to.
    for (size_t i = 0; i < carries + xs; ++i) {
      const size_t stacked = i < carries ? 0 : 1;  // the axis of the trips
      free = free || !is_static(absl::MakeConstSpan(site.inputs[i].shape()).subspan(stacked));
    }
  }
  const bool by_index = free || (a.reverse && has_slices && !a.trips[0].is_static());
  const bool counts_down = a.reverse && (by_index || reads_index);
  if ((!by_index && !counts_down) || !context.may_rewrite()) return {};
  return ScanForm(site, counts_down, by_index).emit();
}

}  // namespace

absl::StatusOr<GraphRef> sink_constants(const GraphRef& graph, PassContext& context) {
  return rebuild(*graph, context.registry(), [&](RebuildSite& site) -> Replacement {
    if (site.node.attributes.is<CondAttributes>()) return sink_into_cond(site, context);
    if (site.node.attributes.is<ScanAttributes>()) return sink_into_scan(site, context);
    if (site.node.attributes.is<WhileAttributes>()) return sink_into_while(site, context);
    return {};
  });
}

absl::StatusOr<GraphRef> stride_scans(const GraphRef& graph, PassContext& context) {
  return rebuild(*graph, context.registry(), [&](RebuildSite& site) -> Replacement {
    if (site.node.attributes.is<ScanAttributes>()) return stride_scan(site, context);
    return {};
  });
}

}  // namespace modellib
