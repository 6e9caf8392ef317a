#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "modellib/frontends/capi/handles.h"
#include "modellib/frontends/capi/status.h"
#include "modellib/graph/tensor.h"

using modellib::Tensor;
using modellib::capi::fill;
using modellib::capi::guarded;
using modellib::capi::in_full;
using modellib::capi::Log;
using modellib::capi::require;
using modellib::runtime::EntryId;
using modellib::runtime::Executable;
using modellib::runtime::Session;
using modellib::runtime::VariableInfo;
using modellib::runtime::VariableKind;
using modellib::runtime::VariableStore;
namespace runtime = modellib::runtime;

namespace {

bool has_shared_variables(const Executable& executable) {
  for (const VariableInfo& info : executable.variables()) {
    if (info.kind != VariableKind::kSession) return true;
  }
  return false;
}

absl::StatusOr<std::shared_ptr<VariableStore>> store_of(
    const std::shared_ptr<const Executable>& executable, const modellib_session_options& given,
    const runtime::SessionOptions& options) {
  if (given.variables != nullptr) return given.variables->store;
  if (!has_shared_variables(*executable)) return nullptr;
  runtime::VariableStoreOptions own;
  own.max_bytes = options.max_bytes;
  own.allocator = options.allocator;
  return VariableStore::create(executable, own);
}

absl::StatusOr<runtime::SessionOptions> translate(const modellib_session_options& given) {
  runtime::SessionOptions options;
  options.threads = given.threads;
  MODELLIB_ASSIGN_OR_RETURN(options.workers, modellib::capi::workers_of(given));
  if (given.memory != nullptr) {
    if (given.memory_bytes == 0) {
      return absl::InvalidArgumentError("memory is given, but memory_bytes is 0");
    }
    options.memory = {static_cast<std::byte*>(given.memory), given.memory_bytes};
  }
  MODELLIB_ASSIGN_OR_RETURN(options.allocator, modellib::capi::allocator_of(given.allocator));
  if (given.max_bytes != 0) options.max_bytes = given.max_bytes;
  if (given.published != 0) {
    if (given.variables == nullptr) {
      return absl::InvalidArgumentError("published is set, which wants variables");
    }
    options.access = runtime::VariableAccess::kPublished;
  }
  if (given.on_step != nullptr) {
    options.observer = [on_step = given.on_step,
                        user = given.step_user](const runtime::StepEvent& event) {
      modellib_step step = {};
      step.size = sizeof(step);
      step.entry = event.entry.index();
      step.index = event.step;
      // Both lie in the plan, as strings with their end.
      step.name = event.name.data();
      step.kernel = event.kernel.data();
      step.outputs = event.outputs;
      step.inputs = event.inputs;
      step.buffers = reinterpret_cast<void* const*>(event.buffers.data());
      step.bytes = event.bytes.data();
      on_step(user, &step);
    };
  }
  return options;
}

// What all functions do with a session: `body` gets it, unless a forked child has it of its parent.
template <class Body>
modellib_status with(const modellib_session* session, const Body& body) {
  return guarded([&]() -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(session != nullptr, "session"));
    MODELLIB_RETURN_IF_ERROR(session->session->check_process());
    return body(*session->session);
  });
}

absl::StatusOr<const VariableInfo*> find_variable(const Session& session, const char* name,
                                                  size_t bytes) {
  MODELLIB_RETURN_IF_ERROR(require(name != nullptr, "name"));
  for (const VariableInfo& info : session.executable().variables()) {
    if (info.kind != VariableKind::kSession || info.name != name) continue;
    if (info.bytes == bytes) return &info;
    return absl::InvalidArgumentError(
        absl::StrCat("variable '", name, "' has ", info.bytes, " bytes, got ", bytes));
  }
  return absl::NotFoundError(absl::StrCat("no session variable '", name, "'"));
}

}  // namespace

modellib_status modellib_session_create(const modellib_plan* plan,
                                        const modellib_session_options* given,
                                        modellib_session** session) {
  if (session != nullptr) *session = nullptr;
  return guarded([&]() -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(plan != nullptr, "plan"));
    MODELLIB_RETURN_IF_ERROR(require(session != nullptr, "session"));
    MODELLIB_ASSIGN_OR_RETURN(const auto full, in_full(given, "modellib_session_options"));
    MODELLIB_ASSIGN_OR_RETURN(const Log log, Log::create(full.log));
    MODELLIB_ASSIGN_OR_RETURN(runtime::SessionOptions options, translate(full));
    MODELLIB_ASSIGN_OR_RETURN(std::shared_ptr<VariableStore> store,
                              store_of(plan->executable, full, options));
    // The session's own variables are part of what it may take.
    if (store != nullptr && full.variables == nullptr) options.max_bytes -= store->bytes();
    auto made = std::make_unique<modellib_session>();
    MODELLIB_ASSIGN_OR_RETURN(
        made->session, Session::create(plan->executable, std::move(store), std::move(options)));
    if (log.wants(MODELLIB_LOG_DEBUG)) {
      log.write(MODELLIB_LOG_DEBUG,
                absl::StrFormat("session of %d bytes made", plan->executable->session_bytes()));
    }
    *session = made.release();
    return absl::OkStatus();
  });
}

