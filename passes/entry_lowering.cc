#include "modellib/passes/entry_lowering.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/passes/rebuild.h"
#include "modellib/passes/step_plan.h"
#include "modellib/passes/views.h"

namespace modellib {

uint32_t PlanTables::kernel(const std::string& name) {
  auto [it, inserted] = kernel_index_.try_emplace(name, static_cast<uint32_t>(kernels.size()));
  if (inserted) kernels.push_back(name);
  return it->second;
}

uint32_t PlanTables::variable(const VariableRef& variable) {
  auto [it, inserted] =
      variable_index_.try_emplace(variable->name, static_cast<uint32_t>(variables.size()));
  if (inserted) variables.push_back(variable);
  return it->second;
}

namespace {

constexpr int kNone = -1;

// A stretch of bytes that is planned as one: what a step writes, or something that is there at
// entry.
struct Buffer {
  fb::Space space = fb::Space::Arena;
  uint32_t index = 0;   // in the table of its space
  int64_t bytes = 0;    // at the largest extents
  int slot_of = kNone;  // the buffer of a concatenation that this one lies in
  int64_t slot_offset = 0;
  std::string name;
  std::vector<int> writers, readers;  // steps
};

// Where a value lies: a whole buffer, or a view into one.
struct Place {
  int buffer = kNone;
  int64_t offset = 0;
};

struct Step {
  StepRecipe recipe;
  std::vector<Place> outputs, inputs;
  std::vector<int64_t> output_bytes, input_bytes;
  int64_t workspace = 0;
  std::string name;
};

class EntryLowering {
 public:
  EntryLowering(const std::string& name, const Graph& graph, const Backend& backend,
                PlanTables& tables)
      : name_(name), graph_(graph), backend_(backend), tables_(tables), slots_(graph.ranges()) {}

  absl::StatusOr<LoweredEntry> run() {
    MODELLIB_RETURN_IF_ERROR(declare());
    MODELLIB_RETURN_IF_ERROR(make_steps());
    place_assignments();
    place_outputs();
    for (size_t s = 0; s < steps_.size(); ++s) register_accesses(static_cast<int>(s));
    return plan();
  }

 private:
  Buffer& buffer(int id) { return buffers_[static_cast<size_t>(id)]; }
  Place& place(ValueId id) { return places_[static_cast<size_t>(id)]; }
  Step& step(int id) { return steps_[static_cast<size_t>(id)]; }

  int add_buffer(fb::Space space, uint32_t index, int64_t bytes, std::string name) {
    buffers_.push_back({space, index, bytes, kNone, 0, std::move(name), {}, {}});
    return static_cast<int>(buffers_.size()) - 1;
  }

  absl::StatusOr<int64_t> max_bytes(const Dim& bytes) {
    MODELLIB_ASSIGN_OR_RETURN(const fb::Scalar s, slots_.scalar(bytes));
    return s.value();
  }
  absl::StatusOr<int64_t> max_bytes(const TensorType& type) {
    const DimRange range = byte_size(type).range(graph_.ranges());
    if (range.max == DimRange::kUnbounded) return slots_.scalar(byte_size(type)).status();
    return range.max;
  }

  // Buffers that are there at entry.
  absl::Status declare() {
    places_.resize(graph_.values().size());
    for (size_t i = 0; i < graph_.inputs().size(); ++i) {
      const ValueId id = graph_.inputs()[i];
      MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, max_bytes(graph_.type(id)));
      place(id).buffer =
          add_buffer(fb::Space::Input, static_cast<uint32_t>(i), bytes, graph_.value(id).name);
    }
    for (const Graph::VariableUse& use : graph_.variables()) {
      MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, max_bytes(use.variable->type));
      const int id = add_buffer(fb::Space::Variable, tables_.variable(use.variable), bytes,
                                use.variable->name);
      variable_buffers_.push_back(id);
      if (use.value != kNoValue) place(use.value).buffer = id;
    }
    return absl::OkStatus();
  }

