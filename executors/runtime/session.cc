#include "modellib/executors/runtime/session.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/runtime/fork_guard.h"
#include "modellib/executors/runtime/program_image.h"
#include "modellib/executors/runtime/runner.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime {
namespace {

constexpr uint64_t kPage = 4096;

struct InputState {
  const std::byte* data = nullptr;
  std::vector<int64_t> extents;
  uint64_t bytes = 0;  // of these extents
  bool bound = false;
  Tensor tensor;       // keeps the bytes that were bound with a Tensor
  OwnedBytes staging;  // see ProgramImage::copies_dynamic
};

struct OutputState {
  std::byte* bound = nullptr;  // the caller's
  uint64_t capacity = 0;
  std::vector<int64_t> extents;
  uint64_t bytes = 0;
  OwnedBytes own;
  std::byte* target = nullptr;  // where the steps write
  std::byte* result = nullptr;  // where the caller finds it
};

struct SymbolState {
  int64_t value = 0;
  int from = -1;      // the input that binds it in the present preparation
  int64_t given = 0;  // set_symbol
  bool is_given = false;
};

struct Entry : EntryState {
  std::vector<InputState> inputs;
  std::vector<OutputState> outputs;
  std::vector<SymbolState> symbols;
  std::vector<int64_t> symbol_values;
  std::vector<int64_t> slots;
  bool uses_shared = false;
  bool writes_shared = false;
  bool ready = false;
  int variable_buffer = -1;  // that the pointers show to
};

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

absl::Status check_tensor(absl::string_view what, absl::string_view name, const Tensor& tensor,
                          DType dtype) {
  if (tensor.dtype() == dtype) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " '", name, "' has type ",
                                                 modellib::to_string(dtype), ", got ",
                                                 modellib::to_string(tensor.dtype())));
}

}  // namespace

struct Session::Impl {
  const ProgramImage* program = nullptr;
  std::shared_ptr<VariableStore> store;
  VariableAccess access = VariableAccess::kDirect;
  Communicator* communicator = nullptr;
  uint64_t max_bytes = 0;
  uint64_t taken_bytes = 0;
  OwnedBytes memory;
  std::byte* base = nullptr;
  std::vector<int> store_index;  // by variable of the program; -1: a session variable
  std::vector<Entry> entries;
  std::unique_ptr<Runner> runner;
  std::atomic<bool> running{false};
  const uint64_t generation = process_generation();
  std::shared_ptr<Allocator> allocator;

  absl::Status connect_store(const Executable& executable);
  absl::Status take_memory(const SessionOptions& options);
  absl::StatusOr<OwnedBytes> allocate(uint64_t bytes, absl::string_view what);
  void reset_variables();
  void make_entry(size_t index, const SessionOptions& options);
  int session_variable(absl::string_view name) const;

  absl::StatusOr<Entry*> find(EntryId id);
  // Null for an index that is none.
  const OutputState* find_output(EntryId id, int output) const;
  absl::StatusOr<InputState*> bind(EntryId id, int input, const void* data,
                                   absl::Span<const int64_t> extents);
  absl::Status prepare(Entry& entry);
  absl::Status resolve_symbols(Entry& entry);
  static absl::Status check_constraints(const Entry& entry);
  absl::Status prepare_inputs(Entry& entry);
  absl::Status prepare_outputs(Entry& entry);
  absl::Status check_overlap(const Entry& entry) const;
  static void patch(Entry& entry, absl::Span<const PointerPatch> patches, std::byte* base) {
    for (const PointerPatch& p : patches) entry.pointers[p.pointer] = base + p.offset;
  }
  void patch_shared(Entry& entry, int buffer);
  absl::Status run(Entry& entry, const RunOptions& options);
  absl::Status run_on_variables(Entry& entry, const RunOptions& options);
};

