#include "modellib/passes/memory_planner.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/passes/scheduler.h"
#include "modellib/passes/trace_models.h"

namespace modellib {
namespace {

using ::testing::HasSubstr;

MemoryRecord record(int64_t id, int64_t size, int64_t first, int64_t last) {
  MemoryRecord r;
  r.id = id;
  r.size = size;
  r.first = first;
  r.last = last;
  return r;
}

// Plans and checks what must hold of every plan.
MemoryPlan plan(const std::vector<MemoryRecord>& records) {
  absl::StatusOr<MemoryPlan> result = plan_memory(records);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return {};
  EXPECT_TRUE(check_memory_plan(records, *result).ok()) << check_memory_plan(records, *result);
  EXPECT_GE(result->bytes, result->lower_bound);
  return *result;
}

// A trace: a line for each record, "id size alignment first last alias_of alias_offset arena name";
// '#' starts a comment.
std::vector<MemoryRecord> read_trace(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::vector<MemoryRecord> records;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream in(line);
    MemoryRecord r;
    in >> r.id >> r.size >> r.alignment >> r.first >> r.last >> r.alias_of >> r.alias_offset >>
        r.arena >> r.name;
    EXPECT_FALSE(in.fail()) << path << ": " << line;
    records.push_back(r);
  }
  EXPECT_FALSE(records.empty()) << path;
  return records;
}

std::vector<MemoryRecord> random_records(uint32_t seed, int n, int64_t steps, int64_t longest) {
  std::mt19937_64 random(seed);
  std::vector<MemoryRecord> records;
  for (int i = 0; i < n; ++i) {
    const int64_t first = static_cast<int64_t>(random() % static_cast<uint64_t>(steps));
    const int64_t length = static_cast<int64_t>(random() % static_cast<uint64_t>(longest));
    const int64_t size = static_cast<int64_t>(random() % (uint64_t{1} << (random() % 22)));
    records.push_back(record(i, size, first, first + length));
  }
  return records;
}

TEST(MemoryPlanner, NothingToPlan) {
  EXPECT_EQ(plan({}).bytes, 0);
  const MemoryPlan p = plan({record(0, 0, 0, 5), record(1, 0, 2, 3)});
  EXPECT_EQ(p.bytes, 0);
  EXPECT_EQ(p.ratio(), 1.0);
  ASSERT_EQ(p.arenas.size(), 1u);
  EXPECT_EQ(p.arenas[0].alignment, 64);
}

TEST(MemoryPlanner, ThePictureOfTheHeader) {
  const MemoryPlan p = plan({record(0, 128, 0, 3), record(1, 128, 0, 2), record(2, 128, 2, 5),
                             record(3, 128, 3, 7), record(4, 128, 4, 8)});
  EXPECT_EQ(p.lower_bound, 384);
  EXPECT_EQ(p.bytes, 384);
}

TEST(MemoryPlanner, OneAfterTheOtherShareBytes) {
  const MemoryPlan p = plan({record(7, 100, 0, 1), record(8, 100, 2, 3)});
  EXPECT_EQ(p.bytes, 128);  // 100 rounded up to the alignment of 64
  EXPECT_EQ(p.offsets[0], p.offsets[1]);
}

TEST(MemoryPlanner, TimesAreInclusive) {
  EXPECT_EQ(plan({record(0, 64, 0, 2), record(1, 64, 2, 3)}).bytes, 128);
}

TEST(MemoryPlanner, AliasesLieInTheirRoots) {
  std::vector<MemoryRecord> records = {record(10, 256, 4, 5), record(11, 128, 1, 2),
                                       record(12, 64, 3, 3), record(13, 256, 1, 2)};
  records[1].alias_of = 10;
  records[1].alias_offset = 128;
  records[2].alias_of = 11;
  records[2].alias_offset = 64;
  const MemoryPlan p = plan(records);
  EXPECT_EQ(p.offsets[1], p.offsets[0] + 128);
  EXPECT_EQ(p.offsets[2], p.offsets[0] + 192);
  EXPECT_EQ(p.roots[2], 0);
  EXPECT_EQ(p.bytes, 512);  // the root is held from step 1 because of its slot, beside record 13
}

TEST(MemoryPlanner, AlignmentsMix) {
  std::vector<MemoryRecord> records = {record(0, 24, 0, 9), record(1, 4096, 0, 9),
                                       record(2, 8, 0, 9)};
  records[0].alignment = 8;
  records[1].alignment = 4096;
  records[2].alignment = 1;
  const MemoryPlan p = plan(records);
  EXPECT_EQ(p.lower_bound, 4128);
  EXPECT_EQ(p.bytes, 4128);
  EXPECT_EQ(p.arenas[0].alignment, 4096);
  EXPECT_EQ(p.offsets[1], 0);
}

TEST(MemoryPlanner, ArenasAreApart) {
  std::vector<MemoryRecord> records = {record(0, 64, 0, 1), record(1, 128, 0, 1),
                                       record(2, 192, 2, 3)};
  records[1].arena = 3;
  const MemoryPlan p = plan(records);
  ASSERT_EQ(p.arenas.size(), 2u);
  EXPECT_EQ(p.arenas[0].bytes, 192);
  EXPECT_EQ(p.arenas[1].arena, 3);
  EXPECT_EQ(p.arenas[1].bytes, 128);
  EXPECT_EQ(p.bytes, 320);
}

TEST(MemoryPlanner, NamesThePeakAndWhoIsThere) {
  std::vector<MemoryRecord> records = {record(0, 64, 0, 5), record(1, 640, 3, 4),
                                       record(2, 320, 4, 6), record(3, 500, 7, 9)};
  const MemoryPlan p = plan(records);
  const MemoryPlan::Arena& arena = p.arenas[0];
  EXPECT_EQ(arena.peak, 4);
  ASSERT_EQ(arena.contributors.size(), 3u);
  EXPECT_EQ(arena.contributors[0].record, 1);
  EXPECT_EQ(arena.contributors[0].bytes, 640);
  EXPECT_EQ(arena.contributors[2].record, 0);
}

TEST(MemoryPlanner, SearchFindsWhatNoSingleOrderFinds) {
  int solved = 0;
  int greedy = 0;
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    auto records = random_records(seed, 60, 30, 15);
    for (MemoryRecord& r : records) r.size = 64 * (1 + static_cast<int64_t>(random() % 60));
    const MemoryPlan p = plan(records);
    solved += p.bytes == p.lower_bound;
    greedy += p.bytes == p.lower_bound && p.arenas[0].strategy != "iterated order";
  }
  std::printf("at the bound: %d of 40, %d without the search\n", solved, greedy);
  EXPECT_GE(solved, 30);
  EXPECT_GE(solved, greedy + 10);
}

