#include "modellib/passes/lane_sync.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "flatbuffers/flatbuffers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/formats/verify_plan.h"

namespace modellib {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

LaneSync sync(const std::vector<int>& lanes, const std::vector<StepDependency>& dependencies) {
  absl::StatusOr<LaneSync> result = synchronise(lanes, dependencies);
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

TEST(LaneSync, ThePictureOfTheHeader) {
  // a b c d; c runs on lane 1.
  const LaneSync s = sync({0, 0, 1, 0}, {{0, 2}, {1, 2}, {0, 3}, {1, 3}, {2, 3}});
  EXPECT_EQ(s.signals, 2);
  EXPECT_THAT(s.completes, ElementsAre(-1, 0, 1, -1));
  EXPECT_THAT(s.waits[2], ElementsAre(0));
  EXPECT_THAT(s.waits[3], ElementsAre(1));
  EXPECT_TRUE(s.before(0, 2));
  EXPECT_FALSE(s.before(2, 1));
}

TEST(LaneSync, OneLaneNeedsNoSignals) {
  const LaneSync s = sync({3, 3, 3}, {{0, 1}, {0, 2}, {1, 2}});
  EXPECT_EQ(s.signals, 0);
  EXPECT_TRUE(s.before(0, 2));
}

TEST(LaneSync, OneSignalServesManyWaiters) {
  const LaneSync s = sync({0, 1, 2}, {{0, 1}, {0, 2}});
  EXPECT_EQ(s.signals, 1);
  EXPECT_THAT(s.waits[1], ElementsAre(0));
  EXPECT_THAT(s.waits[2], ElementsAre(0));
}

TEST(LaneSync, ChainsOverLanesImply) {
  const LaneSync s = sync({0, 1, 2}, {{0, 1}, {1, 2}, {0, 2}});
  EXPECT_THAT(s.waits[2], ElementsAre(1));
}

TEST(LaneSync, RefusesWhatIsWrong) {
  EXPECT_FALSE(synchronise({0, 1}, {{1, 1}}).ok());
  EXPECT_FALSE(synchronise({0, 1}, {{1, 0}}).ok());
  EXPECT_FALSE(synchronise({0, 1}, {{-1, 0}}).ok());
  EXPECT_FALSE(synchronise({0, 1}, {{0, 2}}).ok());
  EXPECT_FALSE(synchronise({0, -1}, {}).ok());
  EXPECT_FALSE(memory_dependencies({0}, {MemoryAccess{1, 0, 0, 8, true}}).ok());
  EXPECT_FALSE(memory_dependencies({0}, {MemoryAccess{0, 0, 8, 0, true}}).ok());
  std::vector<MemoryRecord> records(1);
  const LaneSync s = sync({0}, {});
  EXPECT_FALSE(extend_lifetimes(s, {}, absl::MakeSpan(records)).ok());
  const std::vector<std::vector<int>> users = {{5}};
  EXPECT_FALSE(extend_lifetimes(s, users, absl::MakeSpan(records)).ok());
}

// Reachability over lanes and waits, by the definition.
std::vector<std::vector<char>> closure(const std::vector<int>& lanes, const LaneSync& s) {
  const size_t n = lanes.size();
  std::vector<std::vector<char>> reach(n, std::vector<char>(n, 0));
  for (size_t b = 0; b < n; ++b) {
    for (size_t a = 0; a < b; ++a) {
      bool edge = lanes[a] == lanes[b];
      for (int signal : s.waits[b]) edge = edge || s.completes[a] == signal;
      if (!edge) continue;
      reach[a][b] = 1;
      for (size_t c = 0; c < a; ++c) reach[c][b] |= reach[c][a];
    }
  }
  return reach;
}

TEST(LaneSync, RandomDependenciesHoldWithTheLeastWaits) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const int n = 40;
    std::vector<int> lanes;
    std::vector<StepDependency> dependencies;
    for (int i = 0; i < n; ++i) {
      lanes.push_back(static_cast<int>(random() % 4));
      for (int d = 0; d < 2 && i > 0; ++d) {
        dependencies.push_back({static_cast<int>(random() % static_cast<uint32_t>(i)), i});
      }
    }
    LaneSync s = sync(lanes, dependencies);
    const auto holds = [&] {
      const auto reach = closure(lanes, s);
      return std::all_of(dependencies.begin(), dependencies.end(), [&](const StepDependency& d) {
        return reach[static_cast<size_t>(d.first)][static_cast<size_t>(d.second)] != 0;
      });
    };
    ASSERT_TRUE(holds()) << "seed " << seed;
    const auto reach = closure(lanes, s);
    for (int a = 0; a < n; ++a) {
      for (int b = 0; b < n; ++b) {
        ASSERT_EQ(s.before(a, b), reach[static_cast<size_t>(a)][static_cast<size_t>(b)] != 0);
      }
    }
    for (std::vector<int>& waits : s.waits) {
      const std::vector<int> all = waits;
      for (size_t w = 0; w < all.size(); ++w) {
        waits = all;
        waits.erase(waits.begin() + static_cast<std::ptrdiff_t>(w));
        EXPECT_FALSE(holds()) << "seed " << seed << ": a wait too many";
      }
      waits = all;
    }
  }
}

