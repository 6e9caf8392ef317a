// From the FlatBuffer of a plan to a ProgramImage. Nothing that stands in the plan is believed:
// indices, ranges, strides and the shape of control flow are checked here, operands by each
// kernel's own `validate`. Sizes in the plan only ever bound what is allocated by what is there.
#include <algorithm>
#include <cstring>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/runtime/communicator.h"
#include "modellib/executors/runtime/program_image.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime {
namespace {

using Wide = __int128;  // sums and products of 64-bit numbers without overflow

constexpr uint64_t kMaxBytes = uint64_t{1} << 46;
constexpr int64_t kMaxChunks = (int64_t{1} << 31) - 1;
constexpr size_t kMaxLanes = 64;
constexpr int kMaxNesting = 16;
constexpr uint64_t kPage = 4096;
constexpr uint64_t kVariableAlignment = 64;

uint64_t round_up(uint64_t n, uint64_t alignment) {
  return (n + alignment - 1) / alignment * alignment;
}

template <class Vector>
uint32_t size_of(const Vector* v) {
  return v == nullptr ? 0 : v->size();
}

std::string text(const flatbuffers::String* s) { return s == nullptr ? "" : s->str(); }

template <class... Parts>
absl::Status bad(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("plan: ", parts...));
}

absl::StatusOr<DType> checked_dtype(fb::DType dtype, absl::string_view name) {
  const auto number = static_cast<int>(dtype);
  if (number <= 0 || number >= kDTypeCount || bits_of(static_cast<DType>(number)) == 0) {
    return bad("'", name, "' has no element type that a buffer can hold (", number, ")");
  }
  return static_cast<DType>(number);
}

// Bytes of a shape, or an error for one that is negative or absurd.
absl::StatusOr<uint64_t> checked_bytes(DType dtype, absl::Span<const int64_t> shape,
                                       absl::string_view name) {
  Wide count = 1;
  for (int64_t extent : shape) {
    if (extent < 0) return bad("'", name, "' has the extent ", extent);
    count *= extent;
    if (count > Wide{kMaxBytes}) return bad("'", name, "' has too many elements");
  }
  return static_cast<uint64_t>(modellib::bytes_of(dtype, static_cast<int64_t>(count)));
}

struct Loop {
  int64_t trips;  // at most
};

// An operand with the bytes that it can reach over all trips of the loops around it.
struct Operand {
  fb::Space space = fb::Space::None;
  uint32_t index = 0;
  uint64_t offset = 0;
  uint64_t size = 0;
  int64_t loop_stride = 0;
  int64_t outer_stride = 0;
  Wide low = 0;
  Wide high = 0;

  bool absent() const { return space == fb::Space::None; }
  bool same_place(const Operand& o) const { return space == o.space && index == o.index; }
  bool same_strides(const Operand& o) const {
    return loop_stride == o.loop_stride && outer_stride == o.outer_stride;
  }
  // Whether the two can touch the same byte within one trip.
  bool overlaps(const Operand& o) const {
    if (absent() || o.absent() || !same_place(o) || size == 0 || o.size == 0) return false;
    if (same_strides(o)) return offset < o.offset + o.size && o.offset < offset + size;
    return low < o.high && o.low < high;
  }
};

class EntryLoader {
 public:
  EntryLoader(const fb::Plan& plan, const fb::Entry& source, const KernelTable& kernels,
              ProgramImage& program, EntryImage& entry)
      : plan_(plan), source_(source), kernels_(kernels), program_(program), entry_(entry) {}

  absl::Status load() {
    entry_.info.name = text(source_.name());
    entry_.info.planned_bytes = source_.planned_bytes();
    entry_.info.lower_bound_bytes = source_.lower_bound_bytes();
    MODELLIB_RETURN_IF_ERROR(load_symbols());
    MODELLIB_RETURN_IF_ERROR(load_slots());
    MODELLIB_RETURN_IF_ERROR(load_constraints());
    MODELLIB_RETURN_IF_ERROR(
        load_tensors("input", source_.inputs(), entry_.info.inputs, entry_.inputs));
    MODELLIB_RETURN_IF_ERROR(
        load_tensors("output", source_.outputs(), entry_.info.outputs, entry_.outputs));
    MODELLIB_RETURN_IF_ERROR(load_variable_uses());
    entry_.arenas.resize(size_of(source_.arenas()));
    for (uint32_t i = 0; i < entry_.arenas.size(); ++i) entry_.arenas[i].arena = i;
    MODELLIB_RETURN_IF_ERROR(load_sequences());
    return order_lanes();
  }

 private:
  template <class... Parts>
  absl::Status bad_entry(const Parts&... parts) const {
    return bad("entry '", entry_.info.name, "': ", parts...);
  }

  absl::Status load_symbols() {
    for (uint32_t i = 0; i < size_of(source_.symbols()); ++i) {
      const fb::Symbol& s = *source_.symbols()->Get(i);
      SymbolInfo info{text(s.name()), s.min(), s.max()};
      if (info.min > info.max) {
        return bad_entry("symbol '", info.name, "' has the range ", info.min, " to ", info.max);
      }
      entry_.symbol_sources.push_back(info.name == "$rank"    ? SymbolSource::kRank
                                      : info.name == "$world" ? SymbolSource::kWorld
                                                              : SymbolSource::kCaller);
      entry_.info.symbols.push_back(std::move(info));
    }
    return absl::OkStatus();
  }

