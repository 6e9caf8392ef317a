#include "modellib/executors/runtime/runner.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/executors/runtime/floating_point.h"
#include "modellib/executors/runtime/spin.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime {
namespace {

// A step of more than these looks between them whether the run is to go on; the look costs nothing
// among so many.
constexpr int64_t kChunksPerLook = 1024;

std::shared_ptr<Workers> workers_of(const SessionOptions& options) {
  if (options.threads == 1) return nullptr;
  return options.workers != nullptr ? options.workers : tbb_workers(options.threads);
}

}  // namespace

Runner::Runner(const ProgramImage& program, const SessionOptions& options)
    : observer_(options.observer), communicator_(options.communicator), team_(workers_of(options)) {
  uint32_t signals = 0;
  for (const EntryImage& entry : program.entries) signals = std::max(signals, entry.signals);
  signals_ = std::make_unique<std::atomic<uint64_t>[]>(signals);
}

absl::StatusOr<std::unique_ptr<Runner>> Runner::create(const ProgramImage& program,
                                                       const SessionOptions& options) {
  std::unique_ptr<Runner> runner(new Runner(program, options));
  size_t lanes = 1;
  for (const EntryImage& entry : program.entries) lanes = std::max(lanes, entry.lanes.size());
  runner->faults_ = std::vector<Fault>(lanes);
  MODELLIB_RETURN_IF_ERROR(runner->start_lanes(lanes));
  return runner;
}

absl::Status Runner::start_lanes(size_t lanes) {
  lanes_.resize(1);
  for (size_t lane = 1; lane < lanes; ++lane) {
    lanes_.push_back(std::make_unique<Lane>());
  }
  for (size_t lane = 1; lane < lanes; ++lane) {
    try {
      lanes_[lane]->thread = std::thread([this, lane] { lane_main(lane); });
    } catch (const std::system_error& error) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot start the thread of lane ", lane, ": ", error.what()));
    }
  }
  return absl::OkStatus();
}

Runner::~Runner() {
  quit_ = true;
  for (auto& lane : lanes_) {
    if (lane == nullptr || !lane->thread.joinable()) continue;
    lane->go.store(generation_ + 1, std::memory_order_release);
    lane->go.notify_one();
    lane->thread.join();
  }
}

void Runner::lane_main(size_t index) {
  const FloatingPointScope floating_point;
  Lane& lane = *lanes_[index];
  uint64_t seen = 0;
  while (true) {
    lane.go.wait(seen, std::memory_order_acquire);
    const uint64_t now = lane.go.load(std::memory_order_acquire);
    if (now == seen) continue;
    seen = now;
    if (quit_) return;
    run_lane(index);
    lane.done.store(seen, std::memory_order_release);
    lane.done.notify_one();
  }
}

absl::Status Runner::run(EntryState& entry, const RunOptions& options) {
  const FloatingPointScope floating_point;
  entry_ = &entry;
  cancel_ = options.cancel;
  deadline_ = options.deadline;
  has_deadline_ = deadline_ != RunOptions::Clock::time_point::max();
  stop_.store(kGoOn, std::memory_order_relaxed);
  for (Fault& fault : faults_) fault.clear();
  ++generation_;
  const auto& lanes = entry.image->lanes;
  for (size_t i = 1; i < lanes.size(); ++i) {
    if (lanes[i].empty()) continue;
    lanes_[i]->go.store(generation_, std::memory_order_release);
    lanes_[i]->go.notify_one();
  }
  run_lane(0);
  for (size_t i = 1; i < lanes.size(); ++i) {
    if (!lanes[i].empty()) wait_for(lanes_[i]->done);
  }
  return stop_.load(std::memory_order_acquire) == kGoOn ? absl::OkStatus() : status();
}

// A lane that is told to stop goes through its remaining steps without running them, so that every
// signal comes and no other lane waits for ever.
void Runner::run_lane(size_t lane) {
  const EntryImage& image = *entry_->image;
  for (const uint32_t index : image.lanes[lane]) {
    const StepImage& step = image.steps[index];
    for (const uint32_t signal : in(image.indices, step.waits)) {
      wait_for(signals_[signal]);
    }
    if (may_go_on()) run_step(index);
    for (const uint32_t signal : in(image.indices, step.signals)) {
      signals_[signal].store(generation_, std::memory_order_release);
      signals_[signal].notify_all();
    }
  }
}

