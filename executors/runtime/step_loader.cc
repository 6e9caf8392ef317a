#include "modellib/executors/runtime/step_loader.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime {
namespace {

constexpr int64_t kMaxChunks = (int64_t{1} << 31) - 1;
constexpr size_t kMaxLanes = 64;
constexpr int kMaxNesting = 16;

}  // namespace

StepLoader::StepLoader(const fb::Plan& plan, const fb::Entry& source, const KernelTable& kernels,
                       ProgramImage& program, EntryImage& entry)
    : plan_(plan),
      source_(source),
      kernels_(kernels),
      program_(program),
      entry_(entry),
      use_of_(program.variables.size(), -1) {
  for (size_t i = 0; i < entry.variables.size(); ++i) {
    use_of_[entry.variables[i].variable] = static_cast<int>(i);
  }
}

absl::Status StepLoader::load() {
  const uint32_t count = size_of(source_.sequences());
  if (count == 0) return bad_entry(entry_, "it has no main sequence");
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
  if (entry_.signals > 16 * (first + 1))
    return bad_entry(entry_, "it has ", entry_.signals, " signals");
  signalled_.assign(entry_.signals, false);
  visited_.assign(count, false);
  return load_sequence(0, 0);
}

absl::Status StepLoader::load_sequence(uint32_t index, int nesting) {
  if (nesting > kMaxNesting) return bad_entry(entry_, "control flow is nested too deeply");
  visited_[index] = true;
  const Slice slice = entry_.sequences[index];
  for (uint32_t i = 0; i < slice.count; ++i) {
    const fb::Step& step = *source_.sequences()->Get(index)->steps()->Get(i);
    MODELLIB_RETURN_IF_ERROR(load_step(step, slice.begin + i, nesting));
  }
  return absl::OkStatus();
}

absl::StatusOr<StepLoader::Operand> StepLoader::checked_operand(const fb::BufferRef* ref) const {
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
  // Nothing lies there: absent, so that the kernel that found no bytes to check gets no pointer.
  return o.size == 0 ? Operand() : o;
}

absl::Status StepLoader::check_writable(const Operand& o) const {
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

// The operand's place among the pointers, with what sets it.
absl::Status StepLoader::add_pointer(const Operand& o) {
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

absl::Status StepLoader::load_step(const fb::Step& source, uint32_t index, int nesting) {
  StepImage step;
  step.name = text(source.name());
  if (source.kernel() >= size_of(plan_.kernels())) {
    return bad_entry(entry_, "step ", index, " '", step.name, "' names kernel ", source.kernel(),
                     " of ", size_of(plan_.kernels()));
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

absl::Status StepLoader::fill_step(const fb::Step& source, uint32_t index, int nesting,
                                   StepImage& step) {
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

absl::Status StepLoader::fill_lane(const fb::Step& source, int nesting, StepImage& step) {
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

absl::Status StepLoader::fill_operands(const fb::Step& source, StepImage& step) {
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
absl::Status StepLoader::find_aliases(const StepImage& step) {
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

absl::Status StepLoader::fill_scalars(const fb::Step& source, uint32_t index, StepImage& step) {
  step.scalars = {static_cast<uint32_t>(entry_.scalars.size()), size_of(source.scalars())};
  ranges_.clear();
  for (uint32_t i = 0; i < step.scalars.count; ++i) {
    MODELLIB_ASSIGN_OR_RETURN(ScalarImage scalar,
                              checked_scalar(entry_, *source.scalars()->Get(i)));
    if (scalar.slot >= 0) {
      entry_.scalar_patches.push_back(
          {static_cast<uint32_t>(entry_.scalars.size()), static_cast<uint32_t>(scalar.slot)});
    }
    entry_.scalars.push_back(scalar.value);
    ranges_.push_back({min_of(entry_, scalar), max_of(entry_, scalar)});
  }
  step.chunks = {1, -1};
  if (source.chunks() != nullptr) {
    MODELLIB_ASSIGN_OR_RETURN(step.chunks, checked_scalar(entry_, *source.chunks()));
  }
  if (min_of(entry_, step.chunks) < 0 || max_of(entry_, step.chunks) > kMaxChunks) {
    return absl::InvalidArgumentError(absl::StrCat("between ", min_of(entry_, step.chunks), " and ",
                                                   max_of(entry_, step.chunks), " chunks"));
  }
  if (step.chunks.slot >= 0) {
    step.has_chunk_slot = true;
    entry_.chunk_patches.push_back({index, static_cast<uint32_t>(step.chunks.slot)});
  }
  return absl::OkStatus();
}

absl::Status StepLoader::fill_values(const fb::Step& source, StepImage& step) {
  step.values.begin = static_cast<uint32_t>(entry_.values.size());
  if (size_of(source.values()) > step.outputs) {
    return absl::InvalidArgumentError("it names more values than it has outputs");
  }
  for (uint32_t i = 0; i < size_of(source.values()); ++i) {
    const fb::TensorDesc& desc = *source.values()->Get(i);
    if (size_of(desc.name()) == 0) continue;
    ValueImage value{text(desc.name()), DType::kInvalid, static_cast<int>(i), {}};
    const std::string what = absl::StrCat("value '", value.name, "'");
    MODELLIB_ASSIGN_OR_RETURN(value.dtype, checked_dtype(desc.dtype(), what));
    std::vector<int64_t> largest;
    for (uint32_t d = 0; d < size_of(desc.shape()); ++d) {
      MODELLIB_ASSIGN_OR_RETURN(ScalarImage extent, checked_scalar(entry_, *desc.shape()->Get(d)));
      if (min_of(entry_, extent) < 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("value '", value.name, "' can have a negative extent"));
      }
      largest.push_back(max_of(entry_, extent));
      value.shape.push_back(extent);
    }
    MODELLIB_ASSIGN_OR_RETURN(const uint64_t bytes, checked_bytes(value.dtype, largest, what));
    if (bytes > operand_bytes(i)) {
      return absl::InvalidArgumentError(absl::StrCat("value '", value.name, "' has ", bytes,
                                                     " bytes, its output ", operand_bytes(i)));
    }
    entry_.values.push_back(std::move(value));
  }
  step.values.count = static_cast<uint32_t>(entry_.values.size()) - step.values.begin;
  return absl::OkStatus();
}

absl::Status StepLoader::fill_kernel(const fb::Step& source, StepImage& step) {
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
      .chunks = {min_of(entry_, step.chunks), max_of(entry_, step.chunks)},
      .data = {step.data, bytes},
      .aliases = aliases_,
  };
  MODELLIB_RETURN_IF_ERROR(step.kernel->validate(view));
  if (step.kernel->initialise == nullptr) return absl::OkStatus();
  MODELLIB_ASSIGN_OR_RETURN(auto state, step.kernel->initialise(view));
  step.state = state.get();
  program_.states.push_back(std::move(state));
  return absl::OkStatus();
}

}  // namespace modellib::runtime
