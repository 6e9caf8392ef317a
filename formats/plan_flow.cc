#include "modellib/formats/plan_flow.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

namespace modellib {
namespace {

// What a run of bytes holds.
struct Content {
  uint32_t write = 0;  // index into the writes; they are numbered in the order of the walk
  bool operator==(const Content& other) const { return write == other.write; }
};

struct Piece {
  ByteRange range;
  Content content;
};

// The bytes of one memory. Bytes without a piece hold nothing.
class MemoryMap {
 public:
  // Pieces that meet the range, cut to it, ascending.
  void find(const ByteRange& range, std::vector<Piece>* found) const {
    found->clear();
    auto it = pieces_.upper_bound(range.begin);
    if (it != pieces_.begin()) --it;
    for (; it != pieces_.end() && it->first < range.end; ++it) {
      const ByteRange cut = {std::max(it->first, range.begin), std::min(it->second.end, range.end)};
      if (cut.begin < cut.end) found->push_back({cut, it->second.content});
    }
  }
  void erase(const ByteRange& range) {
    split(range.begin);
    split(range.end);
    pieces_.erase(pieces_.lower_bound(range.begin), pieces_.lower_bound(range.end));
  }
  void assign(const ByteRange& range, Content content) {
    erase(range);
    pieces_[range.begin] = {range.end, content};
  }

 private:
  struct Tail {
    uint64_t end = 0;
    Content content;
  };
  void split(uint64_t at) {
    auto it = pieces_.upper_bound(at);
    if (it == pieces_.begin()) return;
    --it;
    if (it->first == at || it->second.end <= at) return;
    const Tail upper = it->second;
    it->second.end = at;
    pieces_.emplace_hint(std::next(it), at, upper);
  }
  std::map<uint64_t, Tail> pieces_;  // by begin
};

class FlowCheck {
 public:
  FlowCheck(const fb::Plan& plan, const DecodedEntry& entry, int64_t* work)
      : plan_(plan), entry_(entry), work_(*work), memory_(entry.memory_bytes.size()) {}

  absl::Status run() {
    // A variable holds its value at entry.
    for (size_t m = entry_.variables_begin; m < memory_.size(); ++m) {
      const ByteRange all = {0, entry_.memory_bytes[m]};
      if (all.end > 0) memory_[m].assign(all, new_write(all, nullptr, false));
    }
    absl::Status status = sequence(0);
    if (!status.ok()) return status;
    for (size_t m = entry_.outputs_begin; m < entry_.variables_begin; ++m) {
      const ByteRange all = {0, entry_.memory_bytes[m]};
      memory_[m].find(all, &found_);
      uint64_t at = 0;
      for (const Piece& p : found_) {
        if (p.range.begin > at || writes_[p.content.write].scratch) break;
        at = p.range.end;
      }
      if (at < all.end) {
        return refuse("entry '", text_of(entry_.entry->name()), "': nothing writes byte ", at,
                      " of ", entry_.memory_name(plan_, static_cast<int32_t>(m)));
      }
    }
    return absl::OkStatus();
  }

 private:
  struct Write {
    ByteRange range;
    const PlanStep* step;  // null: the value at entry
    bool scratch;
    bool gapped;  // the slices of a loop, which others may lie between: its range is their hull
  };
  // A range of a memory that was written while the journal was kept, and what it held before.
  struct Change {
    size_t memory;
    ByteRange range;
    std::vector<Piece> before;
  };

  Content new_write(const ByteRange& range, const PlanStep* step, bool scratch,
                    bool gapped = false) {
    writes_.push_back({range, step, scratch, gapped});
    return {static_cast<uint32_t>(writes_.size() - 1)};
  }

  absl::Status spend(const PlanStep& step, size_t visits) {
    work_ -= static_cast<int64_t>(visits);
    if (work_ >= 0) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("plan: ", entry_.where(step), ": the plan is too entangled to be checked"));
  }

  void assign(size_t memory, const ByteRange& range, Content content) {
    if (journaling_ > 0) {
      Change& change = journal_.emplace_back();
      change.memory = memory;
      change.range = range;
      memory_[memory].find(range, &change.before);
      work_ -= static_cast<int64_t>(change.before.size());
    }
    memory_[memory].assign(range, content);
  }

