// Lanes, signals, faults, and what a session tells about a run.
#include <atomic>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
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

// Lane 0: a = x * 2, and then d = x * 5 while lane 1 makes b = a * 3; then y = b + d = 11 x.
PlanMaker two_lanes(int64_t milliseconds) {
  PlanMaker maker;
  EntryMaker entry = maker.entry("main");
  entry.input("x", fb::DType::F32, {number(64)});
  entry.output("y", fb::DType::F32, {number(64)});
  entry.arena_bytes(1024);
  entry.entry().lanes = {"compute", "copy"};
  entry.entry().signals = 2;
  entry
      .step("test.scale", {arena(0, 256)}, {in(kInput, 0, 256)}, {number(64), real(2), number(2)},
            2)
      .signals = {0};
  auto& wait = entry.step("test.sleep", {arena(768, 4)}, {}, {number(milliseconds)});
  wait.lane = 1;
  auto& copy = entry.step("test.scale", {arena(256, 256)}, {arena(0, 256)},
                          {number(64), real(3), number(2)}, 2);
  copy.lane = 1;
  copy.waits = {0};
  copy.signals = {1};
  entry.step("test.scale", {arena(512, 256)}, {in(kInput, 0, 256)},
             {number(64), real(5), number(2)}, 2);
  entry
      .step("test.add", {in(kOutput, 0, 256)}, {arena(256, 256), arena(512, 256)},
            {number(64), number(2)}, 2)
      .waits = {1};
  return maker;
}

TEST(LanesTest, StepsWaitForTheSignalsOfOtherLanes) {
  for (const int64_t milliseconds : {0, 3}) {
    auto session = Session::create(two_lanes(milliseconds).load(), nullptr, {.threads = 2});
    ASSERT_TRUE(session.ok()) << session.status();
    std::vector<float> x(64);
    std::vector<float> y(64);
    ASSERT_TRUE((*session)->bind_input(EntryId(0), 0, x.data(), {64}).ok());
    ASSERT_TRUE((*session)->bind_output(EntryId(0), 0, y.data(), 256).ok());
    for (int run = 0; run < (milliseconds == 0 ? 500 : 20); ++run) {
      for (size_t i = 0; i < 64; ++i) x[i] = static_cast<float>(run + static_cast<int>(i));
      ASSERT_TRUE((*session)->run(EntryId(0)).ok());
      for (size_t i = 0; i < 64; ++i) ASSERT_EQ(y[i], 11 * x[i]) << "run " << run;
    }
  }
}

TEST(LanesTest, APlanThatCouldWaitForEverIsRefused) {
  PlanMaker maker = two_lanes(0);
  maker.plan.entries[0]->sequences[0]->steps[0]->waits = {1};
  EXPECT_EQ(maker.try_load().status().code(), absl::StatusCode::kInvalidArgument);
}

// Lane 1 gathers rows by index; lane 0 waits for it.
PlanMaker gather_plan() {
  PlanMaker maker;
  const uint32_t table = maker.constant("table", {10, 11, 12, 13});
  EntryMaker entry = maker.entry("main");
  entry.input("index", fb::DType::I32, {number(2)});
  entry.output("y", fb::DType::F32, {number(2)});
  entry.arena_bytes(64);
  entry.entry().lanes = {"compute", "copy"};
  entry.entry().signals = 1;
  auto& gather =
      entry.step("test.gather", {arena(0, 8)},
                 {in(fb::Space::Constant, table, 16), in(kInput, 0, 8)}, {number(2), number(4)});
  gather.lane = 1;
  gather.signals = {0};
  gather.name = "embed";
  entry.step("test.copy", {in(kOutput, 0, 8)}, {arena(0, 8)}, {number(2), number(1)}).waits = {0};
  return maker;
}

