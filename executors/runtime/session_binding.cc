#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/runtime/session_impl.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime {
namespace {

bool overlap(const std::byte* a, uint64_t a_bytes, const std::byte* b, uint64_t b_bytes) {
  const auto x = reinterpret_cast<uintptr_t>(a);
  const auto y = reinterpret_cast<uintptr_t>(b);
  return a_bytes != 0 && b_bytes != 0 && x < y + b_bytes && y < x + a_bytes;
}

// Bytes of a shape whose largest form was checked when the plan was loaded.
uint64_t bytes_of_extents(DType dtype, absl::Span<const int64_t> extents) {
  int64_t count = 1;
  for (const int64_t extent : extents) count *= extent;
  return static_cast<uint64_t>(modellib::bytes_of(dtype, count));
}

}  // namespace

absl::Status check_tensor(absl::string_view what, absl::string_view name, const Tensor& tensor,
                          DType dtype) {
  if (tensor.dtype() == dtype) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " '", name, "' has type ",
                                                 modellib::to_string(dtype), ", got ",
                                                 modellib::to_string(tensor.dtype())));
}

absl::StatusOr<InputState*> Session::Impl::bind(EntryId id, int input, const void* data,
                                                absl::Span<const int64_t> extents) {
  MODELLIB_ASSIGN_OR_RETURN(SessionEntry * entry, find(id));
  if (input < 0 || static_cast<size_t>(input) >= entry->inputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no input ", input, "; entry '", entry->image->info.name, "' has ", entry->inputs.size()));
  }
  const TensorInfo& info = entry->image->info.inputs[static_cast<size_t>(input)];
  const TensorImage& image = entry->image->inputs[static_cast<size_t>(input)];
  InputState& state = entry->inputs[static_cast<size_t>(input)];
  if (extents.size() != info.max_shape.size()) {
    return absl::InvalidArgumentError(absl::StrCat("input '", info.name, "' has rank ",
                                                   info.max_shape.size(), ", got [",
                                                   absl::StrJoin(extents, ","), "]"));
  }
  for (size_t d = 0; d < extents.size(); ++d) {
    const SymbolInfo* const symbol =
        info.symbols[d] < 0 ? nullptr
                            : &entry->image->info.symbols[static_cast<size_t>(info.symbols[d])];
    const bool is_static = symbol == nullptr && image.shape[d].slot < 0;
    if (extents[d] < 0 || extents[d] > info.max_shape[d] ||
        (symbol != nullptr && extents[d] < symbol->min) ||
        (is_static && extents[d] != info.max_shape[d])) {
      // Extents beyond a symbol's range are as much the caller's as the plan's matter.
      const bool planned = symbol != nullptr && extents[d] >= 0;
      const std::string message =
          planned
              ? absl::StrCat("input '", info.name, "': ", symbol->name, " = ", extents[d],
                             " was not planned; the plan holds for ", symbol->min, " to ",
                             info.max_shape[d])
              : absl::StrCat(
                    "input '", info.name, "' has shape [", absl::StrJoin(info.max_shape, ","), "]",
                    info.dynamic ? " at most" : "", ", got [", absl::StrJoin(extents, ","), "]");
      return planned ? absl::FailedPreconditionError(message) : absl::InvalidArgumentError(message);
    }
  }
  const uint64_t bytes = bytes_of_extents(info.dtype, extents);
  const int alignment = std::max(1, bits_of(info.dtype) / 8);
  if (bytes != 0 && (data == nullptr || reinterpret_cast<uintptr_t>(data) % alignment != 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("input '", info.name, "' wants data aligned to ", alignment, " bytes"));
  }
  const bool same = state.bound && state.data == data &&
                    std::equal(extents.begin(), extents.end(), state.extents.begin());
  if (same) return &state;
  state.data = static_cast<const std::byte*>(data);
  std::copy(extents.begin(), extents.end(), state.extents.begin());
  state.bytes = bytes;
  state.bound = true;
  entry->ready = false;
  return &state;
}

absl::Status Session::bind_input(EntryId id, int input, const void* data,
                                 absl::Span<const int64_t> extents) {
  MODELLIB_ASSIGN_OR_RETURN(InputState * state, impl_->bind(id, input, data, extents));
  state->tensor = Tensor();
  return absl::OkStatus();
}

