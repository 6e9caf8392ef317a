// Collectives as steps of a plan, on a lane of their own, between ranks that are threads.
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/distributed/local/local_group.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/test_plans.h"

namespace modellib::runtime {
namespace {

using testing::arena;
using testing::EntryMaker;
using ::testing::HasSubstr;
using testing::in;
using testing::number;
using testing::PlanMaker;
using testing::real;

constexpr auto kInput = fb::Space::Input;
constexpr auto kOutput = fb::Space::Output;
constexpr auto kF32 = static_cast<int64_t>(DType::kF32);

// Lane 0: g = 2 x[index]; lane 1: sum of g over the ranks, in place, while lane 0 makes h = 5 x;
// then y = g + h. The gather by `index` can fault.
PlanMaker reducing_plan() {
  PlanMaker maker;
  EntryMaker entry = maker.entry("step");
  entry.input("x", fb::DType::F32, {number(8)});
  entry.input("index", fb::DType::I32, {number(8)});
  entry.output("y", fb::DType::F32, {number(8)});
  entry.arena_bytes(256);
  entry.entry().lanes = {"compute", "comm"};
  entry.entry().signals = 2;
  entry.step("test.gather", {arena(128, 32)}, {in(kInput, 0, 32), in(kInput, 1, 32)},
             {number(8), number(8)});
  entry.step("test.scale", {arena(0, 32)}, {arena(128, 32)}, {number(8), real(2), number(2)}, 2)
      .signals = {0};
  auto& reduce = entry.step("comm.all_reduce", {arena(0, 32)}, {arena(0, 32)},
                            {number(8), number(kF32), number(0)});
  reduce.lane = 1;
  reduce.waits = {0};
  reduce.signals = {1};
  entry.step("test.scale", {arena(64, 32)}, {in(kInput, 0, 32)}, {number(8), real(5), number(2)},
             2);
  entry
      .step("test.add", {in(kOutput, 0, 32)}, {arena(0, 32), arena(64, 32)}, {number(8), number(2)},
            2)
      .waits = {1};
  return maker;
}

const Tensor kIndex = *Tensor::of<int32_t>({8}, {0, 1, 2, 3, 4, 5, 6, 7});

Tensor values_of(int rank) {
  std::vector<float> x(8);
  for (size_t i = 0; i < 8; ++i) x[i] = static_cast<float>(10 * rank) + static_cast<float>(i);
  return *Tensor::of<float>({8}, x);
}

void on_ranks(int ranks, const std::function<void(Communicator&)>& body) {
  auto group = distributed::make_local_group(ranks);
  std::vector<std::thread> threads;
  for (auto& rank : group) threads.emplace_back([&body, &rank] { body(*rank); });
  for (auto& thread : threads) thread.join();
}

TEST(CollectivesTest, RanksReduceOnALaneOfTheirOwn) {
  const auto executable = reducing_plan().load();
  on_ranks(3, [&](Communicator& communicator) {
    auto session =
        Session::create(executable, nullptr, {.threads = 1, .communicator = &communicator});
    ASSERT_TRUE(session.ok()) << session.status();
    const Tensor x = values_of(communicator.rank());
    for (int run = 0; run < 50; ++run) {
      auto y = (*session)->run_tensors(EntryId(0), {x, kIndex});
      ASSERT_TRUE(y.ok()) << y.status();
      for (int i = 0; i < 8; ++i) {
        // 2 * (x_0 + x_1 + x_2) + 5 x_rank
        ASSERT_EQ((*y)[0].at(i), 2 * (30 + 3 * i) + 5 * (10 * communicator.rank() + i));
      }
    }
  });
}

TEST(CollectivesTest, AFaultOnOneRankEndsTheRunOnAll) {
  const auto executable = reducing_plan().load();
  on_ranks(2, [&](Communicator& communicator) {
    auto session =
        Session::create(executable, nullptr, {.threads = 1, .communicator = &communicator});
    const bool bad = communicator.rank() == 1;
    const Tensor index = bad ? *Tensor::of<int32_t>({8}, {0, 1, 2, 3, 4, 5, 6, 8}) : kIndex;
    const auto y = (*session)->run_tensors(EntryId(0), {values_of(0), index});
    EXPECT_EQ(y.status().code(), bad ? absl::StatusCode::kOutOfRange : absl::StatusCode::kAborted);
  });
}

// Rank 0 runs, rank 1 does what it is told.
absl::Status status_beside(const std::function<void(Session&)>& peer, const RunOptions& options) {
  const auto executable = reducing_plan().load();
  absl::Status status;
  on_ranks(2, [&](Communicator& communicator) {
    auto session =
        Session::create(executable, nullptr, {.threads = 1, .communicator = &communicator});
    if (communicator.rank() == 1) return peer(**session);
    status = (*session)->run_tensors(EntryId(0), {values_of(0), kIndex}, options).status();
  });
  return status;
}

TEST(CollectivesTest, ARunThatCannotBeginEndsThoseOfItsPeers) {
  const auto unbound = [](Session& session) { EXPECT_FALSE(session.run(EntryId(0)).ok()); };
  EXPECT_EQ(status_beside(unbound, {}).code(), absl::StatusCode::kAborted);
}

TEST(CollectivesTest, ADeadlineEndsTheWaitForAPeerThatDoesNotCome) {
  RunOptions options;
  options.deadline = RunOptions::Clock::now() + std::chrono::milliseconds(20);
  EXPECT_EQ(status_beside([](Session&) {}, options).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(CollectivesTest, RankAndWorldAreNumbersOfTheRun) {
  // y[k] = rank as float, by a slot that scales "$rank".
  PlanMaker maker;
  EntryMaker entry = maker.entry("step");
  const int rank = entry.symbol("$rank", 0, 7);
  const int world = entry.symbol("$world", 1, 8);
  const int ranks = entry.slot_of(rank, 3, 0, 21);
  const int worlds = entry.slot_of(world, 1, 1, 8);
  entry.input("zero", fb::DType::I64, {});
  entry.output("y", fb::DType::F32, {number(2)});
  entry.arena_bytes(128);
  entry.step("test.count", {arena(0, 8)}, {in(kInput, 0, 8)}, {testing::slot(ranks, 21)});
  entry.step("test.float_of", {in(kOutput, 0, 4)}, {arena(0, 8)}, {});
  entry.step("test.count", {arena(64, 8)}, {in(kInput, 0, 8)}, {testing::slot(worlds, 8)});
  entry.step("test.float_of", {in(kOutput, 0, 4, 4)}, {arena(64, 8)}, {});
  const auto executable = maker.load();
  on_ranks(3, [&](Communicator& communicator) {
    auto session = Session::create(executable, nullptr, {.communicator = &communicator});
    auto y = (*session)->run_tensors(EntryId(0), {Tensor::scalar<int64_t>(0)});
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_EQ((*y)[0].at(0), 3 * communicator.rank());
    EXPECT_EQ((*y)[0].at(1), 3);
  });
  auto alone = Session::create(executable);
  auto y = (*alone)->run_tensors(EntryId(0), {Tensor::scalar<int64_t>(0)});
  EXPECT_EQ((*y)[0].at(0), 0);
  EXPECT_EQ((*y)[0].at(1), 1);
}

TEST(CollectivesTest, GathersAndScatters) {
  PlanMaker maker;
  EntryMaker entry = maker.entry("step");
  entry.input("x", fb::DType::F32, {number(2)});
  entry.output("all", fb::DType::F32, {number(4)});
  entry.output("part", fb::DType::F32, {number(2)});
  entry.output("root", fb::DType::F32, {number(2)});
  entry.step("comm.all_gather", {in(kOutput, 0, 16)}, {in(kInput, 0, 8)},
             {number(2), number(kF32), number(2)});
  entry.step("comm.reduce_scatter", {in(kOutput, 1, 8)}, {in(kOutput, 0, 16)},
             {number(2), number(kF32), number(3), number(2)});
  entry.step("comm.broadcast", {in(kOutput, 2, 8)}, {in(kInput, 0, 8)},
             {number(2), number(kF32), number(1)});
  const auto executable = maker.load();
  on_ranks(2, [&](Communicator& c) {
    auto session = Session::create(executable, nullptr, {.communicator = &c});
    ASSERT_TRUE(session.ok()) << session.status();
    const float mine = static_cast<float>(c.rank());
    auto y = (*session)->run_tensors(EntryId(0), {*Tensor::of<float>({2}, {mine, mine + 10})});
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_THAT((*y)[0].as<float>(), ::testing::ElementsAre(0, 10, 1, 11));
    EXPECT_THAT((*y)[1].as<float>(),
                c.rank() == 0 ? ::testing::ElementsAre(0, 10) : ::testing::ElementsAre(1, 11));
    EXPECT_THAT((*y)[2].as<float>(), ::testing::ElementsAre(1, 11));
  });
  auto group = distributed::make_local_group(3);
  EXPECT_EQ(Session::create(executable, nullptr, {.communicator = group[0].get()}).status().code(),
            absl::StatusCode::kInvalidArgument);
  // Only an entry that has collectives asks for a communicator.
  auto alone = Session::create(executable);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ((*alone)->prepare(EntryId(0)).code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace modellib::runtime
