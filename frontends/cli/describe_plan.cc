#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/frontends/cli/describe.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/program.h"

namespace modellib::cli {
namespace {

// Tables that are absent are empty.
template <class Vector, class Visit>
void each(const Vector* vector, Visit visit) {
  if (vector == nullptr) return;
  for (uint32_t i = 0; i < vector->size(); ++i) visit(i, vector->Get(i));
}
std::string text(const flatbuffers::String* string) {
  return string == nullptr ? "" : string->str();
}

// An expression of symbols as people write it: "floordiv((4 * batch), 2)".
std::string expression(const fb::Entry& entry, const fb::Slot& slot) {
  std::vector<std::string> stack;
  each(slot.expr(), [&](uint32_t, const fb::DimOp* op) {
    if (op->code() == fb::DimOpcode::Const) return stack.push_back(absl::StrCat(op->value()));
    if (op->code() == fb::DimOpcode::Symbol) {
      const auto* symbol = entry.symbols()->Get(static_cast<uint32_t>(op->value()));
      return stack.push_back(text(symbol->name()));
    }
    // The plan was verified: there are two operands.
    const std::string b = std::move(stack.back());
    stack.pop_back();
    std::string& a = stack.back();
    const auto infix = [&](const char* sign) { a = absl::StrCat("(", a, sign, b, ")"); };
    const auto call = [&](const char* name) { a = absl::StrCat(name, "(", a, ", ", b, ")"); };
    switch (op->code()) {
      case fb::DimOpcode::Add:
        return infix(" + ");
      case fb::DimOpcode::Sub:
        return infix(" - ");
      case fb::DimOpcode::Mul:
        return infix(" * ");
      case fb::DimOpcode::FloorDiv:
        return call("floordiv");
      case fb::DimOpcode::Mod:
        return call("mod");
      case fb::DimOpcode::Min:
        return call("min");
      default:
        return call("max");
    }
  });
  return stack.empty() ? "?" : stack.back();
}

std::string scalar(const fb::Entry& entry, const fb::Scalar& s) {
  if (s.slot() < 0) return absl::StrCat(s.value());
  return expression(entry, *entry.slots()->Get(static_cast<uint32_t>(s.slot())));
}

Json tensor(const fb::Entry& entry, const fb::TensorDesc& t) {
  std::vector<std::string> extents;
  each(t.shape(), [&](uint32_t, const fb::Scalar* s) { extents.push_back(scalar(entry, *s)); });
  return {{"name", text(t.name())},
          {"type", absl::StrCat(to_string(static_cast<DType>(t.dtype())), "[",
                                absl::StrJoin(extents, ","), "]")},
          {"bytes", t.bytes()}};
}

class PlanDescriber {
 public:
  PlanDescriber(const PlanToDescribe& plan, const runtime::KernelTable& kernels)
      : plan_(plan.plan->plan()), runs_(plan.runs), kernels_(kernels) {}

  Json describe() {
    Json out = {{"format", "plan"},
                {"producer", text(plan_.producer())},
                {"device", text(plan_.device())},
                {"features", Json::array()},
                {"passes", Json::array()},
                {"variables", Json::array()},
                {"constants", Json::object()},
                {"entries", Json::array()},
                {"will_not_run", lines_of(runs_)}};
    each(plan_.features(), [&](uint32_t, const auto* f) { out["features"].push_back(text(f)); });
    each(plan_.passes(), [&](uint32_t, const fb::PassRecord* p) {
      out["passes"].push_back({{"name", text(p->name())},
                               {"nodes_before", p->nodes_before()},
                               {"nodes_after", p->nodes_after()},
                               {"rewrites", p->rewrites()}});
    });
    uint64_t constant_bytes = 0, constants = 0;
    each(plan_.constants(), [&](uint32_t, const fb::Constant* c) {
      constant_bytes += c->bytes();
      ++constants;
    });
    out["constants"] = {{"count", constants}, {"bytes", constant_bytes}};
    const std::set<uint32_t> initialized = initialized_variables();
    each(plan_.variables(), [&](uint32_t index, const fb::Variable* v) {
      std::vector<int64_t> extents;
      each(v->shape(), [&](uint32_t, int64_t extent) { extents.push_back(extent); });
      static constexpr const char* kKinds[] = {"shared", "session", "shard"};
      const auto kind = static_cast<size_t>(v->kind());
      out["variables"].push_back(
          {{"name", text(v->name())},
           {"kind", kind < std::size(kKinds) ? kKinds[kind] : "?"},
           {"type", absl::StrCat(to_string(static_cast<DType>(v->dtype())), "[",
                                 absl::StrJoin(extents, ","), "]")},
           {"bytes", v->bytes()},
           {"content", origin_of_content(v->segment() >= 0, v->kind() == fb::VariableKind::Session,
                                         initialized.contains(index))}});
    });
    each(plan_.entries(),
         [&](uint32_t, const fb::Entry* e) { out["entries"].push_back(entry(*e)); });
    return out;
  }