  absl::Status sequence(uint32_t index) {
    const PlanSequence& s = entry_.sequences[index];
    for (size_t i = s.steps_begin; i < s.steps_end; ++i) {
      absl::Status status = step(entry_.steps[i]);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status step(const PlanStep& s) {
    absl::Status status = spend(s, 1);
    if (!status.ok()) return status;
    switch (s.control) {
      case ControlKind::kNone:
        return operands(s, true, true);
      case ControlKind::kCond:
        status = operands(s, true, true);
        return status.ok() ? branches(s) : status;
      case ControlKind::kScan:
      case ControlKind::kWhile:
        return loop(s);
    }
    return absl::OkStatus();
  }

  absl::Status operands(const PlanStep& s, bool inputs, bool others) {
    for (size_t o = s.operands_begin; o < s.operands_end; ++o) {
      const PlanOperand& operand = entry_.operands[o];
      if (operand.memory < 0) continue;
      absl::Status status = spend(s, 1);
      if (!status.ok()) return status;
      if (operand.role == OperandRole::kInput) {
        if (inputs) status = read(s, operand);
      } else if (others) {
        const ByteRange range = operand.reach();
        const bool scratch = operand.role == OperandRole::kWorkspace;
        const bool gapped = range.end - range.begin != operand.first.end - operand.first.begin;
        assign(static_cast<size_t>(operand.memory), range, new_write(range, &s, scratch, gapped));
      }
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status body(uint32_t sequence_index, bool first) {
    first_trip_.push_back(first);
    absl::Status status = sequence(sequence_index);
    first_trip_.pop_back();
    return status;
  }

  // Two trips at most: the second finds what the first left, and a third finds the same.
  absl::Status loop(const PlanStep& s) {
    const bool scan = s.control == ControlKind::kScan;
    const auto* bodies = s.step->sequences();
    absl::Status status = scan ? operands(s, true, false) : absl::OkStatus();
    const uint64_t trips = std::min<uint64_t>(s.trips, 2);
    for (uint64_t trip = 0; status.ok() && trip < trips; ++trip) {
      status = operands(s, false, true);  // the index of the trip
      if (status.ok()) status = body(bodies->Get(0), trip == 0);
      if (scan || !status.ok()) continue;
      status = operands(s, true, false);  // the predicate
      if (status.ok()) status = body(bodies->Get(1), trip == 0);
    }
    if (!scan && status.ok()) {
      // The condition that ends the loop.
      status = body(bodies->Get(0), trips == 0);
      if (status.ok()) status = operands(s, true, false);
    }
    return status.ok() ? operands(s, false, true) : status;  // the number of trips
  }

  absl::Status branches(const PlanStep& s) {
    // Each branch starts from the same state; its changes are noted and taken back.
    struct Outcome {
      size_t memory;
      ByteRange range;
      std::vector<Piece> after;
    };
    std::vector<std::vector<Outcome>> outcomes;
    ++journaling_;
    const size_t mark = journal_.size();
    absl::Status status;
    for (uint32_t b = 0; b < count_of(s.step->sequences()) && status.ok(); ++b) {
      status = sequence(s.step->sequences()->Get(b));
      std::vector<Outcome>& list = outcomes.emplace_back();
      std::vector<std::pair<size_t, ByteRange>> touched;
      for (size_t c = mark; c < journal_.size(); ++c) {
        touched.push_back({journal_[c].memory, journal_[c].range});
      }
      for (const auto& [memory, range] : merged(std::move(touched))) {
        Outcome& outcome = list.emplace_back();
        outcome.memory = memory;
        outcome.range = range;
        memory_[memory].find(range, &outcome.after);
        if (status.ok()) status = spend(s, outcome.after.size() + 1);
      }
      while (journal_.size() > mark) {
        const Change& change = journal_.back();
        memory_[change.memory].erase(change.range);
        for (const Piece& p : change.before) memory_[change.memory].assign(p.range, p.content);
        journal_.pop_back();
      }
    }
    --journaling_;
    if (!status.ok()) return status;

    // Afterwards bytes hold what each branch would have left. Where the branches differ and all
    // hold a value, the control step stands as its writer.
    std::vector<std::pair<size_t, ByteRange>> touched;
    for (const auto& list : outcomes) {
      for (const Outcome& o : list) touched.push_back({o.memory, o.range});
    }
    touched = merged(std::move(touched));
    // States over the touched ranges, one for each branch: that before, overlaid with the outcome.
    std::vector<std::map<size_t, MemoryMap>> states(outcomes.size());
    std::vector<Piece> pieces;
    for (size_t b = 0; b < outcomes.size(); ++b) {
      for (const auto& [memory, range] : touched) {
        memory_[memory].find(range, &pieces);
        for (const Piece& p : pieces) states[b][memory].assign(p.range, p.content);
      }
      for (const Outcome& o : outcomes[b]) {
        MemoryMap& state = states[b][o.memory];
        state.erase(o.range);
        for (const Piece& p : o.after) state.assign(p.range, p.content);
      }
    }
    for (const auto& [memory, range] : touched) {
      // Cut at each boundary of any branch.
      std::vector<uint64_t> cuts = {range.begin, range.end};
      for (auto& state : states) {
        state[memory].find(range, &pieces);
        for (const Piece& p : pieces) {
          cuts.push_back(p.range.begin);
          cuts.push_back(p.range.end);
        }
      }
      std::sort(cuts.begin(), cuts.end());
      cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
      status = spend(s, cuts.size());
      if (!status.ok()) return status;
      for (size_t c = 0; c + 1 < cuts.size(); ++c) join(s, states, memory, {cuts[c], cuts[c + 1]});
    }
    return absl::OkStatus();
  }

  void join(const PlanStep& s, std::vector<std::map<size_t, MemoryMap>>& states, size_t memory,
            const ByteRange& range) {
    std::vector<Piece> piece;
    bool same = true;
    bool undefined = false;
    Content content;
    for (size_t b = 0; b < states.size(); ++b) {
      states[b][memory].find(range, &piece);
      if (piece.empty() || writes_[piece[0].content.write].scratch) {
        undefined = true;
        break;
      }
      if (b == 0) content = piece[0].content;
      same = same && piece[0].content == content;
    }
    if (undefined) {
      content = new_write(range, &s, true);
    } else if (!same) {
      content = new_write(range, &s, false);
    }
    assign(memory, range, content);
  }

  // The union of ranges, by memory.
  static std::vector<std::pair<size_t, ByteRange>> merged(
      std::vector<std::pair<size_t, ByteRange>> ranges) {
    std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first < b.first : a.second.begin < b.second.begin;
    });
    std::vector<std::pair<size_t, ByteRange>> result;
    for (const auto& r : ranges) {
      if (!result.empty() && result.back().first == r.first &&
          r.second.begin <= result.back().second.end) {
        result.back().second.end = std::max(result.back().second.end, r.second.end);
      } else {
        result.push_back(r);
      }
    }
    return result;
  }

  absl::Status read(const PlanStep& s, const PlanOperand& operand) {
    // In the first trip only the first slice is there yet, perhaps.
    const size_t loops = first_trip_.size();
    const bool inner_first = loops >= 1 && first_trip_[loops - 1];
    const bool outer_first = loops >= 2 && first_trip_[loops - 2];
    const ByteRange range = operand.reach(inner_first, outer_first);
    memory_[static_cast<size_t>(operand.memory)].find(range, &found_);
    absl::Status status = spend(s, found_.size() + 1);
    if (!status.ok()) return status;

    const auto fail = [&](const auto&... what) {
      return refuse(entry_.where(s), ", input ", operand.ordinal, ": reads bytes [", range.begin,
                    ", ", range.end, ") of ", entry_.memory_name(plan_, operand.memory), ", ",
                    what...);
    };
    const auto name = [&](const Write& w) {
      return w.step == nullptr ? std::string("the value at entry") : entry_.where(*w.step);
    };
    uint64_t at = range.begin;
    for (size_t i = 0; i < found_.size(); ++i) {
      const Write& now = writes_[found_[i].content.write];
      if (found_[i].range.begin > at) break;
      at = found_[i].range.end;
      if (now.scratch) {
        return fail("of which byte ", found_[i].range.begin, " was left undefined by ", name(now));
      }
      if (i == 0 || found_[i].content == found_[i - 1].content) continue;
      const Write& other = writes_[found_[i - 1].content.write];
      if (!now.gapped && !other.gapped && now.range.overlaps(other.range) &&
          !now.range.contains(other.range) && !other.range.contains(now.range)) {
        const bool newer = found_[i].content.write > found_[i - 1].content.write;
        return fail("a value of ", name(newer ? other : now), " of which ",
                    name(newer ? now : other), " has overwritten a part");
      }
    }
    if (at < range.end) return fail("of which nothing has written byte ", at);
    return absl::OkStatus();
  }

  const fb::Plan& plan_;
  const DecodedEntry& entry_;
  int64_t& work_;
  std::vector<MemoryMap> memory_;
  std::vector<Write> writes_;
  std::vector<bool> first_trip_;  // of each loop around
  int journaling_ = 0;
  std::vector<Change> journal_;
  std::vector<Piece> found_;
};

}  // namespace

absl::Status check_flow(const fb::Plan& plan, const DecodedEntry& entry, int64_t* work) {
  return FlowCheck(plan, entry, work).run();
}

}  // namespace modellib
