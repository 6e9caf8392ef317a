#include "modellib/frontends/cli/profile.h"

#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "modellib/executors/runtime/session.h"
#include "modellib/frontends/cli/cpu_device.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/frontends/cli/sample_inputs.h"
#include "modellib/frontends/cli/timing.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

// Runs an entry in sessions of their own for what is measured and what is only looked at.
class Profiler {
 public:
  Profiler(std::shared_ptr<const PlanFile> plan, const ProfileOptions& options)
      : plan_(std::move(plan)), options_(options) {}

  absl::StatusOr<Profile> run() {
    MODELLIB_RETURN_IF_ERROR(measure());
    MODELLIB_RETURN_IF_ERROR(look());
    profile_.limits = cpu::measure_machine_limits(options_.threads);
    return std::move(profile_);
  }

 private:
  absl::StatusOr<CpuSession> start(runtime::SessionOptions session_options) {
    session_options.threads = options_.threads;
    session_options.profile = true;
    MODELLIB_ASSIGN_OR_RETURN(CpuSession cpu, start_on_cpu(plan_, std::move(session_options)));
    MODELLIB_ASSIGN_OR_RETURN(profile_.entry,
                              choose_entry(entry_names(*cpu.executable), options_.entry));
    MODELLIB_ASSIGN_OR_RETURN(entry_, cpu.executable->entry(profile_.entry));
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs,
                              sample_inputs(*cpu.executable, entry_, options_.dims));
    MODELLIB_RETURN_IF_ERROR(bind_inputs(*cpu.session, entry_, inputs, options_.dims));
    MODELLIB_RETURN_IF_ERROR(cpu.session->run(entry_));  // touches all memory
    return cpu;
  }

  absl::Status measure() {
    MODELLIB_ASSIGN_OR_RETURN(const CpuSession cpu, start({}));
    std::vector<double> run_times;
    std::vector<std::vector<double>> step_times;
    for (int i = 0; i < options_.runs; ++i) {
      cpu.session->reset_profile();
      const Clock::time_point before = Clock::now();
      MODELLIB_RETURN_IF_ERROR(cpu.session->run(entry_));
      run_times.push_back(milliseconds_since(before));
      const auto steps = cpu.session->profile(entry_);
      step_times.resize(steps.size());
      for (size_t s = 0; s < steps.size(); ++s) {
        step_times[s].push_back(static_cast<double>(steps[s].nanoseconds) * 1e-6);
      }
    }
    profile_.runs = options_.runs;
    profile_.median_ms = median(run_times);
    const auto steps = cpu.session->profile(entry_);
    for (size_t s = 0; s < steps.size(); ++s) {
      StepProfile& step = profile_.steps.emplace_back();
      step.step = static_cast<int>(s);
      step.name = std::string(steps[s].name);
      step.kernel = std::string(steps[s].kernel);
      step.calls = steps[s].runs;
      step.milliseconds = median(step_times[s]);
    }
    return absl::OkStatus();
  }

  // One run that is watched, for the work of each step and the trace.
  absl::Status look() {
    runtime::Session* session = nullptr;  // null: it is not watched yet
    Clock::time_point start_of_run;
    std::mutex mutex;
    std::map<std::thread::id, int> lanes;
    std::vector<int64_t> seen(profile_.steps.size(), 0);  // nanoseconds of each step before
    runtime::SessionOptions watched;
    watched.observer = [&](const runtime::StepEvent& event) {
      if (session == nullptr || event.entry != entry_) return;
      const Clock::time_point now = Clock::now();
      const std::lock_guard<std::mutex> lock(mutex);
      const auto s = static_cast<size_t>(event.step);
      if (!profile_.steps[s].holds_others()) {
        const auto operands = static_cast<size_t>(event.outputs + event.inputs);
        const std::optional<cpu::StepWork> work =
            cpu::work_of_step({event.kernel, event.scalars, event.data, event.chunks,
                               event.buffers.subspan(0, operands)});
        if (work.has_value()) {
          profile_.steps[s].work.flops += work->flops;
          profile_.steps[s].work.bytes += work->bytes;
        }
      }
      if (!options_.trace) return;
      const int64_t total = session->profile(entry_)[s].nanoseconds;
      const double duration = static_cast<double>(total - seen[s]) * 1e-3;
      seen[s] = total;
      const int lane = lanes.try_emplace(std::this_thread::get_id(), static_cast<int>(lanes.size()))
                           .first->second;
      const double end = std::chrono::duration<double, std::micro>(now - start_of_run).count();
      profile_.trace.push_back({event.step, lane, end - duration, duration});
    };
    MODELLIB_ASSIGN_OR_RETURN(const CpuSession cpu, start(std::move(watched)));
    cpu.session->reset_profile();
    session = cpu.session.get();
    lanes[std::this_thread::get_id()] = 0;
    start_of_run = Clock::now();
    return session->run(entry_);
  }

  const std::shared_ptr<const PlanFile> plan_;
  const ProfileOptions& options_;
  runtime::EntryId entry_;
  Profile profile_;
};

}  // namespace

absl::StatusOr<Profile> profile_plan(std::shared_ptr<const PlanFile> plan,
                                     const ProfileOptions& options) {
  return Profiler(std::move(plan), options).run();
}

}  // namespace modellib::cli
