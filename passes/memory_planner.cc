#include "modellib/passes/memory_planner.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/formats/plan_limits.h"
#include "modellib/passes/placement.h"

namespace modellib {
namespace {

constexpr auto kMaxTotal = static_cast<int64_t>(kMaxPlanBytes);
constexpr int64_t kMaxAlignment = int64_t{1} << 30;

int64_t align_up(int64_t value, int64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

std::string describe(const MemoryRecord& r) {
  return absl::StrCat("record ", r.id, r.name.empty() ? "" : " '", r.name,
                      r.name.empty() ? "" : "'");
}

// What the records say once aliases are resolved.
struct Roots {
  std::vector<int> root;        // by record
  std::vector<int64_t> offset;  // by record: from the start of its root
  std::vector<PlacementBlock>
      hull;  // by record, for roots: size, alignment; times are filled later
  std::vector<int64_t> first, last;  // by record, for roots
};

absl::Status check_record(const MemoryRecord& r) {
  if (r.size < 0) {
    return absl::InvalidArgumentError(absl::StrCat(describe(r), ": size ", r.size, " is negative"));
  }
  if (r.alignment < 1 || r.alignment > kMaxAlignment || (r.alignment & (r.alignment - 1)) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        describe(r), ": alignment must be a power of two in [1, 2^30], got ", r.alignment));
  }
  if (r.last < r.first) {
    return absl::InvalidArgumentError(
        absl::StrCat(describe(r), ": last use ", r.last, " lies before the first ", r.first));
  }
  return absl::OkStatus();
}

absl::Status check_alias(const MemoryRecord& r, const MemoryRecord& target) {
  if (r.arena != target.arena) {
    return absl::InvalidArgumentError(absl::StrCat(describe(r), " in arena ", r.arena,
                                                   " is an alias of ", describe(target),
                                                   " in arena ", target.arena));
  }
  if (r.alias_offset < 0 || r.size > target.size || r.alias_offset > target.size - r.size) {
    return absl::InvalidArgumentError(absl::StrCat(describe(r), ": ", r.size, " bytes at offset ",
                                                   r.alias_offset, " do not lie within the ",
                                                   target.size, " bytes of ", describe(target)));
  }
  return absl::OkStatus();
}

absl::StatusOr<Roots> resolve(absl::Span<const MemoryRecord> records) {
  const int n = static_cast<int>(records.size());
  std::vector<std::pair<int64_t, int>> by_id(n);
  for (int i = 0; i < n; ++i) {
    absl::Status status = check_record(records[i]);
    if (!status.ok()) return status;
    by_id[i] = {records[i].id, i};
  }
  std::sort(by_id.begin(), by_id.end());
  for (int i = 1; i < n; ++i) {
    if (by_id[i].first == by_id[i - 1].first) {
      return absl::InvalidArgumentError(absl::StrCat(describe(records[by_id[i].second]),
                                                     ": the id is also that of ",
                                                     describe(records[by_id[i - 1].second])));
    }
  }

  std::vector<int> parent(n, -1);
  for (int i = 0; i < n; ++i) {
    const MemoryRecord& r = records[i];
    if (r.alias_of == -1) continue;
    const auto at = std::lower_bound(by_id.begin(), by_id.end(), std::make_pair(r.alias_of, 0));
    if (at == by_id.end() || at->first != r.alias_of) {
      return absl::InvalidArgumentError(
          absl::StrCat(describe(r), ": alias of the unknown record ", r.alias_of));
    }
    parent[i] = at->second;
    absl::Status status = check_alias(r, records[at->second]);
    if (!status.ok()) return status;
  }

  Roots result;
  result.root.assign(n, -1);
  result.offset.assign(n, 0);
  std::vector<int> path;
  for (int i = 0; i < n; ++i) {
    // Up to a record whose root is known, then back down. A path longer than n is a cycle.
    path.clear();
    int at = i;
    while (result.root[at] < 0 && parent[at] >= 0) {
      if (static_cast<int>(path.size()) == n) {
        return absl::InvalidArgumentError(
            absl::StrCat(describe(records[i]), ": its chain of aliases is a cycle"));
      }
      path.push_back(at);
      at = parent[at];
    }
    if (result.root[at] < 0) result.root[at] = at;
    for (; !path.empty(); path.pop_back()) {
      const int down = path.back();
      result.root[down] = result.root[parent[down]];
      result.offset[down] = result.offset[parent[down]] + records[down].alias_offset;
    }
  }

  result.hull.resize(n);
  result.first.resize(n);
  result.last.resize(n);
  for (int i = 0; i < n; ++i) {
    if (result.root[i] != i) continue;
    result.hull[i].size = records[i].size;
    result.hull[i].alignment = records[i].alignment;
    result.first[i] = records[i].first;
    result.last[i] = records[i].last;
  }
  for (int i = 0; i < n; ++i) {
    const int root = result.root[i];
    if (root == i) continue;
    result.hull[root].alignment = std::max(result.hull[root].alignment, records[i].alignment);
    result.first[root] = std::min(result.first[root], records[i].first);
    result.last[root] = std::max(result.last[root], records[i].last);
    if ((result.offset[i] & (records[i].alignment - 1)) != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          describe(records[i]), ": lies ", result.offset[i], " bytes into ",
          describe(records[root]), ", which its alignment of ", records[i].alignment, " forbids"));
    }
  }
  return result;
}