  absl::Status make_steps() {
    const std::vector<bool> live = live_nodes(graph_);
    std::vector<std::string> unsupported;
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      if (!live[n]) continue;
      const Graph::Node& node = graph_.nodes()[n];
      if (constant_value(graph_, node.output(0)) != nullptr)
        continue;  // placed when a step reads it
      if (make_view(node)) continue;
      const RecipeSite site{graph_, node, graph_.ranges()};
      absl::StatusOr<NodeRecipe> recipe = backend_.recipe(site);
      if (!recipe.ok()) {
        if (recipe.status().code() != absl::StatusCode::kUnimplemented) return recipe.status();
        unsupported.push_back(
            absl::StrCat("node ", n, " (", describe(node), "): ", recipe.status().message()));
        continue;
      }
      MODELLIB_RETURN_IF_ERROR(add_node(node, *std::move(recipe)));
    }
    if (!unsupported.empty()) {
      return absl::UnimplementedError(
          absl::StrCat("entry '", name_, "': ", backend_.name(), " has no kernel for ",
                       unsupported.size(), " node(s):\n  ", absl::StrJoin(unsupported, "\n  ")));
    }
    return absl::OkStatus();
  }

  std::string describe(const Graph::Node& node) {
    const std::string& scope = graph_.scopes()[static_cast<size_t>(node.scope)];
    return scope.empty() ? node.op->name : absl::StrCat(scope, ".", node.op->name);
  }

  bool make_view(const Graph::Node& node) {
    const absl::optional<View> view = view_of(graph_, node);
    if (!view.has_value()) return false;
    const ValueId source = node.inputs[static_cast<size_t>(view->input)];
    if (constant_value(graph_, source) != nullptr && !place_constant(source).ok()) return false;
    const Place from = place(source);
    place(node.output(0)) = {from.buffer, from.offset + view->byte_offset};
    return true;
  }

  absl::Status place_constant(ValueId id) {
    if (place(id).buffer != kNone) return absl::OkStatus();
    const Tensor& tensor = *constant_value(graph_, id);
    const int index = tables_.constants.raw(tensor, graph_.value(id).name);
    place(id).buffer = constant_buffer(index);
    return absl::OkStatus();
  }

  int constant_buffer(int index) {
    auto [it, inserted] = constant_buffers_.try_emplace(index, 0);
    if (inserted) {
      const ConstantPool::Item& item = tables_.constants.items()[static_cast<size_t>(index)];
      it->second = add_buffer(fb::Space::Constant, static_cast<uint32_t>(index),
                              item.tensor.bytes(), item.name);
    }
    return it->second;
  }

  absl::Status add_node(const Graph::Node& node, NodeRecipe recipe) {
    const std::string name = describe(node);
    for (int i = 0; i < node.num_outputs; ++i) {
      MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, max_bytes(graph_.type(node.output(i))));
      const std::string& given = graph_.value(node.output(i)).name;
      place(node.output(i)).buffer =
          add_buffer(fb::Space::Arena, 0, bytes, given.empty() ? name : given);
    }
    std::vector<int> temporaries, constants;
    for (size_t i = 0; i < recipe.temporaries.size(); ++i) {
      MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, max_bytes(recipe.temporaries[i]));
      temporaries.push_back(
          add_buffer(fb::Space::Arena, 0, bytes, absl::StrCat(name, " temporary ", i)));
    }
    for (const PackedConstant& packed : recipe.constants) {
      const ValueId source = node.inputs[static_cast<size_t>(packed.input)];
      const Tensor* tensor = constant_value(graph_, source);
      if (tensor == nullptr) {
        return absl::InternalError(
            absl::StrCat(name, ": operand ", packed.input, " is no constant"));
      }
      MODELLIB_ASSIGN_OR_RETURN(const int index,
                                tables_.constants.pack(*tensor, packed, graph_.value(source).name));
      constants.push_back(constant_buffer(index));
    }
    const auto resolve = [&](const StepOperand& operand, int64_t& bytes) -> absl::StatusOr<Place> {
      const auto at = static_cast<size_t>(operand.index);
      ValueId value = kNoValue;
      switch (operand.kind) {
        case StepOperand::Kind::kNone:
          bytes = 0;
          return Place{};
        case StepOperand::Kind::kTemporary:
          bytes = buffer(temporaries[at]).bytes;
          return Place{temporaries[at], 0};
        case StepOperand::Kind::kConstant:
          bytes = buffer(constants[at]).bytes;
          return Place{constants[at], 0};
        case StepOperand::Kind::kOutput:
          value = node.output(operand.index);
          break;
        case StepOperand::Kind::kInput:
          value = node.inputs[at];
          break;
      }
      if (value == kNoValue) return Place{};
      if (constant_value(graph_, value) != nullptr) MODELLIB_RETURN_IF_ERROR(place_constant(value));
      MODELLIB_ASSIGN_OR_RETURN(bytes, max_bytes(graph_.type(value)));
      return place(value);
    };
    for (StepRecipe& r : recipe.steps) {
      Step s;
      s.name = name;
      s.output_bytes.resize(r.outputs.size());
      s.input_bytes.resize(r.inputs.size());
      for (size_t i = 0; i < r.outputs.size(); ++i) {
        MODELLIB_ASSIGN_OR_RETURN(Place p, resolve(r.outputs[i], s.output_bytes[i]));
        s.outputs.push_back(p);
      }
      for (size_t i = 0; i < r.inputs.size(); ++i) {
        MODELLIB_ASSIGN_OR_RETURN(Place p, resolve(r.inputs[i], s.input_bytes[i]));
        s.inputs.push_back(p);
      }
      MODELLIB_ASSIGN_OR_RETURN(s.workspace, max_bytes(r.workspace_bytes));
      s.recipe = std::move(r);
      steps_.push_back(std::move(s));
      note_writers(static_cast<int>(steps_.size()) - 1);
    }
    return absl::OkStatus();
  }

  // Writers are needed while places are still being chosen; readers only afterwards.
  void note_writers(int s) {
    for (const Place& p : step(s).outputs) {
      if (p.buffer != kNone) buffer(p.buffer).writers.push_back(s);
    }
  }

  void register_accesses(int s) {
    for (const Place& p : step(s).inputs) {
      if (p.buffer == kNone) continue;
      std::vector<int>& readers = buffer(p.buffer).readers;
      if (readers.empty() || readers.back() != s) readers.push_back(s);
    }
  }

  void add_copy(Place from, int to, int64_t bytes, std::string name) {
    Step s;
    s.recipe = backend_.copy(Dim(bytes));
    s.inputs = {from};
    s.outputs = {{to, 0}};
    s.input_bytes = s.output_bytes = {bytes};
    s.name = std::move(name);
    steps_.push_back(std::move(s));
    note_writers(static_cast<int>(steps_.size()) - 1);
  }

  // The last step that reads the buffer by now, and whether all reads by `writer` itself may be
  // overwritten in place by the output that lies in buffer `output`.
  bool can_overwrite(int variable, int output, int writer) {
    for (size_t s = 0; s < steps_.size(); ++s) {
      for (size_t i = 0; i < steps_[s].inputs.size(); ++i) {
        if (steps_[s].inputs[i].buffer != variable) continue;
        if (static_cast<int>(s) > writer) return false;  // a later reader wants the old content
        if (static_cast<int>(s) < writer) continue;
        const auto& allowed = steps_[s].recipe.in_place;
        for (size_t o = 0; o < steps_[s].outputs.size(); ++o) {
          if (steps_[s].outputs[o].buffer != output) continue;
          const std::pair<int, int> pair(static_cast<int>(o), static_cast<int>(i));
          if (steps_[s].inputs[i].offset != 0 ||
              std::find(allowed.begin(), allowed.end(), pair) == allowed.end()) {
            return false;
          }
        }
      }
    }
    return true;
  }

  // An assigned value is computed in the variable's own memory where nobody wants the old content
  // any more; else it is copied there at the end.
  void place_assignments() {
    const auto uses = graph_.variables();
    std::vector<std::pair<size_t, Place>> copies;
    for (size_t v = 0; v < uses.size(); ++v) {
      if (uses[v].assigned == kNoValue || uses[v].assigned == uses[v].value) continue;
      if (constant_value(graph_, uses[v].assigned) != nullptr) {
        place_constant(uses[v].assigned).IgnoreError();
      }
      const Place from = place(uses[v].assigned);
      Buffer& source = buffer(from.buffer);
      const int target = variable_buffers_[v];
      const bool whole = from.offset == 0 && source.bytes == buffer(target).bytes;
      if (source.space == fb::Space::Arena && source.slot_of == kNone && whole &&
          !source.writers.empty() && can_overwrite(target, from.buffer, source.writers.front()) &&
          !is_wanted_at_end(target, v)) {
        merge_into(from.buffer, target);
        continue;
      }
      copies.emplace_back(v, from);
    }
    // What lies in a variable may be overwritten by a copy before its own: it is saved first.
    for (auto& [v, from] : copies) {
      if (buffer(from.buffer).space != fb::Space::Variable) continue;
      const int64_t bytes = buffer(variable_buffers_[v]).bytes;
      const int saved =
          add_buffer(fb::Space::Arena, 0, bytes, absl::StrCat(buffer(from.buffer).name, " saved"));
      add_copy(from, saved, bytes, "save " + buffer(from.buffer).name);
      from = {saved, 0};
    }
    pending_copies_ = std::move(copies);
  }

  // Whether the content at entry of variable `v`, in buffer `id`, is an output or goes to another
  // variable.
  bool is_wanted_at_end(int id, size_t v) {
    for (const Graph::Output& out : graph_.outputs()) {
      if (place(out.value).buffer == id) return true;
    }
    for (size_t other = 0; other < graph_.variables().size(); ++other) {
      const ValueId assigned = graph_.variables()[other].assigned;
      if (other != v && assigned != kNoValue && place(assigned).buffer == id) return true;
    }
    return false;
  }

  // What lay in `from` lies in `to` from now on.
  void merge_into(int from, int to) {
    for (Step& s : steps_) {
      for (Place& p : s.outputs) {
        if (p.buffer == from) p.buffer = to;
      }
      for (Place& p : s.inputs) {
        if (p.buffer == from) p.buffer = to;
      }
    }
    for (Place& p : places_) {
      if (p.buffer == from) p.buffer = to;
    }
    auto& writers = buffer(to).writers;
    writers.insert(writers.end(), buffer(from).writers.begin(), buffer(from).writers.end());
    buffer(from).writers.clear();
    buffer(from).bytes = 0;
  }

  void place_outputs() {
    std::vector<std::pair<size_t, Place>> copies;
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const ValueId value = graph_.outputs()[i].value;
      if (constant_value(graph_, value) != nullptr) place_constant(value).IgnoreError();
      const Place from = place(value);
      const absl::StatusOr<int64_t> bytes = max_bytes(graph_.type(value));
      const int target =
          add_buffer(fb::Space::Output, static_cast<uint32_t>(i), *bytes, graph_.outputs()[i].name);
      Buffer& source = buffer(from.buffer);
      if (source.space == fb::Space::Arena && source.slot_of == kNone && from.offset == 0 &&
          source.bytes == *bytes) {
        merge_into(from.buffer, target);
      } else {
        copies.emplace_back(static_cast<size_t>(target), from);
      }
    }
    for (const auto& [target, from] : copies) {
      const int to = static_cast<int>(target);
      add_copy(from, to, buffer(to).bytes, "output " + buffer(to).name);
    }
    for (const auto& [v, from] : pending_copies_) {
      const int to = variable_buffers_[v];
      add_copy(from, to, buffer(to).bytes, "assign " + buffer(to).name);
    }
  }

  ScheduleProblem problem() {
    ScheduleProblem p;
    for (const Step& s : steps_) p.nodes.push_back({s.workspace, s.recipe.lane});
    for (const Buffer& b : buffers_) {
      ScheduleBuffer sb;
      sb.size = b.bytes;
      sb.persistent = b.space != fb::Space::Arena;
      sb.name = b.name;
      sb.consumers = b.readers;
      sb.alias_of = b.slot_of;
      sb.alias_offset = b.slot_offset;
      const bool at_entry = b.space == fb::Space::Variable;
      if (!b.writers.empty() && !at_entry) {
        sb.producer = b.writers.front();
        sb.consumers.insert(sb.consumers.end(), b.writers.begin() + 1, b.writers.end());
      }
      order_accesses(b, p.edges);
      p.buffers.push_back(std::move(sb));
    }
    for (size_t s = 0; s < steps_.size(); ++s) {
      for (const auto& [o, i] : steps_[s].recipe.in_place) {
        const Place& to = steps_[s].outputs[static_cast<size_t>(o)];
        const Place& from = steps_[s].inputs[static_cast<size_t>(i)];
        if (to.buffer == kNone || from.buffer == kNone || from.offset != 0 || to.offset != 0)
          continue;
        ScheduleBuffer& sb = p.buffers[static_cast<size_t>(to.buffer)];
        const Buffer &a = buffer(to.buffer), &b = buffer(from.buffer);
        if (sb.persistent || b.space != fb::Space::Arena || a.bytes > b.bytes) continue;
        if (b.slot_of != kNone || sb.in_place_of != -1) continue;
        if (a.writers.front() != static_cast<int>(s)) continue;
        // Read through another operand as well, the old content must stay until the step is done.
        if (std::count_if(steps_[s].inputs.begin(), steps_[s].inputs.end(),
                          [&](const Place& p) { return p.buffer == from.buffer; }) > 1) {
          continue;
        }
        sb.in_place_of = from.buffer;
      }
    }
    return p;
  }

  // Steps are made in an order that is right; where two touch the same bytes and one writes, it
  // stays.
  static void order_accesses(const Buffer& b, std::vector<std::pair<int, int>>& edges) {
    if (b.writers.size() + (b.space == fb::Space::Variable) <= 1) return;
    for (size_t w = 0; w < b.writers.size(); ++w) {
      const int writer = b.writers[w];
      if (w > 0 && b.writers[w - 1] != writer) edges.emplace_back(b.writers[w - 1], writer);
      for (int reader : b.readers) {
        if (reader < writer) edges.emplace_back(reader, writer);
        if (reader > writer) edges.emplace_back(writer, reader);
      }
    }
  }

  absl::StatusOr<LoweredEntry> plan() {
    const ScheduleProblem problem = this->problem();
    MODELLIB_ASSIGN_OR_RETURN(const StepPlan plan, plan_steps(problem));
    const ScheduleResult& order = plan.schedule;
    const MemoryPlan& memory = plan.memory;

    auto entry = std::make_unique<fb::EntryT>();
    entry->name = name_;
    auto sequence = std::make_unique<fb::SequenceT>();
    for (size_t position = 0; position < order.order.size(); ++position) {
      MODELLIB_ASSIGN_OR_RETURN(auto fb_step, emit(order.order[position], plan));
      for (int signal : plan.sync.waits[position]) {
        fb_step->waits.push_back(static_cast<uint32_t>(signal));
      }
      if (const int signal = plan.sync.completes[position]; signal >= 0) {
        fb_step->signals.push_back(static_cast<uint32_t>(signal));
      }
      sequence->steps.push_back(std::move(fb_step));
    }
    entry->signals = static_cast<uint32_t>(plan.sync.signals);
    entry->sequences.push_back(std::move(sequence));
    MODELLIB_RETURN_IF_ERROR(describe_borders(*entry));
    for (const std::string& lane : backend_.lanes()) entry->lanes.push_back(lane);
    for (const MemoryPlan::Arena& arena : memory.arenas) {
      auto a = std::make_unique<fb::ArenaT>();
      a->device = std::string(backend_.name());
      a->lane = static_cast<uint16_t>(arena.arena);
      a->bytes = static_cast<uint64_t>(arena.bytes);
      a->alignment = static_cast<uint32_t>(arena.alignment);
      a->lower_bound = static_cast<uint64_t>(arena.lower_bound);
      entry->arenas.push_back(std::move(a));
      for (const MemoryPlan::Contributor& c : arena.contributors) {
        auto contributor = std::make_unique<fb::ContributorT>();
        contributor->name = plan.records[static_cast<size_t>(c.record)].name;
        contributor->bytes = static_cast<uint64_t>(c.bytes);
        entry->contributors.push_back(std::move(contributor));
      }
    }
    entry->planned_bytes = static_cast<uint64_t>(memory.bytes);
    entry->lower_bound_bytes = static_cast<uint64_t>(memory.lower_bound);
    slots_.take(*entry);
    return LoweredEntry{std::move(entry), order.baseline, order.peak};
  }

  fb::BufferRef reference(const Place& p, int64_t bytes, const StepPlan& plan) {
    if (p.buffer == kNone) return fb::BufferRef();
    const Buffer& b = buffer(p.buffer);
    if (b.space != fb::Space::Arena) {
      return fb::BufferRef(b.space, b.index, static_cast<uint64_t>(p.offset),
                           static_cast<uint64_t>(bytes), 0, 0);
    }
    const BufferPlace& place = plan.buffers[static_cast<size_t>(p.buffer)];
    return arena_reference(place, p.offset, bytes);
  }

  // Buffers of no bytes have no place; they refer to nothing.
  static fb::BufferRef arena_reference(const BufferPlace& place, int64_t offset, int64_t bytes) {
    if (place.arena < 0) return fb::BufferRef();
    return fb::BufferRef(fb::Space::Arena, static_cast<uint32_t>(place.arena),
                         static_cast<uint64_t>(place.offset + offset), static_cast<uint64_t>(bytes),
                         0, 0);
  }

  absl::StatusOr<std::unique_ptr<fb::StepT>> emit(int id, const StepPlan& plan) {
    const Step& s = step(id);
    auto out = std::make_unique<fb::StepT>();
    out->kernel = tables_.kernel(s.recipe.kernel);
    out->lane = static_cast<uint16_t>(s.recipe.lane);
    for (size_t i = 0; i < s.outputs.size(); ++i) {
      out->outputs.push_back(reference(s.outputs[i], s.output_bytes[i], plan));
    }
    for (size_t i = 0; i < s.inputs.size(); ++i) {
      out->inputs.push_back(reference(s.inputs[i], s.input_bytes[i], plan));
    }
    fb::BufferRef workspace;
    if (s.workspace > 0) {
      workspace = arena_reference(plan.workspace[static_cast<size_t>(id)], 0, s.workspace);
    }
    out->workspace = std::make_unique<fb::BufferRef>(workspace);
    for (const Dim& d : s.recipe.scalars) {
      MODELLIB_ASSIGN_OR_RETURN(const fb::Scalar scalar, slots_.scalar(d));
      out->scalars.push_back(scalar);
    }
    MODELLIB_ASSIGN_OR_RETURN(const fb::Scalar chunks, slots_.scalar(s.recipe.chunks));
    out->chunks = std::make_unique<fb::Scalar>(chunks);
    out->data = s.recipe.data;
    out->name = s.name;
    return out;
  }

  absl::StatusOr<std::unique_ptr<fb::TensorDescT>> describe_tensor(const std::string& name,
                                                                   const TensorType& type) {
    auto desc = std::make_unique<fb::TensorDescT>();
    desc->name = name;
    desc->dtype = static_cast<fb::DType>(type.dtype);
    for (const Dim& d : type.shape) {
      MODELLIB_ASSIGN_OR_RETURN(const fb::Scalar scalar, slots_.scalar(d));
      desc->shape.push_back(scalar);
      desc->symbols.push_back(d.is_symbol() ? slots_.symbol(d.symbol_name()) : -1);
    }
    MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, max_bytes(type));
    desc->bytes = static_cast<uint64_t>(bytes);
    return desc;
  }

  absl::Status describe_borders(fb::EntryT& entry) {
    for (ValueId id : graph_.inputs()) {
      MODELLIB_ASSIGN_OR_RETURN(auto desc, describe_tensor(graph_.value(id).name, graph_.type(id)));
      entry.inputs.push_back(std::move(desc));
    }
    for (const Graph::Output& out : graph_.outputs()) {
      MODELLIB_ASSIGN_OR_RETURN(auto desc, describe_tensor(out.name, graph_.type(out.value)));
      entry.outputs.push_back(std::move(desc));
    }
    for (const Graph::VariableUse& use : graph_.variables()) {
      auto v = std::make_unique<fb::VariableUseT>();
      v->variable = tables_.variable(use.variable);
      v->reads = use.value != kNoValue;
      v->writes = use.assigned != kNoValue && use.assigned != use.value;
      entry.variables.push_back(std::move(v));
    }
    return absl::OkStatus();
  }

  const std::string& name_;
  const Graph& graph_;
  const Backend& backend_;
  PlanTables& tables_;
  SlotTable slots_;
  std::vector<Buffer> buffers_;
  std::vector<Place> places_;  // by ValueId
  std::vector<Step> steps_;
  std::vector<int> variable_buffers_;  // by index of the use
  std::vector<std::pair<size_t, Place>> pending_copies_;
  absl::flat_hash_map<int, int> constant_buffers_;
};

}  // namespace

absl::StatusOr<LoweredEntry> lower_entry(const std::string& name, const Graph& graph,
                                         const Backend& backend, PlanTables& tables) {
  return EntryLowering(name, graph, backend, tables).run();
}

}  // namespace modellib
