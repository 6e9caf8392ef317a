#include "modellib/passes/sequence_planning.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

// A use of bytes of a buffer that lies in no other.
struct Access {
  int step;
  int64_t begin, end;
  bool writes;
  bool operator==(const Access&) const = default;
};

// Whether the step is a collective, or has one in its bodies.
bool meets_other_ranks(const LoweredStep& step) {
  if (absl::StartsWith(step.recipe.kernel, "comm.")) return true;
  return std::any_of(step.bodies.begin(), step.bodies.end(), [](const StepSequence& body) {
    return std::any_of(body.steps.begin(), body.steps.end(), meets_other_ranks);
  });
}

// A sequence as the scheduler sees it.
class SequenceProblem {
 public:
  SequenceProblem(const StepSequence& sequence, const StepBuffers& buffers)
      : sequence_(sequence), buffers_(buffers) {}

  ScheduleProblem make() {
    for (const LoweredStep& s : sequence_.steps) {
      problem_.nodes.push_back({s.workspace, sequence_.id == 0 ? s.recipe.lane : 0});
    }
    for (size_t s = 0; s < sequence_.steps.size(); ++s) {
      for_each_operand(sequence_.steps[s], [&](const Place& place, int64_t bytes, bool writes) {
        use(static_cast<int>(s), place, bytes, writes);
      });
    }
    for (const auto& [root, accesses] : accesses_) order(root, accesses);
    allow_in_place();
    order_collectives();
    return std::move(problem_);
  }
  // By buffer of the entry.
  absl::flat_hash_map<int, int> take_index() { return std::move(index_); }

 private:
  bool is_planned_here(int buffer) const {
    return buffers_[buffer].space == fb::Space::Arena && buffers_[buffer].home == sequence_.id;
  }
  ScheduleBuffer& scheduled(int buffer) {
    return problem_.buffers[static_cast<size_t>(index_.at(buffer))];
  }

  // Buffers enter the problem as they are met, with those that they lie in.
  int index_of(int buffer) {
    const auto [it, inserted] =
        index_.try_emplace(buffer, static_cast<int>(problem_.buffers.size()));
    const int index = it->second;
    if (!inserted) return index;
    const StepBuffer& b = buffers_[buffer];
    ScheduleBuffer& s = problem_.buffers.emplace_back();
    s.size = b.bytes;
    s.name = b.name;
    s.persistent = b.inside.buffer == kNoBuffer && !is_planned_here(buffer);
    if (b.inside.buffer != kNoBuffer) {
      const int around = index_of(b.inside.buffer);
      ScheduleBuffer& again = problem_.buffers[static_cast<size_t>(index)];
      again.alias_of = around;
      again.alias_offset = b.inside.offset;
    }
    return index;
  }

  void use(int step, const Place& place, int64_t bytes, bool writes) {
    if (bytes == 0) return;
    const Place resolved = buffers_.resolve(place);
    const int root = resolved.buffer;
    // What a body plans for itself is workspace here.
    if (buffers_[root].home > sequence_.id) return;
    // A buffer of a body that lies in one of ours: ours is meant.
    const int buffer = buffers_[place.buffer].home > sequence_.id ? root : place.buffer;
    ScheduleBuffer& s = problem_.buffers[static_cast<size_t>(index_of(buffer))];
    if (writes && s.producer < 0 && is_planned_here(buffer)) {
      s.producer = step;
      if (!s.consumers.empty() && s.consumers.back() == step) s.consumers.pop_back();
    } else if (s.producer != step && (s.consumers.empty() || s.consumers.back() != step)) {
      s.consumers.push_back(step);
    }
    // An operand that moves with loops further in may be anywhere.
    const bool moves = resolved.strides.size() > static_cast<size_t>(sequence_.loop_depth);
    const int64_t begin = moves ? 0 : resolved.offset;
    const int64_t end = moves ? buffers_[root].bytes : resolved.offset + bytes;
    std::vector<Access>& list = accesses_[root];
    if (!list.empty() && list.back() == Access{step, begin, end, writes}) return;
    list.push_back({step, begin, end, writes});
  }

  // Where two steps touch the same bytes and one writes, their order stays. That between the one
  // writer of a buffer and its readers is known already.
  void order(int root, const std::vector<Access>& accesses) {
    const auto writers =
        std::count_if(accesses.begin(), accesses.end(), [](const Access& a) { return a.writes; });
    // One that writes through a part, the rest having no bytes, is not the producer of the whole.
    const bool known = writers == 1 && is_planned_here(root) && index_.contains(root) &&
                       scheduled(root).producer >= 0;
    if (writers == 0 || known) return;
    for (size_t later = 1; later < accesses.size(); ++later) {
      for (size_t earlier = 0; earlier < later; ++earlier) {
        const Access &a = accesses[earlier], &b = accesses[later];
        if (a.step == b.step || (!a.writes && !b.writes)) continue;
        if (a.begin < b.end && b.begin < a.end) problem_.edges.emplace_back(a.step, b.step);
      }
    }
  }