// One arena: its blocks, the bound, and the search.
class ArenaPlanner {
 public:
  ArenaPlanner(std::vector<PlacementBlock> blocks, int64_t work)
      : blocks_(std::move(blocks)), placer_(blocks_) {
    placer_.set_work(std::numeric_limits<int64_t>::max());
    work_ = work;
    find_bound();
  }

  void solve();

  int64_t lower_bound() const { return bound_; }
  int peak() const { return peak_; }
  int64_t height() const { return height_; }
  const std::vector<int64_t>& offsets() const { return best_; }
  const char* strategy() const { return strategy_; }

 private:
  void find_bound();
  bool attempt(const std::vector<int>& order, PlacementFit fit, const char* name);
  template <typename Key>
  std::vector<int> sorted(Key key) const;
  void climb();

  std::vector<PlacementBlock> blocks_;  // sorted by first
  Placer placer_;
  int64_t work_;
  int64_t bound_ = 0;
  int peak_ = 0;
  int64_t height_ = std::numeric_limits<int64_t>::max();
  std::vector<int64_t> best_, trial_;
  std::vector<int> best_order_;
  PlacementFit best_fit_ = PlacementFit::kLowest;
  const char* strategy_ = "";
};

void ArenaPlanner::find_bound() {
  // Times are ranks below the number of blocks: a difference for each step.
  int end = 0;
  for (const PlacementBlock& b : blocks_) end = std::max(end, b.last + 1);
  std::vector<int64_t> change(end + 1, 0);
  for (const PlacementBlock& b : blocks_) {
    change[b.first] += b.size;
    change[b.last + 1] -= b.size;
  }
  int64_t live = 0;
  for (int t = 0; t < end; ++t) {
    live += change[t];
    if (live > bound_) {
      bound_ = live;
      peak_ = t;
    }
  }
}

