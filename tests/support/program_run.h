// Calls of a plan's entries, as a program would make them, and what came of them as digests: one
// driver for every test that runs whole programs. It needs the runtime alone, so that a process
// without a compiler can use it too.
//
//   auto run = *ProgramRun::create(executable, calls, {.threads = 2});
//   for (size_t i = 0; i < calls.calls.size(); ++i) {
//     MODELLIB_RETURN_IF_ERROR(run->call(i));
//     digests.push_back(run->digest(i));
//   }
#ifndef MODELLIB_TESTS_SUPPORT_PROGRAM_RUN_H_
#define MODELLIB_TESTS_SUPPORT_PROGRAM_RUN_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/workers.h"
#include "modellib/graph/tensor.h"

namespace modellib {

struct ProgramCalls {
  struct Call {
    std::string entry;
    std::vector<std::vector<Tensor>> inputs;  // by rank
    // Publishes what the variables hold, and runs in a session that reads what is published.
    bool published = false;
  };
  int ranks = 1;
  // Set in every rank's store before the first call; the others are as "initialize" leaves them.
  std::vector<std::pair<std::string, Tensor>> variables;
  std::vector<Call> calls;  // in turn
};

// Stores and sessions of all ranks in this process, each rank on a thread of its own but the first,
// which works on the caller's.
class ProgramRun {
 public:
  struct Options {
    int threads = 1;
    // Makes the workers of a session; null: TBB's.
    std::function<std::shared_ptr<runtime::Workers>(int threads)> workers;
  };
  // `calls` must outlive the run.
  static absl::StatusOr<std::unique_ptr<ProgramRun>> create(
      std::shared_ptr<const runtime::Executable> executable, const ProgramCalls& calls,
      Options options);
  ~ProgramRun();

  // Makes call i, once more if it was made before. This and digest() allocate nothing themselves.
  absl::Status call(size_t i);
  // Of the extents and bytes of all outputs that call i, the last of its entry, gave on all ranks.
  uint64_t digest(size_t i) const;
  // Of all variables of all ranks, those of sessions too.
  absl::StatusOr<uint64_t> variables_digest() const;

 private:
  struct Rank;
  struct Meeting;
  ProgramRun() = default;

  const ProgramCalls* calls_ = nullptr;
  std::unique_ptr<Meeting> meeting_;
  std::vector<std::unique_ptr<Rank>> ranks_;
};

}  // namespace modellib

#endif  // MODELLIB_TESTS_SUPPORT_PROGRAM_RUN_H_
