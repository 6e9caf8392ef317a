#include "modellib/tests/probes/fake_device.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/tests/probes/fake_device_backend.h"

namespace modellib {
namespace {

// NaN as a float, out of range as an index.
constexpr int kPoison = 0xff;

// What the entry's symbol is to the only rank.
absl::StatusOr<int64_t> symbol_of(const fb::EntryT& entry, int64_t index) {
  const fb::SymbolT& symbol = *entry.symbols.at(static_cast<size_t>(index));
  if (symbol.name == "$rank") return 0;
  if (symbol.name == "$world") return 1;
  if (symbol.min == symbol.max) return symbol.min;
  return absl::UnimplementedError(absl::StrCat("the fake device binds no ", symbol.name));
}

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

// A scalar's value; a slot is an expression in postfix order.
absl::StatusOr<int64_t> fixed(const fb::EntryT& entry, const fb::Scalar& scalar) {
  if (scalar.slot() < 0) return scalar.value();
  std::vector<int64_t> stack;
  for (const fb::DimOp& op : entry.slots.at(static_cast<size_t>(scalar.slot()))->expr) {
    if (op.code() == fb::DimOpcode::Const) {
      stack.push_back(op.value());
      continue;
    }
    if (op.code() == fb::DimOpcode::Symbol) {
      MODELLIB_ASSIGN_OR_RETURN(const int64_t value, symbol_of(entry, op.value()));
      stack.push_back(value);
      continue;
    }
    const int64_t b = stack.back();
    stack.pop_back();
    int64_t& a = stack.back();
    switch (op.code()) {
      case fb::DimOpcode::Add:
        a += b;
        break;
      case fb::DimOpcode::Sub:
        a -= b;
        break;
      case fb::DimOpcode::Mul:
        a *= b;
        break;
      case fb::DimOpcode::FloorDiv:
        a = floor_div(a, b);
        break;
      case fb::DimOpcode::Mod:
        a -= b * floor_div(a, b);
        break;
      case fb::DimOpcode::Min:
        a = std::min(a, b);
        break;
      case fb::DimOpcode::Max:
        a = std::max(a, b);
        break;
      case fb::DimOpcode::Const:
      case fb::DimOpcode::Symbol:
        break;
    }
  }
  return stack.back();
}

absl::StatusOr<OwnedBytes> poisoned(uint64_t bytes) {
  MODELLIB_ASSIGN_OR_RETURN(OwnedBytes memory, allocate_aligned(bytes));
  if (bytes != 0) std::memset(memory.data, kPoison, bytes);
  return memory;
}

}  // namespace

// One run of one entry.
class FakeDevice::Run {
 public:
  Run(FakeDevice& device, Entry& entry, std::vector<const std::byte*> inputs,
      std::vector<std::byte*> outputs, uint64_t seed)
      : device_(device),
        entry_(entry),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        random_(seed) {}

  absl::Status run() {
    const std::vector<std::unique_ptr<fb::StepT>>& steps = entry_.plan->sequences[0]->steps;
    std::vector<Lane> lanes(entry_.plan->lanes.size());
    for (size_t i = 0; i < steps.size(); ++i) lanes[steps[i]->lane].steps.push_back(i);
    signals_.assign(entry_.plan->signals, false);
    while (true) {
      std::vector<Lane*> able;
      bool done = true;
      for (Lane& lane : lanes) {
        done = done && lane.next == lane.steps.size();
        if (lane.busy || can_start(lane)) able.push_back(&lane);
      }
      if (done) return absl::OkStatus();
      if (able.empty()) return absl::InternalError("the lanes wait for each other for ever");
      Lane& lane = *able[random_() % able.size()];
      MODELLIB_RETURN_IF_ERROR(lane.busy ? complete(lane) : start(lane));
    }
  }

 private:
  struct Range {
    std::byte* data;
    size_t bytes;
  };
  struct Lane {
    std::vector<size_t> steps;
    size_t next = 0;
    bool busy = false;
    // Of a step that has done its work already: what it wrote, hidden from the others.
    bool early = false;
    std::vector<Range> written;
    std::vector<std::vector<std::byte>> hidden;
  };

  const fb::StepT& step_of(const Lane& lane) const {
    return *entry_.plan->sequences[0]->steps[lane.steps[lane.next]];
  }

  bool can_start(const Lane& lane) const {
    if (lane.next == lane.steps.size()) return false;
    const std::vector<uint32_t>& waits = step_of(lane).waits;
    return std::all_of(waits.begin(), waits.end(), [&](uint32_t s) { return signals_[s]; });
  }

