#include "modellib/passes/scheduler.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <random>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/passes/trace_models.h"

namespace modellib {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

int add_node(ScheduleProblem* p, int64_t workspace = 0) {
  p->nodes.push_back({workspace, 0});
  return static_cast<int>(p->nodes.size()) - 1;
}

int add_buffer(ScheduleProblem* p, int64_t size, int producer, std::vector<int> consumers) {
  ScheduleBuffer& b = p->buffers.emplace_back();
  b.size = size;
  b.producer = producer;
  b.consumers = std::move(consumers);
  return static_cast<int>(p->buffers.size()) - 1;
}

// The bound from the records, by the definition: for each step the sum of the roots that are live.
int64_t bound_of_records(const std::vector<MemoryRecord>& records, int steps) {
  absl::StatusOr<MemoryPlan> plan = plan_memory(records);
  EXPECT_TRUE(plan.ok()) << plan.status();
  std::vector<int64_t> first(records.size()), last(records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    first[i] = records[i].first;
    last[i] = records[i].last;
  }
  for (size_t i = 0; i < records.size(); ++i) {
    const int r = plan->roots[i];
    first[r] = std::min(first[r], first[i]);
    last[r] = std::max(last[r], last[i]);
  }
  int64_t bound = 0;
  for (int t = 0; t < steps; ++t) {
    int64_t sum = 0;
    for (size_t i = 0; i < records.size(); ++i) {
      if (plan->roots[i] == static_cast<int>(i) && first[i] <= t && t <= last[i]) {
        sum += records[i].size;
      }
    }
    bound = std::max(bound, sum);
  }
  return bound;
}

// The best of all topological orders, by trying them.
int64_t best_by_force(const ScheduleProblem& p) {
  std::vector<int> order(p.nodes.size());
  std::iota(order.begin(), order.end(), 0);
  int64_t best = std::numeric_limits<int64_t>::max();
  do {
    const absl::StatusOr<int64_t> peak = schedule_peak(p, order);
    if (peak.ok()) best = std::min(best, *peak);
  } while (std::next_permutation(order.begin(), order.end()));
  return best;
}

ScheduleProblem random_problem(uint32_t seed, int nodes) {
  std::mt19937 random(seed);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
  ScheduleProblem p;
  for (int n = 0; n < nodes; ++n) {
    add_node(&p, below(4) == 0 ? 1 + below(50) : 0);
    std::vector<int> inputs;
    for (int i = 0; i < 2 && !p.buffers.empty(); ++i) {
      const int b = below(static_cast<int>(p.buffers.size()));
      p.buffers[b].consumers.push_back(n);
      inputs.push_back(b);
    }
    const int out = add_buffer(&p, 1 + below(100), n, {});
    if (!inputs.empty() && below(3) == 0) p.buffers[out].in_place_of = inputs[0];
    if (!inputs.empty() && below(5) == 0) {
      p.buffers[out].alias_of = inputs[0];
      p.buffers[out].size = std::min(p.buffers[out].size, p.buffers[inputs[0]].size);
    }
    if (below(8) == 0) p.buffers[out].output = true;
    if (below(12) == 0) p.buffers[out].persistent = true;
    if (n > 0 && below(6) == 0) p.edges.push_back({below(n), n});
  }
  return p;
}

TEST(Scheduler, EmptyProblem) {
  const absl::StatusOr<ScheduleResult> result = schedule({});
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->order.empty());
  EXPECT_EQ(result->peak, 0);
}

TEST(Scheduler, FreesBeforeItAllocates) {
  // Two expansions of 100 bytes that shrink to 1: one after the other needs 101, both at once 200.
  ScheduleProblem p;
  for (int i = 0; i < 5; ++i) add_node(&p);
  add_buffer(&p, 100, 0, {2});
  add_buffer(&p, 100, 1, {3});
  add_buffer(&p, 1, 2, {4});
  add_buffer(&p, 1, 3, {4});
  const absl::StatusOr<ScheduleResult> result = schedule(p);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->baseline, 201);  // while node 2 runs
  EXPECT_EQ(result->peak, 102);      // while node 3 runs: 1 + 100 + 1
  EXPECT_THAT(result->order, ElementsAre(0, 2, 1, 3, 4));
}