absl::StatusOr<std::unique_ptr<Session>> Session::create(
    std::shared_ptr<const Executable> executable, std::shared_ptr<VariableStore> store,
    SessionOptions options) {
  if (executable == nullptr) return absl::InvalidArgumentError("no executable");
  const ForkBarrier barrier;
  std::unique_ptr<Session> session(new Session());
  session->impl_ = std::make_unique<Impl>();
  Impl& impl = *session->impl_;
  impl.program = &executable->image();
  impl.store = std::move(store);
  impl.access = options.access;
  impl.communicator = options.communicator;
  impl.max_bytes = options.max_bytes;
  impl.allocator = options.allocator;
  for (const EntryImage& entry : impl.program->entries) {
    if (!entry.uses_communicator || options.communicator == nullptr) continue;
    if (entry.world != 0 && entry.world != options.communicator->size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("entry '", entry.info.name, "' was planned for ", entry.world,
                       " ranks, but there are ", options.communicator->size()));
    }
  }
  MODELLIB_RETURN_IF_ERROR(impl.connect_store(*executable));
  MODELLIB_RETURN_IF_ERROR(impl.take_memory(options));
  impl.reset_variables();
  MODELLIB_ASSIGN_OR_RETURN(impl.runner, Runner::create(*impl.program, options));
  impl.entries.resize(impl.program->entries.size());
  for (size_t i = 0; i < impl.entries.size(); ++i) impl.make_entry(i, options);
  session->executable_ = std::move(executable);
  return session;
}

// What a forked child has of its parent's session cannot be ended there: its threads are not in the
// child, and locks may be held by them. It is left as it is.
Session::~Session() {
  if (impl_ != nullptr && impl_->generation != process_generation())
    static_cast<void>(impl_.release());
}

absl::Status Session::Impl::connect_store(const Executable& executable) {
  if (store != nullptr) {
    MODELLIB_RETURN_IF_ERROR(check_generation(store->generation_, "variable store"));
  }
  bool shares = false;
  for (const VariableInfo& info : executable.variables()) {
    if (info.kind == VariableKind::kSession) {
      store_index.push_back(-1);
      continue;
    }
    shares = true;
    const int index = store == nullptr ? -1 : store->find(info.name);
    if (index < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the plan's variable '", info.name, "' is not in the variable store"));
    }
    const VariableInfo& held = store->variables()[static_cast<size_t>(index)];
    if (held.dtype != info.dtype || held.shape != info.shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          "variable '", info.name, "' has another type or shape in the variable store"));
    }
    store_index.push_back(index);
  }
  if (shares && access == VariableAccess::kPublished) return store->register_reader();
  return absl::OkStatus();
}

absl::StatusOr<OwnedBytes> Session::Impl::allocate(uint64_t bytes, absl::string_view what) {
  if (bytes > max_bytes - taken_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(what, " takes ", bytes, " bytes; the session has ", max_bytes - taken_bytes,
                     " left of ", max_bytes));
  }
  MODELLIB_ASSIGN_OR_RETURN(OwnedBytes memory, allocate_aligned(bytes, allocator));
  taken_bytes += bytes;
  return memory;
}

absl::Status Session::Impl::take_memory(const SessionOptions& options) {
  const uint64_t bytes = program->session_bytes;
  if (!options.memory.empty()) {
    if (options.memory.size() < bytes ||
        reinterpret_cast<uintptr_t>(options.memory.data()) % kPage != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the session wants ", bytes, " bytes aligned to ", kPage, ", got ", options.memory.size(),
          " at ", reinterpret_cast<uintptr_t>(options.memory.data())));
    }
    base = options.memory.data();
    return absl::OkStatus();
  }
  MODELLIB_ASSIGN_OR_RETURN(memory, allocate(bytes + kPage, "the session's memory"));
  const auto start = reinterpret_cast<uintptr_t>(memory.data);
  base = memory.data + ((start + kPage - 1) / kPage * kPage - start);
  return absl::OkStatus();
}

void Session::Impl::reset_variables() {
  for (size_t i = 0; i < store_index.size(); ++i) {
    if (store_index[i] >= 0 || program->variables[i].bytes == 0) continue;
    std::byte* const value = base + program->variable_images[i].session_offset;
    const std::byte* const initial = program->initial_value(i);
    if (initial != nullptr) {
      std::memcpy(value, initial, program->variables[i].bytes);
    } else {
      std::memset(value, 0, program->variables[i].bytes);
    }
  }
}

