// cond: one of two regions.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/control.h"
#include "modellib/ops/control_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

absl::Status infer(InferenceContext& c) {
  const auto& a = c.attributes.as<CondAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_dtype(c, 0, DType::kBool));
  MODELLIB_RETURN_IF_ERROR(require_rank(c, 0, 0));
  std::vector<TensorType> types;
  for (size_t i = 1; i < c.inputs.size(); ++i) {
    if (c.inputs[i] == nullptr) return absl::InvalidArgumentError("an operand is absent");
    types.push_back(*c.inputs[i]);
  }
  const auto all = absl::MakeConstSpan(types);
  if (a.then_operands < 0 || a.then_operands > static_cast<int64_t>(all.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat(a.then_operands, " then operands of ", all.size()));
  }
  const auto count = static_cast<size_t>(a.then_operands);
  MODELLIB_RETURN_IF_ERROR(require_region(c, a.then_branch, "then_branch", all.first(count)));
  MODELLIB_RETURN_IF_ERROR(require_region(c, a.else_branch, "else_branch", all.subspan(count)));
  const Graph &yes = *a.then_branch, &no = *a.else_branch;
  if (yes.outputs().size() != no.outputs().size()) {
    return absl::InvalidArgumentError(absl::StrCat("then_branch gives ", yes.outputs().size(),
                                                   " values, else_branch ", no.outputs().size()));
  }
  for (size_t i = 0; i < yes.outputs().size(); ++i) {
    MODELLIB_RETURN_IF_ERROR(require_type(c, output_type(yes, i), output_type(no, i),
                                          absl::StrCat("output ", i, " of else_branch")));
    c.outputs.push_back(output_type(yes, i));
  }
  return absl::OkStatus();
}

absl::Status reference(ReferenceContext& c) {
  const auto& a = c.attributes.as<CondAttributes>();
  const bool taken = c.in(0).int_at(0) != 0;
  const auto operands = c.inputs.subspan(1),
             yes = operands.first(static_cast<size_t>(a.then_operands));
  const auto no = operands.subspan(static_cast<size_t>(a.then_operands));
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs,
                            c.run(taken ? *a.then_branch : *a.else_branch, taken ? yes : no));
  for (size_t i = 0; i < outputs.size(); ++i) c.outputs[i] = outputs[i];
  return absl::OkStatus();
}

std::vector<Value> emit_cond(GraphBuilder& builder, Value predicate,
                             const GraphBuilder::Region& yes, const GraphBuilder::Region& no) {
  if (yes.graph == nullptr || no.graph == nullptr) return {builder.poison(builder.status())};
  std::vector<Value> operands = {predicate};
  operands.insert(operands.end(), yes.captured.begin(), yes.captured.end());
  operands.insert(operands.end(), no.captured.begin(), no.captured.end());
  return builder.emit("cond", operands,
                      Attributes::of(CondAttributes{yes.graph, no.graph,
                                                    static_cast<int64_t>(yes.captured.size())}));
}

// A cond whose branches compute the gradients of theirs, and zeros for the operands of the other.
std::vector<Value> gradient(OpCall& c, absl::Span<const Value> g) {
  const auto& a = c.attributes.as<CondAttributes>();
  const std::vector<Value> operands(c.inputs.begin() + 1, c.inputs.end());
  const auto count = static_cast<size_t>(a.then_operands);
  const auto branch = [&](bool taken) {
    const auto body = [&](GraphBuilder& b, absl::Span<const Value> inputs) {
      std::vector<Value> upstream;
      for (const Value& v : g) upstream.push_back(b.captured(v));
      const auto own = taken ? inputs.first(count) : inputs.subspan(count);
      const auto other = taken ? inputs.subspan(count) : inputs.first(count);
      std::vector<Value> result =
          region_gradient(b, taken ? *a.then_branch : *a.else_branch, own, upstream);
      std::vector<Value> zeros;
      for (const Value& v : other) {
        if (is_real(v.dtype())) zeros.push_back(zeros_like(v));
      }
      result.insert(taken ? result.end() : result.begin(), zeros.begin(), zeros.end());
      return result;
    };
    GraphBuilder::Region region =
        c.builder.region(taken ? "then_gradient" : "else_gradient", types_of(operands), body);
    region.captured.insert(region.captured.begin(), operands.begin(), operands.end());
    return region;
  };
  const std::vector<Value> real = emit_cond(c.builder, c.in(0), branch(true), branch(false));
  std::vector<Value> result = {Value()};
  size_t next = 0;
  for (const Value& v : operands) {
    result.push_back(is_real(v.dtype()) && next < real.size() ? real[next++] : Value());
  }
  return result;
}

std::vector<OpSample> samples() {
  // Regions of x: x * y against x + sin(y), y being captured by both.
  const auto region = [](bool taken) {
    GraphBuilder b(builtin_ops(), taken ? "then" : "else");
    const Value x = b.input("x", f32({3, 4})), y = b.input("y", f32({4}));
    b.output("z", taken ? x * y : x + sin(y));
    return *b.build();
  };
  OpSample s;
  s.inputs = {boolean({}), f32({3, 4}), f32({4}), f32({3, 4}), f32({4})};
  s.attributes = Attributes::of(CondAttributes{region(true), region(false), 2});
  s.name = "then";
  s.domains = {{0, 1, 1}};
  OpSample other = s;
  other.name = "else";
  other.domains = {{0, 0, 0}};
  return {s, other};
}

}  // namespace

std::vector<OpDef> cond_ops() {
  OpDef op;
  op.name = "cond";
  op.attributes = AttributesSchema::of<CondAttributes>();
  op.max_inputs = OpDef::kVariadic;
  op.infer = infer;
  op.reference = reference;
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  op.samples = samples;
  return {op};
}

std::vector<Value> cond(GraphBuilder& builder, Value predicate, const BranchBody& then_body,
                        const BranchBody& else_body) {
  size_t count = 0;
  const auto region = [&](const char* name, const BranchBody& body) {
    return builder.region(name, {}, [&](GraphBuilder& b, absl::Span<const Value>) {
      std::vector<Value> outputs = body(b);
      count = std::max(count, outputs.size());
      return outputs;
    });
  };
  const GraphBuilder::Region yes = region("then", then_body), no = region("else", else_body);
  std::vector<Value> outputs = emit_cond(builder, predicate, yes, no);
  // After a mistake: as many poisoned values.
  while (outputs.size() < count) outputs.push_back(builder.value(kNoValue));
  return outputs;
}

}  // namespace modellib