TEST(LanesTest, AFaultEndsTheRunOnEveryLaneAndNamesTheStep) {
  auto session = Session::create(gather_plan().load());
  ASSERT_TRUE(session.ok()) << session.status();
  for (int i = 0; i < 100; ++i) {
    auto bad = (*session)->run_tensors(EntryId(0), {*Tensor::of<int32_t>({2}, {1, 7})});
    ASSERT_EQ(bad.status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_THAT(std::string(bad.status().message()), HasSubstr("'embed'"));
    EXPECT_THAT(std::string(bad.status().message()), HasSubstr("index 7 is not in [0, 4)"));
    auto good = (*session)->run_tensors(EntryId(0), {*Tensor::of<int32_t>({2}, {3, 0})});
    ASSERT_TRUE(good.ok()) << good.status();
    EXPECT_THAT((*good)[0].as<float>(), ::testing::ElementsAre(13, 10));
  }
}

// A step that ends well while another lane's reports a fault is not blamed for it.
TEST(LanesTest, AFaultNamesItsOwnStep) {
  PlanMaker maker = gather_plan();
  EntryMaker entry = maker.entry("beside");
  entry.input("index", fb::DType::I32, {number(2)});
  entry.output("y", fb::DType::F32, {number(2)});
  entry.arena_bytes(64);
  entry.entry().lanes = {"compute", "copy"};
  auto& gather =
      entry.step("test.gather", {in(kOutput, 0, 8)},
                 {in(fb::Space::Constant, 0, 16), in(kInput, 0, 8)}, {number(2), number(4)});
  gather.lane = 1;
  gather.name = "embed";
  for (uint64_t i = 0; i < 8; ++i) {
    entry.step("test.fill", {arena(4 * i, 4)}, {}, {number(1), real(1), number(1)});
  }
  maker.plan.entries.erase(maker.plan.entries.begin());
  const auto session = *Session::create(maker.load());
  for (int i = 0; i < 2000; ++i) {
    const auto bad = session->run_tensors(EntryId(0), {*Tensor::of<int32_t>({2}, {1, 7})});
    ASSERT_EQ(bad.status().code(), absl::StatusCode::kOutOfRange);
    ASSERT_THAT(std::string(bad.status().message()), HasSubstr("'embed'"));
  }
}

TEST(LanesTest, CancelledBeforeItBeginsARunDoesNothing) {
  auto session = Session::create(gather_plan().load());
  ASSERT_TRUE((*session)->bind_input(EntryId(0), 0, *Tensor::of<int32_t>({2}, {3, 0})).ok());
  CancelToken token;
  token.cancel();
  EXPECT_EQ((*session)->run(EntryId(0), {.cancel = &token}).code(), absl::StatusCode::kCancelled);
  token.reset();
  EXPECT_TRUE((*session)->run(EntryId(0), {.cancel = &token}).ok());
}

TEST(LanesTest, ObserverAndProfileSeeEachStep) {
  std::atomic<int> events{0};
  std::atomic<int> outputs{0};
  SessionOptions options;
  options.profile = true;
  options.observer = [&](const StepEvent& event) {
    ++events;
    outputs += event.outputs;
    EXPECT_EQ(event.buffers.size(), event.bytes.size());
    if (event.name == "embed") {
      EXPECT_EQ(event.kernel, "test.gather");
      EXPECT_EQ(reinterpret_cast<const float*>(event.buffers[0])[1], 10);
    }
  };
  auto session = Session::create(gather_plan().load(), nullptr, options);
  const std::vector<Tensor> inputs = {*Tensor::of<int32_t>({2}, {3, 0})};
  ASSERT_TRUE((*session)->run_tensors(EntryId(0), inputs).ok());
  ASSERT_TRUE((*session)->run_tensors(EntryId(0), inputs).ok());
  EXPECT_EQ(events, 4);
  EXPECT_EQ(outputs, 4);
  const auto profile = (*session)->profile(EntryId(0));
  ASSERT_EQ(profile.size(), 2u);
  EXPECT_EQ(profile[0].name, "embed");
  EXPECT_EQ(profile[0].runs, 2);
  EXPECT_GT(profile[0].nanoseconds, 0);
  (*session)->reset_profile();
  EXPECT_EQ(profile[0].runs, 0);
}

}  // namespace
}  // namespace modellib::runtime
