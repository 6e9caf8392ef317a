#include "modellib/formats/plan_decode.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "modellib/formats/plan_ranges.h"

namespace modellib {
namespace {

using Wide = __int128;

constexpr int64_t kMaxCount = int64_t{1} << 31;  // of chunks, of trips
constexpr uint32_t kMaxLanes = 64;
constexpr int kMaxDepth = 16;     // of nested sequences
constexpr int kMaxLoopDepth = 6;  // of nested loops: each doubles the work of the data-flow check

// " (of 'y')": what a step gives, where the plan has a name for it, tells its place in the model.
std::string named_output(const fb::Step& step) {
  for (uint32_t i = 0; i < count_of(step.values()); ++i) {
    const absl::string_view name = text_of(step.values()->Get(i)->name());
    if (!name.empty()) return absl::StrCat(" (of '", name, "')");
  }
  return "";
}

bool is_power_of_two(uint64_t v) { return v != 0 && (v & (v - 1)) == 0; }

// What an operand's offset must be a multiple of. The type of its elements isn't known here; no
// element is wider than 8 bytes or than the largest power of two that divides the operand's size.
uint64_t offset_alignment(uint64_t size) {
  return size == 0 ? 1 : std::min<uint64_t>(8, size & (~size + 1));
}

ControlKind control_of(absl::string_view kernel) {
  if (kernel == "control.cond") return ControlKind::kCond;
  if (kernel == "control.scan") return ControlKind::kScan;
  if (kernel == "control.while") return ControlKind::kWhile;
  return ControlKind::kNone;
}

class Decoder {
 public:
  Decoder(const fb::Plan& plan, const fb::Entry& entry) : plan_(plan) { out_.entry = &entry; }

  absl::StatusOr<DecodedEntry> run() {
    for (auto check : {&Decoder::numbers, &Decoder::memories, &Decoder::variables,
                       &Decoder::tensors, &Decoder::sequences, &Decoder::signals}) {
      absl::Status status = (this->*check)();
      if (!status.ok()) return status;
    }
    return std::move(out_);
  }

 private:
  const fb::Entry& entry() const { return *out_.entry; }
  std::string where() const { return absl::StrCat("entry '", text_of(entry().name()), "'"); }

  absl::Status numbers() {
    absl::StatusOr<PlanScalars> made = PlanScalars::make(entry(), where());
    if (!made.ok()) return made.status();
    scalars_ = *std::move(made);
    return absl::OkStatus();
  }

  absl::Status memories() {
    uint64_t planned = 0;
    uint64_t bound = 0;
    const uint32_t lanes = count_of(entry().lanes());
    if (lanes < 1 || lanes > kMaxLanes) {
      return refuse(where(), ": ", lanes, " lanes, expected 1 to ", kMaxLanes);
    }
    for (uint32_t i = 0; i < count_of(entry().arenas()); ++i) {
      const fb::Arena* a = entry().arenas()->Get(i);
      if (a->bytes() > kMaxPlanBytes - planned) {
        return refuse(where(), ", arena ", i, ": with its ", a->bytes(),
                      " bytes the arenas pass 2^62");
      }
      if (!is_power_of_two(a->alignment()) || a->alignment() < kPlanAlignment ||
          a->alignment() > (1u << 30)) {
        return refuse(where(), ", arena ", i, ": alignment ", a->alignment(),
                      ", expected a power of two in [64, 2^30]");
      }
      if (a->lower_bound() > a->bytes()) {
        return refuse(where(), ", arena ", i, ": lower bound ", a->lower_bound(), " above its ",
                      a->bytes(), " bytes");
      }
      if (a->lane() >= lanes) {
        return refuse(where(), ", arena ", i, ": lane ", a->lane(), " of ", lanes);
      }
      planned += a->bytes();
      bound += a->lower_bound();
      out_.memory_bytes.push_back(a->bytes());
    }
    if (entry().planned_bytes() != planned || entry().lower_bound_bytes() != bound) {
      return refuse(where(), ": says ", entry().planned_bytes(),
                    " planned bytes and a lower bound of ", entry().lower_bound_bytes(),
                    ", its arenas have ", planned, " and ", bound);
    }
    out_.outputs_begin = out_.memory_bytes.size();
    for (uint32_t i = 0; i < count_of(entry().outputs()); ++i) {
      out_.memory_bytes.push_back(entry().outputs()->Get(i)->bytes());
    }
    out_.variables_begin = out_.memory_bytes.size();
    for (uint32_t i = 0; i < count_of(plan_.variables()); ++i) {
      out_.memory_bytes.push_back(plan_.variables()->Get(i)->bytes());
    }
    return absl::OkStatus();
  }