absl::Status Session::bind_input(EntryId id, int input, const Tensor& tensor) {
  MODELLIB_ASSIGN_OR_RETURN(SessionEntry * entry, impl_->find(id));
  if (input >= 0 && static_cast<size_t>(input) < entry->inputs.size()) {
    const TensorInfo& info = entry->image->info.inputs[static_cast<size_t>(input)];
    MODELLIB_RETURN_IF_ERROR(check_tensor("input", info.name, tensor, info.dtype));
  }
  MODELLIB_ASSIGN_OR_RETURN(InputState * state,
                            impl_->bind(id, input, tensor.data(), tensor.shape()));
  // Allocates nothing where the rank was the same before: a training loop binds each batch.
  state->tensor = tensor;
  return absl::OkStatus();
}

absl::Status Session::bind_output(EntryId id, int output, void* data, uint64_t bytes) {
  MODELLIB_ASSIGN_OR_RETURN(SessionEntry * entry, impl_->find(id));
  if (output < 0 || static_cast<size_t>(output) >= entry->outputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat("no output ", output, "; entry '",
                                                   entry->image->info.name, "' has ",
                                                   entry->outputs.size()));
  }
  const TensorInfo& info = entry->image->info.outputs[static_cast<size_t>(output)];
  OutputState& state = entry->outputs[static_cast<size_t>(output)];
  const int alignment = std::max(1, bits_of(info.dtype) / 8);
  if (data == nullptr || reinterpret_cast<uintptr_t>(data) % alignment != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("output '", info.name, "' wants data aligned to ", alignment, " bytes"));
  }
  if (state.bound == data && state.capacity == bytes) return absl::OkStatus();
  state.bound = static_cast<std::byte*>(data);
  state.capacity = bytes;
  entry->ready = false;
  return absl::OkStatus();
}

absl::Status Session::release_output(EntryId id, int output) {
  MODELLIB_ASSIGN_OR_RETURN(SessionEntry * entry, impl_->find(id));
  if (output < 0 || static_cast<size_t>(output) >= entry->outputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat("no output ", output));
  }
  entry->outputs[static_cast<size_t>(output)].bound = nullptr;
  entry->ready = false;
  return absl::OkStatus();
}

absl::Status Session::set_symbol(EntryId id, int symbol, int64_t value) {
  MODELLIB_ASSIGN_OR_RETURN(SessionEntry * entry, impl_->find(id));
  if (symbol < 0 || static_cast<size_t>(symbol) >= entry->symbols.size() ||
      entry->image->symbol_sources[static_cast<size_t>(symbol)] != SymbolSource::kCaller) {
    return absl::InvalidArgumentError(absl::StrCat(
        "entry '", entry->image->info.name, "' has no symbol ", symbol, " that the caller sets"));
  }
  SymbolState& state = entry->symbols[static_cast<size_t>(symbol)];
  if (state.is_given && state.given == value) return absl::OkStatus();
  state.given = value;
  state.is_given = true;
  entry->ready = false;
  return absl::OkStatus();
}

