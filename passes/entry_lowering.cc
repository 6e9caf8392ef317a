#include "modellib/passes/entry_lowering.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/passes/regions.h"
#include "modellib/passes/sequence_lowering.h"
#include "modellib/passes/sequence_planning.h"

namespace modellib {
namespace {

class EntryLowering {
 public:
  EntryLowering(const std::string& name, const Graph& graph, const Backend& backend,
                PlanTables& tables)
      : name_(name), graph_(graph), context_(backend, graph.ranges(), tables) {}

  absl::StatusOr<LoweredEntry> run() {
    SequenceLowering lowering(context_, graph_, 0);
    MODELLIB_RETURN_IF_ERROR(declare(lowering));
    MODELLIB_RETURN_IF_ERROR(lowering.lower_nodes());
    if (!context_.unsupported.empty()) {
      return absl::UnimplementedError(absl::StrCat("entry '", name_, "': ", context_.backend.name(),
                                                   " has no kernel for ",
                                                   context_.unsupported.size(), " node(s):\n  ",
                                                   absl::StrJoin(context_.unsupported, "\n  ")));
    }
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<Target> targets, this->targets());
    MODELLIB_RETURN_IF_ERROR(lowering.reach(targets));
    StepSequence main = lowering.take();
    MODELLIB_ASSIGN_OR_RETURN(
        const SequencePlan planned,
        plan_sequence(main, context_.buffers, context_.backend.copy(0).kernel));

    auto entry = std::make_unique<fb::EntryT>();
    entry_ = entry.get();
    entry_->name = name_;
    MODELLIB_RETURN_IF_ERROR(write(main, planned, {}, 0).status());
    MODELLIB_RETURN_IF_ERROR(describe_borders());
    MODELLIB_RETURN_IF_ERROR(name_values());
    describe_memory(main, planned.plan);
    context_.slots.take(*entry_);
    return LoweredEntry{std::move(entry), planned.plain_peak, planned.plan.schedule.peak};
  }

