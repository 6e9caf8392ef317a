#include "modellib/tests/support/program_run.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "modellib/distributed/local/local_group.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/variable_store.h"
#include "modellib/graph/status_macros.h"
#include "xxhash.h"

namespace modellib {

using runtime::Session;
using runtime::VariableStore;

struct ProgramRun::Rank {
  size_t number = 0;
  std::unique_ptr<runtime::Communicator> communicator;
  std::shared_ptr<VariableStore> store;     // null without shared variables
  std::unique_ptr<Session> direct, reader;  // the second if a call is published
  std::vector<runtime::EntryId> entries;    // by call
  absl::Status status;                      // of the last call
  std::thread thread;

  Session& session(const ProgramCalls::Call& call) const {
    return call.published ? *reader : *direct;
  }

  absl::Status run(const ProgramCalls& calls, size_t i) const {
    const ProgramCalls::Call& call = calls.calls[i];
    Session& runs = session(call);
    if (call.published) MODELLIB_RETURN_IF_ERROR(store->publish());
    const std::vector<Tensor>& inputs = call.inputs[number];
    for (size_t k = 0; k < inputs.size(); ++k) {
      MODELLIB_RETURN_IF_ERROR(runs.bind_input(entries[i], static_cast<int>(k), inputs[k]));
    }
    return runs.run(entries[i]);
  }
  // A rank that fails must not leave the others waiting.
  void run_and_keep_status(const ProgramCalls& calls, size_t i) {
    status = run(calls, i);
    if (!status.ok()) communicator->abort();
  }
};

// Where the first rank tells the others to go on, and waits for them.
struct ProgramRun::Meeting {
  std::mutex mutex;
  std::condition_variable begins, ends;
  uint64_t round = 0;
  size_t call = 0;
  size_t at_work = 0;
  bool over = false;
};

absl::StatusOr<std::unique_ptr<ProgramRun>> ProgramRun::create(
    std::shared_ptr<const runtime::Executable> executable, const ProgramCalls& calls,
    Options options) {
  auto run = std::unique_ptr<ProgramRun>(new ProgramRun);
  run->calls_ = &calls;
  run->meeting_ = std::make_unique<Meeting>();
  bool shared = false;
  for (const runtime::VariableInfo& v : executable->variables()) {
    shared = shared || v.kind != runtime::VariableKind::kSession;
  }
  auto group = distributed::make_local_group(calls.ranks);
  for (int number = 0; number < calls.ranks; ++number) {
    auto rank = std::make_unique<Rank>();
    rank->number = static_cast<size_t>(number);
    rank->communicator = std::move(group[rank->number]);
    if (shared) {
      MODELLIB_ASSIGN_OR_RETURN(rank->store, VariableStore::create(executable));
    }
    for (const auto& [name, value] : calls.variables) {
      MODELLIB_RETURN_IF_ERROR(rank->store->set(name, value));
    }
    const auto make = [&](runtime::VariableAccess access) {
      runtime::SessionOptions of;
      of.threads = options.threads;
      if (options.workers != nullptr && options.threads > 1) {
        of.workers = options.workers(options.threads);
      }
      of.communicator = rank->communicator.get();
      of.access = access;
      return Session::create(executable, rank->store, std::move(of));
    };
    MODELLIB_ASSIGN_OR_RETURN(rank->direct, make(runtime::VariableAccess::kDirect));
    for (const ProgramCalls::Call& call : calls.calls) {
      if (call.inputs.size() != static_cast<size_t>(calls.ranks)) {
        return absl::InvalidArgumentError("a call needs inputs for each rank");
      }
      if (call.published && rank->reader == nullptr) {
        MODELLIB_ASSIGN_OR_RETURN(rank->reader, make(runtime::VariableAccess::kPublished));
      }
      MODELLIB_ASSIGN_OR_RETURN(const runtime::EntryId entry, executable->entry(call.entry));
      rank->entries.push_back(entry);
    }
    run->ranks_.push_back(std::move(rank));
  }
  Meeting& meeting = *run->meeting_;
  for (size_t number = 1; number < run->ranks_.size(); ++number) {
    Rank& rank = *run->ranks_[number];
    rank.thread = std::thread([&meeting, &rank, &calls] {
      std::unique_lock<std::mutex> lock(meeting.mutex);
      for (uint64_t seen = 0;; seen = meeting.round) {
        meeting.begins.wait(lock, [&] { return meeting.over || meeting.round != seen; });
        if (meeting.over) return;
        const size_t call = meeting.call;
        lock.unlock();
        rank.run_and_keep_status(calls, call);
        lock.lock();
        if (--meeting.at_work == 0) meeting.ends.notify_one();
      }
    });
  }
  return run;
}

ProgramRun::~ProgramRun() {
  {
    const std::lock_guard<std::mutex> lock(meeting_->mutex);
    meeting_->over = true;
  }
  meeting_->begins.notify_all();
  for (const auto& rank : ranks_) {
    if (rank->thread.joinable()) rank->thread.join();
  }
}

absl::Status ProgramRun::call(size_t i) {
  if (ranks_.size() == 1) return ranks_[0]->run(*calls_, i);
  Meeting& meeting = *meeting_;
  {
    const std::lock_guard<std::mutex> lock(meeting.mutex);
    meeting.call = i;
    meeting.at_work = ranks_.size() - 1;
    ++meeting.round;
  }
  meeting.begins.notify_all();
  ranks_[0]->run_and_keep_status(*calls_, i);
  std::unique_lock<std::mutex> lock(meeting.mutex);
  meeting.ends.wait(lock, [&] { return meeting.at_work == 0; });
  for (const auto& rank : ranks_) MODELLIB_RETURN_IF_ERROR(rank->status);
  return absl::OkStatus();
}

uint64_t ProgramRun::digest(size_t i) const {
  uint64_t digest = 0;
  for (const auto& rank : ranks_) {
    const Session& session = rank->session(calls_->calls[i]);
    const runtime::EntryId entry = rank->entries[i];
    const auto& outputs = session.executable().info(entry).outputs;
    for (size_t o = 0; o < outputs.size(); ++o) {
      const absl::Span<const int64_t> extents = session.output_extents(entry, static_cast<int>(o));
      int64_t elements = 1;
      for (const int64_t extent : extents) elements *= extent;
      digest = XXH3_64bits_withSeed(extents.data(), extents.size() * sizeof(int64_t), digest);
      digest =
          XXH3_64bits_withSeed(session.output_data(entry, static_cast<int>(o)),
                               static_cast<size_t>(bytes_of(outputs[o].dtype, elements)), digest);
    }
  }
  return digest;
}

absl::StatusOr<uint64_t> ProgramRun::variables_digest() const {
  uint64_t digest = 0;
  for (const auto& rank : ranks_) {
    for (const runtime::VariableInfo& v : rank->direct->executable().variables()) {
      MODELLIB_ASSIGN_OR_RETURN(const Tensor value, v.kind == runtime::VariableKind::kSession
                                                        ? rank->direct->get_variable(v.name)
                                                        : rank->store->get(v.name));
      digest = XXH3_64bits_withSeed(value.data(), static_cast<size_t>(value.bytes()), digest);
    }
  }
  return digest;
}

}  // namespace modellib