// Indices in the order of descending keys; ties by index, that is by start.
template <typename Key>
std::vector<int> ArenaPlanner::sorted(Key key) const {
  using Value = decltype(key(blocks_[0]));
  std::vector<std::pair<Value, int>> keyed(blocks_.size());
  for (size_t i = 0; i < blocks_.size(); ++i) keyed[i] = {key(blocks_[i]), static_cast<int>(i)};
  std::stable_sort(keyed.begin(), keyed.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<int> order(keyed.size());
  for (size_t i = 0; i < keyed.size(); ++i) order[i] = keyed[i].second;
  return order;
}

// Runs one strategy and keeps its result if it is the best. Returns whether the search is over.
bool ArenaPlanner::attempt(const std::vector<int>& order, PlacementFit fit, const char* name) {
  if (height_ != std::numeric_limits<int64_t>::max()) {
    if (work_ <= 0) return true;
    placer_.set_work(work_);
  }
  const int64_t before = placer_.work();
  const Placer::Result result = placer_.place(order, fit, height_ - 1, absl::MakeSpan(trial_));
  work_ -= before - placer_.work();
  if (result.ok()) {
    height_ = result.height;
    best_.swap(trial_);
    best_order_ = order;
    best_fit_ = fit;
    strategy_ = name;
  }
  return height_ <= bound_;
}

void ArenaPlanner::solve() {
  best_.resize(blocks_.size());
  trial_.resize(blocks_.size());
  constexpr PlacementFit kLowest = PlacementFit::kLowest;
  constexpr PlacementFit kTightest = PlacementFit::kTightest;
  using Block = PlacementBlock;
  const auto length = [](const Block& b) { return static_cast<int64_t>(b.last) - b.first + 1; };
  const auto area = [&](const Block& b) {
    return static_cast<double>(b.size) * static_cast<double>(length(b));
  };
  // Blocks live at the peak must fill it without a gap: they come first, the others around them.
  const auto distance = [&](const Block& b) {
    return b.first > peak_ ? b.first - peak_ : std::max(0, peak_ - b.last);
  };

  // What an allocator that sees the steps one by one would do; it needs the least work.
  std::vector<int> by_start(blocks_.size());
  std::iota(by_start.begin(), by_start.end(), 0);
  if (attempt(by_start, kTightest, "by start, best fit")) return;
  const auto by_area = sorted([&](const Block& b) { return area(b); });
  if (attempt(by_area, kLowest, "by size x lifetime")) return;
  const auto by_size = sorted([&](const Block& b) { return std::make_pair(b.size, length(b)); });
  if (attempt(by_size, kLowest, "by size")) return;
  const auto by_length = sorted([&](const Block& b) { return std::make_pair(length(b), b.size); });
  if (attempt(by_length, kLowest, "by lifetime")) return;
  if (attempt(by_size, kTightest, "by size, best fit")) return;
  if (attempt(by_area, kTightest, "by size x lifetime, best fit")) return;
  if (attempt(by_length, kTightest, "by lifetime, best fit")) return;
  const auto from_peak = sorted([&](const Block& b) {
    return std::make_pair(-static_cast<int64_t>(distance(b)), length(b));
  });
  if (attempt(from_peak, kLowest, "from the peak")) return;
  const auto from_peak_by_size =
      sorted([&](const Block& b) { return std::make_pair(distance(b) == 0, b.size); });
  if (attempt(from_peak_by_size, kLowest, "from the peak by size")) return;
  if (attempt(sorted([](const Block& b) { return b.last; }), kTightest, "by end, best fit")) return;
  if (attempt(by_start, kLowest, "by start")) return;
  climb();
}

// Iterated reordering: the block that broke through the best height so far was placed too late; it
// moves to an earlier place, and the pile is built again. Now and then the walk starts anew
// from the best order.
void ArenaPlanner::climb() {
  if (work_ <= 0 || blocks_.size() < 3) return;
  placer_.set_work(work_ / 10);
  uint64_t random = 0x9e3779b97f4a7c15;
  const auto below = [&random](size_t n) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return static_cast<size_t>(random % n);
  };
  std::vector<int> order = best_order_;
  size_t reached = 0;  // position of the furthest failure since the last restart
  int stale = 0;
  constexpr int kMaxRounds = 20'000;
  constexpr int kPatience = 60;
  for (int round = 0; round < kMaxRounds && height_ > bound_; ++round) {
    const Placer::Result result =
        placer_.place(order, best_fit_, height_ - 1, absl::MakeSpan(trial_));
    if (result.exhausted) return;
    if (result.ok()) {
      height_ = result.height;
      best_.swap(trial_);
      best_order_ = order;
      strategy_ = "iterated order";
      stale = 0;
      reached = 0;
      continue;
    }
    const size_t failed = static_cast<size_t>(result.failed);
    if (failed > reached) {
      reached = failed;
      stale = 0;
    } else if (++stale > kPatience) {
      order = best_order_;
      const size_t a = below(order.size());
      const size_t b = below(order.size());
      std::swap(order[a], order[b]);
      reached = 0;
      stale = 0;
      continue;
    }
    // At position 0 a block larger than the limit would fail; the bound rules that out.
    const size_t to = failed == 0 ? 0 : below(failed);
    std::rotate(order.begin() + to, order.begin() + failed, order.begin() + failed + 1);
  }
}

}  // namespace