 private:
  // Buffers that are there at entry.
  absl::Status declare(SequenceLowering& lowering) {
    for (size_t i = 0; i < graph_.inputs().size(); ++i) {
      const ValueId id = graph_.inputs()[i];
      MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, context_.max_bytes(graph_.type(id)));
      lowering.set_place(id, {border(fb::Space::Input, i, bytes, graph_.value(id).name), 0, {}});
    }
    for (const Graph::VariableUse& use : graph_.variables()) {
      MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, context_.max_bytes(use.variable->type));
      const int buffer = border(fb::Space::Variable, context_.tables.variable(use.variable), bytes,
                                use.variable->name);
      variables_.push_back(buffer);
      if (use.value != kNoValue) lowering.set_place(use.value, {buffer, 0, {}});
    }
    return absl::OkStatus();
  }

  int border(fb::Space space, size_t index, int64_t bytes, const std::string& name) {
    return context_.buffers.add(
        {.space = space, .index = static_cast<uint32_t>(index), .bytes = bytes, .name = name});
  }

  absl::StatusOr<std::vector<Target>> targets() {
    std::vector<Target> targets;
    for (size_t v = 0; v < graph_.variables().size(); ++v) {
      const Graph::VariableUse& use = graph_.variables()[v];
      if (use.assigned == kNoValue || use.assigned == use.value) continue;
      targets.push_back({.to = {variables_[v], 0, {}},
                         .value = use.assigned,
                         .holds_content = true,
                         .name = "assign " + use.variable->name});
    }
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const Graph::Output& out = graph_.outputs()[i];
      MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, context_.max_bytes(graph_.type(out.value)));
      targets.push_back({.to = {border(fb::Space::Output, i, bytes, out.name), 0, {}},
                         .value = out.value,
                         .name = "output " + out.name});
    }
    return targets;
  }

  // Writes a sequence and, behind it, its bodies; returns its index. Its arena begins at `base`.
  absl::StatusOr<uint32_t> write(const StepSequence& sequence, const SequencePlan& planned,
                                 BufferPlace base, uint16_t lane) {
    const bool is_main = sequence.id == 0;
    const auto index = static_cast<uint32_t>(entry_->sequences.size());
    entry_->sequences.push_back(std::make_unique<fb::SequenceT>());
    const StepPlan& plan = planned.plan;
    const auto locate = [&](const BufferPlace& place) -> BufferPlace {
      if (is_main || place.arena < 0) return place;
      return {base.arena, base.offset + place.offset};
    };
    for (const auto& [buffer, in_problem] : planned.buffers) {
      const StepBuffer& b = context_.buffers[buffer];
      if (b.space != fb::Space::Arena || b.home != sequence.id) continue;
      located_[buffer] = locate(plan.buffers[static_cast<size_t>(in_problem)]);
    }
    for (size_t position = 0; position < plan.schedule.order.size(); ++position) {
      const auto id = static_cast<size_t>(plan.schedule.order[position]);
      const LoweredStep& s = sequence.steps[id];
      const BufferPlace workspace = locate(plan.workspace[id]);
      const auto own_lane = is_main ? static_cast<uint16_t>(s.recipe.lane) : lane;
      MODELLIB_ASSIGN_OR_RETURN(auto step, write_step(s, sequence.loop_depth, workspace, own_lane));
      if (is_main) {
        for (int signal : plan.sync.waits[position]) {
          step->waits.push_back(static_cast<uint32_t>(signal));
        }
        if (const int signal = plan.sync.completes[position]; signal >= 0) {
          step->signals.push_back(static_cast<uint32_t>(signal));
        }
      }
      for (size_t body = 0; body < s.bodies.size(); ++body) {
        MODELLIB_ASSIGN_OR_RETURN(
            step->sequences.emplace_back(),
            write(s.bodies[body], planned.bodies[id][body], workspace, own_lane));
      }
      entry_->sequences[index]->steps.push_back(std::move(step));
    }
    return index;
  }

  absl::StatusOr<std::unique_ptr<fb::StepT>> write_step(const LoweredStep& s, int loop_depth,
                                                        const BufferPlace& workspace,
                                                        uint16_t lane) {
    auto out = std::make_unique<fb::StepT>();
    out->kernel = context_.tables.kernel(s.recipe.kernel);
    out->lane = lane;
    for (size_t i = 0; i < s.outputs.size(); ++i) {
      out->outputs.push_back(reference(s.outputs[i], s.output_bytes[i], loop_depth));
    }
    for (size_t i = 0; i < s.inputs.size(); ++i) {
      out->inputs.push_back(reference(s.inputs[i], s.input_bytes[i], loop_depth));
    }
    fb::BufferRef own_workspace;
    if (s.workspace > 0 && s.bodies.empty()) {
      own_workspace = arena_reference(workspace, 0, s.workspace, 0, 0);
    }
    out->workspace = std::make_unique<fb::BufferRef>(own_workspace);
    for (const Dim& d : s.recipe.scalars) {
      MODELLIB_ASSIGN_OR_RETURN(const fb::Scalar scalar, context_.slots.scalar(d));
      out->scalars.push_back(scalar);
    }
    MODELLIB_ASSIGN_OR_RETURN(const fb::Scalar chunks, context_.slots.scalar(s.recipe.chunks));
    out->chunks = std::make_unique<fb::Scalar>(chunks);
    out->data = s.recipe.data;
    out->name = s.name;
    written_.emplace_back(&s, out.get());
    return out;
  }

  // Behind everything else: what has a name takes no part in the numbers of the slots.
  absl::Status name_values() {
    for (const auto& [step, out] : written_) MODELLIB_RETURN_IF_ERROR(name_values(*step, *out));
    return absl::OkStatus();
  }

  absl::Status name_values(const LoweredStep& s, fb::StepT& out) {
    for (size_t i = 0; i < s.values.size(); ++i) {
      const auto& [name, type] = s.values[i];
      // Where the bounds alone do not tell that an extent is one, the value goes without a name.
      const bool sound = std::all_of(type.shape.begin(), type.shape.end(), [&](const Dim& d) {
        return d.range(context_.ranges).min >= 0;
      });
      if (name.empty() || !sound) continue;
      while (out.values.size() < i) out.values.push_back(std::make_unique<fb::TensorDescT>());
      MODELLIB_ASSIGN_OR_RETURN(auto desc, describe_tensor(name, type));
      desc->symbols.clear();
      out.values.push_back(std::move(desc));
    }
    return absl::OkStatus();
  }

  fb::BufferRef reference(const Place& place, int64_t bytes, int loop_depth) const {
    if (place.buffer == kNoBuffer) return fb::BufferRef();
    const Place p = context_.buffers.resolve(place);
    const auto stride = [&](int loop) {
      return loop >= 0 && static_cast<size_t>(loop) < p.strides.size()
                 ? p.strides[static_cast<size_t>(loop)]
                 : 0;
    };
    const int64_t inner = stride(loop_depth - 1), outer = stride(loop_depth - 2);
    const StepBuffer& b = context_.buffers[p.buffer];
    if (b.space != fb::Space::Arena) {
      return fb::BufferRef(b.space, b.index, static_cast<uint64_t>(p.offset),
                           static_cast<uint64_t>(bytes), inner, outer);
    }
    const auto located = located_.find(p.buffer);
    if (located == located_.end()) return fb::BufferRef();  // nobody uses a byte of it
    return arena_reference(located->second, p.offset, bytes, inner, outer);
  }

  // Buffers of no bytes have no place; they refer to nothing.
  static fb::BufferRef arena_reference(const BufferPlace& place, int64_t offset, int64_t bytes,
                                       int64_t inner, int64_t outer) {
    if (place.arena < 0) return fb::BufferRef();
    return fb::BufferRef(fb::Space::Arena, static_cast<uint32_t>(place.arena),
                         static_cast<uint64_t>(place.offset + offset), static_cast<uint64_t>(bytes),
                         inner, outer);
  }

  absl::StatusOr<std::unique_ptr<fb::TensorDescT>> describe_tensor(const std::string& name,
                                                                   const TensorType& type) {
    auto desc = std::make_unique<fb::TensorDescT>();
    desc->name = name;
    desc->dtype = static_cast<fb::DType>(type.dtype);
    for (const Dim& d : type.shape) {
      MODELLIB_ASSIGN_OR_RETURN(const fb::Scalar scalar, context_.slots.scalar(d));
      desc->shape.push_back(scalar);
      desc->symbols.push_back(d.is_symbol() ? context_.slots.symbol(d.symbol_name()) : -1);
    }
    MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, context_.max_bytes(type));
    desc->bytes = static_cast<uint64_t>(bytes);
    return desc;
  }

  absl::Status describe_borders() {
    for (ValueId id : graph_.inputs()) {
      MODELLIB_ASSIGN_OR_RETURN(auto desc, describe_tensor(graph_.value(id).name, graph_.type(id)));
      entry_->inputs.push_back(std::move(desc));
    }
    for (const Graph::Output& out : graph_.outputs()) {
      MODELLIB_ASSIGN_OR_RETURN(auto desc, describe_tensor(out.name, graph_.type(out.value)));
      entry_->outputs.push_back(std::move(desc));
    }
    for (const Graph::VariableUse& use : graph_.variables()) {
      auto v = std::make_unique<fb::VariableUseT>();
      v->variable = context_.tables.variable(use.variable);
      v->reads = use.value != kNoValue;
      v->writes = use.assigned != kNoValue && use.assigned != use.value;
      entry_->variables.push_back(std::move(v));
    }
    return require_constraints(graph_);
  }

  // Of the graph and its regions, and what their nodes ask for: kernels rely on it, and a graph
  // that was read from a file need not say it.
  absl::Status require_constraints(const Graph& graph) {
    for (const Graph::Constraint& c : graph.constraints()) require(c);
    for (const Graph::Node& node : graph.nodes()) {
      const std::vector<const TensorType*> inputs = operand_types(graph, node.inputs);
      InferenceContext inferred{inputs, node.attributes, {}, {}};
      MODELLIB_RETURN_IF_ERROR(infer_types(*node.op, inferred));
      for (const Graph::Constraint& c : inferred.constraints) require(c);
      for (const GraphRef& region : control_regions(node)) {
        MODELLIB_RETURN_IF_ERROR(require_constraints(*region));
      }
    }
    return absl::OkStatus();
  }

  void require(const Graph::Constraint& c) {
    if (are_equal_within(c.left, c.right, context_.ranges)) return;
    const std::string text = absl::StrCat(c.left.to_string(), " == ", c.right.to_string());
    if (required_.insert(text).second) context_.slots.require(c);
  }

  void describe_memory(const StepSequence& main, const StepPlan& plan) {
    // Lanes that the entry doesn't use cost a thread each; they are left out from the end.
    int lanes = 1;
    for (const LoweredStep& s : main.steps) lanes = std::max(lanes, s.recipe.lane + 1);
    for (std::string& lane : context_.backend.lanes()) {
      if (static_cast<int>(entry_->lanes.size()) < lanes) entry_->lanes.push_back(std::move(lane));
    }
    entry_->signals = static_cast<uint32_t>(plan.sync.signals);
    for (const MemoryPlan::Arena& arena : plan.memory.arenas) {
      auto a = std::make_unique<fb::ArenaT>();
      a->device = std::string(context_.backend.name());
      a->lane = static_cast<uint16_t>(arena.arena);
      a->bytes = static_cast<uint64_t>(arena.bytes);
      a->alignment = static_cast<uint32_t>(arena.alignment);
      a->lower_bound = static_cast<uint64_t>(arena.lower_bound);
      entry_->arenas.push_back(std::move(a));
      for (const MemoryPlan::Contributor& c : arena.contributors) {
        auto contributor = std::make_unique<fb::ContributorT>();
        contributor->name = plan.records[static_cast<size_t>(c.record)].name;
        contributor->bytes = static_cast<uint64_t>(c.bytes);
        entry_->contributors.push_back(std::move(contributor));
      }
    }
    entry_->planned_bytes = static_cast<uint64_t>(plan.memory.bytes);
    entry_->lower_bound_bytes = static_cast<uint64_t>(plan.memory.lower_bound);
  }

  const std::string& name_;
  const Graph& graph_;
  LoweringContext context_;
  std::vector<int> variables_;  // buffers, by index of the use
  absl::flat_hash_set<std::string> required_;
  // Where buffers that are planned lie.
  absl::flat_hash_map<int, BufferPlace> located_;
  std::vector<std::pair<const LoweredStep*, fb::StepT*>> written_;
  fb::EntryT* entry_ = nullptr;
};

}  // namespace

absl::StatusOr<LoweredEntry> lower_entry(const std::string& name, const Graph& graph,
                                         const Backend& backend, PlanTables& tables) {
  return EntryLowering(name, graph, backend, tables).run();
}

}  // namespace modellib
