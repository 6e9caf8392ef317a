// A Session from inside: session.cc makes and runs it, session_binding.cc turns what the caller
// bound into addresses and numbers.
#ifndef MODELLIB_EXECUTORS_RUNTIME_SESSION_IMPL_H_
#define MODELLIB_EXECUTORS_RUNTIME_SESSION_IMPL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/fork_guard.h"
#include "modellib/executors/runtime/program_image.h"
#include "modellib/executors/runtime/runner.h"
#include "modellib/executors/runtime/session.h"

namespace modellib::runtime {

struct InputState {
  const std::byte* data = nullptr;
  std::vector<int64_t> extents;
  uint64_t bytes = 0;  // of these extents
  bool bound = false;
  Tensor tensor;       // keeps the bytes that were bound with a Tensor
  OwnedBytes staging;  // see ProgramImage::untrusted
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

struct SessionEntry : EntryState {
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
  std::vector<SessionEntry> entries;
  std::unique_ptr<Runner> runner;
  std::atomic<bool> running{false};
  const uint64_t generation = process_generation();
  std::shared_ptr<Allocator> allocator;

  absl::Status check_process() const { return check_generation(generation, "session"); }
  absl::Status connect_store(const Executable& executable);
  absl::Status take_memory(const SessionOptions& options);
  absl::StatusOr<OwnedBytes> allocate(uint64_t bytes, absl::string_view what,
                                      uint64_t alignment = 64);
  void reset_variables();
  void make_entry(size_t index, const SessionOptions& options);
  int session_variable(absl::string_view name) const;

  absl::StatusOr<SessionEntry*> find(EntryId id);
  // Null for an index that is none, and in a forked process.
  const OutputState* find_output(EntryId id, int output) const;
  absl::StatusOr<InputState*> bind(EntryId id, int input, const void* data,
                                   absl::Span<const int64_t> extents);
  absl::Status prepare(SessionEntry& entry);
  absl::Status resolve_symbols(SessionEntry& entry);
  static absl::Status check_constraints(const SessionEntry& entry);
  absl::Status prepare_inputs(SessionEntry& entry);
  // A buffer of the session's own for an output, of the largest extents, if it has none yet.
  absl::Status take_output(SessionEntry& entry, size_t output);
  absl::Status prepare_outputs(SessionEntry& entry);
  absl::Status check_overlap(const SessionEntry& entry) const;
  static void patch(SessionEntry& entry, absl::Span<const PointerPatch> patches, std::byte* base) {
    for (const PointerPatch& p : patches) entry.pointers[p.pointer] = base + p.offset;
  }
  void patch_shared(SessionEntry& entry, int buffer);
  absl::Status run(SessionEntry& entry, const RunOptions& options);
  absl::Status run_on_variables(SessionEntry& entry, const RunOptions& options);
};

// The step that writes the most of what these pointers show to: "step 3 'fc.matmul'
// (cpu.matmul_f32)"; "" if none does. For messages about memory that there is not.
std::string largest_writer(const EntryImage& entry, absl::Span<const PointerPatch> pointers);

// An error for a tensor of another type; `what` is "input" or "variable".
absl::Status check_tensor(absl::string_view what, absl::string_view name, const Tensor& tensor,
                          DType dtype);

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_SESSION_IMPL_H_