TEST(MemoryPlanner, RandomRecordsHoldTheRules) {
  for (uint32_t seed = 1; seed <= 8; ++seed) {
    std::mt19937 random(seed);
    auto records = random_records(seed, 300, 200, 60);
    for (size_t i = 1; i < records.size(); ++i) {
      MemoryRecord& r = records[i];
      r.alignment = int64_t{1} << (random() % 9);
      r.arena = static_cast<int>(random() % 2);
      const MemoryRecord& target = records[random() % i];
      if (random() % 4 != 0 || target.size < 1 || target.arena != r.arena) continue;
      r.alias_of = target.id;
      r.alignment = 1;
      r.size = 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(target.size));
      r.alias_offset =
          static_cast<int64_t>(random() % static_cast<uint64_t>(target.size - r.size + 1));
    }
    plan(records);
  }
}

TEST(MemoryPlanner, NetworksComeNearTheBound) {
  const char* names[] = {"ResNet-50", "BERT-base", "GPT-2"};
  for (TraceModel model : {TraceModel::kResNet50, TraceModel::kBertBase, TraceModel::kGpt2}) {
    for (bool training : {false, true}) {
      for (int64_t batch : {1, 4}) {
        const ScheduleProblem problem = make_trace(model, {training, batch, 128});
        const absl::StatusOr<ScheduleResult> order = schedule(problem);
        ASSERT_TRUE(order.ok()) << order.status();
        const auto records = live_records(problem, order->order);
        ASSERT_TRUE(records.ok()) << records.status();
        const MemoryPlan p = plan(*records);
        std::printf("%-9s %-9s batch %d: %5zu records, bound %8.2f MB, planned/bound %.4f (%s)\n",
                    names[static_cast<int>(model)], training ? "training" : "inference",
                    static_cast<int>(batch), records->size(),
                    static_cast<double>(p.lower_bound) / 1e6, p.ratio(),
                    p.arenas[0].strategy.c_str());
        EXPECT_LE(p.ratio(), 1.10);
      }
    }
  }
}

TEST(MemoryPlanner, StoredTraces) {
  struct Case {
    const char* file;
    double ratio;
  };
  for (const Case& c : {Case{"resnet18_training", 1.02}, Case{"transformer_block_training", 1.02},
                        Case{"unet_inference", 1.02}, Case{"lstm_training", 1.02},
                        Case{"fragmenting", 1.0}, Case{"two_lanes", 1.0}}) {
    const auto records = read_trace(absl::StrCat("passes/testdata/", c.file, ".trace"));
    const MemoryPlan p = plan(records);
    std::printf("%-28s %4zu records, bound %10lld, planned/bound %.4f\n", c.file, records.size(),
                static_cast<long long>(p.lower_bound), p.ratio());
    EXPECT_LE(p.ratio(), c.ratio) << c.file;
  }
}

