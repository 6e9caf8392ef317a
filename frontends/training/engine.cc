#include "modellib/frontends/training/engine.h"

#include <utility>

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

float Engine::scalar(runtime::EntryId entry, int output) const {
  return *reinterpret_cast<const float*>(session_->output_data(entry, output));
}

absl::StatusOr<Tensor> Engine::output(runtime::EntryId entry, int output) const {
  const runtime::TensorInfo& info = executable_->info(entry).outputs[static_cast<size_t>(output)];
  const absl::Span<const int64_t> extents = session_->output_extents(entry, output);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t count, checked_elements(info.dtype, extents));
  return Tensor::copy_of(info.dtype, extents, session_->output_data(entry, output),
                         static_cast<size_t>(bytes_of(info.dtype, count)));
}

}  // namespace modellib::training