  void allow_in_place() {
    for (size_t s = 0; s < sequence_.steps.size(); ++s) {
      const LoweredStep& step = sequence_.steps[s];
      for (const auto& [o, i] : step.recipe.in_place) {
        const Place& to = step.outputs[static_cast<size_t>(o)];
        const Place& from = step.inputs[static_cast<size_t>(i)];
        if (!is_whole(to) || !is_whole(from)) continue;
        // Buffers of no bytes take no part.
        if (!index_.contains(to.buffer) || !index_.contains(from.buffer)) continue;
        if (buffers_[to.buffer].bytes > buffers_[from.buffer].bytes) continue;
        ScheduleBuffer& target = scheduled(to.buffer);
        if (target.producer != static_cast<int>(s) || target.in_place_of != -1) continue;
        // Read through another operand as well, the old content must stay until the step is done.
        const auto readers =
            std::count_if(step.inputs.begin(), step.inputs.end(), [&](const Place& other) {
              return other.buffer != kNoBuffer && buffers_.resolve(other).buffer == from.buffer;
            });
        if (readers == 1) target.in_place_of = index_.at(from.buffer);
      }
    }
  }
  // A buffer of this sequence from its start, in no other.
  bool is_whole(const Place& place) const {
    return place.buffer != kNoBuffer && place.offset == 0 && is_planned_here(place.buffer) &&
           buffers_[place.buffer].inside.buffer == kNoBuffer;
  }

  // All ranks make them in one order. Those of a body run on the lane of its control step, so the
  // edges also make that lane and the one of the others wait for each other.
  void order_collectives() {
    int previous = -1;
    for (size_t s = 0; s < sequence_.steps.size(); ++s) {
      if (!meets_other_ranks(sequence_.steps[s])) continue;
      if (previous >= 0) problem_.edges.emplace_back(previous, static_cast<int>(s));
      previous = static_cast<int>(s);
    }
  }

  const StepSequence& sequence_;
  const StepBuffers& buffers_;
  ScheduleProblem problem_;
  absl::flat_hash_map<int, int> index_;
  std::map<int, std::vector<Access>> accesses_;  // by buffer that lies in no other
};

// The plain topological orders that a schedule is judged by. In both, steps that write variables,
// and what depends on them, come at the end.
struct PlainOrders {
  // By Kahn's algorithm: a step is issued when all that it needs has been, the first to be ready
  // first.
  std::vector<int> by_readiness;
  std::vector<int> as_numbered;
};
PlainOrders updates_last(const StepSequence& sequence, const StepBuffers& buffers,
                         const ScheduleProblem& problem) {
  const size_t count = sequence.steps.size();
  std::vector<std::vector<int>> next(count);
  std::vector<int> waiting(count, 0);
  const auto depend = [&](int before, int after) {
    if (before == after) return;
    next[static_cast<size_t>(before)].push_back(after);
    ++waiting[static_cast<size_t>(after)];
  };
  for (const ScheduleBuffer& b : problem.buffers) {
    const ScheduleBuffer* source = &b;
    while (source->producer < 0 && source->alias_of >= 0) {
      source = &problem.buffers[static_cast<size_t>(source->alias_of)];
    }
    if (source->producer < 0) continue;
    for (int consumer : b.consumers) depend(source->producer, consumer);
  }
  for (const auto& [before, after] : problem.edges) depend(before, after);

  std::vector<bool> late(count, false);
  for (size_t s = 0; s < count; ++s) {
    for_each_operand(sequence.steps[s], [&](const Place& place, int64_t, bool writes) {
      const int root = buffers.resolve(place).buffer;
      if (writes && buffers[root].space == fb::Space::Variable) late[s] = true;
    });
  }
  std::vector<int> order, updates, ready;
  for (size_t s = 0; s < count; ++s) {
    if (waiting[s] == 0) ready.push_back(static_cast<int>(s));
  }
  for (size_t i = 0; i < ready.size(); ++i) {
    const auto s = static_cast<size_t>(ready[i]);
    (late[s] ? updates : order).push_back(ready[i]);
    for (int after : next[s]) {
      if (late[s]) late[static_cast<size_t>(after)] = true;
      if (--waiting[static_cast<size_t>(after)] == 0) ready.push_back(after);
    }
  }
  order.insert(order.end(), updates.begin(), updates.end());
  PlainOrders orders{std::move(order), {}};
  for (const bool updates_now : {false, true}) {
    for (size_t s = 0; s < count; ++s) {
      if (late[s] == updates_now) orders.as_numbered.push_back(static_cast<int>(s));
    }
  }
  return orders;
}

bool is_void_copy(const LoweredStep& step, const StepBuffers& buffers, absl::string_view copy) {
  return step.recipe.kernel == copy &&
         buffers.resolve(step.outputs[0]) == buffers.resolve(step.inputs[0]);
}

}  // namespace

absl::StatusOr<SequencePlan> plan_sequence(StepSequence& sequence, const StepBuffers& buffers,
                                           absl::string_view copy) {
  auto& steps = sequence.steps;
  steps.erase(std::remove_if(steps.begin(), steps.end(),
                             [&](const LoweredStep& s) { return is_void_copy(s, buffers, copy); }),
              steps.end());
  SequencePlan result;
  for (LoweredStep& step : steps) {
    std::vector<SequencePlan>& bodies = result.bodies.emplace_back();
    for (StepSequence& body : step.bodies) {
      MODELLIB_ASSIGN_OR_RETURN(SequencePlan plan, plan_sequence(body, buffers, copy));
      step.workspace = std::max(step.workspace, plan.plan.memory.bytes);
      bodies.push_back(std::move(plan));
    }
  }
  SequenceProblem maker(sequence, buffers);
  const ScheduleProblem problem = maker.make();
  result.buffers = maker.take_index();
  MODELLIB_ASSIGN_OR_RETURN(result.plan, plan_steps(problem));
  const PlainOrders plain = updates_last(sequence, buffers, problem);
  MODELLIB_ASSIGN_OR_RETURN(result.plain_peak, schedule_peak(problem, plain.by_readiness));
  MODELLIB_ASSIGN_OR_RETURN(const int64_t numbered, schedule_peak(problem, plain.as_numbered));
  result.plain_peak = std::min(result.plain_peak, numbered);
  return result;
}

}  // namespace modellib
