// Runs the entries of a program in this process: compiles for a device, keeps the variables and one
// session over them.
#ifndef MODELLIB_FRONTENDS_TRAINING_ENGINE_H_
#define MODELLIB_FRONTENDS_TRAINING_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/variable_store.h"
#include "modellib/graph/program.h"
#include "modellib/graph/tensor.h"
#include "modellib/passes/compile.h"

namespace modellib::training {

struct EngineOptions {
  CompileOptions compile;
  int64_t seed = 0;  // for "initialize"
  int threads = 0;   // 0: one for each core
  // The ranks that train together (TrainProgramOptions::data_parallel); outlives the engine.
  runtime::Communicator* communicator = nullptr;
};

class Engine {
 public:
  // Compiles for the CPU, and runs "initialize" if the program has it.
  static absl::StatusOr<std::unique_ptr<Engine>> create(const Program& program,
                                                        const EngineOptions& options = {});

  absl::StatusOr<runtime::EntryId> entry(absl::string_view name) const {
    return executable_->entry(name);
  }
  // Binds the inputs in the order of the entry's and runs. Outputs stay in the session: see
  // output().
  absl::Status run(runtime::EntryId entry, absl::Span<const Tensor> inputs);
  // Output of the last run: its first value, as a double whatever its type, or a copy of the whole.
  // Where there is none (no such output, no run yet, no elements) the value is NaN; the copy is
  // InvalidArgument for no such output, FailedPrecondition before the first run.
  double scalar(runtime::EntryId entry, int output) const;
  absl::StatusOr<Tensor> output(runtime::EntryId entry, int output) const;

  runtime::VariableStore& store() { return *store_; }
  runtime::Session& session() { return *session_; }
  const runtime::Executable& executable() const { return *executable_; }
  const CompileResult& compiled() const { return compiled_; }

 private:
  Engine() = default;
  // The bytes of an output, shared.
  absl::StatusOr<Tensor> view(runtime::EntryId entry, int output) const;

  CompileResult compiled_;
  std::shared_ptr<const runtime::Executable> executable_;
  std::shared_ptr<runtime::VariableStore> store_;
  std::unique_ptr<runtime::Session> session_;
};

}  // namespace modellib::training

#endif  // MODELLIB_FRONTENDS_TRAINING_ENGINE_H_
