#include "modellib/passes/step_plan.h"

#include <algorithm>
#include <map>
#include <utility>

namespace modellib {
namespace {

class StepPlanner {
 public:
  StepPlanner(const ScheduleProblem& problem, const StepPlanOptions& options)
      : problem_(problem), options_(options) {}

  absl::StatusOr<StepPlan> run() {
    absl::StatusOr<ScheduleResult> order = schedule(problem_, options_.schedule);
    if (!order.ok()) return order.status();
    out_.schedule = *std::move(order);
    position_.resize(problem_.nodes.size());
    for (size_t i = 0; i < out_.schedule.order.size(); ++i) {
      const size_t node = static_cast<size_t>(out_.schedule.order[i]);
      position_[node] = static_cast<int>(i);
      lanes_.push_back(problem_.nodes[node].lane);
    }
    absl::StatusOr<std::vector<MemoryRecord>> records =
        live_records(problem_, out_.schedule.order, options_.alignment);
    if (!records.ok()) return records.status();
    out_.records = *std::move(records);

    absl::Status status = assign_arenas();
    if (!status.ok()) return status;
    absl::StatusOr<MemoryPlan> memory = plan_memory(out_.records, options_.memory);
    if (!memory.ok()) return memory.status();
    out_.memory = *std::move(memory);
    place();
    return synchronise_lanes();
  }

 private:
  int buffers() const { return static_cast<int>(problem_.buffers.size()); }

  // Positions of the steps that touch the record.
  std::vector<int> users_of(const MemoryRecord& record) const {
    if (record.id >= buffers()) return {position_[static_cast<size_t>(record.id - buffers())]};
    const ScheduleBuffer& b = problem_.buffers[static_cast<size_t>(record.id)];
    std::vector<int> users;
    if (b.producer >= 0) users.push_back(position_[static_cast<size_t>(b.producer)]);
    for (int c : b.consumers) users.push_back(position_[static_cast<size_t>(c)]);
    return users;
  }

  std::vector<StepDependency> flow() const {
    std::vector<StepDependency> result;
    const auto depend = [&](int before, int after) {
      result.push_back(
          {position_[static_cast<size_t>(before)], position_[static_cast<size_t>(after)]});
    };
    for (const ScheduleBuffer& b : problem_.buffers) {
      // Behind a view stands whoever wrote the bytes.
      const ScheduleBuffer* source = &b;
      while (source->producer < 0 && source->alias_of >= 0) {
        source = &problem_.buffers[static_cast<size_t>(source->alias_of)];
      }
      if (source->producer < 0) continue;
      for (int c : b.consumers) {
        if (c != source->producer) depend(source->producer, c);
      }
    }
    for (const auto& [before, after] : problem_.edges) depend(before, after);
    return result;
  }

  absl::Status assign_arenas() {
    if (std::all_of(lanes_.begin(), lanes_.end(), [&](int l) { return l == lanes_[0]; })) {
      if (!lanes_.empty()) {
        for (MemoryRecord& r : out_.records) r.arena = lanes_[0];
      }
      return absl::OkStatus();
    }
    // The root of each record, and the first step that touches anything in it.
    std::map<int64_t, size_t> by_id;
    for (size_t i = 0; i < out_.records.size(); ++i) by_id[out_.records[i].id] = i;
    std::vector<size_t> root(out_.records.size());
    std::vector<int> first(out_.records.size(), static_cast<int>(lanes_.size()));
    std::vector<std::vector<int>> users;
    for (size_t i = 0; i < out_.records.size(); ++i) {
      users.push_back(users_of(out_.records[i]));
      size_t at = i;
      while (out_.records[at].alias_of != -1) at = by_id.at(out_.records[at].alias_of);
      root[i] = at;
      for (int user : users[i]) first[at] = std::min(first[at], user);
    }
    for (size_t i = 0; i < out_.records.size(); ++i) {
      const int taker = first[root[i]];
      out_.records[i].arena =
          taker < static_cast<int>(lanes_.size()) ? lanes_[static_cast<size_t>(taker)] : 0;
    }
    if (!options_.extend_lifetimes) return absl::OkStatus();
    const absl::StatusOr<LaneSync> sync = synchronise(lanes_, flow());
    if (!sync.ok()) return sync.status();
    return extend_lifetimes(*sync, users, absl::MakeSpan(out_.records));
  }

  void place() {
    std::map<int, int> arena_index;
    for (size_t a = 0; a < out_.memory.arenas.size(); ++a) {
      arena_index[out_.memory.arenas[a].arena] = static_cast<int>(a);
    }
    out_.buffers.resize(problem_.buffers.size());
    out_.workspace.resize(problem_.nodes.size());
    for (size_t i = 0; i < out_.records.size(); ++i) {
      const MemoryRecord& r = out_.records[i];
      const BufferPlace where = {arena_index.at(r.arena), out_.memory.offsets[i]};
      if (r.id < buffers()) {
        out_.buffers[static_cast<size_t>(r.id)] = where;
      } else {
        out_.workspace[static_cast<size_t>(r.id - buffers())] = where;
      }
    }
  }

  absl::StatusOr<StepPlan> synchronise_lanes() {
    std::vector<MemoryAccess> accesses;
    for (int id = 0; id < buffers(); ++id) {
      const ScheduleBuffer& b = problem_.buffers[static_cast<size_t>(id)];
      MemoryAccess access;
      const BufferPlace& where = out_.buffers[static_cast<size_t>(id)];
      access.arena = where.arena;
      access.begin = where.offset;
      if (where.arena < 0) {
        // A memory of its own, numbered below -1 by the root.
        int root = id;
        for (; problem_.buffers[static_cast<size_t>(root)].alias_of >= 0;
             root = problem_.buffers[static_cast<size_t>(root)].alias_of) {
          access.begin += problem_.buffers[static_cast<size_t>(root)].alias_offset;
        }
        access.arena = -2 - root;
      }
      access.end = access.begin + b.size;
      const auto use = [&](int node, bool writes) {
        access.step = position_[static_cast<size_t>(node)];
        access.writes = writes;
        accesses.push_back(access);
      };
      if (b.producer >= 0) use(b.producer, true);
      for (int c : b.consumers) use(c, false);
    }
    for (size_t n = 0; n < problem_.nodes.size(); ++n) {
      const BufferPlace& where = out_.workspace[n];
      if (where.arena < 0) continue;
      accesses.push_back({position_[n], where.arena, where.offset,
                          where.offset + problem_.nodes[n].workspace, true});
    }
    absl::StatusOr<std::vector<StepDependency>> dependencies =
        memory_dependencies(lanes_, accesses);
    if (!dependencies.ok()) return dependencies.status();
    // A step that writes bytes which another wrote before, as the second writer of a buffer, is
    // among the consumers; the flow and the edges order it.
    for (const StepDependency& d : flow()) dependencies->push_back(d);
    absl::StatusOr<LaneSync> sync = synchronise(lanes_, *dependencies);
    if (!sync.ok()) return sync.status();
    out_.sync = *std::move(sync);
    return std::move(out_);
  }

  const ScheduleProblem& problem_;
  const StepPlanOptions& options_;
  StepPlan out_;
  std::vector<int> position_;  // by node
  std::vector<int> lanes_;     // by position
};

}  // namespace

absl::StatusOr<StepPlan> plan_steps(const ScheduleProblem& problem,
                                    const StepPlanOptions& options) {
  return StepPlanner(problem, options).run();
}

}  // namespace modellib