TEST(MemoryDependencies, ThreeKinds) {
  const std::vector<int> lanes = {0, 1, 0, 1};
  const auto write = [](int step, int64_t at) { return MemoryAccess{step, 0, at, at + 8, true}; };
  const auto read = [](int step, int64_t at) { return MemoryAccess{step, 0, at, at + 8, false}; };
  EXPECT_THAT(*memory_dependencies(lanes, {write(0, 0), read(1, 4)}),
              ElementsAre(StepDependency{0, 1}));
  EXPECT_THAT(*memory_dependencies(lanes, {read(0, 0), write(1, 4)}),
              ElementsAre(StepDependency{0, 1}));
  EXPECT_THAT(*memory_dependencies(lanes, {write(0, 0), write(1, 4)}),
              ElementsAre(StepDependency{0, 1}));
  EXPECT_THAT(*memory_dependencies(lanes, {read(0, 0), read(1, 4)}), IsEmpty());
  EXPECT_THAT(*memory_dependencies(lanes, {write(0, 0), write(1, 8)}), IsEmpty());
  EXPECT_THAT(*memory_dependencies(lanes, {write(0, 0), read(2, 0)}), IsEmpty());  // one lane
  MemoryAccess elsewhere = write(1, 0);
  elsewhere.arena = 1;
  EXPECT_THAT(*memory_dependencies(lanes, {write(0, 0), elsewhere}), IsEmpty());
  // The write hides what was before it.
  EXPECT_THAT(*memory_dependencies(lanes, {write(0, 0), write(1, 0), read(2, 0), read(3, 0)}),
              ElementsAre(StepDependency{0, 1}, StepDependency{1, 2}));
}

// A random program: each step writes one buffer and reads some.
struct Program {
  std::vector<int> lanes;
  std::vector<std::vector<int>> reads;  // by step: the steps whose buffers it reads
  std::vector<StepDependency> flow() const {
    std::vector<StepDependency> result;
    for (size_t i = 0; i < reads.size(); ++i) {
      for (int r : reads[i]) result.push_back({r, static_cast<int>(i)});
    }
    return result;
  }
  std::vector<std::vector<int>> users() const {
    std::vector<std::vector<int>> result(lanes.size());
    for (size_t i = 0; i < lanes.size(); ++i) {
      result[i].push_back(static_cast<int>(i));
      for (int r : reads[i]) result[static_cast<size_t>(r)].push_back(static_cast<int>(i));
    }
    return result;
  }
};

Program random_program(uint32_t seed, int steps, int lanes) {
  std::mt19937 random(seed);
  Program p;
  for (int i = 0; i < steps; ++i) {
    p.lanes.push_back(random() % 3 == 0 ? static_cast<int>(random() % static_cast<uint32_t>(lanes))
                                        : 0);
    p.reads.emplace_back();
    for (int d = 0; d < 2 && i > 0; ++d) {
      const int back =
          1 + static_cast<int>(random() % std::min<uint32_t>(8, static_cast<uint32_t>(i)));
      p.reads.back().push_back(i - back);
    }
  }
  return p;
}

struct Placed {
  std::vector<int64_t> offsets;
  int64_t bytes = 0;
  LaneSync sync;
};

Placed place(const Program& p, bool extend) {
  std::vector<MemoryRecord> records(p.lanes.size());
  const auto users = p.users();
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].id = static_cast<int64_t>(i);
    records[i].size = 64;
    records[i].first = users[i].front();
    records[i].last = users[i].back();
  }
  if (extend) {
    EXPECT_TRUE(extend_lifetimes(sync(p.lanes, p.flow()), users, absl::MakeSpan(records)).ok());
  }
  const auto plan = plan_memory(records);
  EXPECT_TRUE(plan.ok()) << plan.status();
  std::vector<MemoryAccess> accesses;
  for (size_t i = 0; i < p.lanes.size(); ++i) {
    const int step = static_cast<int>(i);
    for (int r : p.reads[i]) {
      const int64_t at = plan->offsets[static_cast<size_t>(r)];
      accesses.push_back({step, 0, at, at + 64, false});
    }
    accesses.push_back({step, 0, plan->offsets[i], plan->offsets[i] + 64, true});
  }
  const auto dependencies = memory_dependencies(p.lanes, accesses);
  EXPECT_TRUE(dependencies.ok()) << dependencies.status();
  return {plan->offsets, plan->bytes, sync(p.lanes, *dependencies)};
}

