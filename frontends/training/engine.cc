#include "modellib/frontends/training/engine.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/registry.h"

namespace modellib::training {

absl::StatusOr<std::unique_ptr<Engine>> Engine::create(const Program& program,
                                                       const EngineOptions& options) {
  auto engine = std::unique_ptr<Engine>(new Engine);
  MODELLIB_ASSIGN_OR_RETURN(engine->compiled_,
                            compile(program, builtin_ops(), cpu::cpu_backend(), options.compile));
  MODELLIB_ASSIGN_OR_RETURN(const std::shared_ptr<const PlanFile> file,
                            make_plan_file(engine->compiled_.lowered));
  MODELLIB_ASSIGN_OR_RETURN(engine->executable_,
                            runtime::Executable::load(file, cpu::cpu_kernel_table()));
  runtime::VariableStoreOptions store_options;
  store_options.seed = options.seed;
  MODELLIB_ASSIGN_OR_RETURN(engine->store_,
                            runtime::VariableStore::create(engine->executable_, store_options));
  runtime::SessionOptions session_options;
  session_options.threads = options.threads;
  session_options.communicator = options.communicator;
  MODELLIB_ASSIGN_OR_RETURN(
      engine->session_,
      runtime::Session::create(engine->executable_, engine->store_, std::move(session_options)));
  return engine;
}

absl::Status Engine::run(runtime::EntryId entry, absl::Span<const Tensor> inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    MODELLIB_RETURN_IF_ERROR(session_->bind_input(entry, static_cast<int>(i), inputs[i]));
  }
  return session_->run(entry);
}

absl::StatusOr<Tensor> Engine::view(runtime::EntryId entry, int output) const {
  const runtime::EntryInfo& info = executable_->info(entry);
  if (output < 0 || static_cast<size_t>(output) >= info.outputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "entry '", info.name, "' has ", info.outputs.size(), " outputs, no number ", output));
  }
  const DType dtype = info.outputs[static_cast<size_t>(output)].dtype;
  const std::byte* data = session_->output_data(entry, output);
  const absl::Span<const int64_t> extents = session_->output_extents(entry, output);
  if (data == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("entry '", info.name, "' has not run"));
  }
  MODELLIB_ASSIGN_OR_RETURN(const int64_t count, checked_elements(dtype, extents));
  return Tensor::borrowed(dtype, extents, data, static_cast<size_t>(bytes_of(dtype, count)),
                          nullptr);
}

double Engine::scalar(runtime::EntryId entry, int output) const {
  const absl::StatusOr<Tensor> value = view(entry, output);
  return value.ok() && value->elements() > 0 ? value->at(0)
                                             : std::numeric_limits<double>::quiet_NaN();
}

absl::StatusOr<Tensor> Engine::output(runtime::EntryId entry, int output) const {
  MODELLIB_ASSIGN_OR_RETURN(const Tensor value, view(entry, output));
  return Tensor::copy_of(value.dtype(), value.shape(), value.data(),
                         static_cast<size_t>(value.bytes()));
}

}  // namespace modellib::training
