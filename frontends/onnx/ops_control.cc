// If.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/control.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {
namespace {

// A cond has one type for each of its outputs, whichever branch gives it; the branches of an If may
// give what they like of one element type. Where ranks differ, or extents that cannot be equal, the
// model is valid and beyond us.
std::string difference(size_t output, const TensorType& first, const TensorType& second) {
  return absl::StrCat("its branches differ: output ", output, " is ", to_string(first),
                      " in then_branch and ", to_string(second), " in else_branch");
}

// Gives the values of the second branch the types of the first's.
absl::Status agree(NodeView& n, const std::vector<TensorType>& first,
                   const std::vector<TensorType>& second, Values& values) {
  if (first.size() != second.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("then_branch gives ", first.size(), " values, else_branch ", second.size()));
  }
  for (size_t i = 0; i < first.size(); ++i) {
    if (first[i].dtype != second[i].dtype) {
      return absl::InvalidArgumentError(difference(i, first[i], second[i]));
    }
    // Of ranks that differ choose_graph may still make something.
    if (first[i].shape == second[i].shape || first[i].rank() != second[i].rank()) continue;
    for (size_t d = 0; d < first[i].shape.size(); ++d) {
      const Dim &a = first[i].shape[d], &b = second[i].shape[d];
      const DimRange gap = n.context().range_of(a - b);
      if (gap.min > 0 || gap.max < 0) {
        return absl::UnimplementedError(difference(i, first[i], second[i]));
      }
      // They may be equal when the symbols are bound, or else the model cannot be planned.
      n.builder().require_equal(
          a, b, absl::StrCat(difference(i, first[i], second[i]), ", which is not supported"));
    }
    values[i] = reshape(values[i], first[i].shape);
  }
  return absl::OkStatus();
}

// A cond gives tensors.
absl::StatusOr<Values> tensors_of(const Items& items) {
  Values tensors;
  for (const Item& item : items) {
    if (item.tensor().is_null()) {
      return absl::UnimplementedError(
          "which branch runs is not known ahead, and what it gives is no tensor");
    }
    tensors.push_back(item.tensor());
  }
  return tensors;
}

// What is imported inside a region of the graph. An error is kept outside: a region that is not
// supported must not spoil the graph, which goes on to find what else is not.
struct Branch {
  GraphBuilder::Region region;
  std::vector<TensorType> types;
};
absl::StatusOr<Branch> branch_of(NodeView& n, absl::string_view name,
                                 const onnx_proto::GraphProto& graph,
                                 const std::vector<TensorType>* like) {
  Branch branch;
  absl::Status failure;
  branch.region =
      n.builder().region(name, {}, [&](GraphBuilder& inner, absl::Span<const Value>) -> Values {
        const auto items = n.context().body(graph, inner, {});
        absl::StatusOr<Values> values =
            items.ok() ? tensors_of(*items) : absl::StatusOr<Values>(items.status());
        if (!values.ok()) {
          failure = values.status();
        } else {
          for (Value& v : *values) {
            v = inner.captured(v);
            branch.types.push_back(v.type());
          }
          if (like != nullptr) failure = agree(n, *like, branch.types, *values);
        }
        n.context().contents().forget(inner);
        return failure.ok() ? *std::move(values) : Values{};
      });
  MODELLIB_RETURN_IF_ERROR(failure);
  if (branch.region.graph == nullptr) return n.builder().status();
  return branch;
}

// A condition on extents alone: that two are equal, or that they are not.
struct ExtentCondition {
  Dim a, b;
  bool equal;
};
std::optional<ExtentCondition> condition_on_extents(NodeView& n) {
  Value condition = n.in(0);
  const Graph& graph = condition.builder()->so_far();
  bool equal = true;
  for (ValueId id = condition.id();;) {
    const NodeId producer = graph.value(id).producer;
    if (producer < 0) return std::nullopt;
    const Graph::Node& node = graph.node(producer);
    const std::string& op = node.op->name;
    if (op == "equal") {
      const auto number = [&](size_t i) -> std::optional<Dim> {
        const auto* contents =
            n.context().contents().of(condition.builder()->value(node.inputs[i]));
        if (contents == nullptr || contents->size() != 1) return std::nullopt;
        if (contents->front().kind != Number::Kind::kInteger) return std::nullopt;
        return contents->front().integer;
      };
      const auto a = number(0);
      const auto b = number(1);
      if (!a.has_value() || !b.has_value()) return std::nullopt;
      return ExtentCondition{*a, *b, equal};
    }
    if (op == "logical_not") equal = !equal;
    if (op != "reshape" && op != "logical_not") return std::nullopt;
    id = node.inputs[0];
  }
}