  absl::Status load_slots() {
    for (uint32_t i = 0; i < size_of(source_.slots()); ++i) {
      const fb::Slot& s = *source_.slots()->Get(i);
      SlotImage slot{{}, s.min(), s.max()};
      MODELLIB_RETURN_IF_ERROR(load_expression("slot", i, s.expr(), slot));
      entry_.slots.push_back(std::move(slot));
    }
    return absl::OkStatus();
  }

  absl::Status load_constraints() {
    constexpr auto kMin = std::numeric_limits<int64_t>::min();
    constexpr auto kMax = std::numeric_limits<int64_t>::max();
    for (uint32_t i = 0; i < size_of(source_.constraints()); ++i) {
      const fb::Constraint& c = *source_.constraints()->Get(i);
      ConstraintImage constraint{{{}, kMin, kMax},
                                 {{}, kMin, kMax},
                                 text(c.left_text()),
                                 text(c.right_text()),
                                 text(c.reason())};
      MODELLIB_RETURN_IF_ERROR(load_expression("constraint", i, c.left(), constraint.left));
      MODELLIB_RETURN_IF_ERROR(load_expression("constraint", i, c.right(), constraint.right));
      entry_.constraints.push_back(std::move(constraint));
    }
    return absl::OkStatus();
  }

  absl::Status load_expression(absl::string_view what, uint32_t which,
                               const flatbuffers::Vector<const fb::DimOp*>* expression,
                               SlotImage& into) const {
    int depth = 0;
    for (uint32_t k = 0; k < size_of(expression); ++k) {
      const fb::DimOp& op = *expression->Get(k);
      if (op.code() > fb::DimOpcode::Max) {
        return bad_entry(what, " ", which, " has an unknown opcode");
      }
      const auto code = static_cast<DimOpcode>(op.code());
      if (code == DimOpcode::kSymbol &&
          (op.value() < 0 || op.value() >= static_cast<int64_t>(entry_.info.symbols.size()))) {
        return bad_entry(what, " ", which, " reads symbol ", op.value(), " of ",
                         entry_.info.symbols.size());
      }
      depth += code == DimOpcode::kConst || code == DimOpcode::kSymbol ? 1 : -1;
      if (depth < 1 || depth > kMaxDimStack) {
        return bad_entry(what, " ", which, " is no expression");
      }
      into.code.push_back({code, op.value()});
    }
    if (depth != 1) return bad_entry(what, " ", which, " is no expression");
    return absl::OkStatus();
  }

  absl::StatusOr<ScalarImage> checked_scalar(const fb::Scalar& s) const {
    if (s.slot() >= 0 && static_cast<size_t>(s.slot()) >= entry_.slots.size()) {
      return bad_entry("a number names slot ", s.slot(), " of ", entry_.slots.size());
    }
    return ScalarImage{s.value(), s.slot() < 0 ? -1 : s.slot()};
  }
  int64_t min_of(const ScalarImage& s) const {
    return s.slot < 0 ? s.value : entry_.slots[static_cast<size_t>(s.slot)].min;
  }
  int64_t max_of(const ScalarImage& s) const {
    return s.slot < 0 ? s.value : entry_.slots[static_cast<size_t>(s.slot)].max;
  }

  absl::Status load_tensors(absl::string_view what,
                            const flatbuffers::Vector<flatbuffers::Offset<fb::TensorDesc>>* descs,
                            std::vector<TensorInfo>& infos, std::vector<TensorImage>& images) {
    for (uint32_t i = 0; i < size_of(descs); ++i) {
      const fb::TensorDesc& desc = *descs->Get(i);
      TensorInfo info;
      TensorImage image;
      info.name = text(desc.name());
      info.bytes = desc.bytes();
      info.dynamic = false;
      MODELLIB_ASSIGN_OR_RETURN(info.dtype, checked_dtype(desc.dtype(), info.name));
      const uint32_t rank = size_of(desc.shape());
      const uint32_t symbols = size_of(desc.symbols());
      if (symbols != 0 && symbols != rank) {
        return bad_entry(what, " '", info.name, "' has rank ", rank, " but symbols for ", symbols);
      }
      for (uint32_t d = 0; d < rank; ++d) {
        MODELLIB_ASSIGN_OR_RETURN(ScalarImage extent, checked_scalar(*desc.shape()->Get(d)));
        const int symbol = symbols == 0 ? -1 : desc.symbols()->Get(d);
        if (symbol >= static_cast<int>(entry_.info.symbols.size())) {
          return bad_entry(what, " '", info.name, "' binds symbol ", symbol);
        }
        int64_t max = max_of(extent);
        if (symbol >= 0) {
          const auto s = static_cast<size_t>(symbol);
          max = entry_.info.symbols[s].max;
          if (entry_.symbol_sources[s] == SymbolSource::kCaller) {
            entry_.symbol_sources[s] = SymbolSource::kInput;
          }
        }
        info.dynamic = info.dynamic || symbol >= 0 || extent.slot >= 0;
        if (min_of(extent) < 0 && extent.slot >= 0) {
          return bad_entry(what, " '", info.name, "' can have a negative extent");
        }
        info.max_shape.push_back(max);
        info.symbols.push_back(symbol < 0 ? -1 : symbol);
        image.shape.push_back(extent);
      }
      MODELLIB_ASSIGN_OR_RETURN(const uint64_t bytes,
                                checked_bytes(info.dtype, info.max_shape, info.name));
      if (bytes != info.bytes) {
        return bad_entry(what, " '", info.name, "' has ", info.bytes, " bytes, but its shape [",
                         absl::StrJoin(info.max_shape, ","), "] has ", bytes);
      }
      infos.push_back(std::move(info));
      images.push_back(std::move(image));
    }
    return absl::OkStatus();
  }

