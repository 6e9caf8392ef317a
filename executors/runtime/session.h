// One caller's place to run an Executable: arenas, session variables (a cache of keys and values, a
// random state), threads, and what is bound to inputs and outputs. Not to be used by two threads at
// once; any number of sessions may share an Executable and a VariableStore. In a process that was
// forked, the parent's sessions return FailedPrecondition (fork_guard.h).
//
//   MODELLIB_ASSIGN_OR_RETURN(auto session, Session::create(executable, store));
//   MODELLIB_RETURN_IF_ERROR(session->bind_input(infer, 0, pixels, {32, 784}));
//   MODELLIB_RETURN_IF_ERROR(session->bind_output(infer, 0, logits, sizeof(logits)));
//   MODELLIB_RETURN_IF_ERROR(session->run(infer));        // as often as you like
//
// From the second run on, `run` allocates nothing, takes no lock and looks nothing up: the first
// prepares the entry (or prepare(), ahead). The same inputs give the same bits, whatever the number
// of threads.
#ifndef MODELLIB_EXECUTORS_RUNTIME_SESSION_H_
#define MODELLIB_EXECUTORS_RUNTIME_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/communicator.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/run_options.h"
#include "modellib/executors/runtime/variable_store.h"
#include "modellib/executors/runtime/workers.h"
#include "modellib/graph/tensor.h"

namespace modellib::runtime {

// How a session uses the VariableStore (variable_store.h).
enum class VariableAccess { kDirect, kPublished };

// A value of the graph that was compiled, where a step has just put it.
struct StepValue {
  absl::string_view name;
  DType dtype;
  int output;  // of the step: its index in StepEvent::buffers
  absl::Span<const int64_t> extents;
};

// What an observer is told after each step.
struct StepEvent {
  EntryId entry;
  int step;  // index in the order of the plan
  absl::string_view name;
  absl::string_view kernel;
  // Outputs, inputs, workspace, as the kernel saw them; absent: null. Bytes at the largest extents.
  absl::Span<std::byte* const> buffers;
  absl::Span<const uint64_t> bytes;
  int outputs;
  int inputs;
  // What the kernel was told beside.
  absl::Span<const int64_t> scalars;
  int64_t chunks;
  const std::byte* data;
  // Those that the graph has names for and that this step completed. A value that never lies in
  // memory by itself (it was fused with others, or is a view) is reported by no step.
  absl::Span<const StepValue> values;
};

struct SessionOptions {
  // Threads that work on a step's chunks, the calling one included; 0: one for each core that the
  // process may use. With 1, TBB is never touched. TBB gives no more than tbb_workers says
  // (workers.h).
  int threads = 0;
  // Where they come from; null: an arena of TBB's of the session's own.
  std::shared_ptr<Workers> workers;
  // Executable::session_bytes() bytes, aligned to 4096, that outlive the session; empty: the
  // session allocates them.
  absl::Span<std::byte> memory;
  // Where the session's own memory comes from, that of inputs and outputs included; null: the heap.
  std::shared_ptr<Allocator> allocator = nullptr;
  VariableAccess access = VariableAccess::kDirect;
  // Needed to run entries with collectives; outlives the session.
  Communicator* communicator = nullptr;
  // ResourceExhausted where Executable::session_bytes() (unless `memory` is given), or an input or
  // output that the session owns, would take more.
  uint64_t max_bytes = std::numeric_limits<uint64_t>::max();
  // To look at what steps do: called after each, on the thread of its lane. Must not throw.
  std::function<void(const StepEvent&)> observer;
  // Measures each step; see Session::profile.
  bool profile = false;
};

// Time that a step took, over all runs since the session was made or reset_profile().
struct StepTime {
  absl::string_view name;
  absl::string_view kernel;
  int64_t runs = 0;
  int64_t nanoseconds = 0;
};

class Session {
 public:
  // `store` may be null where the plan has no shared variables. InvalidArgument for options that do
  // not fit the executable, ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<Session>> create(
      std::shared_ptr<const Executable> executable, std::shared_ptr<VariableStore> store = nullptr,
      SessionOptions options = {});
  ~Session();

  const Executable& executable() const { return *executable_; }
  // FailedPrecondition in a process that was forked from the one that made the session.
  absl::Status check_process() const;

  // The next runs read from `data`, which the caller keeps and may change between them. `extents`
  // are those of the tensor, outermost first. InvalidArgument for a wrong rank or extent, or for
  // data that is not aligned to its elements; FailedPrecondition for an extent that was not planned
  // for. What symbols and constraints want of several inputs is checked when all are known.
  absl::Status bind_input(EntryId entry, int input, const void* data,
                          absl::Span<const int64_t> extents);
  // Shares the tensor's bytes until another is bound.
  absl::Status bind_input(EntryId entry, int input, const Tensor& tensor);
  // The next runs write to `data`, `bytes` long, enough for the extents of each run.
  absl::Status bind_output(EntryId entry, int output, void* data, uint64_t bytes);
  // Back to a buffer of the session's own, which is also where outputs go that were never bound.
  absl::Status release_output(EntryId entry, int output);
  // Takes the memory of outputs that are not bound now instead of in the first preparation: whether
  // it is to be had does not depend on inputs. ResourceExhausted, naming the step that writes it.
  absl::Status reserve_outputs(EntryId entry);
  // Sets a symbol that no input binds (a position, say).
  absl::Status set_symbol(EntryId entry, int symbol, int64_t value);

  // Does what the next run would do before its first step: extents, symbols, addresses. Errors are
  // those of run.
  absl::Status prepare(EntryId entry);
  // FailedPrecondition for inputs that are missing or extents that were not planned for;
  // InvalidArgument for extents that contradict each other or a constraint of the graph; Cancelled,
  // DeadlineExceeded; OutOfRange and the like for a mistake in the data, naming the step. After an
  // error the outputs, and the variables that the entry writes, hold something unspecified.
  absl::Status run(EntryId entry, const RunOptions& options = {});

  // Of the last run or prepare; empty and null before, for an output that is none and in a forked
  // process. The data is that of bind_output or the session's own.
  absl::Span<const int64_t> output_extents(EntryId entry, int output) const;
  const std::byte* output_data(EntryId entry, int output) const;

  // All at once, for convenience: binds the inputs, runs, and returns new tensors.
  absl::StatusOr<std::vector<Tensor>> run_tensors(EntryId entry, absl::Span<const Tensor> inputs,
                                                  const RunOptions& options = {});

  // Session variables. NotFound; InvalidArgument for another type or shape.
  absl::StatusOr<Tensor> get_variable(absl::string_view name) const;
  absl::Status set_variable(absl::string_view name, const Tensor& value);
  // As they were when the session was made.
  absl::Status reset_variables();

  // Empty unless SessionOptions::profile. Steps in the order of the plan.
  absl::Span<const StepTime> profile(EntryId entry) const;
  void reset_profile();

 private:
  struct Impl;
  Session() = default;

  std::shared_ptr<const Executable> executable_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_SESSION_H_