absl::StatusOr<MemoryPlan> plan_memory(absl::Span<const MemoryRecord> records,
                                       const MemoryPlannerOptions& options) {
  absl::StatusOr<Roots> resolved = resolve(records);
  if (!resolved.ok()) return resolved.status();
  Roots& roots = *resolved;

  int64_t total = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    if (roots.root[i] != static_cast<int>(i)) continue;
    if (roots.hull[i].size > kMaxTotal - total - 2 * kMaxAlignment) {
      return absl::InvalidArgumentError(absl::StrCat(
          describe(records[i]), ": with its ", records[i].size, " bytes the sizes pass 2^62"));
    }
    total += roots.hull[i].size + 2 * roots.hull[i].alignment;
  }

  MemoryPlan plan;
  plan.offsets.assign(records.size(), 0);
  std::map<int, int64_t> alignments;
  std::map<int, std::vector<int>> by_arena;  // the roots that take memory
  for (size_t i = 0; i < records.size(); ++i) {
    std::vector<int>& members = by_arena[records[i].arena];
    int64_t& alignment = alignments[records[i].arena];
    alignment = std::max(alignment, records[i].alignment);
    if (roots.root[i] == static_cast<int>(i) && roots.hull[i].size > 0) {
      members.push_back(static_cast<int>(i));
    }
  }

  int64_t work = options.work;
  for (auto& [arena, members] : by_arena) {
    MemoryPlan::Arena& out = plan.arenas.emplace_back();
    out.arena = arena;
    out.alignment = alignments[arena];
    if (members.empty()) continue;
    // By all that matters to the placement, so that the order of the records does not.
    const auto key = [&](int r) {
      return std::make_tuple(roots.first[r], roots.last[r], -roots.hull[r].size,
                             roots.hull[r].alignment);
    };
    std::stable_sort(members.begin(), members.end(), [&](int a, int b) { return key(a) < key(b); });

    // Only starts matter as moments: between two of them nothing new comes to life.
    std::vector<int64_t> starts;
    int64_t unit = kMaxAlignment;
    for (int r : members) {
      if (starts.empty() || starts.back() != roots.first[r]) starts.push_back(roots.first[r]);
      unit = std::min(unit, roots.hull[r].alignment);
    }
    const auto rank = [&](int64_t time) {
      return static_cast<int>(std::upper_bound(starts.begin(), starts.end(), time) -
                              starts.begin()) -
             1;
    };
    std::vector<PlacementBlock> blocks;
    blocks.reserve(members.size());
    for (int r : members) {
      blocks.push_back({align_up(roots.hull[r].size, unit), roots.hull[r].alignment,
                        rank(roots.first[r]), rank(roots.last[r])});
    }

    ArenaPlanner planner(std::move(blocks), work);
    planner.solve();
    out.bytes = planner.height();
    out.lower_bound = planner.lower_bound();
    out.peak = starts[planner.peak()];
    out.strategy = planner.strategy();
    for (size_t i = 0; i < members.size(); ++i) {
      const int r = members[i];
      plan.offsets[r] = planner.offsets()[i];
      if (roots.first[r] <= out.peak && out.peak <= roots.last[r]) {
        out.contributors.push_back({r, records[r].size});
      }
    }
    std::stable_sort(out.contributors.begin(), out.contributors.end(),
                     [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
    if (out.contributors.size() > static_cast<size_t>(std::max(0, options.contributors))) {
      out.contributors.resize(std::max(0, options.contributors));
    }
    plan.bytes += out.bytes;
    plan.lower_bound += out.lower_bound;
  }

  for (size_t i = 0; i < records.size(); ++i) {
    plan.offsets[i] = plan.offsets[roots.root[i]] + roots.offset[i];
  }
  plan.roots = std::move(roots.root);
  return plan;
}

absl::Status check_memory_plan(absl::Span<const MemoryRecord> records, const MemoryPlan& plan) {
  if (plan.offsets.size() != records.size() || plan.roots.size() != records.size()) {
    return absl::InternalError(absl::StrCat("a plan of ", plan.offsets.size(), " offsets for ",
                                            records.size(), " records"));
  }
  std::map<int, int64_t> arena_bytes;
  for (const MemoryPlan::Arena& arena : plan.arenas) arena_bytes[arena.arena] = arena.bytes;
  // Lifetimes of roots, widened by all that lies in them.
  std::vector<int64_t> first(records.size(), std::numeric_limits<int64_t>::max());
  std::vector<int64_t> last(records.size(), std::numeric_limits<int64_t>::min());
  for (size_t i = 0; i < records.size(); ++i) {
    const MemoryRecord& r = records[i];
    const auto arena = arena_bytes.find(r.arena);
    if (arena == arena_bytes.end() || plan.offsets[i] < 0 || r.size > arena->second ||
        plan.offsets[i] > arena->second - r.size) {
      return absl::InternalError(absl::StrCat(describe(r), " lies outside arena ", r.arena));
    }
    if ((plan.offsets[i] & (r.alignment - 1)) != 0) {
      return absl::InternalError(
          absl::StrCat(describe(r), " at ", plan.offsets[i], " is not aligned to ", r.alignment));
    }
    const int root = plan.roots[i];
    first[root] = std::min(first[root], r.first);
    last[root] = std::max(last[root], r.last);
  }
  // Sweep over time with the live roots ordered by place; neighbours alone can overlap first.
  std::vector<std::pair<std::pair<int64_t, int>, int>> events;  // ((time, 0 birth / 1 death), root)
  for (size_t i = 0; i < records.size(); ++i) {
    if (plan.roots[i] != static_cast<int>(i) || records[i].size == 0) continue;
    events.push_back({{first[i], 0}, static_cast<int>(i)});
    events.push_back({{last[i], 1}, static_cast<int>(i)});
  }
  std::sort(events.begin(), events.end());
  std::map<std::pair<int, int64_t>, int> live;  // by (arena, offset)
  for (const auto& [when, root] : events) {
    const MemoryRecord& r = records[root];
    const std::pair<int, int64_t> place = {r.arena, plan.offsets[root]};
    if (when.second == 1) {
      live.erase(place);
      continue;
    }
    const auto [at, inserted] = live.insert({place, root});
    const MemoryRecord* other = inserted ? nullptr : &records[at->second];
    if (inserted && at != live.begin()) {
      const auto below = std::prev(at);
      if (below->first.first == r.arena &&
          below->first.second + records[below->second].size > place.second) {
        other = &records[below->second];
      }
    }
    if (inserted && std::next(at) != live.end()) {
      const auto above = std::next(at);
      if (above->first.first == r.arena && place.second + r.size > above->first.second) {
        other = &records[above->second];
      }
    }
    if (other != nullptr) {
      return absl::InternalError(absl::StrCat(describe(r), " and ", describe(*other),
                                              " share bytes at step ", when.first));
    }
  }
  return absl::OkStatus();
}

}  // namespace modellib