  absl::Status load_variable_uses() {
    entry_.info.writes_variables = false;
    use_of_.assign(program_.variables.size(), -1);
    for (uint32_t i = 0; i < size_of(source_.variables()); ++i) {
      const fb::VariableUse& use = *source_.variables()->Get(i);
      if (use.variable() >= program_.variables.size() || use_of_[use.variable()] >= 0) {
        return bad_entry("it uses variable ", use.variable(), ", which is none, or twice");
      }
      use_of_[use.variable()] = static_cast<int>(entry_.variables.size());
      entry_.variables.push_back({use.variable(), use.reads(), use.writes(), {}});
      if (use.writes() && program_.variables[use.variable()].kind != VariableKind::kSession) {
        entry_.info.writes_variables = true;
      }
    }
    return absl::OkStatus();
  }

  absl::Status load_sequences() {
    const uint32_t count = size_of(source_.sequences());
    if (count == 0) return bad_entry("it has no main sequence");
    entry_.sequences.resize(count);
    uint32_t first = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t steps = size_of(source_.sequences()->Get(i)->steps());
      entry_.sequences[i] = {first, steps};
      first += steps;
    }
    entry_.steps.resize(first);
    entry_.info.steps = static_cast<int>(first);
    // No more signals than the steps name: a plan cannot make the session allocate at will.
    entry_.signals = source_.signals();
    if (entry_.signals > 16 * (first + 1)) return bad_entry("it has ", entry_.signals, " signals");
    signalled_.assign(entry_.signals, false);
    visited_.assign(count, false);
    return load_sequence(0, 0);
  }

  absl::Status load_sequence(uint32_t index, int nesting) {
    if (nesting > kMaxNesting) return bad_entry("control flow is nested too deeply");
    visited_[index] = true;
    const Slice slice = entry_.sequences[index];
    for (uint32_t i = 0; i < slice.count; ++i) {
      const fb::Step& step = *source_.sequences()->Get(index)->steps()->Get(i);
      MODELLIB_RETURN_IF_ERROR(load_step(step, slice.begin + i, nesting));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Operand> checked_operand(const fb::BufferRef* ref) const {
    Operand o;
    if (ref == nullptr || ref->space() == fb::Space::None) return o;
    o.space = ref->space();
    o.index = ref->index();
    o.offset = ref->offset();
    o.size = ref->size();
    o.loop_stride = ref->loop_stride();
    o.outer_stride = ref->outer_stride();
    uint64_t bytes = 0;
    uint64_t limit = 0;
    switch (o.space) {
      case fb::Space::Arena:
        limit = entry_.arenas.size();
        if (o.index < limit) bytes = source_.arenas()->Get(o.index)->bytes();
        break;
      case fb::Space::Constant:
        limit = size_of(plan_.constants());
        if (o.index < limit) bytes = plan_.constants()->Get(o.index)->bytes();
        break;
      case fb::Space::Variable:
        limit = program_.variables.size();
        if (o.index < limit) bytes = program_.variables[o.index].bytes;
        break;
      case fb::Space::Input:
        limit = entry_.inputs.size();
        if (o.index < limit) bytes = entry_.info.inputs[o.index].bytes;
        break;
      case fb::Space::Output:
        limit = entry_.outputs.size();
        if (o.index < limit) bytes = entry_.info.outputs[o.index].bytes;
        break;
      default:
        return absl::InvalidArgumentError("an operand lies in an unknown space");
    }
    const auto space = absl::string_view(fb::EnumNameSpace(o.space));
    if (o.index >= limit) {
      return absl::InvalidArgumentError(
          absl::StrCat("an operand lies in ", space, " ", o.index, " of ", limit));
    }
    o.low = o.offset;
    o.high = Wide{o.offset} + o.size;
    const auto reach = [&](int64_t stride, size_t level) {
      if (stride == 0 || level >= loops_.size()) return stride == 0;
      const int64_t trips = loops_[loops_.size() - 1 - level].trips;
      if (stride > static_cast<int64_t>(kMaxBytes) || stride < -static_cast<int64_t>(kMaxBytes)) {
        return false;
      }
      const Wide far = Wide{stride} * std::max<int64_t>(0, trips - 1);
      (far < 0 ? o.low : o.high) += far;
      return true;
    };
    if (!reach(o.loop_stride, 0) || !reach(o.outer_stride, 1)) {
      return absl::InvalidArgumentError(
          "an operand has a stride but no loop around it, or an absurd one");
    }
    if (o.low < 0 || o.high > Wide{bytes}) {
      return absl::InvalidArgumentError(absl::StrCat(
          "an operand of ", o.size, " bytes at offset ", o.offset, ", strides ", o.loop_stride,
          " and ", o.outer_stride, ", leaves ", space, " ", o.index, " of ", bytes, " bytes"));
    }
    return o;
  }

  absl::Status check_writable(const Operand& o) const {
    if (o.absent()) return absl::OkStatus();
    if (o.space == fb::Space::Constant || o.space == fb::Space::Input) {
      return absl::InvalidArgumentError("it writes to a constant or an input");
    }
    if (o.space == fb::Space::Variable && !entry_.variables[use_index(o)].writes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "it writes to variable '", program_.variables[o.index].name, "' without saying so"));
    }
    return absl::OkStatus();
  }

  size_t use_index(const Operand& o) const { return static_cast<size_t>(use_of_[o.index]); }

  // The operand's place among the pointers, with what sets it.
  absl::Status add_pointer(const Operand& o) {
    const auto pointer = static_cast<uint32_t>(entry_.pointers.size());
    entry_.pointers.push_back(nullptr);
    entry_.pointer_bytes.push_back(o.size);
    switch (o.space) {
      case fb::Space::Arena:
        entry_.arenas[o.index].patches.push_back({pointer, o.offset});
        break;
      case fb::Space::Constant: {
        const fb::Constant& c = *plan_.constants()->Get(o.index);
        const std::byte* base = program_.file->segment(c.segment()).bytes.data() + c.offset();
        // Kernels take them as const; KernelArgs has one type for all operands.
        entry_.pointers.back() = const_cast<std::byte*>(base) + o.offset;
        break;
      }
      case fb::Space::Variable:
        entry_.variables[use_index(o)].patches.push_back({pointer, o.offset});
        break;
      case fb::Space::Input:
        entry_.inputs[o.index].patches.push_back({pointer, o.offset});
        break;
      case fb::Space::Output:
        entry_.outputs[o.index].patches.push_back({pointer, o.offset});
        break;
      default:
        return absl::OkStatus();
    }
    if (o.loop_stride != 0) advances_[advances_.size() - 1].push_back({pointer, o.loop_stride});
    if (o.outer_stride != 0) advances_[advances_.size() - 2].push_back({pointer, o.outer_stride});
    return absl::OkStatus();
  }

  absl::Status load_step(const fb::Step& source, uint32_t index, int nesting) {
    StepImage step;
    step.name = text(source.name());
    if (source.kernel() >= size_of(plan_.kernels())) {
      return bad_entry("step ", index, " '", step.name, "' names kernel ", source.kernel(), " of ",
                       size_of(plan_.kernels()));
    }
    step.kernel_name = absl::string_view(plan_.kernels()->Get(source.kernel())->c_str(),
                                         plan_.kernels()->Get(source.kernel())->size());
    absl::Status status = fill_step(source, index, nesting, step);
    entry_.steps[index] = std::move(step);
    if (status.ok()) return status;
    const StepImage& kept = entry_.steps[index];
    // An error of a nested step names its own place.
    if (absl::StartsWith(status.message(), "plan: ")) return status;
    return absl::Status(status.code(),
                        absl::StrCat("plan: entry '", entry_.info.name, "', step ", index, " '",
                                     kept.name, "' (", kept.kernel_name, "): ", status.message()));
  }

  absl::Status fill_step(const fb::Step& source, uint32_t index, int nesting, StepImage& step) {
    MODELLIB_RETURN_IF_ERROR(fill_lane(source, nesting, step));
    MODELLIB_RETURN_IF_ERROR(fill_operands(source, step));
    MODELLIB_RETURN_IF_ERROR(fill_scalars(source, index, step));
    MODELLIB_RETURN_IF_ERROR(fill_values(source, step));
    if (step.kernel_name == "control.cond") return fill_cond(source, nesting, step);
    if (step.kernel_name == "control.scan") {
      return fill_loop(source, nesting, StepKind::kScan, step);
    }
    if (step.kernel_name == "control.while") {
      return fill_loop(source, nesting, StepKind::kWhile, step);
    }
    if (size_of(source.sequences()) != 0) {
      return absl::InvalidArgumentError("only control steps have bodies");
    }
    if (absl::StartsWith(step.kernel_name, "comm.")) return fill_collective(step);
    return fill_kernel(source, step);
  }

  absl::Status fill_lane(const fb::Step& source, int nesting, StepImage& step) {
    step.lane = source.lane();
    if (step.lane >= kMaxLanes) {
      return absl::InvalidArgumentError(absl::StrCat("lane ", step.lane, " of ", kMaxLanes));
    }
    if (nesting > 0) {
      if (step.lane != lane_ || size_of(source.waits()) != 0 || size_of(source.signals()) != 0) {
        return absl::InvalidArgumentError(
            "a step in a body runs on the lane of the control step, without waits or signals");
      }
      return absl::OkStatus();
    }
    lane_ = step.lane;
    step.waits = {static_cast<uint32_t>(entry_.indices.size()), size_of(source.waits())};
    for (uint32_t i = 0; i < step.waits.count; ++i) {
      const uint32_t signal = source.waits()->Get(i);
      // What is issued before is complete or under way, so nothing can wait for ever.
      if (signal >= entry_.signals || !signalled_[signal]) {
        return absl::InvalidArgumentError(
            absl::StrCat("it waits for signal ", signal, ", which no step before it completes"));
      }
      entry_.indices.push_back(signal);
    }
    step.signals = {static_cast<uint32_t>(entry_.indices.size()), size_of(source.signals())};
    for (uint32_t i = 0; i < step.signals.count; ++i) {
      const uint32_t signal = source.signals()->Get(i);
      if (signal >= entry_.signals || signalled_[signal]) {
        return absl::InvalidArgumentError(
            absl::StrCat("signal ", signal, " does not exist or has two steps"));
      }
      signalled_[signal] = true;
      entry_.indices.push_back(signal);
    }
    return absl::OkStatus();
  }

  absl::Status fill_operands(const fb::Step& source, StepImage& step) {
    step.first_pointer = static_cast<uint32_t>(entry_.pointers.size());
    step.outputs = size_of(source.outputs());
    step.inputs = size_of(source.inputs());
    operands_.clear();
    const auto add = [&](const fb::BufferRef* ref, bool written) -> absl::Status {
      MODELLIB_ASSIGN_OR_RETURN(Operand o, checked_operand(ref));
      if (o.space == fb::Space::Variable && use_of_[o.index] < 0) {
        return absl::InvalidArgumentError(absl::StrCat(
            "it uses variable '", program_.variables[o.index].name, "' without saying so"));
      }
      if (written) MODELLIB_RETURN_IF_ERROR(check_writable(o));
      operands_.push_back(o);
      return add_pointer(o);
    };
    for (uint32_t i = 0; i < step.outputs; ++i) {
      MODELLIB_RETURN_IF_ERROR(add(source.outputs()->Get(i), true));
    }
    for (uint32_t i = 0; i < step.inputs; ++i) {
      MODELLIB_RETURN_IF_ERROR(add(source.inputs()->Get(i), false));
    }
    MODELLIB_RETURN_IF_ERROR(add(source.workspace(), true));
    if (!operands_.back().absent() && operands_.back().space != fb::Space::Arena) {
      return absl::InvalidArgumentError("its workspace is not in an arena");
    }
    return find_aliases(step);
  }

  // An output may be one of the inputs, from the first byte on; nothing else may overlap what is
  // written.
  absl::Status find_aliases(const StepImage& step) {
    aliases_.assign(step.outputs, -1);
    const Operand& workspace = operands_.back();
    for (size_t i = 0; i < step.outputs; ++i) {
      const Operand& output = operands_[i];
      for (size_t k = i + 1; k < step.outputs; ++k) {
        if (output.overlaps(operands_[k])) {
          return absl::InvalidArgumentError(absl::StrCat("outputs ", i, " and ", k, " overlap"));
        }
      }
      for (size_t k = 0; k < step.inputs; ++k) {
        const Operand& input = operands_[step.outputs + k];
        if (!output.overlaps(input)) continue;
        if (output.offset != input.offset || !output.same_strides(input)) {
          return absl::InvalidArgumentError(
              absl::StrCat("output ", i, " overlaps input ", k, " but begins elsewhere"));
        }
        if (aliases_[i] < 0) aliases_[i] = static_cast<int>(k);
      }
    }
    for (size_t i = 0; i + 1 < operands_.size(); ++i) {
      if (workspace.overlaps(operands_[i])) {
        return absl::InvalidArgumentError("its workspace overlaps an operand");
      }
    }
    return absl::OkStatus();
  }

  absl::Status fill_scalars(const fb::Step& source, uint32_t index, StepImage& step) {
    step.scalars = {static_cast<uint32_t>(entry_.scalars.size()), size_of(source.scalars())};
    ranges_.clear();
    for (uint32_t i = 0; i < step.scalars.count; ++i) {
      MODELLIB_ASSIGN_OR_RETURN(ScalarImage scalar, checked_scalar(*source.scalars()->Get(i)));
      if (scalar.slot >= 0) {
        entry_.scalar_patches.push_back(
            {static_cast<uint32_t>(entry_.scalars.size()), static_cast<uint32_t>(scalar.slot)});
      }
      entry_.scalars.push_back(scalar.value);
      ranges_.push_back({min_of(scalar), max_of(scalar)});
    }
    step.chunks = {1, -1};
    if (source.chunks() != nullptr) {
      MODELLIB_ASSIGN_OR_RETURN(step.chunks, checked_scalar(*source.chunks()));
    }
    if (min_of(step.chunks) < 0 || max_of(step.chunks) > kMaxChunks) {
      return absl::InvalidArgumentError(
          absl::StrCat("between ", min_of(step.chunks), " and ", max_of(step.chunks), " chunks"));
    }
    if (step.chunks.slot >= 0) {
      step.has_chunk_slot = true;
      entry_.chunk_patches.push_back({index, static_cast<uint32_t>(step.chunks.slot)});
    }
    return absl::OkStatus();
  }

  absl::Status fill_values(const fb::Step& source, StepImage& step) {
    step.values.begin = static_cast<uint32_t>(entry_.values.size());
    if (size_of(source.values()) > step.outputs) {
      return absl::InvalidArgumentError("it names more values than it has outputs");
    }
    for (uint32_t i = 0; i < size_of(source.values()); ++i) {
      const fb::TensorDesc& desc = *source.values()->Get(i);
      if (size_of(desc.name()) == 0) continue;
      ValueImage value{text(desc.name()), DType::kInvalid, static_cast<int>(i), {}};
      MODELLIB_ASSIGN_OR_RETURN(value.dtype, checked_dtype(desc.dtype(), value.name));
      std::vector<int64_t> largest;
      for (uint32_t d = 0; d < size_of(desc.shape()); ++d) {
        MODELLIB_ASSIGN_OR_RETURN(ScalarImage extent, checked_scalar(*desc.shape()->Get(d)));
        if (min_of(extent) < 0) {
          return absl::InvalidArgumentError(
              absl::StrCat("value '", value.name, "' can have a negative extent"));
        }
        largest.push_back(max_of(extent));
        value.shape.push_back(extent);
      }
      MODELLIB_ASSIGN_OR_RETURN(const uint64_t bytes,
                                checked_bytes(value.dtype, largest, value.name));
      if (bytes > operand_bytes(i)) {
        return absl::InvalidArgumentError(absl::StrCat("value '", value.name, "' has ", bytes,
                                                       " bytes, its output ", operand_bytes(i)));
      }
      entry_.values.push_back(std::move(value));
    }
    step.values.count = static_cast<uint32_t>(entry_.values.size()) - step.values.begin;
    return absl::OkStatus();
  }

  absl::Status load_body(const fb::Step& source, uint32_t which, int nesting) {
    const uint32_t sequence = source.sequences()->Get(which);
    if (sequence >= entry_.sequences.size() || visited_[sequence]) {
      return absl::InvalidArgumentError(absl::StrCat(
          "body ", sequence, " does not exist, or belongs to another control step already"));
    }
    return load_sequence(sequence, nesting + 1);
  }

  void set_bodies(const fb::Step& source, StepImage& step) {
    step.sequences = {static_cast<uint32_t>(entry_.indices.size()), size_of(source.sequences())};
    for (uint32_t i = 0; i < step.sequences.count; ++i) {
      entry_.indices.push_back(source.sequences()->Get(i));
    }
  }

  uint64_t operand_bytes(size_t i) const {
    return i < operands_.size() && !operands_[i].absent() ? operands_[i].size : 0;
  }

  absl::Status fill_cond(const fb::Step& source, int nesting, StepImage& step) {
    step.kind = StepKind::kCond;
    if (size_of(source.sequences()) != 2 || step.inputs != 1 || step.outputs != 0 ||
        operand_bytes(0) < 1) {
      return absl::InvalidArgumentError("it wants two bodies and a predicate, no outputs");
    }
    set_bodies(source, step);
    MODELLIB_RETURN_IF_ERROR(load_body(source, 0, nesting));
    return load_body(source, 1, nesting);
  }

  absl::Status fill_loop(const fb::Step& source, int nesting, StepKind kind, StepImage& step) {
    step.kind = kind;
    const uint32_t bodies = kind == StepKind::kWhile ? 2 : 1;
    const uint64_t control = kind == StepKind::kWhile ? 1 : 8;
    const bool has_input = step.inputs == 1 && !operands_[step.outputs].absent();
    if (size_of(source.sequences()) != bodies || step.scalars.count != 1 || step.outputs > 1 ||
        step.inputs > 1 || (kind == StepKind::kWhile && !has_input) || ranges_[0].min < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("it wants ", bodies, " bodies, a bound of the trips >= 0, ",
                       bodies == 2 ? "a predicate" : "at most an input that counts the trips",
                       ", at most one output"));
    }
    if ((has_input && operand_bytes(step.outputs) < control) ||
        (step.outputs == 1 && !operands_[0].absent() && operands_[0].size < 8)) {
      return absl::InvalidArgumentError("its predicate, trips or index is too small");
    }
    set_bodies(source, step);
    loops_.push_back({ranges_[0].max});
    advances_.emplace_back();
    for (uint32_t i = 0; i < bodies; ++i) {
      MODELLIB_RETURN_IF_ERROR(load_body(source, i, nesting));
    }
    loops_.pop_back();
    step.advances = {static_cast<uint32_t>(entry_.advances.size()),
                     static_cast<uint32_t>(advances_.back().size())};
    entry_.advances.insert(entry_.advances.end(), advances_.back().begin(), advances_.back().end());
    advances_.pop_back();
    return absl::OkStatus();
  }

  absl::Status fill_collective(StepImage& step) {
    const absl::string_view name = step.kernel_name;
    entry_.uses_communicator = true;
    uint32_t scalars = 3;
    if (name == "comm.all_reduce") {
      step.kind = StepKind::kAllReduce;
    } else if (name == "comm.broadcast") {
      step.kind = StepKind::kBroadcast;
    } else if (name == "comm.all_gather") {
      step.kind = StepKind::kAllGather;
    } else if (name == "comm.reduce_scatter") {
      step.kind = StepKind::kReduceScatter;
      scalars = 4;
    } else {
      return absl::InvalidArgumentError("no such collective");
    }
    if (step.scalars.count != scalars || step.outputs != 1 || step.inputs != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("it wants one output, one input and ", scalars, " scalars"));
    }
    for (uint32_t i = 1; i < scalars; ++i) {
      if (ranges_[i].min != ranges_[i].max) {
        return absl::InvalidArgumentError("its type, reduction, root and world are static");
      }
    }
    const int64_t type = ranges_[1].max;
    if (type <= 0 || type >= kDTypeCount || bits_of(static_cast<DType>(type)) < 8) {
      return absl::InvalidArgumentError(absl::StrCat("no collectives of element type ", type));
    }
    const bool reduces = step.kind == StepKind::kAllReduce || step.kind == StepKind::kReduceScatter;
    if (reduces && (ranges_[2].max < 0 || ranges_[2].max > 3)) {
      return absl::InvalidArgumentError(absl::StrCat("no reduction ", ranges_[2].max));
    }
    if (ranges_[0].min < 0) return absl::InvalidArgumentError("a negative number of elements");
    const Wide bytes = Wide{ranges_[0].max} * (bits_of(static_cast<DType>(type)) / 8);
    Wide output = bytes;
    Wide input = bytes;
    if (step.kind == StepKind::kAllGather || step.kind == StepKind::kReduceScatter) {
      const int64_t world = ranges_[scalars - 1].max;
      if (world < 1 || world > (1 << 20) || (entry_.world != 0 && entry_.world != world)) {
        return absl::InvalidArgumentError(absl::StrCat("a world of ", world, " ranks"));
      }
      entry_.world = static_cast<int32_t>(world);
      (step.kind == StepKind::kAllGather ? output : input) *= world;
      if (aliases_[0] >= 0) return absl::InvalidArgumentError("its output overlaps its input");
    }
    if (step.kind == StepKind::kBroadcast && (ranges_[2].max < 0 || ranges_[2].max > (1 << 20))) {
      return absl::InvalidArgumentError(absl::StrCat("no root ", ranges_[2].max));
    }
    if (output > Wide{operand_bytes(0)} || input > Wide{operand_bytes(1)}) {
      return absl::InvalidArgumentError("its operands are smaller than its elements");
    }
    return absl::OkStatus();
  }

  absl::Status fill_kernel(const fb::Step& source, StepImage& step) {
    step.kernel = kernels_.find(step.kernel_name);
    if (step.kernel == nullptr) return absl::FailedPreconditionError("there is no such kernel");
    const uint32_t bytes = size_of(source.data());
    if (bytes != 0) {
      auto copy = std::make_unique<uint64_t[]>((size_t{bytes} + 7) / 8);
      std::memcpy(copy.get(), source.data()->data(), bytes);
      step.data = reinterpret_cast<const std::byte*>(copy.get());
      program_.data.push_back(std::move(copy));
    }
    sizes_.clear();
    for (const Operand& o : operands_) sizes_.push_back(o.absent() ? 0 : o.size);
    const StepView view{
        .name = step.name,
        .output_bytes = absl::MakeConstSpan(sizes_).first(step.outputs),
        .input_bytes = absl::MakeConstSpan(sizes_).subspan(step.outputs, step.inputs),
        .workspace_bytes = sizes_.back(),
        .scalars = ranges_,
        .chunks = {min_of(step.chunks), max_of(step.chunks)},
        .data = {step.data, bytes},
        .aliases = aliases_,
    };
    MODELLIB_RETURN_IF_ERROR(step.kernel->validate(view));
    if (step.kernel->initialise == nullptr) return absl::OkStatus();
    for (const StepView::Range& range : ranges_) {
      if (range.min != range.max) {
        return absl::InvalidArgumentError("this kernel takes static scalars alone");
      }
    }
    MODELLIB_ASSIGN_OR_RETURN(auto state, step.kernel->initialise(view));
    step.state = state.get();
    program_.states.push_back(std::move(state));
    return absl::OkStatus();
  }

  absl::Status order_lanes() {
    const Slice main = entry_.sequences[0];
    for (uint32_t i = main.begin; i < main.begin + main.count; ++i) {
      const size_t lane = entry_.steps[i].lane;
      if (lane >= entry_.lanes.size()) entry_.lanes.resize(lane + 1);
      entry_.lanes[lane].push_back(i);
    }
    if (entry_.lanes.empty()) entry_.lanes.resize(1);
    entry_.info.lanes = static_cast<int>(entry_.lanes.size());
    return absl::OkStatus();
  }

  const fb::Plan& plan_;
  const fb::Entry& source_;
  const KernelTable& kernels_;
  ProgramImage& program_;
  EntryImage& entry_;

  std::vector<int> use_of_;  // by variable: its index among the entry's uses, or -1
  std::vector<bool> signalled_;
  std::vector<bool> visited_;
  uint16_t lane_ = 0;        // of the step of the main sequence that is being loaded
  std::vector<Loop> loops_;  // around the step that is being loaded, innermost last
  std::vector<std::vector<PointerAdvance>> advances_;  // of these loops
  // Of the step that is being loaded.
  std::vector<Operand> operands_;
  std::vector<int> aliases_;
  std::vector<StepView::Range> ranges_;
  std::vector<uint64_t> sizes_;
};