absl::Status Session::Impl::resolve_symbols(SessionEntry& entry) {
  const EntryInfo& info = entry.image->info;
  for (SymbolState& symbol : entry.symbols) symbol.from = -1;
  for (size_t i = 0; i < entry.inputs.size(); ++i) {
    const InputState& input = entry.inputs[i];
    if (!input.bound) {
      return absl::FailedPreconditionError(
          absl::StrCat("entry '", info.name, "': input '", info.inputs[i].name, "' is not bound"));
    }
    for (size_t d = 0; d < input.extents.size(); ++d) {
      const int s = info.inputs[i].symbols[d];
      if (s < 0) continue;
      SymbolState& symbol = entry.symbols[static_cast<size_t>(s)];
      if (symbol.from >= 0 && symbol.value != input.extents[d]) {
        return absl::InvalidArgumentError(absl::StrCat(
            "entry '", info.name, "': ", info.symbols[static_cast<size_t>(s)].name, " = ",
            symbol.value, " by input '", info.inputs[static_cast<size_t>(symbol.from)].name,
            "', but ", input.extents[d], " by input '", info.inputs[i].name, "'"));
      }
      symbol.from = static_cast<int>(i);
      symbol.value = input.extents[d];
    }
  }
  for (size_t s = 0; s < entry.symbols.size(); ++s) {
    SymbolState& symbol = entry.symbols[s];
    switch (entry.image->symbol_sources[s]) {
      case SymbolSource::kInput:
        break;
      case SymbolSource::kRank:
        symbol.value = communicator == nullptr ? 0 : communicator->rank();
        break;
      case SymbolSource::kWorld:
        symbol.value = communicator == nullptr ? 1 : communicator->size();
        break;
      case SymbolSource::kCaller:
        if (!symbol.is_given) {
          return absl::FailedPreconditionError(
              absl::StrCat("entry '", info.name, "': symbol '", info.symbols[s].name,
                           "' is bound by no input and was not set"));
        }
        symbol.value = symbol.given;
    }
    if (symbol.value < info.symbols[s].min || symbol.value > info.symbols[s].max) {
      return absl::FailedPreconditionError(
          absl::StrCat("entry '", info.name, "': ", info.symbols[s].name, " = ", symbol.value,
                       " was not planned; the plan holds for ", info.symbols[s].min, " to ",
                       info.symbols[s].max));
    }
    entry.symbol_values[s] = symbol.value;
  }
  MODELLIB_RETURN_IF_ERROR(check_constraints(entry));
  for (size_t i = 0; i < entry.slots.size(); ++i) {
    auto value = evaluate(entry.image->slots[i], entry.symbol_values);
    if (!value.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat("entry '", info.name, "': ", value.status().message()));
    }
    entry.slots[i] = *value;
  }
  return absl::OkStatus();
}

absl::Status Session::Impl::check_constraints(const SessionEntry& entry) {
  for (const ConstraintImage& c : entry.image->constraints) {
    const absl::StatusOr<int64_t> left = evaluate(c.left, entry.symbol_values);
    const absl::StatusOr<int64_t> right = evaluate(c.right, entry.symbol_values);
    if (left.ok() && right.ok() && *left == *right) continue;
    const std::string where =
        absl::StrCat("entry '", entry.image->info.name, "': ", c.reason, ": ");
    for (const absl::StatusOr<int64_t>* side : {&left, &right}) {
      if (side->ok()) continue;
      return absl::FailedPreconditionError(absl::StrCat(where, side->status().message()));
    }
    return absl::InvalidArgumentError(
        absl::StrCat(where, c.left_text, " = ", *left, ", but ", c.right_text, " = ", *right));
  }
  return absl::OkStatus();
}

absl::Status Session::Impl::prepare_inputs(SessionEntry& entry) {
  const EntryInfo& info = entry.image->info;
  for (size_t i = 0; i < entry.inputs.size(); ++i) {
    InputState& input = entry.inputs[i];
    const TensorImage& image = entry.image->inputs[i];
    for (size_t d = 0; d < input.extents.size(); ++d) {
      const ScalarImage& extent = image.shape[d];
      if (info.inputs[i].symbols[d] >= 0 || extent.slot < 0) continue;
      const int64_t wanted = entry.slots[static_cast<size_t>(extent.slot)];
      if (input.extents[d] != wanted) {
        return absl::InvalidArgumentError(absl::StrCat(
            "entry '", info.name, "': dimension ", d, " of input '", info.inputs[i].name,
            "' follows from the other inputs to be ", wanted, ", got ", input.extents[d]));
      }
    }
    const bool copies = program->untrusted && info.inputs[i].dynamic;
    if (copies && input.staging.data == nullptr) {
      MODELLIB_ASSIGN_OR_RETURN(
          input.staging,
          allocate(info.inputs[i].bytes, absl::StrCat("input '", info.inputs[i].name, "'")));
      std::memset(input.staging.data, 0, info.inputs[i].bytes);
    }
    // Kernels take inputs as const; KernelArgs has one type for all operands.
    patch(entry, image.patches, copies ? input.staging.data : const_cast<std::byte*>(input.data));
  }
  return absl::OkStatus();
}

absl::Status Session::Impl::take_output(SessionEntry& entry, size_t output) {
  OutputState& state = entry.outputs[output];
  if (state.own.data != nullptr) return absl::OkStatus();
  const TensorInfo& info = entry.image->info.outputs[output];
  auto memory = allocate(info.bytes, absl::StrCat("output '", info.name, "'"));
  if (!memory.ok()) {
    const std::string writer = largest_writer(*entry.image, entry.image->outputs[output].patches);
    if (writer.empty()) return memory.status();
    return absl::Status(memory.status().code(),
                        absl::StrCat(memory.status().message(), "; ", writer, " writes it"));
  }
  state.own = *std::move(memory);
  std::memset(state.own.data, 0, info.bytes);
  return absl::OkStatus();
}

