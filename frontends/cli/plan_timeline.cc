#include "modellib/frontends/cli/plan_timeline.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/passes/memory_planner.h"
#include "modellib/passes/timeline_svg.h"

namespace modellib::cli {
namespace {

// Follows the steps in order: what a step writes begins to live there, and lives to the last step
// that reads any of it before it is written again.
class Timeline {
 public:
  explicit Timeline(const fb::Entry& entry) : entry_(entry) {}

  void sequence(uint32_t number) {
    const auto* steps = entry_.sequences()->Get(number)->steps();
    if (steps == nullptr) return;
    for (const fb::Step* step : *steps) {
      const int64_t now = time_++;
      if (step->inputs() != nullptr) {
        for (const auto* ref : *step->inputs()) read(*ref, now);
      }
      if (step->outputs() != nullptr) {
        for (const auto* ref : *step->outputs()) write(*ref, now, *step);
      }
      if (step->workspace() != nullptr) write(*step->workspace(), now, *step);
      if (step->sequences() != nullptr) {
        for (uint32_t body : *step->sequences()) sequence(body);
        // Whatever a loop's step touches lives until the loop ends.
        if (step->inputs() != nullptr) {
          for (const auto* ref : *step->inputs()) read(*ref, time_ - 1);
        }
      }
    }
  }

  std::vector<MemoryRecord> records;
  std::vector<int64_t> offsets;

 private:
  bool overlaps(size_t i, const fb::BufferRef& ref) const {
    const auto begin = static_cast<int64_t>(ref.offset());
    return records[i].arena == static_cast<int>(ref.index()) &&
           offsets[i] < begin + static_cast<int64_t>(ref.size()) &&
           begin < offsets[i] + records[i].size;
  }
  void read(const fb::BufferRef& ref, int64_t now) {
    if (ref.space() != fb::Space::Arena) return;
    for (size_t i : live_) {
      if (overlaps(i, ref)) records[i].last = now;
    }
  }
  void write(const fb::BufferRef& ref, int64_t now, const fb::Step& step) {
    if (ref.space() != fb::Space::Arena || ref.size() == 0) return;
    // A part of something that is being put together extends it; else it takes its place.
    for (size_t i : live_) {
      if (overlaps(i, ref) && records[i].size > static_cast<int64_t>(ref.size())) {
        records[i].last = now;
        return;
      }
    }
    std::erase_if(live_, [&](size_t i) { return overlaps(i, ref); });
    MemoryRecord record;
    record.id = static_cast<int64_t>(records.size());
    record.size = static_cast<int64_t>(ref.size());
    record.first = record.last = now;
    record.arena = static_cast<int>(ref.index());
    record.name = step.name() == nullptr ? "" : step.name()->str();
    live_.push_back(records.size());
    records.push_back(std::move(record));
    offsets.push_back(static_cast<int64_t>(ref.offset()));
  }

  const fb::Entry& entry_;
  std::vector<size_t> live_;
  int64_t time_ = 0;
};

}  // namespace

absl::StatusOr<std::string> plan_timeline_svg(const PlanFile& plan, absl::string_view name) {
  const fb::Entry* entry = nullptr;
  if (plan.plan().entries() != nullptr) {
    for (const fb::Entry* e : *plan.plan().entries()) {
      if (e->name() != nullptr && e->name()->str() == std::string(name)) entry = e;
    }
  }
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat("no entry '", name, "'"));
  Timeline timeline(*entry);
  if (entry->sequences() != nullptr && entry->sequences()->size() != 0) timeline.sequence(0);
  MemoryPlan memory;
  memory.offsets = timeline.offsets;
  for (size_t i = 0; i < timeline.records.size(); ++i) memory.roots.push_back(static_cast<int>(i));
  if (entry->arenas() != nullptr) {
    for (uint32_t a = 0; a < entry->arenas()->size(); ++a) {
      const fb::Arena* arena = entry->arenas()->Get(a);
      MemoryPlan::Arena out;
      out.arena = static_cast<int>(a);
      out.bytes = static_cast<int64_t>(arena->bytes());
      out.lower_bound = static_cast<int64_t>(arena->lower_bound());
      out.alignment = arena->alignment();
      memory.bytes += out.bytes;
      memory.lower_bound += out.lower_bound;
      const bool used = std::any_of(timeline.records.begin(), timeline.records.end(),
                                    [&](const MemoryRecord& r) { return r.arena == out.arena; });
      if (used) memory.arenas.push_back(std::move(out));
    }
  }
  return timeline_svg(timeline.records, memory,
                      {.title = absl::StrCat("Memory of entry '", name, "'")});
}

}  // namespace modellib::cli