absl::Status check_abi(const fb::Plan& plan) {
  if (plan.kernel_abi() == kKernelAbi) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the plan was compiled for version ", plan.kernel_abi(),
                   " of the kernels, this library has version ", kKernelAbi, " (compiled by ",
                   text(plan.producer()), "); compile the model again"));
}

absl::Status check_features(const fb::Plan& plan, const LoadOptions& options) {
  std::vector<std::string> missing;
  for (uint32_t i = 0; i < size_of(plan.features()); ++i) {
    std::string feature = plan.features()->Get(i)->str();
    if (std::find(options.features.begin(), options.features.end(), feature) ==
        options.features.end()) {
      missing.push_back(std::move(feature));
    }
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the plan needs features that this machine lacks: ", absl::StrJoin(missing, ", "),
      " (compiled by ", text(plan.producer()), " for ", text(plan.device()), ")"));
}

absl::Status check_kernels(const fb::Plan& plan, const KernelTable& kernels) {
  static constexpr absl::string_view kOwn[] = {
      "control.cond",   "control.scan",    "control.while",      "comm.all_reduce",
      "comm.broadcast", "comm.all_gather", "comm.reduce_scatter"};
  std::vector<std::string> missing;
  for (uint32_t i = 0; i < size_of(plan.kernels()); ++i) {
    std::string name = plan.kernels()->Get(i)->str();
    const bool own = std::find(std::begin(kOwn), std::end(kOwn), name) != std::end(kOwn);
    if (!own && kernels.find(name) == nullptr) missing.push_back(std::move(name));
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the plan needs ", missing.size(),
                   " kernels that are not linked: ", absl::StrJoin(missing, ", ")));
}

