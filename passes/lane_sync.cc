#include "modellib/passes/lane_sync.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace modellib {
namespace {

// Who used a run of bytes last.
struct Uses {
  int64_t end = 0;
  int writer = -1;
  std::vector<int> readers;  // since then, at most one for each lane
};
using Memory = std::map<int64_t, Uses>;  // by begin

// Splits the run that contains `at`, so that one begins there.
void split(Memory* memory, int64_t at) {
  auto it = memory->upper_bound(at);
  if (it == memory->begin()) return;
  --it;
  if (it->first == at || it->second.end <= at) return;
  Uses upper = it->second;
  it->second.end = at;
  memory->emplace_hint(std::next(it), at, std::move(upper));
}

}  // namespace

bool LaneSync::before(int a, int b) const {
  return a != b && clock_[static_cast<size_t>(b) * lane_count_ + static_cast<size_t>(lane_[a])] >=
                       ordinal_[a];
}

absl::StatusOr<LaneSync> synchronise(absl::Span<const int> lanes,
                                     absl::Span<const StepDependency> dependencies) {
  const int steps = static_cast<int>(lanes.size());
  LaneSync sync;
  std::map<int, int> dense;
  for (int i = 0; i < steps; ++i) {
    if (lanes[i] < 0) {
      return absl::InvalidArgumentError(absl::StrCat("step ", i, ": lane ", lanes[i]));
    }
    sync.lane_.push_back(dense.insert({lanes[i], static_cast<int>(dense.size())}).first->second);
  }
  const size_t count = sync.lane_count_ = dense.size();
  std::vector<std::vector<int>> needs(lanes.size());
  for (const auto& [before, after] : dependencies) {
    if (before < 0 || after >= steps || before >= after) {
      return absl::InvalidArgumentError(absl::StrCat("step ", after, " can not depend on step ",
                                                     before, " in an order of ", steps, " steps"));
    }
    needs[after].push_back(before);
  }

  sync.completes.assign(lanes.size(), -1);
  sync.waits.resize(lanes.size());
  sync.clock_.assign(lanes.size() * count, 0);
  std::vector<std::vector<int>> waited(lanes.size());  // steps, later replaced by their signals
  std::vector<int> previous(count, -1);
  std::vector<int> issued(count, 0);
  for (int i = 0; i < steps; ++i) {
    const int lane = sync.lane_[i];
    int* clock = &sync.clock_[static_cast<size_t>(i) * count];
    const auto merge = [&](int from) {
      const int* other = &sync.clock_[static_cast<size_t>(from) * count];
      for (size_t l = 0; l < count; ++l) clock[l] = std::max(clock[l], other[l]);
    };
    if (previous[lane] >= 0) merge(previous[lane]);
    sync.ordinal_.push_back(++issued[lane]);
    // Latest first: what an earlier step implies, a later one that follows it implies as well.
    std::sort(needs[i].rbegin(), needs[i].rend());
    for (int before : needs[i]) {
      if (clock[sync.lane_[before]] >= sync.ordinal_[before]) continue;
      waited[i].push_back(before);
      merge(before);
    }
    clock[lane] = issued[lane];
    previous[lane] = i;
  }

  // Signals are numbered in the order in which they are completed.
  for (const std::vector<int>& list : waited) {
    for (int before : list) sync.completes[before] = 0;
  }
  for (int& signal : sync.completes) {
    if (signal == 0) signal = sync.signals++;
  }
  for (int i = 0; i < steps; ++i) {
    for (int before : waited[i]) sync.waits[i].push_back(sync.completes[before]);
    std::sort(sync.waits[i].begin(), sync.waits[i].end());
  }
  return sync;
}

absl::StatusOr<std::vector<StepDependency>> memory_dependencies(
    absl::Span<const int> lanes, absl::Span<const MemoryAccess> accesses) {
  std::vector<const MemoryAccess*> sorted;
  for (const MemoryAccess& a : accesses) {
    if (a.step < 0 || static_cast<size_t>(a.step) >= lanes.size() || a.end < a.begin) {
      return absl::InvalidArgumentError(absl::StrCat("step ", a.step, " of ", lanes.size(),
                                                     " uses bytes [", a.begin, ", ", a.end, ")"));
    }
    if (a.begin < a.end) sorted.push_back(&a);
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const MemoryAccess* a, const MemoryAccess* b) { return a->step < b->step; });

  std::vector<StepDependency> result;
  const auto depend = [&](int before, int after) {
    if (before != after && lanes[before] != lanes[after]) result.push_back({before, after});
  };
  std::map<int, Memory> memories;
  for (const MemoryAccess* a : sorted) {
    Memory& memory = memories[a->arena];
    split(&memory, a->begin);
    split(&memory, a->end);
    int64_t at = a->begin;
    auto it = memory.lower_bound(a->begin);
    while (it != memory.end() && it->first < a->end) {
      Uses& uses = it->second;
      if (uses.writer >= 0) depend(uses.writer, a->step);
      if (a->writes) {
        for (int reader : uses.readers) depend(reader, a->step);
        it = memory.erase(it);
        continue;
      }
      if (it->first > at) memory.emplace_hint(it, at, Uses{it->first, -1, {a->step}});
      at = uses.end;
      // A later read on the same lane implies the earlier one.
      const auto same = std::find_if(uses.readers.begin(), uses.readers.end(),
                                     [&](int r) { return lanes[r] == lanes[a->step]; });
      if (same != uses.readers.end()) {
        *same = a->step;
      } else {
        uses.readers.push_back(a->step);
      }
      ++it;
    }
    if (a->writes) {
      memory.emplace(a->begin, Uses{a->end, a->step, {}});
    } else if (at < a->end) {
      memory.emplace(at, Uses{a->end, -1, {a->step}});
    }
  }
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

absl::Status extend_lifetimes(const LaneSync& sync, absl::Span<const std::vector<int>> users,
                              absl::Span<MemoryRecord> records) {
  const int steps = static_cast<int>(sync.waits.size());
  if (users.size() != records.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("users of ", users.size(), " records for ", records.size()));
  }
  for (size_t i = 0; i < records.size(); ++i) {
    for (int user : users[i]) {
      if (user < 0 || user >= steps) {
        return absl::InvalidArgumentError(
            absl::StrCat("record ", records[i].id, ": user ", user, " of ", steps, " steps"));
      }
    }
  }
  // Only a step that brings a buffer to life takes memory. By arena and lane, ascending; those that
  // are after a given user are a tail of each list.
  std::map<int, std::map<int, std::vector<int>>> takers;
  for (size_t i = 0; i < records.size(); ++i) {
    if (users[i].empty()) continue;
    const int first = *std::min_element(users[i].begin(), users[i].end());
    takers[records[i].arena][sync.lane(first)].push_back(first);
  }
  for (auto& [arena, lanes] : takers) {
    for (auto& [lane, list] : lanes) {
      std::sort(list.begin(), list.end());
      list.erase(std::unique(list.begin(), list.end()), list.end());
    }
  }
  for (size_t i = 0; i < records.size(); ++i) {
    for (int user : users[i]) {
      records[i].last = std::max<int64_t>(records[i].last, user);
      for (const auto& [lane, list] : takers[records[i].arena]) {
        const auto free = std::partition_point(list.begin(), list.end(),
                                               [&](int s) { return !sync.before(user, s); });
        // All up to the one before may run beside the user.
        if (free != list.begin()) {
          records[i].last = std::max<int64_t>(records[i].last, *std::prev(free));
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace modellib