// A lane may be waiting for other ranks, and no step of ours comes in which somebody looks at the
// clock: who waits for that lane does.
void Runner::wait_for(const std::atomic<uint64_t>& value) {
  if (!entry_->image->uses_communicator || (cancel_ == nullptr && !has_deadline_)) {
    await(value, generation_);
    return;
  }
  for (int i = 0; value.load(std::memory_order_acquire) != generation_; ++i) {
    if (i < kSpins) {
      pause_briefly();
    } else {
      may_go_on();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

bool Runner::may_go_on() {
  if (stop_.load(std::memory_order_relaxed) != kGoOn) return false;
  if (cancel_ != nullptr && cancel_->cancelled()) {
    stop(kCancelled, 0);
    return false;
  }
  if (has_deadline_ && RunOptions::Clock::now() >= deadline_) {
    stop(kDeadline, 0);
    return false;
  }
  return true;
}

bool Runner::run_sequence(Slice steps) {
  for (uint32_t i = steps.begin; i < steps.begin + steps.count; ++i) {
    if (!may_go_on() || !run_step(i)) return false;
  }
  return true;
}

bool Runner::run_step(uint32_t index) {
  const StepImage& step = entry_->image->steps[index];
  bool goes_on;
  if (entry_->times.empty()) {
    goes_on = perform(step, index);
  } else {
    const auto start = std::chrono::steady_clock::now();
    goes_on = perform(step, index);
    StepTime& time = entry_->times[index];
    ++time.runs;
    time.nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(
                            std::chrono::steady_clock::now() - start)
                            .count();
  }
  if (observer_ != nullptr) {
    observer_({entry_->id,
               static_cast<int>(index),
               step.name,
               step.kernel_name,
               {entry_->pointers.data() + step.first_pointer, step.pointers()},
               {entry_->image->pointer_bytes.data() + step.first_pointer, step.pointers()},
               static_cast<int>(step.outputs),
               static_cast<int>(step.inputs),
               {entry_->scalars.data() + step.scalars.begin, step.scalars.count},
               entry_->chunks[index],
               step.data,
               {entry_->values.data() + step.values.begin, step.values.count}});
  }
  return goes_on;
}

bool Runner::perform(const StepImage& step, uint32_t index) {
  switch (step.kind) {
    case StepKind::kKernel:
      if (!run_chunks(step, index)) return false;
      if (faults_[step.lane].code() == Fault::kNone) return true;
      stop(kFault, index);
      return false;
    case StepKind::kCond:
      return run_cond(step);
    case StepKind::kScan:
      return run_scan(step);
    case StepKind::kWhile:
      return run_while(step);
    default:
      return run_collective(step, index);
  }
}

bool Runner::run_chunks(const StepImage& step, uint32_t index) {
  const KernelArgs& args = entry_->args[index];
  const int64_t chunks = entry_->chunks[index];
  for (int64_t begin = 0; begin < chunks; begin += kChunksPerLook) {
    if (begin > 0 && !may_go_on()) return false;
    const int64_t end = std::min(chunks, begin + kChunksPerLook);
    // Helpers belong to the main lane; the others copy and communicate.
    if (step.lane == 0) {
      team_.run(step.kernel->run, args, begin, end);
    } else {
      for (int64_t i = begin; i < end; ++i) step.kernel->run(args, i);
    }
  }
  return true;
}

bool Runner::run_cond(const StepImage& step) {
  const EntryImage& image = *entry_->image;
  const bool predicate = *entry_->pointers[step.first_pointer] != std::byte{0};
  return run_sequence(image.sequences[in(image.indices, step.sequences)[predicate ? 0 : 1]]);
}

void Runner::advance(const StepImage& step, int64_t trips) {
  for (const PointerAdvance& a : in(entry_->image->advances, step.advances)) {
    entry_->pointers[a.pointer] += a.stride * trips;
  }
}

void Runner::set_index(const StepImage& step, int64_t trip) {
  if (step.outputs == 0) return;
  std::byte* const index = entry_->pointers[step.first_pointer];
  if (index != nullptr) std::memcpy(index, &trip, sizeof(trip));
}

bool Runner::run_scan(const StepImage& step) {
  const EntryImage& image = *entry_->image;
  const Slice body = image.sequences[in(image.indices, step.sequences)[0]];
  int64_t trips = entry_->scalars[step.scalars.begin];
  const std::byte* const actual =
      step.inputs == 0 ? nullptr : entry_->pointers[step.first_pointer + step.outputs];
  if (actual != nullptr) {
    int64_t wanted;
    std::memcpy(&wanted, actual, sizeof(wanted));
    trips = std::clamp<int64_t>(wanted, 0, trips);
  }
  bool goes_on = true;
  int64_t trip = 0;
  for (; trip < trips && goes_on; ++trip) {
    set_index(step, trip);
    goes_on = may_go_on() && run_sequence(body);
    advance(step, 1);
  }
  advance(step, -trip);
  set_index(step, trip);
  return goes_on;
}

bool Runner::run_while(const StepImage& step) {
  const EntryImage& image = *entry_->image;
  const auto bodies = in(image.indices, step.sequences);
  const int64_t bound = entry_->scalars[step.scalars.begin];
  const std::byte* const predicate = entry_->pointers[step.first_pointer + step.outputs];
  bool goes_on = true;
  int64_t trip = 0;
  for (; trip < bound; ++trip) {
    set_index(step, trip);
    goes_on = may_go_on() && run_sequence(image.sequences[bodies[0]]);
    if (!goes_on || *predicate == std::byte{0}) break;
    goes_on = run_sequence(image.sequences[bodies[1]]);
    if (!goes_on) break;
    advance(step, 1);
  }
  advance(step, -trip);
  set_index(step, trip);
  return goes_on;
}

bool Runner::run_collective(const StepImage& step, uint32_t index) {
  std::byte* const output = entry_->pointers[step.first_pointer];
  const std::byte* const input = entry_->pointers[step.first_pointer + 1];
  const int64_t* const scalars = entry_->scalars.data() + step.scalars.begin;
  const int64_t count = scalars[0];
  const auto dtype = static_cast<DType>(scalars[1]);
  absl::Status status;
  switch (step.kind) {
    case StepKind::kAllReduce:
      status = communicator_->all_reduce(input, output, count, dtype,
                                         static_cast<Reduction>(scalars[2]));
      break;
    case StepKind::kBroadcast:
      status = communicator_->broadcast(input, output, count, dtype, static_cast<int>(scalars[2]));
      break;
    case StepKind::kAllGather:
      status = communicator_->all_gather(input, output, count, dtype);
      break;
    default:
      status = communicator_->reduce_scatter(input, output, count, dtype,
                                             static_cast<Reduction>(scalars[2]));
  }
  if (status.ok()) return true;
  // The first to stop keeps its reason; only it may write here.
  int go_on = kGoOn;
  if (stop_.compare_exchange_strong(go_on, kCommunication, std::memory_order_acq_rel)) {
    communication_ = std::move(status);
    stopped_at_ = index;
    communicator_->abort();
  }
  return false;
}

void Runner::stop(Stop reason, uint32_t step) {
  int go_on = kGoOn;
  if (!stop_.compare_exchange_strong(go_on, reason, std::memory_order_acq_rel)) return;
  stopped_at_ = step;
  // Peers, and our own lane of collectives, may be waiting for what now does not come.
  if (entry_->image->uses_communicator) communicator_->abort();
}

absl::Status Runner::status() const {
  const EntryImage& image = *entry_->image;
  const auto what = [&] {
    const StepImage& step = image.steps[stopped_at_];
    return absl::StrCat("entry '", image.info.name, "', step ", stopped_at_, " '", step.name, "' (",
                        step.kernel_name, "): ");
  };
  switch (stop_.load(std::memory_order_relaxed)) {
    case kCancelled:
      return absl::CancelledError(absl::StrCat("entry '", image.info.name, "' was cancelled"));
    case kDeadline:
      return absl::DeadlineExceededError(
          absl::StrCat("entry '", image.info.name, "' passed its deadline"));
    case kCommunication:
      return absl::Status(communication_.code(), absl::StrCat(what(), communication_.message()));
    default:
      break;
  }
  const Fault& fault = faults_[image.steps[stopped_at_].lane];
  switch (fault.code()) {
    case Fault::kIndexOutOfRange:
      return absl::OutOfRangeError(
          absl::StrCat(what(), "index ", fault.value(), " is not in [0, ", fault.limit(), ")"));
    case Fault::kLibrary:
      return absl::InternalError(
          absl::StrCat(what(), "the library under the kernel failed with status ", fault.value()));
    case Fault::kCommunication:
      return absl::UnavailableError(absl::StrCat(what(), "communication failed"));
    case Fault::kNone:
      break;
  }
  return absl::InternalError(absl::StrCat(what(), "the run stopped without a reason"));
}

}  // namespace modellib::runtime
