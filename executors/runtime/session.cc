#include "modellib/executors/runtime/session.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/runtime/session_impl.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime {
namespace {

constexpr uint64_t kPage = 4096;

// What takes most of a session's memory, for people; "" if no step does.
std::string largest_part(const ProgramImage& program) {
  const EntryImage* largest = nullptr;
  for (const EntryImage& entry : program.entries) {
    if (largest == nullptr || entry.info.planned_bytes > largest->info.planned_bytes) {
      largest = &entry;
    }
  }
  if (largest == nullptr) return "";
  std::vector<PointerPatch> pointers;
  for (const ArenaUseImage& arena : largest->arenas) {
    pointers.insert(pointers.end(), arena.patches.begin(), arena.patches.end());
  }
  const std::string writer = largest_writer(*largest, pointers);
  if (writer.empty()) return "";
  return absl::StrCat("entry '", largest->info.name, "' takes the most, and most of that ", writer);
}

}  // namespace

std::string largest_writer(const EntryImage& entry, absl::Span<const PointerPatch> pointers) {
  std::vector<const StepImage*> writers(entry.pointers.size(), nullptr);
  for (const StepImage& step : entry.steps) {
    for (uint32_t i = 0; i < step.outputs; ++i) writers[step.first_pointer + i] = &step;
    writers[step.first_pointer + step.outputs + step.inputs] = &step;  // workspace
  }
  const StepImage* most = nullptr;
  uint64_t bytes = 0;
  for (const PointerPatch& p : pointers) {
    // Of steps in place the last one: it completes the value.
    if (writers[p.pointer] == nullptr || entry.pointer_bytes[p.pointer] < bytes) continue;
    most = writers[p.pointer];
    bytes = entry.pointer_bytes[p.pointer];
  }
  if (most == nullptr) return "";
  return absl::StrCat("step ", most - entry.steps.data(), " '", most->name, "' (",
                      most->kernel_name, ")");
}

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

absl::Status Session::check_process() const { return impl_->check_process(); }

absl::Status Session::Impl::connect_store(const Executable& executable) {
  if (store != nullptr) MODELLIB_RETURN_IF_ERROR(store->check_process());
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

absl::StatusOr<OwnedBytes> Session::Impl::allocate(uint64_t bytes, absl::string_view what,
                                                   uint64_t alignment) {
  if (bytes > max_bytes - taken_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(what, " takes ", bytes, " bytes; the session has ", max_bytes - taken_bytes,
                     " left of ", max_bytes));
  }
  auto memory = allocate_aligned(bytes, allocator, alignment);
  if (!memory.ok()) {
    return absl::Status(memory.status().code(),
                        absl::StrCat(what, ": ", memory.status().message()));
  }
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
  } else {
    auto taken = allocate(bytes, "the session's memory", kPage);
    if (!taken.ok()) {
      const std::string part = largest_part(*program);
      if (part.empty()) return taken.status();
      return absl::Status(taken.status().code(),
                          absl::StrCat(taken.status().message(), "; ", part));
    }
    memory = *std::move(taken);
    base = memory.data;
  }
  // A hostile plan may copy out what its steps never wrote.
  if (program->untrusted) std::memset(base, 0, bytes);
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
  SessionEntry& entry = entries[index];
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
                          runner->fault(step.lane)});
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

absl::StatusOr<SessionEntry*> Session::Impl::find(EntryId id) {
  MODELLIB_RETURN_IF_ERROR(check_process());
  if (id.index() < 0 || static_cast<size_t>(id.index()) >= entries.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no entry ", id.index(), "; the executable has ", entries.size()));
  }
  return &entries[static_cast<size_t>(id.index())];
}

void Session::Impl::patch_shared(SessionEntry& entry, int buffer) {
  if (entry.variable_buffer == buffer) return;
  for (const VariableUseImage& use : entry.image->variables) {
    const int index = store_index[use.variable];
    if (index >= 0) patch(entry, use.patches, store->address(buffer, static_cast<size_t>(index)));
  }
  entry.variable_buffer = buffer;
}