TEST(MemoryPlanner, FiftyThousandRecords) {
  struct Case {
    const char* name;
    int64_t steps;
    int64_t longest;
  };
  // Few neighbours, as in inference; thousands, as in training; all at once.
  for (const Case& c :
       {Case{"short", 50000, 20}, Case{"long", 50000, 10000}, Case{"all", 10, 50000}}) {
    const auto records = random_records(5, 50000, c.steps, c.longest);
    const auto start = std::chrono::steady_clock::now();
    const MemoryPlan p = plan(records);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("50000 %s records: %.2f s, planned/bound %.4f (%s)\n", c.name, seconds.count(),
                p.ratio(), p.arenas[0].strategy.c_str());
    EXPECT_LE(p.ratio(), 1.10);
  }
}

TEST(MemoryPlanner, SameInputSamePlan) {
  const auto records = random_records(11, 400, 300, 80);
  EXPECT_EQ(plan(records).offsets, plan(records).offsets);
}

TEST(MemoryPlanner, OrderAndIdsOfRecordsDoNotMatter) {
  auto records = random_records(12, 60, 50, 12);
  const MemoryPlan before = plan(records);
  std::reverse(records.begin(), records.end());
  for (MemoryRecord& r : records) r.id = r.id * 7 + 1000;
  MemoryPlan after = plan(records);
  std::reverse(after.offsets.begin(), after.offsets.end());
  EXPECT_EQ(before.offsets, after.offsets);
}

TEST(MemoryPlanner, HugeSizesDoNotOverflow) {
  const int64_t quarter = int64_t{1} << 60;
  EXPECT_EQ(plan({record(0, quarter, 0, 1), record(1, quarter, 1, 2)}).bytes, 2 * quarter);
  const int64_t far = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(plan({record(0, 64, -far, far), record(1, 64, far, far)}).bytes, 128);
}

TEST(MemoryPlanner, RefusesWhatIsWrong) {
  const auto refuses = [](const std::vector<MemoryRecord>& records, const char* message) {
    const absl::Status status = plan_memory(records).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  };
  const std::vector<MemoryRecord> good = {record(1, 64, 0, 1), record(2, 64, 0, 1)};
  auto bad = good;
  bad[1].last = -1;
  refuses(bad, "lies before the first");
  bad = good;
  bad[1].id = 1;
  refuses(bad, "the id is also that of");
  bad = good;
  bad[0].size = -1;
  refuses(bad, "negative");
  for (int64_t alignment : {int64_t{0}, int64_t{-64}, int64_t{48}, int64_t{1} << 40}) {
    bad = good;
    bad[0].alignment = alignment;
    refuses(bad, "power of two");
  }
  bad = good;
  bad[0].alias_of = 99;
  refuses(bad, "unknown record 99");
  bad = good;
  bad[0].alias_of = 1;
  refuses(bad, "cycle");
  bad = good;
  bad[0].alias_of = 2;
  bad[1].alias_of = 1;
  bad[1].name = "weights";
  refuses(bad, "cycle");
  bad = good;
  bad[1].alias_of = 1;
  bad[1].alias_offset = 1;
  refuses(bad, "do not lie within");
  bad[1].alias_offset = std::numeric_limits<int64_t>::max();
  refuses(bad, "do not lie within");
  bad[1].alias_offset = -8;
  refuses(bad, "do not lie within");
  bad = good;
  bad[1].alias_of = 1;
  bad[1].size = 8;
  bad[1].alias_offset = 8;
  refuses(bad, "its alignment of 64 forbids");
  bad = good;
  bad[1].alias_of = 1;
  bad[1].arena = 1;
  refuses(bad, "arena 1");
  bad = good;
  bad[0].size = bad[1].size = int64_t{1} << 61;
  refuses(bad, "pass 2^62");
  bad[0].size = std::numeric_limits<int64_t>::max();
  refuses(bad, "pass 2^62");
}

TEST(MemoryPlanner, TheCheckerSees) {
  const std::vector<MemoryRecord> records = {record(0, 64, 0, 2), record(1, 64, 2, 3),
                                             record(2, 128, 1, 1)};
  const MemoryPlan good = plan(records);
  MemoryPlan bad = good;
  bad.offsets[1] = bad.offsets[0];
  EXPECT_THAT(std::string(check_memory_plan(records, bad).message()), HasSubstr("share bytes"));
  bad = good;
  bad.offsets[2] = bad.offsets[0] + (bad.offsets[0] == 0 ? 0 : -64);
  EXPECT_THAT(std::string(check_memory_plan(records, bad).message()), HasSubstr("share bytes"));
  bad = good;
  bad.offsets[0] = bad.bytes;
  EXPECT_THAT(std::string(check_memory_plan(records, bad).message()), HasSubstr("outside"));
  bad = good;
  bad.offsets[2] += 8;
  EXPECT_FALSE(check_memory_plan(records, bad).ok());
}

}  // namespace
}  // namespace modellib