absl::Status load_variables(const fb::Plan& plan, ProgramImage& program) {
  std::set<std::string> names;
  for (uint32_t i = 0; i < size_of(plan.variables()); ++i) {
    const fb::Variable& v = *plan.variables()->Get(i);
    VariableInfo info{
        text(v.name()), static_cast<VariableKind>(v.kind()), DType::kInvalid, {}, v.bytes()};
    if (v.kind() > fb::VariableKind::Shard) return bad("variable '", info.name, "' has no kind");
    if (!names.insert(info.name).second) return bad("two variables are named '", info.name, "'");
    MODELLIB_ASSIGN_OR_RETURN(info.dtype, checked_dtype(v.dtype(), info.name));
    for (uint32_t d = 0; d < size_of(v.shape()); ++d) info.shape.push_back(v.shape()->Get(d));
    MODELLIB_ASSIGN_OR_RETURN(const uint64_t bytes,
                              checked_bytes(info.dtype, info.shape, info.name));
    if (bytes != info.bytes) {
      return bad("variable '", info.name, "' has ", info.bytes, " bytes, but its shape [",
                 absl::StrJoin(info.shape, ","), "] has ", bytes);
    }
    program.variables.push_back(std::move(info));
    program.variable_images.push_back({v.segment() < 0 ? -1 : v.segment(), v.offset(), 0});
  }
  return absl::OkStatus();
}