  absl::Status start(Lane& lane) {
    lane.busy = true;
    lane.early = random_() % 2 == 0;
    if (!lane.early) return absl::OkStatus();
    written_.clear();
    scratch_.clear();
    MODELLIB_RETURN_IF_ERROR(perform(0, lane.steps[lane.next]));
    lane.written = written_;
    lane.hidden.clear();
    for (const Range& r : lane.written) lane.hidden.emplace_back(r.data, r.data + r.bytes);
    for (const Range& r : lane.written) std::memset(r.data, kPoison, r.bytes);
    for (const Range& r : scratch_) std::memset(r.data, kPoison, r.bytes);
    return absl::OkStatus();
  }

  absl::Status complete(Lane& lane) {
    if (lane.early) {
      for (size_t i = 0; i < lane.written.size(); ++i) {
        std::copy(lane.hidden[i].begin(), lane.hidden[i].end(), lane.written[i].data);
      }
    } else {
      MODELLIB_RETURN_IF_ERROR(perform(0, lane.steps[lane.next]));
    }
    for (const uint32_t signal : step_of(lane).signals) signals_[signal] = true;
    lane.busy = false;
    ++lane.next;
    return absl::OkStatus();
  }

  std::byte* address(const fb::BufferRef& ref) const {
    std::byte* base = nullptr;
    switch (ref.space()) {
      case fb::Space::None:
        return nullptr;
      case fb::Space::Arena:
        base = entry_.arenas[ref.index()].data;
        break;
      case fb::Space::Constant:
        base = device_.constants_[ref.index()].data;
        break;
      case fb::Space::Variable:
        base = device_.variables_[ref.index()].data;
        break;
      case fb::Space::Input:
        base = const_cast<std::byte*>(inputs_[ref.index()]);
        break;
      case fb::Space::Output:
        base = outputs_[ref.index()];
        break;
    }
    const size_t depth = trips_.size();
    int64_t offset = static_cast<int64_t>(ref.offset());
    if (depth >= 1) offset += ref.loop_stride() * trips_[depth - 1];
    if (depth >= 2) offset += ref.outer_stride() * trips_[depth - 2];
    return base + offset;
  }

  absl::Status perform(size_t sequence, size_t position) {
    const fb::StepT& plan = *entry_.plan->sequences[sequence]->steps[position];
    const Step& step = entry_.sequences[sequence][position];
    MODELLIB_RETURN_IF_ERROR(check_apart(plan));
    if (step.kernel == nullptr) return own(plan, step);
    std::vector<std::byte*> buffers;
    const auto add = [&](const fb::BufferRef& ref, std::vector<Range>* writes) {
      std::byte* const data = address(ref);
      buffers.push_back(data);
      if (writes != nullptr && data != nullptr) writes->push_back({data, ref.size()});
    };
    for (const fb::BufferRef& ref : plan.outputs) add(ref, &written_);
    for (const fb::BufferRef& ref : plan.inputs) add(ref, nullptr);
    add(plan.workspace == nullptr ? fb::BufferRef() : *plan.workspace, &scratch_);
    const runtime::KernelArgs args{
        buffers.data(), step.scalars.data(),
        plan.data.empty() ? nullptr : reinterpret_cast<const std::byte*>(plan.data.data()),
        step.state.get(), &fault_};
    std::vector<int64_t> chunks(static_cast<size_t>(step.chunks));
    for (size_t i = 0; i < chunks.size(); ++i) chunks[i] = static_cast<int64_t>(i);
    std::shuffle(chunks.begin(), chunks.end(), random_);
    for (const int64_t chunk : chunks) step.kernel->run(args, chunk);
    if (fault_.code() == runtime::Fault::kNone) return absl::OkStatus();
    return absl::OutOfRangeError(absl::StrCat("step '", plan.name, "' reports ", fault_.value()));
  }

