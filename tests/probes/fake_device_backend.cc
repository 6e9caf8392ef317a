#include "modellib/tests/probes/fake_device_backend.h"

#include <map>
#include <utility>

#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/graph/status_macros.h"
#include "modellib/passes/rebuild.h"
#include "modellib/passes/regions.h"
#include "modellib/passes/views.h"

namespace modellib {
namespace {

// The value in whose bytes this one lies.
ValueId root_of(const Graph& graph, ValueId id) {
  while (graph.value(id).producer >= 0) {
    const Graph::Node& node = graph.node(graph.value(id).producer);
    const absl::optional<View> view = view_of(graph, node);
    if (!view.has_value()) return id;
    id = node.inputs[static_cast<size_t>(view->input)];
  }
  return id;
}

// Whether the value may lie in the caller's memory.
bool is_the_hosts(const Graph& graph, ValueId id) {
  const ValueId root = root_of(graph, id);
  for (const ValueId input : graph.inputs()) {
    if (input == root) return true;
  }
  for (const Graph::Output& out : graph.outputs()) {
    if (root_of(graph, out.value) == root) return graph.value(root).producer >= 0;
  }
  return false;
}

// Puts a copy in the device's memory beside each operand that is the host's.
class Staging {
 public:
  Staging(const FakeDeviceBackend& backend, const RecipeSite& site, NodeRecipe recipe)
      : backend_(backend), site_(site), recipe_(std::move(recipe)) {}

  NodeRecipe run() {
    for (StepRecipe& step : recipe_.steps) {
      for (StepOperand& o : step.inputs) o = staged(o);
      for (StepOperand& o : step.outputs) o = staged(o);
      steps_.push_back(std::move(step));
    }
    for (const auto& [output, temporary] : outputs_) {
      copy({StepOperand::Kind::kTemporary, temporary}, {StepOperand::Kind::kOutput, output},
           site_.node.output(output));
    }
    recipe_.steps = std::move(steps_);
    return std::move(recipe_);
  }

 private:
  StepOperand staged(const StepOperand& o) {
    const bool input = o.kind == StepOperand::Kind::kInput;
    if (!input && o.kind != StepOperand::Kind::kOutput) return o;
    const ValueId value =
        input ? site_.node.inputs[static_cast<size_t>(o.index)] : site_.node.output(o.index);
    if (value == kNoValue || !is_the_hosts(site_.graph, value)) return o;
    auto [it, inserted] = (input ? inputs_ : outputs_).try_emplace(o.index, 0);
    if (inserted) {
      it->second = static_cast<int>(recipe_.temporaries.size());
      recipe_.temporaries.push_back(byte_size(site_.graph.type(value)));
      if (input) copy(o, {StepOperand::Kind::kTemporary, it->second}, value);
    }
    return {StepOperand::Kind::kTemporary, it->second};
  }

  void copy(const StepOperand& from, const StepOperand& to, ValueId value) {
    StepRecipe step = backend_.copy(byte_size(site_.graph.type(value)));
    step.inputs = {from};
    step.outputs = {to};
    steps_.push_back(std::move(step));
  }

  const FakeDeviceBackend& backend_;
  const RecipeSite& site_;
  NodeRecipe recipe_;
  std::vector<StepRecipe> steps_;
  std::map<int, int> inputs_, outputs_;  // operand -> temporary
};

constexpr char kCopyPass[] = "copy-around-control-flow";

// Its input, elsewhere.
const OpDef& copy_op() {
  static const auto* const op = [] {
    auto* copy = new OpDef;
    copy->name = "copy_to_device";
    copy->infer = [](InferenceContext& c) {
      c.outputs.push_back(c.input(0));
      return absl::OkStatus();
    };
    copy->reference = [](ReferenceContext& c) {
      c.out(0) = c.in(0);
      return absl::OkStatus();
    };
    return copy;
  }();
  return *op;
}

absl::StatusOr<GraphRef> copy_around_control_flow(const GraphRef& graph, PassContext& context) {
  bool found = false;
  for (const Graph::Node& node : graph->nodes()) found = found || !control_regions(node).empty();
  if (!found) return graph;
  return rebuild(
      *graph, context.registry(), [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
        if (control_regions(site.node).empty()) return std::nullopt;
        context.may_rewrite();
        const auto copy = [&](const Value& v) { return site.builder.emit(copy_op(), {v}, {})[0]; };
        for (Value& v : site.inputs) v = copy(v);
        std::vector<Value> outputs =
            site.builder.emit(*site.node.op, site.inputs, site.node.attributes);
        for (Value& v : outputs) v = copy(v);
        return outputs;
      });
}

}  // namespace

CompileOptions for_fake_device(CompileOptions options) {
  options.pipeline.custom.push_back(
      {kCopyPass, "Copies what control flow reads and gives.", copy_around_control_flow});
  options.pipeline.passes.emplace_back(kCopyPass);
  return options;
}

bool FakeDeviceBackend::takes_composite(const Graph& graph, const Graph::Node& node) const {
  return cpu::cpu_backend().takes_composite(graph, node);
}

bool FakeDeviceBackend::takes_epilogue(const Graph& graph, const Graph::Node& product,
                                       const Epilogue& epilogue) const {
  return cpu::cpu_backend().takes_epilogue(graph, product, epilogue);
}

std::optional<DType> FakeDeviceBackend::computes_in(const Graph& graph,
                                                    const Graph::Node& node) const {
  return cpu::cpu_backend().computes_in(graph, node);
}

int64_t FakeDeviceBackend::channels_last_gain(const Graph& graph, const Graph::Node& node) const {
  return cpu::cpu_backend().channels_last_gain(graph, node);
}

bool FakeDeviceBackend::can_fuse(const Graph& graph, const Graph::Node& node) const {
  return cpu::cpu_backend().can_fuse(graph, node);
}

absl::Status FakeDeviceBackend::accepts_region(const Graph& region) const {
  return cpu::cpu_backend().accepts_region(region);
}

absl::StatusOr<NodeRecipe> FakeDeviceBackend::recipe(const RecipeSite& site) const {
  if (site.node.op == &copy_op()) {
    NodeRecipe recipe;
    recipe.steps.push_back(copy(byte_size(site.in(0))));
    recipe.steps[0].inputs = {{StepOperand::Kind::kInput, 0}};
    recipe.steps[0].outputs = {{StepOperand::Kind::kOutput, 0}};
    return recipe;
  }
  MODELLIB_ASSIGN_OR_RETURN(NodeRecipe recipe, cpu::cpu_backend().recipe(site));
  // Any function of seed, node and step that looks arbitrary: the finisher of MurmurHash3.
  uint64_t bits = seed_ * 0x9e3779b97f4a7c15 + static_cast<uint64_t>(site.node.first_output) + 1;
  for (StepRecipe& step : recipe.steps) {
    bits = (bits ^ (bits >> 33)) * 0xff51afd7ed558ccd;
    bits = (bits ^ (bits >> 33)) * 0xc4ceb9fe1a85ec53;
    bits ^= bits >> 33;
    step.lane = bits % 2 == 0 ? kCompute : kSide;
  }
  return Staging(*this, site, std::move(recipe)).run();
}

StepRecipe FakeDeviceBackend::copy(const Dim& bytes) const {
  StepRecipe step = cpu::cpu_backend().copy(bytes);
  step.lane = kCopy;
  return step;
}

}  // namespace modellib