void Session::Impl::make_entry(size_t index, const SessionOptions& options) {
  const EntryImage& image = program->entries[index];
  Entry& entry = entries[index];
  entry.image = &image;
  entry.id = EntryId(static_cast<int>(index));
  entry.pointers = image.pointers;
  entry.scalars = image.scalars;
  entry.inputs.resize(image.inputs.size());
  for (size_t i = 0; i < image.inputs.size(); ++i) {
    entry.inputs[i].extents.resize(image.inputs[i].shape.size());
  }
  entry.outputs.resize(image.outputs.size());
  for (size_t i = 0; i < image.outputs.size(); ++i) {
    entry.outputs[i].extents.resize(image.outputs[i].shape.size());
  }
  entry.symbols.resize(image.info.symbols.size());
  entry.symbol_values.resize(image.info.symbols.size());
  entry.slots.resize(image.slots.size());
  for (const StepImage& step : image.steps) {
    entry.chunks.push_back(step.chunks.value);
    entry.args.push_back({entry.pointers.data() + step.first_pointer,
                          entry.scalars.data() + step.scalars.begin, step.data, step.state,
                          runner->fault()});
    if (options.profile) entry.times.push_back({step.name, step.kernel_name, 0, 0});
  }
  if (options.observer != nullptr) {
    size_t extents = 0;
    for (const ValueImage& value : image.values) extents += value.shape.size();
    entry.value_extents.resize(extents);
    extents = 0;
    for (const ValueImage& value : image.values) {
      entry.values.push_back({value.name,
                              value.dtype,
                              value.output,
                              {entry.value_extents.data() + extents, value.shape.size()}});
      extents += value.shape.size();
    }
  }
  for (const ArenaUseImage& arena : image.arenas) {
    patch(entry, arena.patches, base + program->arena_offsets[arena.arena]);
  }
  for (const VariableUseImage& use : image.variables) {
    if (store_index[use.variable] >= 0) {
      entry.uses_shared = true;
      entry.writes_shared = entry.writes_shared || use.writes;
    } else {
      patch(entry, use.patches, base + program->variable_images[use.variable].session_offset);
    }
  }
}

absl::StatusOr<Entry*> Session::Impl::find(EntryId id) {
  MODELLIB_RETURN_IF_ERROR(check_generation(generation, "session"));
  if (id.index() < 0 || static_cast<size_t>(id.index()) >= entries.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no entry ", id.index(), "; the executable has ", entries.size()));
  }
  return &entries[static_cast<size_t>(id.index())];
}

absl::StatusOr<InputState*> Session::Impl::bind(EntryId id, int input, const void* data,
                                                absl::Span<const int64_t> extents) {
  MODELLIB_ASSIGN_OR_RETURN(Entry * entry, find(id));
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
    const bool is_static = info.symbols[d] < 0 && image.shape[d].slot < 0;
    if (extents[d] < 0 || extents[d] > info.max_shape[d] ||
        (is_static && extents[d] != info.max_shape[d])) {
      // Extents beyond a symbol's range are as much the caller's as the plan's matter.
      const bool planned = info.symbols[d] >= 0 && extents[d] >= 0;
      const std::string message =
          planned
              ? absl::StrCat("input '", info.name, "': ",
                             entry->image->info.symbols[static_cast<size_t>(info.symbols[d])].name,
                             " = ", extents[d], " was not planned; the plan holds for ",
                             entry->image->info.symbols[static_cast<size_t>(info.symbols[d])].min,
                             " to ", info.max_shape[d])
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
  MODELLIB_ASSIGN_OR_RETURN(Entry * entry, impl_->find(id));
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
  MODELLIB_ASSIGN_OR_RETURN(Entry * entry, impl_->find(id));
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
  MODELLIB_ASSIGN_OR_RETURN(Entry * entry, impl_->find(id));
  if (output < 0 || static_cast<size_t>(output) >= entry->outputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat("no output ", output));
  }
  entry->outputs[static_cast<size_t>(output)].bound = nullptr;
  entry->ready = false;
  return absl::OkStatus();
}

