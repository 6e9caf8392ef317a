#include "modellib/formats/plan_order.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace modellib {
namespace {

class OrderCheck {
 public:
  OrderCheck(const fb::Plan& plan, const DecodedEntry& entry, int64_t* work)
      : plan_(plan), entry_(entry), work_(*work), memory_(entry.memory_bytes.size()) {}

  absl::Status run() {
    // Bodies run on the lane of their control step, so only the main sequence can hold a race.
    const PlanSequence& main = entry_.sequences[0];
    begin_ = main.steps_begin;
    const size_t count = main.steps_end - main.steps_begin;
    lane_.resize(count);
    std::map<uint16_t, uint32_t> dense;
    for (size_t i = 0; i < count; ++i) {
      const uint16_t lane = step(i).step->lane();
      lane_[i] = dense.insert({lane, static_cast<uint32_t>(dense.size())}).first->second;
    }
    lanes_ = dense.size();
    if (lanes_ < 2) return absl::OkStatus();
    make_clocks(count);
    for (size_t i = 0; i < count; ++i) {
      absl::Status status = subtree(i, step(i));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  // The steps that used a range last.
  struct Uses {
    uint64_t end = 0;
    int64_t writer = -1;
    std::vector<size_t> readers;  // since then, at most one for each lane
  };
  using Memory = std::map<uint64_t, Uses>;  // by begin

  const PlanStep& step(size_t i) const { return entry_.steps[begin_ + i]; }

  void make_clocks(size_t count) {
    clock_.assign(count * lanes_, 0);
    ordinal_.resize(count);
    std::vector<int64_t> previous(lanes_, -1);
    std::vector<size_t> completes(entry_.entry->signals());
    const auto merge = [this](size_t into, size_t from) {
      for (size_t l = 0; l < lanes_; ++l) {
        uint32_t& own = clock_[into * lanes_ + l];
        own = std::max(own, clock_[from * lanes_ + l]);
      }
    };
    for (size_t i = 0; i < count; ++i) {
      const uint32_t lane = lane_[i];
      if (previous[lane] >= 0) merge(i, static_cast<size_t>(previous[lane]));
      const fb::Step& s = *step(i).step;
      for (uint32_t w = 0; w < count_of(s.waits()); ++w) merge(i, completes[s.waits()->Get(w)]);
      for (uint32_t g = 0; g < count_of(s.signals()); ++g) completes[s.signals()->Get(g)] = i;
      ordinal_[i] = ++clock_[i * lanes_ + lane];
      previous[lane] = static_cast<int64_t>(i);
    }
  }

  bool before(size_t a, size_t b) const { return clock_[b * lanes_ + lane_[a]] >= ordinal_[a]; }

  // All operands of a step of the main sequence and of the bodies below it.
  absl::Status subtree(size_t i, const PlanStep& s) {
    for (size_t o = s.operands_begin; o < s.operands_end; ++o) {
      absl::Status status = use(i, entry_.operands[o]);
      if (!status.ok()) return status;
    }
    for (uint32_t b = 0; b < count_of(s.step->sequences()); ++b) {
      const PlanSequence& body = entry_.sequences[s.step->sequences()->Get(b)];
      for (size_t inner = body.steps_begin; inner < body.steps_end; ++inner) {
        absl::Status status = subtree(i, entry_.steps[inner]);
        if (!status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  // Splits the interval that contains `at`, so that one begins there.
  static void split(Memory* memory, uint64_t at) {
    auto it = memory->upper_bound(at);
    if (it == memory->begin()) return;
    --it;
    if (it->first == at || it->second.end <= at) return;
    Uses upper = it->second;
    it->second.end = at;
    memory->emplace_hint(std::next(it), at, std::move(upper));
  }

  absl::Status use(size_t i, const PlanOperand& operand) {
    if (operand.memory < 0) return absl::OkStatus();
    const bool writes = operand.role != OperandRole::kInput;
    const ByteRange range = operand.reach();
    Memory& memory = memory_[static_cast<size_t>(operand.memory)];
    split(&memory, range.begin);
    split(&memory, range.end);
    uint64_t at = range.begin;
    auto it = memory.lower_bound(range.begin);
    while (it != memory.end() && it->first < range.end) {
      Uses& uses = it->second;
      work_ -= 1 + static_cast<int64_t>(uses.readers.size());
      if (work_ < 0) {
        return absl::ResourceExhaustedError(absl::StrCat(
            "plan: ", entry_.where(step(i)), ": the plan is too entangled to be checked"));
      }
      if (uses.writer >= 0 && !before(static_cast<size_t>(uses.writer), i)) {
        return race(static_cast<size_t>(uses.writer), i, operand, {it->first, uses.end});
      }
      if (writes) {
        for (size_t reader : uses.readers) {
          if (!before(reader, i)) return race(reader, i, operand, {it->first, uses.end});
        }
        it = memory.erase(it);
        continue;
      }
      if (it->first > at) memory.emplace_hint(it, at, Uses{it->first, -1, {i}});
      at = uses.end;
      // A later read on the same lane implies the earlier one.
      const auto same = std::find_if(uses.readers.begin(), uses.readers.end(),
                                     [&](size_t r) { return lane_[r] == lane_[i]; });
      if (same != uses.readers.end()) {
        *same = i;
      } else {
        uses.readers.push_back(i);
      }
      ++it;
    }
    if (writes) {
      memory.emplace(range.begin, Uses{range.end, static_cast<int64_t>(i), {}});
    } else if (at < range.end) {
      memory.emplace(at, Uses{range.end, -1, {i}});
    }
    return absl::OkStatus();
  }

  absl::Status race(size_t earlier, size_t later, const PlanOperand& operand,
                    const ByteRange& range) const {
    return refuse(entry_.where(step(later)), " on lane ", step(later).step->lane(), " and step ",
                  step(earlier).position, " '", text_of(step(earlier).step->name()), "' on lane ",
                  step(earlier).step->lane(), " use bytes [", range.begin, ", ", range.end, ") of ",
                  entry_.memory_name(plan_, operand.memory),
                  ", and no wait puts one before the other");
  }

  const fb::Plan& plan_;
  const DecodedEntry& entry_;
  int64_t& work_;
  size_t begin_ = 0;
  size_t lanes_ = 0;
  std::vector<uint32_t> lane_;     // by step of the main sequence
  std::vector<uint32_t> ordinal_;  // its number among those of its lane, from 1
  std::vector<uint32_t> clock_;    // by step and lane
  std::vector<Memory> memory_;
};

}  // namespace

absl::Status check_order(const fb::Plan& plan, const DecodedEntry& entry, int64_t* work) {
  return OrderCheck(plan, entry, work).run();
}

}  // namespace modellib