// The output whose rank differs between the branches.
std::optional<size_t> other_rank(const std::vector<TensorType>& a,
                                 const std::vector<TensorType>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].rank() != b[i].rank()) return i;
  }
  return std::nullopt;
}

// Exporters write "squeeze if the extent is 1": an If whose branches differ in rank. A graph has
// one rank for each value, so the extents are taken to be equal; where they turn out not to be, the
// graph does not fit its inputs (or, inside a region, the run ends with OutOfRange).
absl::StatusOr<Values> assume_equal(NodeView& n, const ExtentCondition& c,
                                    const onnx_proto::GraphProto& graph) {
  const bool in_region = n.builder().depth() > 0;
  // First: a branch that squeezes would say it in other words.
  if (!in_region) {
    n.builder().require_equal(
        c.a, c.b, "its branches differ in rank, and only that for equal extents is supported");
  }
  MODELLIB_ASSIGN_OR_RETURN(const Items items, n.context().body(graph, n.builder(), {}));
  MODELLIB_ASSIGN_OR_RETURN(Values values, tensors_of(items));
  if (!in_region) return values;
  for (Value& v : values) v = first_if_equal(unsqueeze(n.builder().captured(v), {0}), c.a, c.b);
  return values;
}

absl::StatusOr<Values> choose_graph(NodeView& n) {
  const onnx_proto::GraphProto* yes = n.graph("then_branch");
  const onnx_proto::GraphProto* no = n.graph("else_branch");
  if (yes == nullptr || no == nullptr) {
    return absl::InvalidArgumentError("it needs then_branch and else_branch");
  }
  const auto known = n.known_real(0);
  if (known.ok()) {
    n.context().leave_out(*known != 0 ? *no : *yes);
    MODELLIB_ASSIGN_OR_RETURN(Items items,
                              n.context().body(*known != 0 ? *yes : *no, n.builder(), {}));
    n.give(std::move(items));
    return Values{};
  }

  absl::StatusOr<Branch> first = branch_of(n, "then", *yes, nullptr);
  if (!first.ok() && !absl::IsCancelled(first.status())) return first.status();
  // What is not supported in one branch is found beside what is not in the other.
  MODELLIB_ASSIGN_OR_RETURN(Branch other,
                            branch_of(n, "else", *no, first.ok() ? &first->types : nullptr));
  MODELLIB_ASSIGN_OR_RETURN(Branch then, std::move(first));
  if (const auto i = other_rank(then.types, other.types); i.has_value()) {
    const auto condition = condition_on_extents(n);
    if (condition.has_value()) {
      return assume_equal(n, *condition, condition->equal ? *yes : *no);
    }
    return absl::UnimplementedError(difference(*i, then.types[*i], other.types[*i]));
  }
  Values operands = {reshape(n.in(0), {})};
  operands.insert(operands.end(), then.region.captured.begin(), then.region.captured.end());
  operands.insert(operands.end(), other.region.captured.begin(), other.region.captured.end());
  const auto count = static_cast<int64_t>(then.region.captured.size());
  return n.builder().emit(
      "cond", operands,
      Attributes::of(CondAttributes{then.region.graph, other.region.graph, count}));
}

constexpr OpEntry kEntries[] = {
    {"If", 1, kNow, 1, 1, Takes::kBool, choose_graph},
};

}  // namespace

absl::Span<const OpEntry> control_entries() { return kEntries; }

}  // namespace modellib::onnx