void modellib_session_free(modellib_session* session) { delete session; }

modellib_status modellib_session_bind_input(modellib_session* session, int32_t entry, int32_t input,
                                            const void* data, const int64_t* extents,
                                            int32_t rank) {
  return with(session, [&](Session& s) -> absl::Status {
    if (rank < 0) return absl::InvalidArgumentError(absl::StrCat("rank is ", rank));
    MODELLIB_RETURN_IF_ERROR(require(extents != nullptr || rank == 0, "extents"));
    return s.bind_input(EntryId(entry), input, data, {extents, static_cast<size_t>(rank)});
  });
}

modellib_status modellib_session_bind_output(modellib_session* session, int32_t entry,
                                             int32_t output, void* data, size_t bytes) {
  return with(session,
              [&](Session& s) { return s.bind_output(EntryId(entry), output, data, bytes); });
}

modellib_status modellib_session_release_output(modellib_session* session, int32_t entry,
                                                int32_t output) {
  return with(session, [&](Session& s) { return s.release_output(EntryId(entry), output); });
}

modellib_status modellib_session_set_dim(modellib_session* session, int32_t entry, int32_t dim,
                                         int64_t value) {
  return with(session, [&](Session& s) { return s.set_symbol(EntryId(entry), dim, value); });
}

modellib_status modellib_session_prepare(modellib_session* session, int32_t entry) {
  return with(session, [&](Session& s) { return s.prepare(EntryId(entry)); });
}

modellib_status modellib_cancel_create(modellib_cancel** cancel) {
  if (cancel != nullptr) *cancel = nullptr;
  return guarded([&]() -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(cancel != nullptr, "cancel"));
    *cancel = new modellib_cancel();
    return absl::OkStatus();
  });
}

void modellib_cancel_free(modellib_cancel* cancel) { delete cancel; }

void modellib_cancel_set(modellib_cancel* cancel) {
  if (cancel != nullptr) cancel->token.cancel();
}

void modellib_cancel_reset(modellib_cancel* cancel) {
  if (cancel != nullptr) cancel->token.reset();
}

modellib_status modellib_session_run(modellib_session* session, int32_t entry,
                                     const modellib_run_options* given) {
  return with(session, [&](Session& s) -> absl::Status {
    runtime::RunOptions options;
    if (given != nullptr) {
      MODELLIB_ASSIGN_OR_RETURN(const auto full, in_full(given, "modellib_run_options"));
      if (full.cancel != nullptr) options.cancel = &full.cancel->token;
      if (full.deadline_ns != 0) {
        // libstdc++'s and libc++'s steady_clock are CLOCK_MONOTONIC.
        options.deadline =
            runtime::RunOptions::Clock::time_point(std::chrono::nanoseconds(full.deadline_ns));
      }
    }
    return s.run(EntryId(entry), options);
  });
}

modellib_status modellib_session_output(const modellib_session* session, int32_t entry,
                                        int32_t output, modellib_tensor* tensor) {
  return with(session, [&](const Session& s) -> absl::Status {
    const auto& outputs = s.executable().info(EntryId(entry)).outputs;
    if (output < 0 || static_cast<size_t>(output) >= outputs.size()) {
      return absl::OutOfRangeError(
          absl::StrCat("no output ", output, " of entry ", entry, ", which has ", outputs.size()));
    }
    modellib_tensor full = {};
    const absl::Span<const int64_t> extents = s.output_extents(EntryId(entry), output);
    full.data = s.output_data(EntryId(entry), output);
    if (full.data == nullptr)
      return absl::FailedPreconditionError(
          "the entry was not run yet, or not with what is bound now");
    const modellib::DType dtype = outputs[static_cast<size_t>(output)].dtype;
    int64_t elements = 1;
    for (const int64_t extent : extents) elements *= extent;
    full.dtype = static_cast<modellib_dtype>(dtype);
    full.rank = static_cast<int32_t>(extents.size());
    full.extents = extents.data();
    full.bytes = static_cast<uint64_t>(modellib::bytes_of(dtype, elements));
    return fill(tensor, full, "modellib_tensor");
  });
}

modellib_status modellib_session_get_variable(const modellib_session* session, const char* name,
                                              void* into, size_t bytes) {
  return with(session, [&](const Session& s) -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(into != nullptr, "into"));
    MODELLIB_RETURN_IF_ERROR(find_variable(s, name, bytes).status());
    MODELLIB_ASSIGN_OR_RETURN(const Tensor value, s.get_variable(name));
    std::memcpy(into, value.data(), bytes);
    return absl::OkStatus();
  });
}

modellib_status modellib_session_set_variable(modellib_session* session, const char* name,
                                              const void* from, size_t bytes) {
  return with(session, [&](Session& s) -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(from != nullptr, "from"));
    MODELLIB_ASSIGN_OR_RETURN(const VariableInfo* info, find_variable(s, name, bytes));
    MODELLIB_ASSIGN_OR_RETURN(const Tensor value,
                              Tensor::borrowed(info->dtype, info->shape, from, bytes, nullptr));
    return s.set_variable(name, value);
  });
}

modellib_status modellib_session_reset_variables(modellib_session* session) {
  return with(session, [](Session& s) { return s.reset_variables(); });
}