// Arenas of all entries share memory, index by index: a session runs one entry at a time. Session
// variables follow.
absl::Status lay_out_session(const fb::Plan& plan, ProgramImage& program) {
  std::vector<uint64_t> sizes;
  for (uint32_t e = 0; e < size_of(plan.entries()); ++e) {
    const auto* arenas = plan.entries()->Get(e)->arenas();
    for (uint32_t i = 0; i < size_of(arenas); ++i) {
      const fb::Arena& arena = *arenas->Get(i);
      const uint64_t alignment = arena.alignment();
      if (alignment > kPage || (alignment & (alignment - 1)) != 0 || arena.bytes() > kMaxBytes) {
        return bad("arena ", i, " of ", arena.bytes(), " bytes is aligned to ", alignment);
      }
      if (i >= sizes.size()) sizes.resize(i + 1, 0);
      sizes[i] = std::max(sizes[i], arena.bytes());
    }
  }
  uint64_t total = 0;
  const auto add = [&](uint64_t bytes, uint64_t alignment) {
    const uint64_t offset = round_up(total, alignment);
    total = offset + bytes;
    return offset;
  };
  for (uint64_t size : sizes) {
    program.arena_offsets.push_back(add(size, kPage));
    if (total > kMaxBytes) return bad("its arenas take more than ", kMaxBytes, " bytes");
  }
  for (size_t i = 0; i < program.variables.size(); ++i) {
    if (program.variables[i].kind != VariableKind::kSession) continue;
    program.variable_images[i].session_offset = add(program.variables[i].bytes, kVariableAlignment);
    if (total > kMaxBytes) return bad("its variables take more than ", kMaxBytes, " bytes");
  }
  program.session_bytes = round_up(total, kPage);
  return absl::OkStatus();
}