  // Nothing but the lane of copies reaches the caller's memory.
  static absl::Status check_apart(const fb::StepT& plan) {
    if (plan.lane == FakeDeviceBackend::kCopy) return absl::OkStatus();
    for (const auto* operands : {&plan.outputs, &plan.inputs}) {
      for (const fb::BufferRef& ref : *operands) {
        if (ref.space() != fb::Space::Input && ref.space() != fb::Space::Output) continue;
        return absl::InternalError(
            absl::StrCat("step '", plan.name, "' computes in the caller's memory"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status run_sequence(uint32_t which) {
    for (size_t i = 0; i < entry_.sequences[which].size(); ++i) {
      MODELLIB_RETURN_IF_ERROR(perform(which, i));
    }
    return absl::OkStatus();
  }

  void set_trip(const fb::StepT& plan, int64_t trip) {
    if (plan.outputs.empty()) return;
    std::byte* const index = address(plan.outputs[0]);
    if (index == nullptr) return;
    std::memcpy(index, &trip, sizeof(trip));
    written_.push_back({index, sizeof(trip)});
  }

  // Steps that executors carry out themselves: control flow, and collectives.
  absl::Status own(const fb::StepT& plan, const Step& step) {
    const std::string& name = device_.lowered_->plan.kernels[plan.kernel];
    std::byte* const in = plan.inputs.empty() ? nullptr : address(plan.inputs[0]);
    if (absl::StartsWith(name, "comm.")) {
      // In a world of one rank each collective is a copy.
      std::byte* const out = address(plan.outputs[0]);
      const uint64_t bytes = plan.outputs[0].size();
      if (bytes != 0) std::memmove(out, in, bytes);
      if (out != nullptr) written_.push_back({out, bytes});
      return absl::OkStatus();
    }
    if (name == "control.cond") {
      return run_sequence(plan.sequences[*in != std::byte{0} ? 0 : 1]);
    }
    const bool is_while = name == "control.while";
    int64_t trips = step.scalars[0];
    if (!is_while && in != nullptr) {
      int64_t wanted;
      std::memcpy(&wanted, in, sizeof(wanted));
      trips = std::clamp<int64_t>(wanted, 0, trips);
    }
    int64_t trip = 0;
    for (; trip < trips; ++trip) {
      set_trip(plan, trip);
      trips_.push_back(trip);
      absl::Status status = run_sequence(plan.sequences[0]);
      const bool ends = is_while && *in == std::byte{0};
      if (status.ok() && is_while && !ends) status = run_sequence(plan.sequences[1]);
      trips_.pop_back();
      MODELLIB_RETURN_IF_ERROR(status);
      if (ends) break;
    }
    set_trip(plan, trip);
    return absl::OkStatus();
  }

  FakeDevice& device_;
  Entry& entry_;
  const std::vector<const std::byte*> inputs_;
  const std::vector<std::byte*> outputs_;
  std::mt19937_64 random_;
  std::vector<bool> signals_;
  std::vector<int64_t> trips_;            // of the loops around, outermost first
  std::vector<Range> written_, scratch_;  // by the step that is being performed
  runtime::Fault fault_;
};

absl::StatusOr<std::unique_ptr<FakeDevice>> FakeDevice::create(
    const LoweredPlan& lowered, const runtime::KernelTable& kernels) {
  auto device = std::unique_ptr<FakeDevice>(new FakeDevice);
  device->lowered_ = &lowered;
  for (const auto& v : lowered.plan.variables) {
    MODELLIB_ASSIGN_OR_RETURN(OwnedBytes memory, poisoned(v->bytes));
    device->variables_.push_back(std::move(memory));
  }
  for (const auto& c : lowered.plan.constants) {
    MODELLIB_ASSIGN_OR_RETURN(OwnedBytes memory, poisoned(c->bytes));
    if (c->bytes != 0) {
      std::memcpy(memory.data, lowered.segments[c->segment].data() + c->offset, c->bytes);
    }
    device->constants_.push_back(std::move(memory));
  }
  for (const auto& plan : lowered.plan.entries) {
    Entry entry;
    entry.plan = plan.get();
    for (const auto& sequence : plan->sequences) {
      std::vector<Step>& steps = entry.sequences.emplace_back();
      for (const auto& step : sequence->steps) {
        MODELLIB_RETURN_IF_ERROR(device->prepare(*plan, *step, kernels, steps.emplace_back()));
      }
    }
    for (const auto& arena : plan->arenas) {
      MODELLIB_ASSIGN_OR_RETURN(OwnedBytes memory, poisoned(arena->bytes));
      entry.arenas.push_back(std::move(memory));
    }
    device->entries_.push_back(std::move(entry));
  }
  return device;
}

absl::Status FakeDevice::prepare(const fb::EntryT& entry, const fb::StepT& step,
                                 const runtime::KernelTable& kernels, Step& out) const {
  std::vector<runtime::StepView::Range> ranges;
  for (const fb::Scalar& s : step.scalars) {
    MODELLIB_ASSIGN_OR_RETURN(const int64_t value, fixed(entry, s));
    out.scalars.push_back(value);
    ranges.push_back({value, value});
  }
  if (step.chunks != nullptr) {
    MODELLIB_ASSIGN_OR_RETURN(out.chunks, fixed(entry, *step.chunks));
  }
  const std::string& name = lowered_->plan.kernels[step.kernel];
  if (absl::StartsWith(name, "control.") || absl::StartsWith(name, "comm.")) {
    return absl::OkStatus();
  }
  out.kernel = kernels.find(name);
  if (out.kernel == nullptr) return absl::NotFoundError(absl::StrCat("no kernel ", name));
  if (out.kernel->initialise == nullptr) return absl::OkStatus();
  std::vector<uint64_t> outputs, inputs;
  for (const fb::BufferRef& ref : step.outputs) outputs.push_back(ref.size());
  for (const fb::BufferRef& ref : step.inputs) inputs.push_back(ref.size());
  const std::vector<int> aliases(outputs.size(), -1);
  const runtime::StepView view{
      .name = step.name,
      .output_bytes = outputs,
      .input_bytes = inputs,
      .workspace_bytes = step.workspace == nullptr ? 0 : step.workspace->size(),
      .scalars = ranges,
      .chunks = {out.chunks, out.chunks},
      .data = {reinterpret_cast<const std::byte*>(step.data.data()), step.data.size()},
      .aliases = aliases};
  MODELLIB_ASSIGN_OR_RETURN(out.state, out.kernel->initialise(view));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Tensor>> FakeDevice::run(absl::string_view name,
                                                    absl::Span<const Tensor> inputs,
                                                    uint64_t seed) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& e) { return e.plan->name == name; });
  if (entry == entries_.end()) return absl::NotFoundError(absl::StrCat("no entry '", name, "'"));
  if (inputs.size() != entry->plan->inputs.size()) {
    return absl::InvalidArgumentError("wrong number of inputs");
  }
  std::vector<const std::byte*> from;
  for (const Tensor& t : inputs) from.push_back(t.data());
  std::vector<Tensor> outputs;
  std::vector<std::byte*> to;
  for (const auto& desc : entry->plan->outputs) {
    std::vector<int64_t> shape;
    for (const fb::Scalar& s : desc->shape) {
      MODELLIB_ASSIGN_OR_RETURN(const int64_t extent, fixed(*entry->plan, s));
      shape.push_back(extent);
    }
    MODELLIB_ASSIGN_OR_RETURN(Tensor t, Tensor::zeros(static_cast<DType>(desc->dtype), shape));
    if (t.bytes() != 0) std::memset(t.mutable_data(), kPoison, static_cast<size_t>(t.bytes()));
    to.push_back(t.mutable_data());
    outputs.push_back(std::move(t));
  }
  for (size_t i = 0; i < entry->arenas.size(); ++i) {
    const uint64_t bytes = entry->plan->arenas[i]->bytes;
    if (bytes != 0) std::memset(entry->arenas[i].data, kPoison, bytes);
  }
  MODELLIB_RETURN_IF_ERROR(Run(*this, *entry, std::move(from), std::move(to), seed).run());
  return outputs;
}

absl::StatusOr<size_t> FakeDevice::variable(absl::string_view name) const {
  for (size_t i = 0; i < lowered_->plan.variables.size(); ++i) {
    if (lowered_->plan.variables[i]->name == name) return i;
  }
  return absl::NotFoundError(absl::StrCat("no variable '", name, "'"));
}

absl::StatusOr<Tensor> FakeDevice::get_variable(absl::string_view name) const {
  MODELLIB_ASSIGN_OR_RETURN(const size_t index, variable(name));
  const fb::VariableT& v = *lowered_->plan.variables[index];
  return Tensor::copy_of(static_cast<DType>(v.dtype), v.shape, variables_[index].data, v.bytes);
}

absl::Status FakeDevice::set_variable(absl::string_view name, const Tensor& value) {
  MODELLIB_ASSIGN_OR_RETURN(const size_t index, variable(name));
  const fb::VariableT& v = *lowered_->plan.variables[index];
  if (value.dtype() != static_cast<DType>(v.dtype) || value.shape() != v.shape) {
    return absl::InvalidArgumentError(absl::StrCat("variable '", name, "' has another type"));
  }
  if (v.bytes != 0) std::memcpy(variables_[index].data, value.data(), v.bytes);
  return absl::OkStatus();
}

}  // namespace modellib
