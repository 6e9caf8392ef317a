// The values that runs share and change: weights, optimizer slots, running statistics. It lives
// beside the immutable Executables that use it; several of them (training and evaluation) share a
// store by the names of their variables.
//
// A store of a process is of no use in one that was forked from it: FailedPrecondition.
//
// Sessions use it in one of two ways:
// - directly: they read and write the values themselves. Runs that only read go side by side; a run
//   that writes goes alone, and one that comes in between fails with FailedPrecondition.
// - published: they read the version that publish() made last, whole, as it was when their run
//   began, while another session goes on writing. They never wait for it. This takes a second
//   buffer, which is reserved when the first such session is created.
#ifndef MODELLIB_EXECUTORS_RUNTIME_VARIABLE_STORE_H_
#define MODELLIB_EXECUTORS_RUNTIME_VARIABLE_STORE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/run_options.h"
#include "modellib/graph/tensor.h"

namespace modellib::runtime {

struct VariableStoreOptions {
  // For the entry "initialize".
  int64_t seed = 0;
  // Threads that run it, as in SessionOptions.
  int threads = 1;
  RunOptions run;
  // ResourceExhausted where the values would take more (twice, with sessions that read published
  // versions), or that entry's session.
  uint64_t max_bytes = std::numeric_limits<uint64_t>::max();
  // Where the values lie; null: the heap.
  std::shared_ptr<Allocator> allocator = nullptr;
};

class VariableStore {
 public:
  ~VariableStore();
  VariableStore(const VariableStore&) = delete;
  VariableStore& operator=(const VariableStore&) = delete;

  // Holds all shared variables and shards of `executables`. A variable takes its value from the
  // plan's segment if it has one, else from the entry "initialize", which runs here, once.
  // InvalidArgument where the executables disagree on a variable, FailedPrecondition naming those
  // that nothing sets.
  static absl::StatusOr<std::shared_ptr<VariableStore>> create(
      absl::Span<const std::shared_ptr<const Executable>> executables,
      const VariableStoreOptions& options = {});
  static absl::StatusOr<std::shared_ptr<VariableStore>> create(
      const std::shared_ptr<const Executable>& executable,
      const VariableStoreOptions& options = {}) {
    return create(absl::MakeConstSpan(&executable, 1), options);
  }

  // FailedPrecondition in a process that was forked from the one that made the store.
  absl::Status check_process() const;
  absl::Span<const VariableInfo> variables() const { return infos_; }
  // A copy of the value that the writer sees. NotFound; FailedPrecondition while a run writes.
  absl::StatusOr<Tensor> get(absl::string_view name) const;
  // InvalidArgument for another type or shape; FailedPrecondition while a run uses the values or
  // publish() copies them.
  absl::Status set(absl::string_view name, const Tensor& value);

  // Shows the present values to the sessions that read published ones, from their next run on.
  // Waits for those that still read the version before the last. Does nothing without such
  // sessions. FailedPrecondition while a run writes.
  absl::Status publish();
  // How often publish() has shown a version.
  uint64_t published_versions() const { return versions_.load(std::memory_order_acquire); }
  // Bytes of all values, once; and of what is reserved (twice that with readers of versions).
  uint64_t bytes() const { return bytes_; }
  uint64_t reserved_bytes() const;

 private:
  friend class Session;
  VariableStore();

  absl::Status add(const Executable& executable);
  absl::Status initialise(absl::Span<const std::shared_ptr<const Executable>> executables,
                          const VariableStoreOptions& options,
                          const std::shared_ptr<VariableStore>& self);
  static absl::Status run_initialize(const std::shared_ptr<const Executable>& executable,
                                     EntryId entry, const VariableStoreOptions& options,
                                     const std::shared_ptr<VariableStore>& self);
  int find(absl::string_view name) const;
  // Of a variable of an executable; -1: none of the store's.
  int index_of(const VariableInfo& info) const;

  // For direct use: at most one writer, or any number of readers. Wait-free.
  absl::Status begin_direct(bool writes) const;
  void end_direct(bool writes) const;
  // begin_direct() that waits for those who have the lock; get() and set() keep it.
  absl::StatusOr<std::unique_lock<std::mutex>> begin_access(bool writes) const;
  // The buffer that direct runs use, 0 or 1. Changes only in publish().
  int live() const { return live_.load(std::memory_order_acquire); }

  absl::Status register_reader();
  // The published buffer, 0 or 1, held until end_published; -1 if none was published. Wait-free.
  int begin_published();
  void end_published(int buffer);

  std::byte* address_of_buffer(int buffer) const {
    return buffers_[buffer].load(std::memory_order_acquire);
  }
  std::byte* address(int buffer, size_t variable) const {
    return address_of_buffer(buffer) + offsets_[variable];
  }

  const uint64_t generation_;  // see fork_guard.h
  std::shared_ptr<Allocator> allocator_;
  uint64_t max_bytes_ = 0;
  std::vector<VariableInfo> infos_;
  std::vector<uint64_t> offsets_;
  uint64_t bytes_ = 0;
  std::shared_ptr<const void> memory_[2];
  std::atomic<std::byte*> buffers_[2] = {nullptr, nullptr};
  std::atomic<int> live_{0};
  std::atomic<uint64_t> versions_{0};
  mutable std::atomic<bool> changed_{false};  // since the last publish

  mutable std::atomic<int64_t> direct_{0};  // -1: a writer; else the number of readers
  mutable std::mutex accessing_;            // see begin_access

  // Publishing. The upper two bits of `entered_` say what is published (0: nothing, else buffer
  // + 1), the others count the readers who came since. A reader who leaves counts in `left_` of its
  // buffer; nobody reads a buffer when as many have left as ever entered.
  std::mutex publishing_;
  std::atomic<uint64_t> entered_{0};
  std::atomic<uint64_t> left_[2] = {0, 0};
  uint64_t entered_before_[2] = {0, 0};
};

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_VARIABLE_STORE_H_