  absl::Status variables() {
    const uint32_t count = count_of(plan_.variables());
    uses_.resize(count, nullptr);
    for (uint32_t i = 0; i < count_of(entry().variables()); ++i) {
      const fb::VariableUse* use = entry().variables()->Get(i);
      if (use->variable() >= count) {
        return refuse(where(), ", variable use ", i, ": variable ", use->variable(), " of ", count);
      }
      if (uses_[use->variable()] != nullptr) {
        return refuse(where(), ", variable use ", i, ": variable ", use->variable(),
                      " is listed twice");
      }
      uses_[use->variable()] = use;
    }
    return absl::OkStatus();
  }

  absl::Status tensors() {
    for (uint32_t i = 0; i < count_of(entry().inputs()); ++i) {
      absl::Status status =
          scalars_.check_tensor(*entry().inputs()->Get(i), absl::StrCat(where(), ", input ", i));
      if (!status.ok()) return status;
    }
    for (uint32_t i = 0; i < count_of(entry().outputs()); ++i) {
      absl::Status status =
          scalars_.check_tensor(*entry().outputs()->Get(i), absl::StrCat(where(), ", output ", i));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Where a sequence stands.
  struct Context {
    uint32_t sequence;
    int depth = 0;
    int loops = 0;
    uint64_t trips = 1;
    uint64_t outer_trips = 1;
    int lane = -1;  // that all its steps must name; -1: free
  };

  // The tree of sequences, from the main one down; each has one parent, so none can contain itself.
  absl::Status sequences() {
    const uint32_t count = count_of(entry().sequences());
    if (count == 0) return refuse(where(), ": no sequence");
    out_.sequences.resize(count);
    std::vector<char> seen(count, 0);
    std::vector<Context> open;
    open.push_back({0});
    seen[0] = 1;
    uint32_t reached = 0;
    while (!open.empty()) {
      const Context context = open.back();
      open.pop_back();
      ++reached;
      const fb::Sequence* sequence = entry().sequences()->Get(context.sequence);
      PlanSequence& out = out_.sequences[context.sequence];
      out.steps_begin = out_.steps.size();
      for (uint32_t i = 0; i < count_of(sequence->steps()); ++i) {
        const fb::Step* s = sequence->steps()->Get(i);
        absl::Status status = step(*s, context, i);
        if (!status.ok()) return status;
        const PlanStep& done = out_.steps.back();
        for (uint32_t b = 0; b < count_of(s->sequences()); ++b) {
          const uint32_t body = s->sequences()->Get(b);
          if (body >= count || seen[body]) {
            return refuse(out_.where(done), ": body ", b, " is sequence ", body, ", which ",
                          body >= count ? "does not exist" : "has another place already");
          }
          seen[body] = 1;
          Context inner = context;
          inner.sequence = body;
          inner.lane = s->lane();
          ++inner.depth;
          if (done.control != ControlKind::kCond) {
            ++inner.loops;
            inner.outer_trips = context.trips;
            // A while's condition may run once more than its body.
            inner.trips = done.trips + (done.control == ControlKind::kWhile && b == 0 ? 1 : 0);
          }
          if (inner.depth > kMaxDepth || inner.loops > kMaxLoopDepth) {
            return refuse(out_.where(done), ": nested deeper than ", kMaxDepth, " sequences or ",
                          kMaxLoopDepth, " loops");
          }
          open.push_back(inner);
        }
      }
      out.steps_end = out_.steps.size();
    }
    if (reached != count) {
      const auto lost = std::find(seen.begin(), seen.end(), 0);
      return refuse(where(), ": sequence ", lost - seen.begin(), " belongs to no step");
    }
    return absl::OkStatus();
  }

  absl::Status step(const fb::Step& s, const Context& context, uint32_t position) {
    PlanStep& out = out_.steps.emplace_back();
    out.step = &s;
    out.sequence = context.sequence;
    out.position = position;
    out.operands_begin = out.operands_end = out_.operands.size();
    out.trips = 1;
    const std::string at = out_.where(out);
    if (s.kernel() >= count_of(plan_.kernels())) {
      return refuse(at, ": kernel ", s.kernel(), " of ", count_of(plan_.kernels()));
    }
    if (s.lane() >= count_of(entry().lanes())) {
      return refuse(at, ": lane ", s.lane(), " of ", count_of(entry().lanes()));
    }
    if (context.lane >= 0 && s.lane() != context.lane) {
      return refuse(at, ": lane ", s.lane(), " within a body that runs on lane ", context.lane);
    }
    if (context.lane >= 0 && count_of(s.waits()) + count_of(s.signals()) > 0) {
      return refuse(at, ": waits or signals within a body");
    }
    out.control = control_of(text_of(plan_.kernels()->Get(s.kernel())));
    std::vector<ValueRange> scalars;
    for (uint32_t i = 0; i < count_of(s.scalars()); ++i) {
      const absl::StatusOr<ValueRange> value = scalars_.range(*s.scalars()->Get(i));
      if (!value.ok()) return refuse(at, ", scalar ", i, ": ", value.status().message());
      scalars.push_back(*value);
    }
    ValueRange chunks = {1, 1};
    if (s.chunks() != nullptr) {
      const absl::StatusOr<ValueRange> value = scalars_.range(*s.chunks());
      if (!value.ok()) return refuse(at, ", chunks: ", value.status().message());
      chunks = *value;
    }
    if (chunks.min < 0 || chunks.max > kMaxCount) {
      return refuse(at, named_output(s), ": may have from ", chunks.min, " to ", chunks.max,
                    " chunks, expected 0 to 2^31");
    }

    absl::Status status = operands(s, context, at);
    if (!status.ok()) return status;
    status = values(s, at);
    if (!status.ok()) return status;
    out.operands_end = out_.operands.size();
    status = overlaps(out, at);
    if (!status.ok()) return status;
    return control(&out, scalars, chunks, at);
  }

  absl::Status operands(const fb::Step& s, const Context& context, const std::string& at) {
    // In the order in which a step uses them.
    if (s.workspace() != nullptr) {
      absl::Status status = operand(*s.workspace(), OperandRole::kWorkspace, 0, context, at);
      if (!status.ok()) return status;
    }
    for (uint32_t i = 0; i < count_of(s.inputs()); ++i) {
      absl::Status status = operand(*s.inputs()->Get(i), OperandRole::kInput, i, context, at);
      if (!status.ok()) return status;
    }
    for (uint32_t i = 0; i < count_of(s.outputs()); ++i) {
      absl::Status status = operand(*s.outputs()->Get(i), OperandRole::kOutput, i, context, at);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status values(const fb::Step& s, const std::string& at) {
    if (count_of(s.values()) > count_of(s.outputs())) {
      return refuse(at, ": names ", count_of(s.values()), " values of ", count_of(s.outputs()),
                    " outputs");
    }
    for (uint32_t i = 0; i < count_of(s.values()); ++i) {
      const fb::TensorDesc& value = *s.values()->Get(i);
      if (count_of(value.name()) == 0) continue;
      absl::Status status = scalars_.check_tensor(value, absl::StrCat(at, ", value ", i));
      if (!status.ok()) return status;
      if (value.bytes() > s.outputs()->Get(i)->size()) {
        return refuse(at, ": value ", i, " takes ", value.bytes(), " bytes of an output of ",
                      s.outputs()->Get(i)->size());
      }
    }
    return absl::OkStatus();
  }

  absl::Status operand(const fb::BufferRef& ref, OperandRole role, uint32_t ordinal,
                       const Context& context, const std::string& step_at) {
    PlanOperand out;
    out.role = role;
    out.ordinal = ordinal;
    const auto fail = [&](const auto&... what) {
      return refuse(step_at, ", ", out.name(), ": ", what...);
    };
    if (ref.space() == fb::Space::None) {
      if (ref.size() != 0) return fail("absent, yet of ", ref.size(), " bytes");
      return absl::OkStatus();
    }
    uint64_t bytes = 0;
    int64_t memory = -1;
    const auto in = [&](uint64_t count) { return ref.index() < count; };
    bool known = false;
    switch (ref.space()) {
      case fb::Space::Arena:
        known = in(out_.outputs_begin);
        memory = ref.index();
        break;
      case fb::Space::Output:
        known = in(count_of(entry().outputs()));
        memory = static_cast<int64_t>(out_.outputs_begin) + ref.index();
        break;
      case fb::Space::Variable:
        known = in(count_of(plan_.variables()));
        memory = static_cast<int64_t>(out_.variables_begin) + ref.index();
        break;
      case fb::Space::Input:
        known = in(count_of(entry().inputs()));
        if (known) bytes = entry().inputs()->Get(ref.index())->bytes();
        break;
      case fb::Space::Constant:
        known = in(count_of(plan_.constants()));
        if (known) bytes = plan_.constants()->Get(ref.index())->bytes();
        break;
      default:
        return fail("unknown space ", static_cast<int>(ref.space()));
    }
    const char* space = fb::EnumNameSpace(ref.space());
    if (!known) return fail(space, " ", ref.index(), " does not exist");
    if (memory >= 0) bytes = out_.memory_bytes[static_cast<size_t>(memory)];

    const bool writes = role != OperandRole::kInput;
    if (writes && (ref.space() == fb::Space::Input || ref.space() == fb::Space::Constant)) {
      return fail("writes ", space, " ", ref.index(), ", which is read-only");
    }
    if (role == OperandRole::kWorkspace && ref.space() != fb::Space::Arena) {
      return fail("lies in ", space, " ", ref.index(), ", expected an arena");
    }
    if (ref.space() == fb::Space::Variable) {
      const fb::VariableUse* use = uses_[ref.index()];
      const bool declared =
          use != nullptr && (writes ? use->writes() : use->reads() || use->writes());
      if (!declared) {
        return fail(writes ? "writes" : "reads", " variable ", ref.index(), " '",
                    text_of(plan_.variables()->Get(ref.index())->name()),
                    "', which the entry does not declare");
      }
    }

    if ((ref.loop_stride() != 0 && context.loops < 1) ||
        (ref.outer_stride() != 0 && context.loops < 2)) {
      return fail("strides ", ref.loop_stride(), " and ", ref.outer_stride(), " within ",
                  context.loops, " loops");
    }
    const uint64_t alignment = offset_alignment(ref.size());
    const auto aligned = [&](int64_t v) { return static_cast<uint64_t>(v) % alignment == 0; };
    if (ref.offset() % alignment != 0 || !aligned(ref.loop_stride()) ||
        !aligned(ref.outer_stride())) {
      return fail("offset ", ref.offset(), ", strides ", ref.loop_stride(), " and ",
                  ref.outer_stride(), " must be multiples of ", alignment, " for ", ref.size(),
                  " bytes");
    }
    // 128 bits hold any sum of these products: strides have 64, trips less than 33.
    const Wide last =
        Wide{ref.loop_stride()} * static_cast<Wide>(std::max<uint64_t>(1, context.trips) - 1);
    const Wide outer_last = Wide{ref.outer_stride()} *
                            static_cast<Wide>(std::max<uint64_t>(1, context.outer_trips) - 1);
    const Wide begin = Wide{ref.offset()} + std::min<Wide>(0, last) + std::min<Wide>(0, outer_last);
    const Wide end =
        Wide{ref.offset()} + ref.size() + std::max<Wide>(0, last) + std::max<Wide>(0, outer_last);
    if (begin < 0 || end > Wide{bytes}) {
      return fail("offset ", ref.offset(), ", size ", ref.size(), ", strides ", ref.loop_stride(),
                  " and ", ref.outer_stride(), " over ", context.trips, " and ",
                  context.outer_trips, " trips leave the ", bytes, " bytes of ", space, " ",
                  ref.index());
    }
    if (ref.size() == 0) return absl::OkStatus();
    out.space = ref.space();
    out.index = ref.index();
    out.memory = static_cast<int32_t>(memory);
    out.first = {ref.offset(), ref.offset() + ref.size()};
    out.stride = ref.loop_stride();
    out.outer_stride = ref.outer_stride();
    out.trips = std::max<uint64_t>(1, context.trips);
    out.outer_trips = std::max<uint64_t>(1, context.outer_trips);
    out_.operands.push_back(out);
    return absl::OkStatus();
  }

  absl::Status overlaps(const PlanStep& step, const std::string& at) {
    const auto operands =
        absl::MakeSpan(out_.operands)
            .subspan(step.operands_begin, step.operands_end - step.operands_begin);
    const OperandClash clash = find_clash(operands, &strided_pairs_);
    if (strided_pairs_ < 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat("plan: ", at, ": too many strided operands"));
    }
    if (clash.a == nullptr) return absl::OkStatus();
    const PlanOperand& a = *clash.a;
    const PlanOperand& b = *clash.b;
    return refuse(at, ": ", a.name(), " at [", a.first.begin, ", ", a.first.end, ") and ", b.name(),
                  " at [", b.first.begin, ", ", b.first.end, ") overlap in ",
                  out_.memory_name(plan_, a.memory));
  }

  absl::Status control(PlanStep* out, const std::vector<ValueRange>& scalars,
                       const ValueRange& chunks, const std::string& at) const {
    const fb::Step& s = *out->step;
    const uint32_t bodies = count_of(s.sequences());
    if (out->control == ControlKind::kNone) {
      if (bodies > 0) return refuse(at, ": ", bodies, " bodies, but its kernel is no control flow");
      return absl::OkStatus();
    }
    if (chunks.min != 1 || chunks.max != 1) return refuse(at, ": control flow has one chunk");
    if (s.workspace() != nullptr && s.workspace()->size() != 0) {
      return refuse(at, ": control flow has no workspace; its bodies name their bytes themselves");
    }
    const uint32_t expected = out->control == ControlKind::kScan ? 1 : 2;
    if (bodies != expected) {
      return refuse(at, ": ", bodies, " bodies, expected ", expected);
    }
    const auto size_of = [](const flatbuffers::Vector<const fb::BufferRef*>* refs) -> uint64_t {
      return count_of(refs) == 0 ? 0 : refs->Get(0)->size();
    };
    const uint64_t input = size_of(s.inputs());
    const uint64_t output = size_of(s.outputs());
    if (count_of(s.inputs()) > 1 || count_of(s.outputs()) > 1) {
      return refuse(at, ": control flow has at most one input and one output");
    }
    if (out->control == ControlKind::kScan ? input != 0 && input != 8 : input != 1) {
      return refuse(at, ": input 0 of ", input, " bytes, expected ",
                    out->control == ControlKind::kScan ? "the trips in 8" : "a predicate in 1");
    }
    if (out->control == ControlKind::kCond) {
      if (output != 0) return refuse(at, ": control.cond has no output");
      return absl::OkStatus();
    }
    if (output != 0 && output != 8) {
      return refuse(at, ": output 0 of ", output, " bytes, expected the index of the trip in 8");
    }
    if (scalars.empty() || scalars[0].min < 0 || scalars[0].max > kMaxCount) {
      return refuse(at, ": scalar 0 must bound the trips, from 0 to 2^31");
    }
    out->trips = static_cast<uint64_t>(scalars[0].max);
    return absl::OkStatus();
  }

  // Each signal is completed by one step, and waited for by later ones alone.
  absl::Status signals() {
    uint64_t completed = 0;
    for (const PlanStep& s : out_.steps) completed += count_of(s.step->signals());
    if (completed != entry().signals()) {
      return refuse(where(), ": declares ", entry().signals(), " signals, its steps complete ",
                    completed);
    }
    std::vector<char> set(completed, 0);
    const PlanSequence& main = out_.sequences[0];
    for (size_t i = main.steps_begin; i < main.steps_end; ++i) {
      const fb::Step& s = *out_.steps[i].step;
      for (uint32_t w = 0; w < count_of(s.waits()); ++w) {
        const uint32_t signal = s.waits()->Get(w);
        if (signal >= completed || !set[signal]) {
          return refuse(out_.where(out_.steps[i]), ": waits for signal ", signal,
                        ", which no earlier step completes");
        }
      }
      for (uint32_t g = 0; g < count_of(s.signals()); ++g) {
        const uint32_t signal = s.signals()->Get(g);
        if (signal >= completed || set[signal]) {
          return refuse(out_.where(out_.steps[i]), ": completes signal ", signal, ", which ",
                        signal >= completed ? "does not exist" : "an earlier step completes");
        }
        set[signal] = 1;
      }
    }
    return absl::OkStatus();
  }

  const fb::Plan& plan_;
  DecodedEntry out_;
  PlanScalars scalars_;
  std::vector<const fb::VariableUse*> uses_;  // by variable
  int64_t strided_pairs_ = 10'000'000;        // left to compare, over all steps
};

}  // namespace

std::string DecodedEntry::where(const PlanStep& step) const {
  std::string text = absl::StrCat("entry '", text_of(entry->name()), "', ");
  if (step.sequence != 0) absl::StrAppend(&text, "sequence ", step.sequence, ", ");
  absl::StrAppend(&text, "step ", step.position);
  const absl::string_view name = text_of(step.step->name());
  if (!name.empty()) absl::StrAppend(&text, " '", name, "'");
  return text;
}

std::string DecodedEntry::memory_name(const fb::Plan& plan, int32_t memory) const {
  const size_t m = static_cast<size_t>(memory);
  if (m < outputs_begin) return absl::StrCat("arena ", m);
  if (m < variables_begin) {
    const uint32_t i = static_cast<uint32_t>(m - outputs_begin);
    return absl::StrCat("output ", i, " '", text_of(entry->outputs()->Get(i)->name()), "'");
  }
  const uint32_t i = static_cast<uint32_t>(m - variables_begin);
  return absl::StrCat("variable ", i, " '", text_of(plan.variables()->Get(i)->name()), "'");
}

absl::StatusOr<DecodedEntry> decode_entry(const fb::Plan& plan, const fb::Entry& entry) {
  return Decoder(plan, entry).run();
}

}  // namespace modellib
