#include "modellib/formats/test_plans.h"

#include <memory>
#include <utility>

namespace modellib::test_plans {
namespace {

std::unique_ptr<fb::TensorDescT> tensor(const std::string& name, uint64_t floats) {
  auto t = std::make_unique<fb::TensorDescT>();
  t->name = name;
  t->dtype = fb::DType::F32;
  t->shape = {fb::Scalar(static_cast<int64_t>(floats), -1)};
  t->bytes = 4 * floats;
  return t;
}

}  // namespace

fb::BufferRef ref(fb::Space space, uint32_t index, uint64_t offset, uint64_t size, int64_t stride,
                  int64_t outer) {
  return fb::BufferRef(space, index, offset, size, stride, outer);
}
fb::BufferRef arena(uint64_t offset, uint64_t size, int64_t stride, int64_t outer) {
  return ref(fb::Space::Arena, 0, offset, size, stride, outer);
}
fb::BufferRef input(uint64_t size) { return ref(fb::Space::Input, 0, 0, size); }
fb::BufferRef output(uint64_t offset, uint64_t size) {
  return ref(fb::Space::Output, 0, offset, size);
}
fb::BufferRef variable(uint32_t index, uint64_t size) {
  return ref(fb::Space::Variable, index, 0, size);
}
fb::BufferRef constant(uint64_t size) { return ref(fb::Space::Constant, 0, 0, size); }

fb::StepT step(const std::string& name, std::vector<fb::BufferRef> inputs,
               std::vector<fb::BufferRef> outputs, uint16_t lane, std::vector<uint32_t> waits,
               std::vector<uint32_t> signals) {
  fb::StepT s;
  s.name = name;
  s.kernel = kWork;
  s.lane = lane;
  s.inputs = std::move(inputs);
  s.outputs = std::move(outputs);
  s.waits = std::move(waits);
  s.signals = std::move(signals);
  s.chunks = std::make_unique<fb::Scalar>(1, -1);
  return s;
}

fb::StepT control(Kernel kernel, std::vector<fb::BufferRef> inputs,
                  std::vector<fb::BufferRef> outputs, std::vector<uint32_t> bodies, int64_t trips) {
  fb::StepT s = step("control", std::move(inputs), std::move(outputs));
  s.kernel = kernel;
  s.sequences = std::move(bodies);
  if (kernel != kCond) s.scalars = {fb::Scalar(trips, -1)};
  return s;
}

fb::PlanT plan(std::vector<fb::StepT> steps, std::vector<std::vector<fb::StepT>> bodies,
               std::vector<std::string> lanes) {
  fb::PlanT p;
  p.kernels = {"work", "control.cond", "control.scan", "control.while"};
  for (const char* name : {"weight", "mean"}) {
    auto v = std::make_unique<fb::VariableT>();
    v->name = name;
    v->dtype = fb::DType::F32;
    v->shape = {16};
    v->bytes = 64;
    v->segment = -1;
    p.variables.push_back(std::move(v));
  }
  auto c = std::make_unique<fb::ConstantT>();
  c->name = "table";
  c->bytes = 64;
  p.constants.push_back(std::move(c));

  auto e = std::make_unique<fb::EntryT>();
  e->name = "main";
  e->inputs.push_back(tensor("x", 16));
  e->outputs.push_back(tensor("y", 16));
  for (uint32_t v : {0u, 1u}) {
    auto use = std::make_unique<fb::VariableUseT>();
    use->variable = v;
    use->reads = true;
    use->writes = v == 0;
    e->variables.push_back(std::move(use));
  }
  auto a = std::make_unique<fb::ArenaT>();
  a->device = "cpu";
  a->bytes = 4096;
  a->alignment = 64;
  a->lower_bound = 4000;
  e->arenas.push_back(std::move(a));
  e->planned_bytes = 4096;
  e->lower_bound_bytes = 4000;
  e->lanes = std::move(lanes);
  bodies.insert(bodies.begin(), std::move(steps));
  for (std::vector<fb::StepT>& list : bodies) {
    auto sequence = std::make_unique<fb::SequenceT>();
    for (fb::StepT& s : list) {
      e->signals += static_cast<uint32_t>(s.signals.size());
      sequence->steps.push_back(std::make_unique<fb::StepT>(std::move(s)));
    }
    e->sequences.push_back(std::move(sequence));
  }
  p.entries.push_back(std::move(e));
  return p;
}

fb::PlanT small_plan() {
  std::vector<fb::StepT> steps;
  steps.push_back(step("fc1", {input(64), variable(0, 64)}, {arena(0, 2048)}));
  steps.push_back(step("relu", {arena(0, 2048)}, {arena(0, 2048)}));
  steps.push_back(step("fc2", {arena(0, 2048), constant(64), variable(1, 64)}, {arena(2048, 64)}));
  steps.back().workspace = std::make_unique<fb::BufferRef>(arena(2112, 1024));
  steps.push_back(step("grad", {arena(2048, 64)}, {arena(0, 64)}));
  steps.push_back(step("update", {arena(0, 64), variable(0, 64)}, {variable(0, 64)}));
  steps.push_back(step("out", {arena(2048, 64)}, {output(0, 64)}));
  return plan(std::move(steps));
}

fb::PlanT symbolic_plan(std::vector<fb::DimOp> expression, int64_t min, int64_t max) {
  fb::PlanT p = small_plan();
  auto symbol = std::make_unique<fb::SymbolT>();
  symbol->name = "batch";
  symbol->min = 1;
  symbol->max = 4;
  main_entry(p).symbols.push_back(std::move(symbol));
  auto slot = std::make_unique<fb::SlotT>();
  slot->expr = std::move(expression);
  slot->min = min;
  slot->max = max;
  main_entry(p).slots.push_back(std::move(slot));
  step_of(p, 0).scalars = {fb::Scalar(max, 0)};
  return p;
}

fb::PlanT cond_plan() {
  std::vector<fb::StepT> steps;
  steps.push_back(step("predicate", {input(64)}, {arena(0, 1)}));
  steps.push_back(step("shared", {input(64)}, {arena(64, 64)}));
  steps.push_back(control(kCond, {arena(0, 1)}, {}, {1, 2}));
  steps.push_back(step("out", {arena(128, 64)}, {output(0, 64)}));
  std::vector<std::vector<fb::StepT>> bodies(2);
  // The first branch overwrites what the second reads; that is no conflict, as only one runs.
  bodies[0].push_back(step("then1", {arena(64, 64)}, {arena(64, 64)}));
  bodies[0].push_back(step("then2", {arena(64, 64)}, {arena(128, 64)}));
  bodies[1].push_back(step("else", {arena(64, 64)}, {arena(128, 64)}));
  return plan(std::move(steps), std::move(bodies));
}

fb::PlanT scan_plan() {
  std::vector<fb::StepT> steps;
  steps.push_back(step("h0", {input(64)}, {arena(0, 64)}));
  steps.push_back(step("xs", {input(64)}, {arena(512, 512)}));
  steps.push_back(control(kScan, {}, {arena(64, 8)}, {1}, 8));
  steps.push_back(step("out", {arena(1024, 512), arena(0, 64)}, {output(0, 64)}));
  std::vector<std::vector<fb::StepT>> bodies(1);
  bodies[0].push_back(
      step("cell", {arena(0, 64), arena(512, 64, 64), arena(64, 8)}, {arena(128, 64)}));
  bodies[0].push_back(step("stack", {arena(128, 64)}, {arena(1024, 64, 64)}));
  bodies[0].push_back(step("carry", {arena(128, 64)}, {arena(0, 64)}));
  return plan(std::move(steps), std::move(bodies));
}

fb::PlanT while_plan(int64_t trips) {
  std::vector<fb::StepT> steps;
  steps.push_back(step("state", {input(64)}, {arena(0, 64)}));
  steps.push_back(control(kWhile, {arena(64, 1)}, {arena(128, 8)}, {1, 2}, trips));
  steps.push_back(step("out", {arena(0, 64), arena(128, 8)}, {output(0, 64)}));
  std::vector<std::vector<fb::StepT>> bodies(2);
  bodies[0].push_back(step("condition", {arena(0, 64)}, {arena(64, 1)}));
  bodies[1].push_back(step("body", {arena(0, 64)}, {arena(0, 64)}));
  return plan(std::move(steps), std::move(bodies));
}

fb::PlanT two_lanes() {
  std::vector<fb::StepT> steps;
  steps.push_back(step("grad1", {input(64)}, {arena(0, 64)}, 0, {}, {0}));
  steps.push_back(step("reduce1", {arena(0, 64)}, {arena(0, 64)}, 1, {0}, {1}));
  steps.push_back(step("grad2", {input(64)}, {arena(64, 64)}, 0, {}, {2}));
  steps.push_back(step("reduce2", {arena(64, 64)}, {arena(128, 64)}, 1, {2}, {3}));
  steps.push_back(step("update1", {arena(0, 64)}, {variable(0, 64)}, 0, {1}));
  steps.push_back(step("reuse", {input(64)}, {arena(64, 64)}, 0, {3}));
  steps.push_back(step("sum", {arena(64, 64), arena(128, 64)}, {arena(192, 64)}, 0, {}, {4}));
  steps.push_back(step("send", {arena(192, 64)}, {output(0, 64)}, 1, {4}));
  return plan(std::move(steps), {}, {"compute", "collective"});
}

fb::EntryT& main_entry(fb::PlanT& p) { return *p.entries[0]; }

fb::StepT& step_of(fb::PlanT& p, size_t i, size_t sequence) {
  return *main_entry(p).sequences[sequence]->steps[i];
}

}  // namespace modellib::test_plans