absl::Status check_constants(const fb::Plan& plan, const ProgramImage& program) {
  for (uint32_t i = 0; i < size_of(plan.constants()); ++i) {
    const fb::Constant& c = *plan.constants()->Get(i);
    const std::byte* data = program.file->segment(c.segment()).bytes.data() + c.offset();
    if (c.bytes() != 0 && reinterpret_cast<uintptr_t>(data) % kVariableAlignment != 0) {
      return bad("constant ", i, " '", text(c.name()), "' is not aligned to ", kVariableAlignment,
                 " bytes");
    }
  }
  return absl::OkStatus();
}

}  // namespace

const std::byte* ProgramImage::initial_value(size_t variable) const {
  const VariableImage& v = variable_images[variable];
  if (v.segment < 0) return nullptr;
  return file->segment(static_cast<size_t>(v.segment)).bytes.data() + v.offset;
}

absl::StatusOr<std::unique_ptr<const ProgramImage>> load_program(
    std::shared_ptr<const PlanFile> file, const KernelTable& kernels, const LoadOptions& options) {
  if (file == nullptr) return absl::InvalidArgumentError("no plan file");
  const fb::Plan& plan = file->plan();
  MODELLIB_RETURN_IF_ERROR(check_abi(plan));
  MODELLIB_RETURN_IF_ERROR(check_features(plan, options));
  MODELLIB_RETURN_IF_ERROR(check_kernels(plan, kernels));
  auto program = std::make_unique<ProgramImage>();
  program->copies_dynamic = !file->trusted();
  program->file = std::move(file);
  MODELLIB_RETURN_IF_ERROR(check_constants(plan, *program));
  MODELLIB_RETURN_IF_ERROR(load_variables(plan, *program));
  MODELLIB_RETURN_IF_ERROR(lay_out_session(plan, *program));
  program->entries.resize(size_of(plan.entries()));
  std::set<std::string> names;
  for (uint32_t i = 0; i < program->entries.size(); ++i) {
    EntryLoader loader(plan, *plan.entries()->Get(i), kernels, *program, program->entries[i]);
    MODELLIB_RETURN_IF_ERROR(loader.load());
    if (!names.insert(program->entries[i].info.name).second) {
      return bad("two entries are named '", program->entries[i].info.name, "'");
    }
  }
  return program;
}

}  // namespace modellib::runtime