absl::Status Session::Impl::prepare_outputs(SessionEntry& entry) {
  const EntryInfo& info = entry.image->info;
  for (OutputState& output : entry.outputs) output.result = nullptr;
  for (size_t i = 0; i < entry.outputs.size(); ++i) {
    OutputState& output = entry.outputs[i];
    const TensorImage& image = entry.image->outputs[i];
    for (size_t d = 0; d < output.extents.size(); ++d) {
      const int symbol = info.outputs[i].symbols[d];
      const int slot = image.shape[d].slot;
      output.extents[d] = symbol >= 0 ? entry.symbol_values[static_cast<size_t>(symbol)]
                          : slot >= 0 ? entry.slots[static_cast<size_t>(slot)]
                                      : image.shape[d].value;
      if (output.extents[d] < 0) {
        return absl::FailedPreconditionError(absl::StrCat(
            "entry '", info.name, "': output '", info.outputs[i].name, "' has a negative extent"));
      }
    }
    output.bytes = bytes_of_extents(info.outputs[i].dtype, output.extents);
    const bool copies = program->untrusted && info.outputs[i].dynamic;
    if (output.bound == nullptr || copies) MODELLIB_RETURN_IF_ERROR(take_output(entry, i));
    if (output.bound != nullptr && output.capacity < output.bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("entry '", info.name, "': output '", info.outputs[i].name, "' has shape [",
                       absl::StrJoin(output.extents, ","), "] and takes ", output.bytes,
                       " bytes, but the buffer that was bound has ", output.capacity));
    }
    output.result = output.bound != nullptr ? output.bound : output.own.data;
    output.target = copies ? output.own.data : output.result;
    patch(entry, image.patches, output.target);
  }
  return absl::OkStatus();
}

// Steps rely on inputs that do not change under them.
absl::Status Session::Impl::check_overlap(const SessionEntry& entry) const {
  const EntryInfo& info = entry.image->info;
  for (size_t o = 0; o < entry.outputs.size(); ++o) {
    const OutputState& output = entry.outputs[o];
    for (size_t i = 0; i < entry.inputs.size(); ++i) {
      if (overlap(output.result, output.bytes, entry.inputs[i].data, entry.inputs[i].bytes)) {
        return absl::InvalidArgumentError(
            absl::StrCat("entry '", info.name, "': the buffer of output '", info.outputs[o].name,
                         "' overlaps that of input '", info.inputs[i].name, "'"));
      }
    }
    for (size_t k = o + 1; k < entry.outputs.size(); ++k) {
      if (overlap(output.result, output.bytes, entry.outputs[k].result, entry.outputs[k].bytes)) {
        return absl::InvalidArgumentError(
            absl::StrCat("entry '", info.name, "': the buffers of outputs '", info.outputs[o].name,
                         "' and '", info.outputs[k].name, "' overlap"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Session::Impl::prepare(SessionEntry& entry) {
  if (entry.ready) return absl::OkStatus();
  if (entry.image->uses_communicator && communicator == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "entry '", entry.image->info.name, "' has collectives, but there is no communicator"));
  }
  MODELLIB_RETURN_IF_ERROR(resolve_symbols(entry));
  MODELLIB_RETURN_IF_ERROR(prepare_inputs(entry));
  MODELLIB_RETURN_IF_ERROR(prepare_outputs(entry));
  MODELLIB_RETURN_IF_ERROR(check_overlap(entry));
  for (const SlotPatch& p : entry.image->scalar_patches) {
    entry.scalars[p.index] = entry.slots[p.slot];
  }
  for (const SlotPatch& p : entry.image->chunk_patches) {
    entry.chunks[p.index] = entry.slots[p.slot];
  }
  if (!entry.values.empty()) {
    auto extent = entry.value_extents.begin();
    for (const ValueImage& value : entry.image->values) {
      for (const ScalarImage& s : value.shape) {
        *extent++ = s.slot < 0 ? s.value : entry.slots[static_cast<size_t>(s.slot)];
      }
    }
  }
  entry.ready = true;
  return absl::OkStatus();
}

}  // namespace modellib::runtime