 private:
  std::set<uint32_t> initialized_variables() const {
    std::set<uint32_t> indices;
    each(plan_.entries(), [&](uint32_t, const fb::Entry* e) {
      if (text(e->name()) != kInitializeEntry) return;
      each(e->variables(), [&](uint32_t, const fb::VariableUse* use) {
        if (use->writes()) indices.insert(use->variable());
      });
    });
    return indices;
  }

  Json entry(const fb::Entry& e) {
    Json out = {{"name", text(e.name())},
                {"symbols", Json::array()},
                {"constraints", Json::array()},
                {"inputs", Json::array()},
                {"outputs", Json::array()},
                {"planned_bytes", e.planned_bytes()},
                {"lower_bound_bytes", e.lower_bound_bytes()},
                {"workspace_bytes", 0},
                {"lanes", Json::array()},
                {"contributors", Json::array()},
                {"steps_that_may_allocate", 0},
                {"steps_on_plain_kernels", 0},
                {"pointwise", Json::object()},
                {"steps", Json::array()}};
    each(e.symbols(), [&](uint32_t, const fb::Symbol* s) {
      out["symbols"].push_back({{"name", text(s->name())}, {"min", s->min()}, {"max", s->max()}});
    });
    each(e.constraints(), [&](uint32_t, const fb::Constraint* c) {
      out["constraints"].push_back({{"left", text(c->left_text())},
                                    {"right", text(c->right_text())},
                                    {"reason", text(c->reason())}});
    });
    if (const fb::PointwiseCount* count = e.pointwise()) {
      out["pointwise"] = {{"in_regions", count->in_regions()},
                          {"in_epilogues", count->in_epilogues()},
                          {"outside", count->outside()}};
    }
    each(e.inputs(), [&](uint32_t, const auto* t) { out["inputs"].push_back(tensor(e, *t)); });
    each(e.outputs(), [&](uint32_t, const auto* t) { out["outputs"].push_back(tensor(e, *t)); });
    each(e.lanes(), [&](uint32_t, const auto* lane) { out["lanes"].push_back(text(lane)); });
    each(e.contributors(), [&](uint32_t, const fb::Contributor* c) {
      out["contributors"].push_back({{"name", text(c->name())}, {"bytes", c->bytes()}});
    });
    uint64_t workspace = 0;
    int allocating = 0, plain = 0;
    each(e.sequences(), [&](uint32_t number, const fb::Sequence* sequence) {
      each(sequence->steps(), [&](uint32_t index, const fb::Step* s) {
        Json described = step(e, *s);
        allocating += described.contains("may_allocate") ? 1 : 0;
        plain += described.contains("plain") ? 1 : 0;
        described["sequence"] = number;
        described["index"] = index;
        if (s->workspace() != nullptr) workspace = std::max(workspace, s->workspace()->size());
        out["steps"].push_back(std::move(described));
      });
    });
    out["workspace_bytes"] = workspace;
    out["steps_that_may_allocate"] = allocating;
    out["steps_on_plain_kernels"] = plain;
    return out;
  }

  Json step(const fb::Entry& e, const fb::Step& s) {
    const std::string kernel = text(plan_.kernels()->Get(s.kernel()));
    Json out = {{"name", text(s.name())},
                {"kernel", kernel},
                {"executor", text(plan_.device())},
                {"lane", s.lane()},
                {"chunks", s.chunks() == nullptr ? "1" : scalar(e, *s.chunks())}};
    if (s.workspace() != nullptr) out["workspace_bytes"] = s.workspace()->size();
    // The executor runs these itself.
    if (kernel.rfind("control.", 0) == 0 || kernel.rfind("comm.", 0) == 0) {
      out["executor"] = "runtime";
      return out;
    }
    const runtime::Kernel* found = kernels_.find(kernel);
    if (found == nullptr) {
      out["missing"] = true;
      return out;
    }
    if (found->plain) out["plain"] = true;
    if (found->may_allocate) out["may_allocate"] = true;
    return out;
  }

  const fb::Plan& plan_;
  const absl::Status& runs_;
  const runtime::KernelTable& kernels_;
};

}  // namespace

Json describe_plan(const PlanToDescribe& plan, const runtime::KernelTable& kernels) {
  return PlanDescriber(plan, kernels).describe();
}

}  // namespace modellib::cli