TEST(Scheduler, WorkspaceCountsWhileItsNodeRuns) {
  ScheduleProblem p;
  add_node(&p);
  add_node(&p, 1000);
  add_buffer(&p, 10, 0, {1});
  EXPECT_EQ(*schedule_peak(p, {0, 1}), 1010);
  EXPECT_EQ(schedule_peak(p, {1, 0}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Scheduler, InPlaceNeedsTheLastReader) {
  ScheduleProblem p;
  for (int i = 0; i < 3; ++i) add_node(&p);
  const int a = add_buffer(&p, 64, 0, {1, 2});
  const int b = add_buffer(&p, 64, 1, {});
  p.buffers[b].in_place_of = a;
  p.buffers[b].output = true;
  EXPECT_EQ(*schedule_peak(p, {0, 1, 2}), 128);  // node 2 still reads what node 1 would overwrite
  EXPECT_EQ(*schedule_peak(p, {0, 2, 1}), 64);
  const absl::StatusOr<ScheduleResult> result = schedule(p);
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(result->order, ElementsAre(0, 2, 1));
  const auto records = live_records(p, result->order);
  ASSERT_TRUE(records.ok());
  EXPECT_EQ((*records)[b].alias_of, a);
  EXPECT_EQ((*live_records(p, {0, 1, 2}))[b].alias_of, -1);
}

TEST(Scheduler, BuffersOfTheCallerAreNeitherCountedNorOverwritten) {
  ScheduleProblem p;
  add_node(&p);
  const int x = add_buffer(&p, 64, -1, {0});
  p.buffers[x].persistent = true;
  const int y = add_buffer(&p, 64, 0, {});
  p.buffers[y].in_place_of = x;
  EXPECT_EQ(*schedule_peak(p, {0}), 64);
}

TEST(Scheduler, ConcatSlotsLiveAsOne) {
  ScheduleProblem p;
  for (int i = 0; i < 3; ++i) add_node(&p);
  const int a = add_buffer(&p, 40, 0, {2});
  const int b = add_buffer(&p, 60, 1, {2});
  const int whole = add_buffer(&p, 100, 2, {});
  p.buffers[a].alias_of = p.buffers[b].alias_of = whole;
  p.buffers[b].alias_offset = 40;
  EXPECT_EQ(*schedule_peak(p, {0, 1, 2}), 100);
}

TEST(Scheduler, ExtraEdgesHold) {
  ScheduleProblem p;
  for (int i = 0; i < 4; ++i) add_node(&p);
  p.edges = {{3, 2}, {2, 1}, {1, 0}};
  const absl::StatusOr<ScheduleResult> result = schedule(p);
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(result->order, ElementsAre(3, 2, 1, 0));
}

TEST(Scheduler, IssuesOtherLanesEarly) {
  // 0 -> 1 -> 2 -> 3 compute; node 4 copies what node 0 made, which stays an output anyway.
  ScheduleProblem p;
  for (int i = 0; i < 5; ++i) add_node(&p);
  p.nodes[4].lane = 1;
  const int made = add_buffer(&p, 8, 0, {1, 4});
  p.buffers[made].output = true;
  add_buffer(&p, 8, 1, {2});
  add_buffer(&p, 8, 2, {3});
  const absl::StatusOr<ScheduleResult> result = schedule(p);
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(result->order, ElementsAre(0, 4, 1, 2, 3));
}

TEST(Scheduler, NearTheBestOfAllOrders) {
  double sum = 0;
  constexpr int kProblems = 60;
  for (int seed = 1; seed <= kProblems; ++seed) {
    const ScheduleProblem p = random_problem(static_cast<uint32_t>(seed), 7);
    const absl::StatusOr<ScheduleResult> result = schedule(p);
    ASSERT_TRUE(result.ok()) << result.status();
    const int64_t best = best_by_force(p);
    EXPECT_LE(best, result->peak);
    EXPECT_LE(result->peak, result->baseline);
    EXPECT_EQ(*schedule_peak(p, result->order), result->peak);
    sum += best > 0 ? static_cast<double>(result->peak) / static_cast<double>(best) : 1;
  }
  EXPECT_LT(sum / kProblems, 1.01);
}

TEST(Scheduler, RecordsHaveTheSameBound) {
  for (int seed = 1; seed <= 40; ++seed) {
    const ScheduleProblem p = random_problem(static_cast<uint32_t>(1000 + seed), 60);
    const absl::StatusOr<ScheduleResult> result = schedule(p);
    ASSERT_TRUE(result.ok()) << result.status();
    for (const std::vector<int>& order : {result->order, [&] {
                                            std::vector<int> plain(p.nodes.size());
                                            std::iota(plain.begin(), plain.end(), 0);
                                            return plain;
                                          }()}) {
      const auto records = live_records(p, order, 1);
      ASSERT_TRUE(records.ok());
      EXPECT_EQ(bound_of_records(*records, 60), *schedule_peak(p, order)) << "seed " << seed;
    }
  }
}

TEST(Scheduler, UpdatesRunRightAfterTheirGradients) {
  for (TraceModel model : {TraceModel::kResNet50, TraceModel::kBertBase, TraceModel::kGpt2}) {
    const ScheduleProblem p = make_trace(model, {true, 1, 128});
    const absl::StatusOr<ScheduleResult> result = schedule(p);
    ASSERT_TRUE(result.ok()) << result.status();
    std::printf(
        "training step %d, batch 1: %zu nodes, peak %.1f MB, plain order %.1f MB (%.2f), %s\n",
        static_cast<int>(model), p.nodes.size(), static_cast<double>(result->peak) / 1e6,
        static_cast<double>(result->baseline) / 1e6,
        static_cast<double>(result->peak) / static_cast<double>(result->baseline),
        result->strategy.c_str());
    EXPECT_LE(static_cast<double>(result->peak), 0.7 * static_cast<double>(result->baseline));
  }
}

TEST(Scheduler, TwentyThousandNodes) {
  const ScheduleProblem p = random_problem(7, 20000);
  const auto start = std::chrono::steady_clock::now();
  const absl::StatusOr<ScheduleResult> result = schedule(p);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(*schedule_peak(p, result->order), result->peak);
  EXPECT_LE(result->peak, result->baseline);
  std::printf("20000 nodes: %.2f s, peak / plain order %.2f, %s\n", seconds.count(),
              static_cast<double>(result->peak) / static_cast<double>(result->baseline),
              result->strategy.c_str());
}

TEST(Scheduler, SameInputSameOrder) {
  const ScheduleProblem p = random_problem(3, 500);
  EXPECT_EQ(schedule(p)->order, schedule(p)->order);
}

TEST(Scheduler, RefusesWhatIsWrong) {
  const auto refuses = [](const ScheduleProblem& p, const char* message) {
    const absl::Status status = schedule(p).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  };
  ScheduleProblem p;
  add_node(&p);
  add_node(&p);
  add_buffer(&p, 8, 0, {1});
  ASSERT_TRUE(schedule(p).ok());

  ScheduleProblem bad = p;
  bad.edges = {{1, 0}};
  refuses(bad, "cycle");
  bad = p;
  bad.edges = {{0, 2}};
  refuses(bad, "edge 0 -> 2");
  bad = p;
  bad.buffers[0].producer = 2;
  refuses(bad, "producer 2");
  bad = p;
  bad.buffers[0].consumers = {-1};
  refuses(bad, "consumer -1");
  bad = p;
  bad.buffers[0].size = -4;
  refuses(bad, "size of -4");
  bad = p;
  bad.nodes[1].workspace = -1;
  refuses(bad, "workspace");
  bad = p;
  bad.buffers[0].alias_of = 0;
  refuses(bad, "cycle");
  bad = p;
  bad.buffers[0].alias_of = 5;
  refuses(bad, "alias of 5");
  bad = p;
  bad.buffers[0].size = int64_t{1} << 62;
  bad.nodes[0].workspace = 1;
  refuses(bad, "too large");
  EXPECT_EQ(schedule_peak(p, {1, 0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(schedule_peak(p, {0, 0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(schedule_peak(p, {0}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace modellib
