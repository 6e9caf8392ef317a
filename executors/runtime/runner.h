// Runs the steps of an entry whose addresses and numbers are set: lanes, waits, control flow,
// collectives, and the ways in which a run ends early. A Session prepares, its Runner runs.
#ifndef MODELLIB_EXECUTORS_RUNTIME_RUNNER_H_
#define MODELLIB_EXECUTORS_RUNTIME_RUNNER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/executors/runtime/communicator.h"
#include "modellib/executors/runtime/program_image.h"
#include "modellib/executors/runtime/run_options.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/worker_team.h"

namespace modellib::runtime {

// What a session has decided about an entry: one per entry, changed by binding alone.
struct EntryState {
  const EntryImage* image = nullptr;
  EntryId id;
  std::vector<std::byte*> pointers;
  std::vector<int64_t> scalars;
  std::vector<int64_t> chunks;   // by step
  std::vector<KernelArgs> args;  // by step
  std::vector<StepTime> times;   // by step, or empty
  // Of all steps, if they are observed.
  std::vector<StepValue> values;
  std::vector<int64_t> value_extents;
};

class Runner {
 public:
  static absl::StatusOr<std::unique_ptr<Runner>> create(const ProgramImage& program,
                                                        const SessionOptions& options);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  absl::Status run(EntryState& entry, const RunOptions& options);
  // What a lane's steps report to.
  Fault* fault(size_t lane) { return &faults_[lane]; }

 private:
  enum Stop : int { kGoOn, kCancelled, kDeadline, kFault, kCommunication };
  struct Lane {
    std::thread thread;
    alignas(64) std::atomic<uint64_t> go{0};
    alignas(64) std::atomic<uint64_t> done{0};
  };

  Runner(const ProgramImage& program, const SessionOptions& options);
  absl::Status start_lanes(size_t lanes);
  void lane_main(size_t lane);
  void run_lane(size_t lane);

  // These return false when the run is to end.
  bool run_sequence(Slice steps);
  bool run_step(uint32_t index);
  bool perform(const StepImage& step, uint32_t index);
  bool run_chunks(const StepImage& step, uint32_t index);
  bool run_cond(const StepImage& step);
  bool run_scan(const StepImage& step);
  bool run_while(const StepImage& step);
  bool run_collective(const StepImage& step, uint32_t index);
  bool may_go_on();
  // Returns when `value` is that of this run.
  void wait_for(const std::atomic<uint64_t>& value);
  void advance(const StepImage& step, int64_t trips);
  void set_index(const StepImage& step, int64_t trip);
  void stop(Stop reason, uint32_t step);
  absl::Status status() const;

  std::function<void(const StepEvent&)> observer_;
  Communicator* communicator_;
  WorkerTeam team_;
  std::vector<Fault> faults_;  // by lane

  // Of the present run.
  EntryState* entry_ = nullptr;
  const CancelToken* cancel_ = nullptr;
  RunOptions::Clock::time_point deadline_;
  bool has_deadline_ = false;
  std::atomic<int> stop_{kGoOn};
  uint32_t stopped_at_ = 0;
  absl::Status communication_;

  // A signal is complete when it holds the number of the run, so nothing is reset between runs.
  uint64_t generation_ = 0;
  std::unique_ptr<std::atomic<uint64_t>[]> signals_;
  bool quit_ = false;
  std::vector<std::unique_ptr<Lane>> lanes_;  // [0] is null: the calling thread
};

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_RUNNER_H_