absl::Status Session::Impl::run_on_variables(SessionEntry& entry, const RunOptions& options) {
  if (!entry.uses_shared) return runner->run(entry, options);
  if (access == VariableAccess::kDirect) {
    MODELLIB_RETURN_IF_ERROR(store->begin_direct(entry.writes_shared));
    const absl::Cleanup end = [&] { store->end_direct(entry.writes_shared); };
    patch_shared(entry, store->live());
    return runner->run(entry, options);
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
  const absl::Cleanup end = [&] { store->end_published(buffer); };
  patch_shared(entry, buffer);
  return runner->run(entry, options);
}

absl::Status Session::Impl::run(SessionEntry& entry, const RunOptions& options) {
  MODELLIB_RETURN_IF_ERROR(prepare(entry));
  if (!program->untrusted) return run_on_variables(entry, options);
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

absl::Status Session::reserve_outputs(EntryId id) {
  MODELLIB_ASSIGN_OR_RETURN(SessionEntry * entry, impl_->find(id));
  for (size_t i = 0; i < entry->outputs.size(); ++i) {
    if (entry->outputs[i].bound != nullptr) continue;
    MODELLIB_RETURN_IF_ERROR(impl_->take_output(*entry, i));
  }
  return absl::OkStatus();
}

absl::Status Session::prepare(EntryId id) {
  MODELLIB_ASSIGN_OR_RETURN(SessionEntry * entry, impl_->find(id));
  return impl_->prepare(*entry);
}

absl::Status Session::run(EntryId id, const RunOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(SessionEntry * entry, impl_->find(id));
  if (impl_->running.exchange(true, std::memory_order_acquire)) {
    return absl::FailedPreconditionError("the session is running on another thread");
  }
  const absl::Cleanup end = [&] { impl_->running.store(false, std::memory_order_release); };
  const absl::Status status = impl_->run(*entry, options);
  // Its peers know of a run that was stopped, but not of one that never began.
  if (!status.ok() && entry->image->uses_communicator && impl_->communicator != nullptr) {
    impl_->communicator->abort();
  }
  return status;
}

const OutputState* Session::Impl::find_output(EntryId id, int output) const {
  const auto entry = static_cast<size_t>(id.index());
  if (!check_process().ok() || id.index() < 0 || entry >= entries.size() || output < 0 ||
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
  MODELLIB_ASSIGN_OR_RETURN(SessionEntry * entry, impl_->find(id));
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
  MODELLIB_RETURN_IF_ERROR(check_process());
  const int index = impl_->session_variable(name);
  if (index < 0) return absl::NotFoundError(absl::StrCat("no session variable '", name, "'"));
  const auto i = static_cast<size_t>(index);
  const VariableInfo& info = impl_->program->variables[i];
  return Tensor::copy_of(info.dtype, info.shape,
                         impl_->base + impl_->program->variable_images[i].session_offset,
                         info.bytes);
}

absl::Status Session::set_variable(absl::string_view name, const Tensor& value) {
  MODELLIB_RETURN_IF_ERROR(check_process());
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

absl::Status Session::reset_variables() {
  MODELLIB_RETURN_IF_ERROR(check_process());
  impl_->reset_variables();
  return absl::OkStatus();
}

absl::Span<const StepTime> Session::profile(EntryId id) const {
  const auto entry = static_cast<size_t>(id.index());
  if (id.index() < 0 || entry >= impl_->entries.size()) return {};
  return impl_->entries[entry].times;
}

void Session::reset_profile() {
  for (SessionEntry& entry : impl_->entries) {
    for (StepTime& time : entry.times) {
      time.runs = 0;
      time.nanoseconds = 0;
    }
  }
}

}  // namespace modellib::runtime
