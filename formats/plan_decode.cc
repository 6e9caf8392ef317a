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

constexpr uint64_t kMaxBytes = uint64_t{1} << 62;
constexpr int64_t kMaxCount = int64_t{1} << 31;  // of chunks, of trips
constexpr uint32_t kMaxLanes = 64;
constexpr int kMaxDepth = 16;     // of nested sequences
constexpr int kMaxLoopDepth = 6;  // of nested loops: each doubles the work of the data-flow check
constexpr uint64_t kArenaAlignment = 64;

bool is_power_of_two(uint64_t v) { return v != 0 && (v & (v - 1)) == 0; }

// What an operand's offset must be a multiple of. The type of its elements isn't known here; no
// element is wider than 8 bytes or than the largest power of two that divides the operand's size.
uint64_t offset_alignment(uint64_t size) {
  return size == 0 ? 1 : std::min<uint64_t>(8, size & (~size + 1));
}

int bits_of(fb::DType dtype) {
  switch (dtype) {
    case fb::DType::I4:
    case fb::DType::U4:
      return 4;
    case fb::DType::I8:
    case fb::DType::U8:
    case fb::DType::Bool:
    case fb::DType::F8E4M3:
    case fb::DType::F8E5M2:
      return 8;
    case fb::DType::F16:
    case fb::DType::BF16:
    case fb::DType::I16:
    case fb::DType::U16:
      return 16;
    case fb::DType::F32:
    case fb::DType::I32:
    case fb::DType::U32:
      return 32;
    case fb::DType::F64:
    case fb::DType::I64:
    case fb::DType::U64:
      return 64;
    case fb::DType::String:
      return 0;
    default:
      return -1;
  }
}