TEST(ExtendLifetimes, ReuseNeedsNoNewWaits) {
  int64_t plain_bytes = 0;
  int64_t extended_bytes = 0;
  size_t plain_waits = 0;
  const auto count = [](const LaneSync& s) {
    size_t n = 0;
    for (const auto& waits : s.waits) n += waits.size();
    return n;
  };
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const Program p = random_program(seed, 80, 3);
    const size_t least = count(sync(p.lanes, p.flow()));
    const Placed plain = place(p, false);
    const Placed extended = place(p, true);
    EXPECT_EQ(count(extended.sync), least) << "seed " << seed;
    EXPECT_GE(count(plain.sync) + 3, least);
    EXPECT_LE(plain.bytes, extended.bytes);
    plain_bytes += plain.bytes;
    extended_bytes += extended.bytes;
    plain_waits += count(plain.sync) - std::min(least, count(plain.sync));
  }
  EXPECT_GT(plain_waits, 0u);  // without it reuse makes lanes wait
  EXPECT_LT(plain_bytes, extended_bytes);
}

TEST(ExtendLifetimes, LanesWithArenasOfTheirOwnDoNotMatter) {
  // Lane 1 never waits for lane 0 and takes memory from arena 1 alone.
  const std::vector<int> lanes = {0, 1, 0, 1, 0, 1};
  const LaneSync s = sync(lanes, {});
  std::vector<std::vector<int>> users = {{0, 2}, {1, 3}, {4}, {5}};
  std::vector<MemoryRecord> records(4);
  for (size_t i = 0; i < 4; ++i) {
    records[i].first = users[i].front();
    records[i].last = users[i].back();
    records[i].arena = static_cast<int>(i % 2);
  }
  ASSERT_TRUE(extend_lifetimes(s, users, absl::MakeSpan(records)).ok());
  EXPECT_EQ(records[0].last, 2);
  EXPECT_EQ(records[1].last, 3);
  for (MemoryRecord& r : records) r.arena = 0;
  ASSERT_TRUE(extend_lifetimes(s, users, absl::MakeSpan(records)).ok());
  EXPECT_EQ(records[0].last, 5);  // step 5 may run at any time
}

// The verifier, which knows nothing of how plans are made, agrees; and misses each wait.
fb::PlanT make_plan(const Program& p, const Placed& placed) {
  fb::PlanT plan;
  plan.kernels = {"work"};
  auto entry = std::make_unique<fb::EntryT>();
  entry->name = "main";
  for (int l = 0; l < 4; ++l) entry->lanes.push_back(absl::StrCat("lane", l));
  auto arena = std::make_unique<fb::ArenaT>();
  arena->bytes = entry->planned_bytes = static_cast<uint64_t>(placed.bytes);
  arena->alignment = 64;
  entry->arenas.push_back(std::move(arena));
  entry->signals = static_cast<uint32_t>(placed.sync.signals);
  auto sequence = std::make_unique<fb::SequenceT>();
  for (size_t i = 0; i < p.lanes.size(); ++i) {
    const auto at = [&](size_t step) {
      return fb::BufferRef(fb::Space::Arena, 0, static_cast<uint64_t>(placed.offsets[step]), 64, 0,
                           0);
    };
    auto step = std::make_unique<fb::StepT>();
    step->lane = static_cast<uint16_t>(p.lanes[i]);
    for (int r : p.reads[i]) step->inputs.push_back(at(static_cast<size_t>(r)));
    step->outputs.push_back(at(i));
    for (int w : placed.sync.waits[i]) step->waits.push_back(static_cast<uint32_t>(w));
    if (placed.sync.completes[i] >= 0) {
      step->signals.push_back(static_cast<uint32_t>(placed.sync.completes[i]));
    }
    sequence->steps.push_back(std::move(step));
  }
  entry->sequences.push_back(std::move(sequence));
  plan.entries.push_back(std::move(entry));
  return plan;
}

absl::Status verify(const fb::PlanT& plan) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(fb::Plan::Pack(builder, &plan));
  return verify_plan(*fb::GetPlan(builder.GetBufferPointer()));
}

TEST(LaneSync, TheVerifierAgrees) {
  int removed = 0;
  for (uint32_t seed = 100; seed < 110; ++seed) {
    for (bool extend : {false, true}) {
      const Program p = random_program(seed, 60, 4);
      fb::PlanT plan = make_plan(p, place(p, extend));
      const absl::Status status = verify(plan);
      ASSERT_TRUE(status.ok()) << status;
      for (auto& step : plan.entries[0]->sequences[0]->steps) {
        const std::vector<uint32_t> all = step->waits;
        for (size_t w = 0; w < all.size(); ++w) {
          step->waits = all;
          step->waits.erase(step->waits.begin() + static_cast<std::ptrdiff_t>(w));
          EXPECT_THAT(std::string(verify(plan).message()), HasSubstr("and no wait")) << seed;
          ++removed;
        }
        step->waits = all;
      }
    }
  }
  EXPECT_GT(removed, 100);
}

}  // namespace
}  // namespace modellib
