// while: a loop that ends when its condition says so.
#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/control.h"
#include "modellib/ops/control_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"

namespace modellib {
namespace {

// The operands by their roles; T is Value, Tensor or TensorType.
template <class T>
struct Parts {
  std::vector<T> carries, condition_captured, body_captured;
};
template <class T>
Parts<T> parts_of(absl::Span<const T> operands, const WhileAttributes& a) {
  const auto carries = static_cast<size_t>(a.carries);
  const auto captures = static_cast<size_t>(a.condition_captures);
  const auto list = [](absl::Span<const T> s) { return std::vector<T>(s.begin(), s.end()); };
  return {list(operands.first(carries)), list(operands.subspan(carries, captures)),
          list(operands.subspan(carries + captures))};
}

template <class T>
std::vector<T> joined(std::vector<T> a, absl::Span<const T> b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

absl::Status infer(InferenceContext& c) {
  const auto& a = c.attributes.as<WhileAttributes>();
  std::vector<TensorType> types;
  for (const TensorType* t : c.inputs) {
    if (t == nullptr) return absl::InvalidArgumentError("an operand is absent");
    types.push_back(*t);
  }
  const auto given = static_cast<int64_t>(types.size());
  if (a.carries < 0 || a.condition_captures < 0 || a.carries > given ||
      a.condition_captures > given - a.carries) {
    return absl::InvalidArgumentError(absl::StrCat(a.carries, " carries and ", a.condition_captures,
                                                   " captured values of ", given, " operands"));
  }
  if (a.max_trips.size() > 1) return absl::InvalidArgumentError("max_trips must be one extent");
  if (!a.max_trips.empty() && a.max_trips[0].is_static() && a.max_trips[0].value() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_trips is ", a.max_trips[0].to_string(), ", below 0"));
  }
  const auto p = parts_of(absl::MakeConstSpan(types), a);
  MODELLIB_RETURN_IF_ERROR(require_region(
      c, a.condition, "condition", joined(p.carries, absl::MakeConstSpan(p.condition_captured))));
  MODELLIB_RETURN_IF_ERROR(
      require_region(c, a.body, "body", joined(p.carries, absl::MakeConstSpan(p.body_captured))));
  if (a.condition->outputs().size() != 1 || !(output_type(*a.condition, 0) == boolean({}))) {
    return absl::InvalidArgumentError("the condition must give one bool scalar");
  }
  if (a.body->outputs().size() != p.carries.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the body gives ", a.body->outputs().size(),
                                                   " values for ", p.carries.size(), " carries"));
  }
  for (size_t i = 0; i < p.carries.size(); ++i) {
    MODELLIB_RETURN_IF_ERROR(require_type(c, p.carries[i], output_type(*a.body, i),
                                          absl::StrCat("carry ", i, " after a trip")));
    c.outputs.push_back(p.carries[i]);
  }
  return absl::OkStatus();
}

absl::Status reference(ReferenceContext& c) {
  const auto& a = c.attributes.as<WhileAttributes>();
  auto p = parts_of(c.inputs, a);
  int64_t limit = -1;  // none
  if (!a.max_trips.empty()) {
    MODELLIB_ASSIGN_OR_RETURN(limit, a.max_trips[0].evaluate(c.binding));
  }
  for (int64_t trip = 0; limit < 0 || trip < limit; ++trip) {
    MODELLIB_ASSIGN_OR_RETURN(
        const std::vector<Tensor> holds,
        c.run(*a.condition, joined(p.carries, absl::MakeConstSpan(p.condition_captured))));
    if (holds[0].int_at(0) == 0) break;
    MODELLIB_ASSIGN_OR_RETURN(
        p.carries, c.run(*a.body, joined(p.carries, absl::MakeConstSpan(p.body_captured))));
  }
  for (size_t i = 0; i < p.carries.size(); ++i) c.outputs[i] = p.carries[i];
  return absl::OkStatus();
}

// max_trips trips, each of which runs the body if the condition still holds.
std::vector<Value> as_scan(OpCall& c, const WhileAttributes& a) {
  const auto p = parts_of(absl::MakeConstSpan(c.inputs), a);
  const auto trip = [&](GraphBuilder& b, Value, absl::Span<const Value> carries,
                        absl::Span<const Value>) {
    std::vector<Value> operands(carries.begin(), carries.end());
    const Value holds =
        b.inline_graph(*a.condition, joined(operands, absl::MakeConstSpan(p.condition_captured)))
            .outputs[0];
    const auto run = [&](GraphBuilder& inner) {
      std::vector<Value> inputs;
      for (const Value& v : joined(operands, absl::MakeConstSpan(p.body_captured))) {
        inputs.push_back(inner.captured(v));
      }
      return inner.inline_graph(*a.body, inputs).outputs;
    };
    const auto stay = [&](GraphBuilder&) { return operands; };
    return ScanValues{cond(b, holds, run, stay), {}};
  };
  return scan(c.builder, a.max_trips[0], p.carries, {}, trip).carries;
}

std::vector<Value> gradient(OpCall& c, absl::Span<const Value> g) {
  const auto& a = c.attributes.as<WhileAttributes>();
  if (a.max_trips.empty()) {
    c.builder.poison(
        absl::InvalidArgumentError("a while without max_trips cannot be differentiated"));
    return {};
  }
  return partial_vjp(c.builder, as_scan(c, a), g, c.inputs);
}

std::vector<OpSample> samples() {
  // While the sum of x is below `limit`: x = x * f + 1.
  GraphBuilder condition(builtin_ops(), "condition"), body(builtin_ops(), "body");
  const Value x = condition.input("x", f32({3})), limit = condition.input("limit", f32({}));
  condition.output("holds", less(reduce_sum(x), limit));
  const Value y = body.input("x", f32({3})), f = body.input("f", f32({3}));
  body.output("x_next", y * f + 1.0);
  OpSample bounded;
  bounded.name = "bounded";
  bounded.inputs = {f32({3}), f32({}), f32({3})};
  bounded.domains = {{0, 0, 1}, {1, 9.25, 9.25}, {2, 0.5, 1.5}};
  WhileAttributes a{*condition.build(), *body.build(), 1, 1, {8}};
  bounded.attributes = Attributes::of(a);
  OpSample cut = bounded, unbounded = bounded;
  cut.name = "cut";
  a.max_trips = {2};
  cut.attributes = Attributes::of(a);
  unbounded.name = "unbounded";
  a.max_trips = {};
  unbounded.attributes = Attributes::of(a);
  unbounded.check_gradient = false;
  return {bounded, cut, unbounded};
}

std::vector<Value> emit_while(GraphBuilder& builder, absl::Span<const Value> carries,
                              Shape max_trips, const ConditionBody& condition,
                              const LoopBody& body) {
  const std::vector<TensorType> types = types_of(carries);
  const auto test =
      builder.region("condition", types, [&](GraphBuilder& b, absl::Span<const Value> inputs) {
        return std::vector<Value>{condition(b, inputs)};
      });
  const auto loop = builder.region("body", types, body);
  std::vector<Value> outputs;
  if (test.graph != nullptr && loop.graph != nullptr) {
    std::vector<Value> operands(carries.begin(), carries.end());
    operands = joined(std::move(operands), absl::MakeConstSpan(test.captured));
    operands = joined(std::move(operands), absl::MakeConstSpan(loop.captured));
    outputs = builder.emit("while", operands,
                           Attributes::of(WhileAttributes{
                               test.graph, loop.graph, static_cast<int64_t>(carries.size()),
                               static_cast<int64_t>(test.captured.size()), std::move(max_trips)}));
  }
  while (outputs.size() < carries.size()) outputs.push_back(builder.value(kNoValue));
  return outputs;
}

}  // namespace

std::vector<OpDef> while_ops() {
  OpDef op;
  op.name = "while";
  op.attributes = AttributesSchema::of<WhileAttributes>();
  op.max_inputs = OpDef::kVariadic;
  op.infer = infer;
  op.reference = reference;
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  op.samples = samples;
  return {op};
}

std::vector<Value> while_loop(GraphBuilder& builder, absl::Span<const Value> carries,
                              const ConditionBody& condition, const LoopBody& body) {
  return emit_while(builder, carries, {}, condition, body);
}

std::vector<Value> while_loop(GraphBuilder& builder, absl::Span<const Value> carries, Dim max_trips,
                              const ConditionBody& condition, const LoopBody& body) {
  return emit_while(builder, carries, {std::move(max_trips)}, condition, body);
}

}  // namespace modellib
