#include <cstdint>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/test_plans.h"

namespace modellib::runtime {
namespace {

using testing::arena;
using ::testing::ElementsAre;
using testing::EntryMaker;
using ::testing::HasSubstr;
using testing::in;
using testing::number;
using testing::PlanMaker;
using testing::real;

constexpr auto kInput = fb::Space::Input;
constexpr auto kOutput = fb::Space::Output;

std::vector<float> run(const std::shared_ptr<const Executable>& executable,
                       const std::vector<Tensor>& inputs) {
  auto session = Session::create(executable, nullptr, {.threads = 1});
  EXPECT_TRUE(session.ok()) << session.status();
  auto outputs = (*session)->run_tensors(EntryId(0), inputs);
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  if (!outputs.ok()) return {};
  const auto values = (*outputs)[0].as<float>();
  return {values.begin(), values.end()};
}

TEST(ControlFlowTest, CondRunsOneOfItsBodies) {
  PlanMaker maker;
  EntryMaker entry = maker.entry("main");
  entry.input("k", fb::DType::I64, {});
  entry.output("y", fb::DType::F32, {number(2)});
  entry.arena_bytes(64);
  const uint32_t then = entry.sequence();
  const uint32_t otherwise = entry.sequence();
  entry.step("test.less", {arena(0, 1)}, {in(kInput, 0, 8)}, {number(5)});
  entry.step("control.cond", {}, {arena(0, 1)}, {}).sequences = {then, otherwise};
  entry.step("test.fill", {in(kOutput, 0, 8)}, {}, {number(2), real(1), number(1)}, 1, then);
  entry.step("test.fill", {in(kOutput, 0, 8)}, {}, {number(2), real(-1), number(1)}, 1, otherwise);
  const auto executable = maker.load();
  EXPECT_THAT(run(executable, {Tensor::scalar<int64_t>(4)}), ElementsAre(1, 1));
  EXPECT_THAT(run(executable, {Tensor::scalar<int64_t>(5)}), ElementsAre(-1, -1));
}

// carry += x[t]; y[t] = carry; z = index after the loop
PlanMaker scan_plan(bool counted) {
  PlanMaker maker;
  EntryMaker entry = maker.entry("main");
  entry.input("x", fb::DType::F32, {number(4), number(2)});
  if (counted) entry.input("trips", fb::DType::I64, {});
  entry.output("y", fb::DType::F32, {number(5), number(2)});
  entry.arena_bytes(128);
  const uint32_t body = entry.sequence();
  entry.step("test.fill", {arena(0, 8)}, {}, {number(2), real(0), number(1)});
  entry.step("test.fill", {in(kOutput, 0, 40)}, {}, {number(10), real(-1), number(1)});
  entry
      .step("control.scan", {arena(64, 8)},
            counted ? std::vector<fb::BufferRef>{in(kInput, 1, 8)} : std::vector<fb::BufferRef>{},
            {number(4)})
      .sequences = {body};
  entry.step("test.float_of", {in(kOutput, 0, 4, 32)}, {arena(64, 8)}, {});
  entry.step("test.add", {arena(0, 8)}, {arena(0, 8), in(kInput, 0, 8, 0, 8)},
             {number(2), number(1)}, 1, body);
  entry.step("test.copy", {in(kOutput, 0, 8, 0, 8)}, {arena(0, 8)}, {number(2), number(1)}, 1,
             body);
  return maker;
}

TEST(ControlFlowTest, ScanMovesItsOperandsAndCarriesState) {
  const Tensor x = *Tensor::of<float>({4, 2}, {1, 10, 2, 20, 3, 30, 4, 40});
  EXPECT_THAT(run(scan_plan(false).load(), {x}), ElementsAre(1, 10, 3, 30, 6, 60, 10, 100, 4, -1));
}

TEST(ControlFlowTest, ScanTakesItsTripsFromMemoryAndCutsThem) {
  const auto executable = scan_plan(true).load();
  const Tensor x = *Tensor::of<float>({4, 2}, {1, 10, 2, 20, 3, 30, 4, 40});
  EXPECT_THAT(run(executable, {x, Tensor::scalar<int64_t>(2)}),
              ElementsAre(1, 10, 3, 30, -1, -1, -1, -1, 2, -1));
  EXPECT_THAT(run(executable, {x, Tensor::scalar<int64_t>(-7)}),
              ElementsAre(-1, -1, -1, -1, -1, -1, -1, -1, 0, -1));
  EXPECT_THAT(run(executable, {x, Tensor::scalar<int64_t>(1000)}),
              ElementsAre(1, 10, 3, 30, 6, 60, 10, 100, 4, -1));
}

TEST(ControlFlowTest, NestedScansAdvanceWithBothLoops) {
  // y[o][i] = x[o][i] + x[o][i], over an outer loop of 3 and an inner one of 4.
  PlanMaker maker;
  EntryMaker entry = maker.entry("main");
  entry.input("x", fb::DType::F32, {number(3), number(4)});
  entry.output("y", fb::DType::F32, {number(3), number(4)});
  entry.arena_bytes(64);
  const uint32_t outer = entry.sequence();
  const uint32_t inner = entry.sequence();
  entry.step("test.fill", {in(kOutput, 0, 48)}, {}, {number(12), real(0), number(1)});
  entry.step("control.scan", {}, {}, {number(3)}).sequences = {outer};
  entry.step("control.scan", {}, {}, {number(4)}, 1, outer).sequences = {inner};
  entry.step("test.add", {in(kOutput, 0, 4, 0, 4, 16)},
             {in(kInput, 0, 4, 0, 4, 16), in(kInput, 0, 4, 0, 4, 16)}, {number(1), number(1)}, 1,
             inner);
  const auto executable = maker.load();
  std::vector<float> x(12);
  std::vector<float> doubled(12);
  for (size_t i = 0; i < 12; ++i) {
    x[i] = static_cast<float>(i);
    doubled[i] = 2 * x[i];
  }
  const Tensor input = *Tensor::of<float>({3, 4}, x);
  auto session = Session::create(executable);
  // Twice: the addresses come back after the loops.
  for (int i = 0; i < 2; ++i) {
    auto y = (*session)->run_tensors(EntryId(0), {input});
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_THAT((*y)[0].as<float>(), ::testing::ElementsAreArray(doubled));
  }
}

// n = start; while (n < limit && trips < bound) { n += 1 }; y = n, trips
PlanMaker while_plan(int64_t bound, int64_t limit, int64_t sleep) {
  PlanMaker maker;
  EntryMaker entry = maker.entry("main");
  entry.input("start", fb::DType::I64, {});
  entry.output("y", fb::DType::F32, {number(2)});
  entry.arena_bytes(256);
  const uint32_t condition = entry.sequence();
  const uint32_t body = entry.sequence();
  entry.step("test.count", {arena(0, 8)}, {in(kInput, 0, 8)}, {number(0)});
  entry.step("control.while", {arena(128, 8)}, {arena(64, 1)}, {number(bound)}).sequences = {
      condition, body};
  entry.step("test.float_of", {in(kOutput, 0, 4)}, {arena(0, 8)}, {});
  entry.step("test.float_of", {in(kOutput, 0, 4, 4)}, {arena(128, 8)}, {});
  entry.step("test.less", {arena(64, 1)}, {arena(0, 8)}, {number(limit)}, 1, condition);
  entry.step("test.count", {arena(0, 8)}, {arena(0, 8)}, {number(1)}, 1, body);
  if (sleep > 0) entry.step("test.sleep", {arena(192, 4)}, {}, {number(sleep)}, 1, body);
  return maker;
}

TEST(ControlFlowTest, WhileEndsByItsPredicateOrItsBound) {
  const auto executable = while_plan(10, 7, 0).load();
  EXPECT_THAT(run(executable, {Tensor::scalar<int64_t>(3)}), ElementsAre(7, 4));
  EXPECT_THAT(run(executable, {Tensor::scalar<int64_t>(9)}), ElementsAre(9, 0));
  EXPECT_THAT(run(executable, {Tensor::scalar<int64_t>(-100)}), ElementsAre(-90, 10));
}

// A file may ask for billions of chunks that touch next to no memory.
TEST(ControlFlowTest, AStepOfManyChunksEndsAtTheDeadline) {
  constexpr int64_t kChunks = (int64_t{1} << 31) - 1;
  PlanMaker maker;
  EntryMaker entry = maker.entry("main");
  entry.step("test.fill", {arena(0, 4)}, {}, {number(1), real(0), number(kChunks)}, kChunks);
  entry.arena_bytes(64);
  const auto executable = maker.load();
  for (const int threads : {1, 2}) {
    auto session = Session::create(executable, nullptr, {.threads = threads});
    ASSERT_TRUE(session.ok());
    const auto soon = RunOptions::Clock::now() + std::chrono::milliseconds(20);
    EXPECT_EQ((*session)->run(EntryId(0), {.deadline = soon}).code(),
              absl::StatusCode::kDeadlineExceeded);
  }
}

TEST(ControlFlowTest, AnEndlessLoopCanBeCancelledAndTheSessionGoesOn) {
  constexpr int64_t kForEver = int64_t{1} << 31;
  const auto executable = while_plan(kForEver, 1000000, 1).load();
  auto session = Session::create(executable, nullptr, {.threads = 1});
  ASSERT_TRUE(session.ok());
  const Tensor start = Tensor::scalar<int64_t>(0);
  ASSERT_TRUE((*session)->bind_input(EntryId(0), 0, start).ok());
  CancelToken token;
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    token.cancel();
  });
  const absl::Status status = (*session)->run(EntryId(0), {.cancel = &token});
  canceller.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);

  const auto soon = RunOptions::Clock::now() + std::chrono::milliseconds(20);
  EXPECT_EQ((*session)->run(EntryId(0), {.deadline = soon}).code(),
            absl::StatusCode::kDeadlineExceeded);

  auto last = (*session)->run_tensors(EntryId(0), {Tensor::scalar<int64_t>(999998)});
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_THAT((*last)[0].as<float>(), ElementsAre(1000000, 2));
}

TEST(ControlFlowTest, LoopsThatLeaveTheirOperandsAreRefused) {
  PlanMaker maker = scan_plan(false);
  maker.plan.entries[0]->sequences[0]->steps[2]->scalars[0] = number(5);
  const auto executable = maker.try_load();
  EXPECT_EQ(executable.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ControlFlowTest, BodiesMustFormATree) {
  PlanMaker maker = scan_plan(false);
  maker.plan.entries[0]->sequences[0]->steps[2]->sequences = {0};
  EXPECT_EQ(maker.try_load().status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace modellib::runtime