// Bytes of a dense tensor, or false if an extent is negative or the product too large.
bool dense_bytes(const std::vector<int64_t>& shape, int bits, uint64_t* bytes) {
  Wide total = bits;
  for (int64_t extent : shape) {
    if (extent < 0) return false;
    total *= extent;
    if (total > Wide{kMaxBytes} * 8) return false;
  }
  *bytes = static_cast<uint64_t>((total + 7) / 8);
  return true;
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
    for (auto check : {&Decoder::symbols_and_slots, &Decoder::memories, &Decoder::variables,
                       &Decoder::tensors, &Decoder::sequences, &Decoder::signals}) {
      absl::Status status = (this->*check)();
      if (!status.ok()) return status;
    }
    return std::move(out_);
  }

 private:
  const fb::Entry& entry() const { return *out_.entry; }
  std::string where() const { return absl::StrCat("entry '", text_of(entry().name()), "'"); }

  absl::Status symbols_and_slots() {
    for (uint32_t i = 0; i < count_of(entry().symbols()); ++i) {
      const fb::Symbol* s = entry().symbols()->Get(i);
      if (s->min() < 0 || s->max() < s->min()) {
        return refuse(where(), ", symbol ", i, " '", text_of(s->name()), "': range [", s->min(),
                      ", ", s->max(), "] is empty or negative");
      }
      symbols_.push_back({s->min(), s->max()});
    }
    for (uint32_t i = 0; i < count_of(entry().slots()); ++i) {
      const fb::Slot* s = entry().slots()->Get(i);
      absl::Span<const fb::DimOp> expression;
      if (s->expr() != nullptr) {
        expression = {reinterpret_cast<const fb::DimOp*>(s->expr()->Data()), s->expr()->size()};
      }
      const absl::StatusOr<ValueRange> range = expression_range(expression, symbols_);
      if (!range.ok()) return refuse(where(), ", slot ", i, ": ", range.status().message());
      if (range->min < s->min() || range->max > s->max()) {
        return refuse(where(), ", slot ", i, ": values in [", range->min, ", ", range->max,
                      "] do not stay in the declared [", s->min(), ", ", s->max(), "]");
      }
      slots_.push_back({s->min(), s->max()});
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ValueRange> scalar(const fb::Scalar& s) const {
    if (s.slot() == -1) return ValueRange{s.value(), s.value()};
    if (s.slot() < 0 || static_cast<size_t>(s.slot()) >= slots_.size()) {
      return absl::InvalidArgumentError(absl::StrCat("slot ", s.slot(), " of ", slots_.size()));
    }
    const ValueRange& range = slots_[static_cast<size_t>(s.slot())];
    if (s.value() != range.max) {
      return absl::InvalidArgumentError(absl::StrCat("value ", s.value(), " is not the maximum ",
                                                     range.max, " of its slot ", s.slot()));
    }
    return range;
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
      if (a->bytes() > kMaxBytes - planned) {
        return refuse(where(), ", arena ", i, ": with its ", a->bytes(),
                      " bytes the arenas pass 2^62");
      }
      if (!is_power_of_two(a->alignment()) || a->alignment() < kArenaAlignment ||
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
      absl::Status status = tensor(*entry().inputs()->Get(i), absl::StrCat(where(), ", input ", i));
      if (!status.ok()) return status;
    }
    for (uint32_t i = 0; i < count_of(entry().outputs()); ++i) {
      absl::Status status =
          tensor(*entry().outputs()->Get(i), absl::StrCat(where(), ", output ", i));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status tensor(const fb::TensorDesc& t, const std::string& at) const {
    const int bits = bits_of(t.dtype());
    if (bits < 0) return refuse(at, ": unknown dtype ", static_cast<int>(t.dtype()));
    std::vector<int64_t> shape;
    for (uint32_t d = 0; d < count_of(t.shape()); ++d) {
      const absl::StatusOr<ValueRange> extent = scalar(*t.shape()->Get(d));
      if (!extent.ok()) return refuse(at, ", dimension ", d, ": ", extent.status().message());
      if (extent->min < 0) return refuse(at, ", dimension ", d, ": may be ", extent->min);
      shape.push_back(extent->max);
    }
    uint64_t bytes = 0;
    if (!dense_bytes(shape, bits, &bytes) || t.bytes() < bytes || t.bytes() > kMaxBytes) {
      return refuse(at, " '", text_of(t.name()), "': ", t.bytes(),
                    " bytes do not hold its largest extents");
    }
    if (t.symbols() == nullptr) return absl::OkStatus();
    if (t.symbols()->size() != shape.size()) {
      return refuse(at, ": ", t.symbols()->size(), " symbols for ", shape.size(), " dimensions");
    }
    for (uint32_t d = 0; d < t.symbols()->size(); ++d) {
      const int32_t symbol = t.symbols()->Get(d);
      if (symbol == -1) continue;
      if (symbol < 0 || static_cast<size_t>(symbol) >= symbols_.size()) {
        return refuse(at, ", dimension ", d, ": symbol ", symbol, " of ", symbols_.size());
      }
      if (shape[d] != symbols_[static_cast<size_t>(symbol)].max) {
        return refuse(at, ", dimension ", d, ": largest extent ", shape[d], ", but its symbol ",
                      symbol, " may be ", symbols_[static_cast<size_t>(symbol)].max);
      }
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
      const absl::StatusOr<ValueRange> value = scalar(*s.scalars()->Get(i));
      if (!value.ok()) return refuse(at, ", scalar ", i, ": ", value.status().message());
      scalars.push_back(*value);
    }
    ValueRange chunks = {1, 1};
    if (s.chunks() != nullptr) {
      const absl::StatusOr<ValueRange> value = scalar(*s.chunks());
      if (!value.ok()) return refuse(at, ", chunks: ", value.status().message());
      chunks = *value;
    }
    if (chunks.min < 0 || chunks.max > kMaxCount) {
      return refuse(at, ": may have from ", chunks.min, " to ", chunks.max,
                    " chunks, expected 0 to 2^31");
    }

    absl::Status status = operands(s, context, at);
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

  static std::string operand_name(OperandRole role, uint32_t ordinal) {
    if (role == OperandRole::kWorkspace) return "workspace";
    return absl::StrCat(role == OperandRole::kInput ? "input " : "output ", ordinal);
  }

  absl::Status operand(const fb::BufferRef& ref, OperandRole role, uint32_t ordinal,
                       const Context& context, const std::string& step_at) {
    const auto fail = [&](const auto&... what) {
      return refuse(step_at, ", ", operand_name(role, ordinal), ": ", what...);
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
    PlanOperand& out = out_.operands.emplace_back();
    out.role = role;
    out.ordinal = ordinal;
    out.space = ref.space();
    out.index = ref.index();
    out.memory = static_cast<int32_t>(memory);
    out.first = {ref.offset(), ref.offset() + ref.size()};
    out.stride = ref.loop_stride();
    out.outer_stride = ref.outer_stride();
    out.trips = std::max<uint64_t>(1, context.trips);
    out.outer_trips = std::max<uint64_t>(1, context.outer_trips);
    return absl::OkStatus();
  }

  // Within a step an output may begin where an input does (in place); otherwise what it writes
  // overlaps nothing. Operands with the same strides keep their distance, so their first trip
  // decides.
  absl::Status overlaps(const PlanStep& step, const std::string& at) {
    using Key = std::tuple<int32_t, int64_t, int64_t>;  // memory, strides
    std::map<Key, std::vector<const PlanOperand*>> groups;
    for (size_t i = step.operands_begin; i < step.operands_end; ++i) {
      const PlanOperand& o = out_.operands[i];
      if (o.memory >= 0) groups[{o.memory, o.stride, o.outer_stride}].push_back(&o);
    }
    const auto clash = [&](const PlanOperand& a, const PlanOperand& b) {
      return refuse(at, ": ", operand_name(a.role, a.ordinal), " at [", a.first.begin, ", ",
                    a.first.end, ") and ", operand_name(b.role, b.ordinal), " at [", b.first.begin,
                    ", ", b.first.end, ") overlap in ", out_.memory_name(plan_, a.memory));
    };
    for (auto& [key, group] : groups) {
      std::sort(group.begin(), group.end(), [](const PlanOperand* a, const PlanOperand* b) {
        return a->first.begin != b->first.begin ? a->first.begin < b->first.begin
                                                : a->role > b->role;  // outputs first
      });
      const PlanOperand* write = nullptr;  // that reaches furthest so far, and input likewise
      const PlanOperand* read = nullptr;
      for (const PlanOperand* o : group) {
        const bool writes = o->role != OperandRole::kInput;
        if (write != nullptr && write->first.overlaps(o->first)) {
          const bool in_place = !writes && write->role == OperandRole::kOutput &&
                                write->first.begin == o->first.begin;
          if (!in_place) return clash(*write, *o);
        }
        if (writes && read != nullptr && read->first.overlaps(o->first)) return clash(*o, *read);
        const PlanOperand*& furthest = writes ? write : read;
        if (furthest == nullptr || o->first.end > furthest->first.end) furthest = o;
      }
    }
    // Different strides: all that they reach must be apart. Few steps have them.
    for (auto a = groups.begin(); a != groups.end(); ++a) {
      for (auto b = std::next(a);
           b != groups.end() && std::get<0>(b->first) == std::get<0>(a->first); ++b) {
        for (const PlanOperand* x : a->second) {
          for (const PlanOperand* y : b->second) {
            if (++strided_pairs_ > kMaxStridedPairs) {
              return absl::ResourceExhaustedError(
                  absl::StrCat("plan: ", at, ": too many strided operands"));
            }
            const bool writes = x->role != OperandRole::kInput || y->role != OperandRole::kInput;
            if (writes && x->reach().overlaps(y->reach())) return clash(*x, *y);
          }
        }
      }
    }
    return absl::OkStatus();
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

  static constexpr int64_t kMaxStridedPairs = 10'000'000;

  const fb::Plan& plan_;
  DecodedEntry out_;
  std::vector<ValueRange> symbols_, slots_;
  std::vector<const fb::VariableUse*> uses_;  // by variable
  int64_t strided_pairs_ = 0;
};

}  // namespace

ByteRange PlanOperand::reach(bool inner_first, bool outer_first) const {
  ByteRange r = first;
  const auto extend = [&r](int64_t stride, uint64_t trips) {
    const int64_t way = stride * static_cast<int64_t>(trips - 1);
    if (way < 0) {
      r.begin -= static_cast<uint64_t>(-way);
    } else {
      r.end += static_cast<uint64_t>(way);
    }
  };
  if (!inner_first) extend(stride, trips);
  if (!outer_first) extend(outer_stride, outer_trips);
  return r;
}

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

absl::Status check_tables(const fb::Plan& plan) {
  for (uint32_t i = 0; i < count_of(plan.kernels()); ++i) {
    if (text_of(plan.kernels()->Get(i)).empty()) return refuse("kernel ", i, " has no name");
  }
  uint64_t total = 0;
  std::set<absl::string_view> names;
  for (uint32_t i = 0; i < count_of(plan.variables()); ++i) {
    const fb::Variable* v = plan.variables()->Get(i);
    const std::string at = absl::StrCat("variable ", i, " '", text_of(v->name()), "'");
    if (!names.insert(text_of(v->name())).second) return refuse(at, ": the name is not unique");
    const int bits = bits_of(v->dtype());
    if (bits <= 0)
      return refuse(at, ": dtype ", static_cast<int>(v->dtype()), " can not be stored");
    if (v->kind() > fb::VariableKind::MAX) {
      return refuse(at, ": unknown kind ", static_cast<int>(v->kind()));
    }
    std::vector<int64_t> shape;
    if (v->shape() != nullptr) shape.assign(v->shape()->begin(), v->shape()->end());
    uint64_t bytes = 0;
    if (!dense_bytes(shape, bits, &bytes) || v->bytes() < bytes || v->bytes() > kMaxBytes - total) {
      return refuse(at, ": ", v->bytes(), " bytes do not hold its extents, or pass 2^62 in all");
    }
    total += v->bytes();
    if (v->segment() < -1) return refuse(at, ": segment ", v->segment());
    if (v->segment() >= 0 && (v->offset() % kArenaAlignment != 0 || v->offset() > kMaxBytes)) {
      return refuse(at, ": offset ", v->offset(), " must be a multiple of 64 below 2^62");
    }
  }
  for (uint32_t i = 0; i < count_of(plan.constants()); ++i) {
    const fb::Constant* c = plan.constants()->Get(i);
    if (c->offset() % kArenaAlignment != 0 || c->offset() > kMaxBytes || c->bytes() > kMaxBytes) {
      return refuse("constant ", i, " '", text_of(c->name()), "': offset ", c->offset(), ", ",
                    c->bytes(), " bytes: the offset must be a multiple of 64, both below 2^62");
    }
  }
  std::set<absl::string_view> entries;
  for (uint32_t i = 0; i < count_of(plan.entries()); ++i) {
    const absl::string_view name = text_of(plan.entries()->Get(i)->name());
    if (!entries.insert(name).second)
      return refuse("entry ", i, ": the name '", name, "' is not unique");
  }
  return absl::OkStatus();
}

}  // namespace modellib