absl::Status Session::set_symbol(EntryId id, int symbol, int64_t value) {
  MODELLIB_ASSIGN_OR_RETURN(Entry * entry, impl_->find(id));
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

absl::Status Session::Impl::resolve_symbols(Entry& entry) {
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

absl::Status Session::Impl::check_constraints(const Entry& entry) {
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

absl::Status Session::Impl::prepare_inputs(Entry& entry) {
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
    const bool copies = program->copies_dynamic && info.inputs[i].dynamic;
    if (copies && input.staging.data == nullptr) {
      MODELLIB_ASSIGN_OR_RETURN(input.staging, allocate(info.inputs[i].bytes, info.inputs[i].name));
      std::memset(input.staging.data, 0, info.inputs[i].bytes);
    }
    // Kernels take inputs as const; KernelArgs has one type for all operands.
    patch(entry, image.patches, copies ? input.staging.data : const_cast<std::byte*>(input.data));
  }
  return absl::OkStatus();
}

absl::Status Session::Impl::prepare_outputs(Entry& entry) {
  const EntryInfo& info = entry.image->info;
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
    const bool copies = program->copies_dynamic && info.outputs[i].dynamic;
    if ((output.bound == nullptr || copies) && output.own.data == nullptr) {
      MODELLIB_ASSIGN_OR_RETURN(output.own, allocate(info.outputs[i].bytes, info.outputs[i].name));
      std::memset(output.own.data, 0, info.outputs[i].bytes);
    }
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
absl::Status Session::Impl::check_overlap(const Entry& entry) const {
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

absl::Status Session::Impl::prepare(Entry& entry) {
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

void Session::Impl::patch_shared(Entry& entry, int buffer) {
  if (entry.variable_buffer == buffer) return;
  for (const VariableUseImage& use : entry.image->variables) {
    const int index = store_index[use.variable];
    if (index >= 0) patch(entry, use.patches, store->address(buffer, static_cast<size_t>(index)));
  }
  entry.variable_buffer = buffer;
}

absl::Status Session::Impl::run_on_variables(Entry& entry, const RunOptions& options) {
  if (!entry.uses_shared) return runner->run(entry, options);
  if (access == VariableAccess::kDirect) {
    MODELLIB_RETURN_IF_ERROR(store->begin_direct(entry.writes_shared));
    patch_shared(entry, store->live());
    absl::Status status = runner->run(entry, options);
    store->end_direct(entry.writes_shared);
    return status;
  }
  if (entry.writes_shared) {
    return absl::FailedPreconditionError(
        absl::StrCat("entry '", entry.image->info.name,
                     "' writes variables, but the session reads published versions"));
  }
  const int buffer = store->begin_published();
  if (buffer < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("entry '", entry.image->info.name,
                     "' reads published variables, but VariableStore::publish was never called "
                     "since the session was created"));
  }
  patch_shared(entry, buffer);
  absl::Status status = runner->run(entry, options);
  store->end_published(buffer);
  return status;
}

absl::Status Session::Impl::run(Entry& entry, const RunOptions& options) {
  MODELLIB_RETURN_IF_ERROR(prepare(entry));
  if (!program->copies_dynamic) return run_on_variables(entry, options);
  for (InputState& input : entry.inputs) {
    if (input.staging.data != nullptr && input.bytes != 0) {
      std::memcpy(input.staging.data, input.data, input.bytes);
    }
  }
  MODELLIB_RETURN_IF_ERROR(run_on_variables(entry, options));
  for (OutputState& output : entry.outputs) {
    if (output.target != output.result && output.bytes != 0) {
      std::memcpy(output.result, output.target, output.bytes);
    }
  }
  return absl::OkStatus();
}

absl::Status Session::prepare(EntryId id) {
  MODELLIB_ASSIGN_OR_RETURN(Entry * entry, impl_->find(id));
  return impl_->prepare(*entry);
}

absl::Status Session::run(EntryId id, const RunOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(Entry * entry, impl_->find(id));
  if (impl_->running.exchange(true, std::memory_order_acquire)) {
    return absl::FailedPreconditionError("the session is running on another thread");
  }
  absl::Status status = impl_->run(*entry, options);
  impl_->running.store(false, std::memory_order_release);
  return status;
}

const OutputState* Session::Impl::find_output(EntryId id, int output) const {
  const auto entry = static_cast<size_t>(id.index());
  if (id.index() < 0 || entry >= entries.size() || output < 0 ||
      static_cast<size_t>(output) >= entries[entry].outputs.size()) {
    return nullptr;
  }
  return &entries[entry].outputs[static_cast<size_t>(output)];
}

absl::Span<const int64_t> Session::output_extents(EntryId id, int output) const {
  const OutputState* const state = impl_->find_output(id, output);
  return state == nullptr ? absl::Span<const int64_t>() : state->extents;
}

const std::byte* Session::output_data(EntryId id, int output) const {
  const OutputState* const state = impl_->find_output(id, output);
  return state == nullptr ? nullptr : state->result;
}

absl::StatusOr<std::vector<Tensor>> Session::run_tensors(EntryId id,
                                                         absl::Span<const Tensor> inputs,
                                                         const RunOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(Entry * entry, impl_->find(id));
  if (inputs.size() != entry->inputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat("entry '", entry->image->info.name, "' has ",
                                                   entry->inputs.size(), " inputs, got ",
                                                   inputs.size()));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    MODELLIB_RETURN_IF_ERROR(bind_input(id, static_cast<int>(i), inputs[i]));
  }
  MODELLIB_RETURN_IF_ERROR(run(id, options));
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < entry->outputs.size(); ++i) {
    const OutputState& output = entry->outputs[i];
    MODELLIB_ASSIGN_OR_RETURN(Tensor tensor,
                              Tensor::copy_of(entry->image->info.outputs[i].dtype, output.extents,
                                              output.result, output.bytes));
    outputs.push_back(std::move(tensor));
  }
  return outputs;
}

int Session::Impl::session_variable(absl::string_view name) const {
  for (size_t i = 0; i < store_index.size(); ++i) {
    if (store_index[i] < 0 && program->variables[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

absl::StatusOr<Tensor> Session::get_variable(absl::string_view name) const {
  MODELLIB_RETURN_IF_ERROR(check_generation(impl_->generation, "session"));
  const int index = impl_->session_variable(name);
  if (index < 0) return absl::NotFoundError(absl::StrCat("no session variable '", name, "'"));
  const auto i = static_cast<size_t>(index);
  const VariableInfo& info = impl_->program->variables[i];
  return Tensor::copy_of(info.dtype, info.shape,
                         impl_->base + impl_->program->variable_images[i].session_offset,
                         info.bytes);
}

absl::Status Session::set_variable(absl::string_view name, const Tensor& value) {
  MODELLIB_RETURN_IF_ERROR(check_generation(impl_->generation, "session"));
  const int index = impl_->session_variable(name);
  if (index < 0) return absl::NotFoundError(absl::StrCat("no session variable '", name, "'"));
  const auto i = static_cast<size_t>(index);
  const VariableInfo& info = impl_->program->variables[i];
  MODELLIB_RETURN_IF_ERROR(check_tensor("variable", name, value, info.dtype));
  if (value.shape() != info.shape) {
    return absl::InvalidArgumentError(absl::StrCat("variable '", name, "' has shape [",
                                                   absl::StrJoin(info.shape, ","), "], got [",
                                                   absl::StrJoin(value.shape(), ","), "]"));
  }
  if (info.bytes != 0) {
    std::memcpy(impl_->base + impl_->program->variable_images[i].session_offset, value.data(),
                info.bytes);
  }
  return absl::OkStatus();
}

void Session::reset_variables() { impl_->reset_variables(); }

absl::Span<const StepTime> Session::profile(EntryId id) const {
  const auto entry = static_cast<size_t>(id.index());
  if (id.index() < 0 || entry >= impl_->entries.size()) return {};
  return impl_->entries[entry].times;
}

void Session::reset_profile() {
  for (Entry& entry : impl_->entries) {
    for (StepTime& time : entry.times) {
      time.runs = 0;
      time.nanoseconds = 0;
    }
  }
}

}  // namespace modellib::runtime
