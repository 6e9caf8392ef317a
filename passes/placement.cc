#include "modellib/passes/placement.h"

#include <algorithm>
#include <limits>

namespace modellib {
namespace {

constexpr int kGroup = 16;        // blocks under a leaf of the tree
constexpr size_t kLongRun = 512;  // entries at which a run is split
constexpr int kManyFactor =
    12;  // cost of a visit through the tree, sorted, over that of a scanned entry

int64_t align_up(int64_t value, int64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

}  // namespace

// Looks for room while the blocks beside are shown in the order of their offsets.
class Placer::Gap {
 public:
  Gap(const PlacementBlock& block, PlacementFit fit) : block_(block), fit_(fit) {}

  // Returns true when the search is over.
  bool pass(int64_t offset, int64_t end) {
    const int64_t start = align_up(top_, block_.alignment);
    if (start + block_.size <= offset) {
      const int64_t slack = offset - start - block_.size;
      if (slack < slack_) {
        slack_ = slack;
        best_ = start;
      }
      if (fit_ == PlacementFit::kLowest || slack == 0) return true;
    }
    top_ = std::max(top_, end);
    return false;
  }
  int64_t result() const { return best_ >= 0 ? best_ : align_up(top_, block_.alignment); }

 private:
  const PlacementBlock& block_;
  const PlacementFit fit_;
  int64_t top_ = 0;
  int64_t best_ = -1;
  int64_t slack_ = std::numeric_limits<int64_t>::max();
};

Placer::Placer(absl::Span<const PlacementBlock> blocks) : blocks_(blocks) {
  const int n = static_cast<int>(blocks.size());
  std::vector<int> firsts(n), lasts(n);
  for (int i = 0; i < n; ++i) {
    firsts[i] = blocks[i].first;
    lasts[i] = blocks[i].last;
  }
  std::sort(lasts.begin(), lasts.end());
  begun_.resize(n);
  meeting_.resize(n);
  for (int i = 0; i < n; ++i) {
    begun_[i] = static_cast<int>(std::upper_bound(firsts.begin(), firsts.end(), blocks[i].last) -
                                 firsts.begin());
    const int over = static_cast<int>(
        std::lower_bound(lasts.begin(), lasts.end(), blocks[i].first) - lasts.begin());
    meeting_[i] = begun_[i] - over;
  }
  const int groups = (n + kGroup - 1) / kGroup;
  while (leaves_ < groups) leaves_ *= 2;
  tree_.resize(2 * leaves_);
  placed_last_.resize(n);
}

void Placer::clear() {
  std::fill(tree_.begin(), tree_.end(), -1);
  std::fill(placed_last_.begin(), placed_last_.end(), -1);
  runs_.clear();
  placed_ = 0;
}

void Placer::collect(int block, int node, int begin, int end, absl::Span<const int64_t> offsets) {
  const int limit = begun_[block];
  const int from = blocks_[block].first;
  if (begin * kGroup >= limit || tree_[node] < from) return;
  if (end - begin > 1) {
    const int middle = (begin + end) / 2;
    collect(block, 2 * node, begin, middle, offsets);
    collect(block, 2 * node + 1, middle, end, offsets);
    return;
  }
  const int stop = std::min(limit, (begin + 1) * kGroup);
  for (int i = begin * kGroup; i < stop; ++i) {
    if (placed_last_[i] >= from) {
      scratch_.push_back({offsets[i], offsets[i] + blocks_[i].size, 0, 0});
    }
  }
}

int64_t Placer::find_among_few(int block, PlacementFit fit, absl::Span<const int64_t> offsets) {
  scratch_.clear();
  collect(block, 1, 0, leaves_, offsets);
  work_ -= kManyFactor * static_cast<int64_t>(scratch_.size()) + 16;
  std::sort(scratch_.begin(), scratch_.end(),
            [](const Entry& a, const Entry& b) { return a.offset < b.offset; });
  Gap gap(blocks_[block], fit);
  for (const Entry& entry : scratch_) {
    if (gap.pass(entry.offset, entry.end)) break;
  }
  return gap.result();
}

int64_t Placer::find_among_many(int block, PlacementFit fit) {
  Gap gap(blocks_[block], fit);
  const int first = blocks_[block].first;
  const int last = blocks_[block].last;
  for (const Run& run : runs_) {
    --work_;
    if (run.first > last || run.last < first) continue;
    work_ -= static_cast<int64_t>(run.entries.size());
    for (const Entry& entry : run.entries) {
      if (entry.first > last || entry.last < first) continue;
      if (gap.pass(entry.offset, entry.end)) return gap.result();
    }
  }
  return gap.result();
}

void Placer::insert(int block, int64_t offset) {
  const PlacementBlock& b = blocks_[block];
  placed_last_[block] = b.last;
  for (int node = leaves_ + block / kGroup; node >= 1 && tree_[node] < b.last; node /= 2) {
    tree_[node] = b.last;
  }
  ++placed_;

  const Entry entry = {offset, offset + b.size, b.first, b.last};
  if (runs_.empty()) runs_.push_back({{}, b.first, b.last});
  auto run = std::upper_bound(
                 runs_.begin() + 1, runs_.end(), offset,
                 [](int64_t value, const Run& r) { return value < r.entries.front().offset; }) -
             1;
  auto at = std::upper_bound(run->entries.begin(), run->entries.end(), offset,
                             [](int64_t value, const Entry& e) { return value < e.offset; });
  run->entries.insert(at, entry);
  run->first = std::min(run->first, b.first);
  run->last = std::max(run->last, b.last);
  if (run->entries.size() < kLongRun) return;

  const auto hull = [](Run& r) {
    r.first = r.entries.front().first;
    r.last = r.entries.front().last;
    for (const Entry& e : r.entries) {
      r.first = std::min(r.first, e.first);
      r.last = std::max(r.last, e.last);
    }
  };
  Run upper;
  upper.entries.assign(run->entries.begin() + kLongRun / 2, run->entries.end());
  run->entries.resize(kLongRun / 2);
  hull(*run);
  hull(upper);
  runs_.insert(run + 1, std::move(upper));
}

Placer::Result Placer::place(absl::Span<const int> order, PlacementFit fit, int64_t limit,
                             absl::Span<int64_t> offsets) {
  clear();
  Result result;
  for (size_t i = 0; i < order.size(); ++i) {
    if (work_ < 0) {
      result.exhausted = true;
      return result;
    }
    const int block = order[i];
    const int64_t few = std::min(meeting_[block], placed_);
    const int64_t offset = few * kManyFactor < placed_ || placed_ < 2 * kGroup
                               ? find_among_few(block, fit, offsets)
                               : find_among_many(block, fit);
    const int64_t end = offset + blocks_[block].size;
    if (end > limit) {
      result.failed = static_cast<int>(i);
      return result;
    }
    offsets[block] = offset;
    result.height = std::max(result.height, end);
    insert(block, offset);
  }
  return result;
}

}  // namespace modellib
