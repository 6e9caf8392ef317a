#include "modellib/executors/runtime/variable_store.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/test_plans.h"

namespace modellib::runtime {
namespace {

using testing::arena;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::EntryMaker;
using ::testing::HasSubstr;
using testing::in;
using testing::number;
using testing::PlanMaker;
using testing::real;

constexpr auto kVariable = fb::Space::Variable;
constexpr auto kOutput = fb::Space::Output;

// "train": w *= 2, bias += bias. "initialize": w = seed, bias = 1. "read": y = w.
PlanMaker training_plan(int64_t n, std::vector<float> initial_w = {}) {
  PlanMaker maker;
  const uint32_t w = maker.variable("w", n, fb::VariableKind::Shared, std::move(initial_w));
  const uint32_t bias = maker.variable("bias", n);
  const auto bytes = static_cast<uint64_t>(n) * 4;
  EntryMaker train = maker.entry("train");
  train.uses(w, true, true);
  train.uses(bias, true, true);
  train.step("test.scale", {in(kVariable, w, bytes)}, {in(kVariable, w, bytes)},
             {number(n), real(2), number(2)}, 2);
  train.step("test.add", {in(kVariable, bias, bytes)},
             {in(kVariable, bias, bytes), in(kVariable, bias, bytes)}, {number(n), number(2)}, 2);
  EntryMaker initialize = maker.entry("initialize");
  initialize.input("seed", fb::DType::I64, {});
  initialize.uses(w, false, true);
  initialize.uses(bias, false, true);
  initialize.arena_bytes(64);
  initialize.step("test.float_of", {arena(0, 4)}, {in(fb::Space::Input, 0, 8)}, {});
  const uint32_t body = initialize.sequence();
  initialize.step("control.scan", {}, {}, {number(n)}).sequences = {body};
  initialize.step("test.copy", {in(kVariable, w, 4, 0, 4)}, {arena(0, 4)}, {number(1), number(1)},
                  1, body);
  initialize.step("test.fill", {in(kVariable, bias, bytes)}, {}, {number(n), real(1), number(1)});
  EntryMaker read = maker.entry("read");
  read.uses(w, true, false);
  read.output("y", fb::DType::F32, {number(n)});
  read.step("test.copy", {in(kOutput, 0, bytes)}, {in(kVariable, w, bytes)}, {number(n), number(2)},
            2);
  return maker;
}

// "read": sum of w and bias, to be found in a plan of its own.
PlanMaker reading_plan(int64_t n) {
  PlanMaker maker;
  const uint32_t bias = maker.variable("bias", n);
  const uint32_t w = maker.variable("w", n);
  const auto bytes = static_cast<uint64_t>(n) * 4;
  EntryMaker read = maker.entry("read");
  read.uses(w, true, false);
  read.uses(bias, true, false);
  read.output("y", fb::DType::F32, {number(n)});
  read.output("z", fb::DType::F32, {number(n)});
  read.step("test.copy", {in(kOutput, 0, bytes)}, {in(kVariable, w, bytes)}, {number(n), number(2)},
            2);
  read.step("test.copy", {in(kOutput, 1, bytes)}, {in(kVariable, bias, bytes)},
            {number(n), number(2)}, 2);
  return maker;
}

// The seed is one number: a plan that asks for more must not read on behind it.
TEST(VariableStoreTest, GivesNoMoreThanTheSeed) {
  PlanMaker maker;
  const uint32_t w = maker.variable("w", 4);
  EntryMaker initialize = maker.entry("initialize");
  initialize.input("seed", fb::DType::I64, {number(1024)});
  initialize.uses(w, false, true);
  initialize.step("test.fill", {in(kVariable, w, 16)}, {}, {number(4), real(1), number(1)});
  const auto store = VariableStore::create(maker.load(), {.seed = 3});
  EXPECT_EQ(store.status().code(), absl::StatusCode::kInvalidArgument) << store.status();
}

TEST(VariableStoreTest, InitialisesTrainsAndReads) {
  const auto executable = training_plan(4).load();
  auto store = VariableStore::create(executable, {.seed = 3});
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_THAT((*store)->get("w")->as<float>(), Each(3));
  EXPECT_THAT((*store)->get("bias")->as<float>(), Each(1));
  auto session = Session::create(executable, *store);
  ASSERT_TRUE(session.ok()) << session.status();
  const EntryId train = *executable->entry("train");
  for (int i = 0; i < 3; ++i) ASSERT_TRUE((*session)->run(train).ok());
  EXPECT_THAT((*store)->get("w")->as<float>(), Each(24));
  EXPECT_THAT((*store)->get("bias")->as<float>(), Each(8));
  ASSERT_TRUE((*store)->set("w", *Tensor::of<float>({4}, {1, 2, 3, 4})).ok());
  auto y = (*session)->run_tensors(*executable->entry("read"), {});
  EXPECT_THAT((*y)[0].as<float>(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ((*store)->get("no such").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ((*store)->set("w", *Tensor::of<float>({2, 2}, {1, 2, 3, 4})).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(VariableStoreTest, SegmentsWinOverInitialize) {
  auto store = VariableStore::create(training_plan(4, {9, 8, 7, 6}).load());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_THAT((*store)->get("w")->as<float>(), ElementsAre(9, 8, 7, 6));
  EXPECT_THAT((*store)->get("bias")->as<float>(), Each(1));
}

TEST(VariableStoreTest, NamesTheVariablesThatNothingSets) {
  auto store = VariableStore::create(reading_plan(4).load());
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("bias, w"));
}

// A session variable is a session's own, whatever a shared one of another plan is called.
TEST(VariableStoreTest, SessionVariablesGiveSharedOnesNoValue) {
  PlanMaker own;
  const uint32_t w = own.variable("w", 2, fb::VariableKind::Session, {1, 2});
  EntryMaker initialize = own.entry("initialize");
  initialize.uses(w, false, true);
  initialize.step("test.fill", {in(kVariable, w, 8)}, {}, {number(2), real(1), number(1)});
  PlanMaker sharing;
  sharing.variable("w", 1 << 20);
  sharing.entry("nothing");
  const absl::Status status = VariableStore::create({own.load(), sharing.load()}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("first value to the variables w"));
}

TEST(VariableStoreTest, AnyThreadMayReadWriteAndPublish) {
  const auto executable = training_plan(4, {1, 1, 1, 1}).load();
  const auto store = *VariableStore::create(executable);
  const auto reader = *Session::create(executable, store, {.access = VariableAccess::kPublished});
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const Tensor value = *Tensor::of<float>({4}, std::vector<float>(4, static_cast<float>(t)));
      for (int i = 0; i < 500; ++i) {
        const auto seen = store->get("w");
        if (!seen.ok() || seen->as<float>()[0] != seen->as<float>()[3]) ++failed;
        const absl::Status status = t == 0 ? store->publish() : store->set("w", value);
        // Nothing may be written while it is copied for the readers.
        if (!status.ok() && t == 0) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed.load(), 0);
}

TEST(VariableStoreTest, ExecutablesShareVariablesByName) {
  const auto training = training_plan(4).load();
  const auto reading = reading_plan(4).load();
  auto store = VariableStore::create({training, reading}, {.seed = 5});
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->variables().size(), 2u);
  auto writer = Session::create(training, *store);
  auto reader = Session::create(reading, *store);
  ASSERT_TRUE((*writer)->run(*training->entry("train")).ok());
  auto y = (*reader)->run_tensors(EntryId(0), {});
  EXPECT_THAT((*y)[0].as<float>(), Each(10));
  EXPECT_THAT((*y)[1].as<float>(), Each(2));
  // Nobody reads versions, so there is no second buffer.
  EXPECT_EQ((*store)->reserved_bytes(), (*store)->bytes());
  EXPECT_TRUE((*store)->publish().ok());
  EXPECT_EQ((*store)->published_versions(), 0u);

  const auto other = reading_plan(8).load();
  EXPECT_EQ(VariableStore::create({training, other}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Session::create(other, *store).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Session::create(reading).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(VariableStoreTest, PublishedReadersSeeTheVersionThatWasPublished) {
  const auto training = training_plan(4).load();
  const auto reading = reading_plan(4).load();
  auto store = VariableStore::create({training, reading}, {.seed = 1});
  auto writer = Session::create(training, *store);
  auto reader = Session::create(reading, *store, {.access = VariableAccess::kPublished});
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*store)->reserved_bytes(), 2 * (*store)->bytes());
  const EntryId train = *training->entry("train");
  EXPECT_EQ((*reader)->run(EntryId(0)).code(), absl::StatusCode::kFailedPrecondition);
  float expected = 1;
  for (int version = 0; version < 5; ++version) {
    ASSERT_TRUE((*store)->publish().ok());
    ASSERT_TRUE((*writer)->run(train).ok());
    auto y = (*reader)->run_tensors(EntryId(0), {});
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_THAT((*y)[0].as<float>(), Each(expected));
    expected *= 2;
    EXPECT_THAT((*store)->get("w")->as<float>(), Each(expected));
  }
  auto wrong = Session::create(training, *store, {.access = VariableAccess::kPublished});
  EXPECT_EQ((*wrong)->run(train).code(), absl::StatusCode::kFailedPrecondition);
}

// A run that began before the first publish reads the buffer that a second one would copy to. The
// thread is not waited for but by a flag that orders nothing, so that ThreadSanitizer sees a copy.
TEST(VariableStoreTest, PublishingTwiceLeavesALongReaderAlone) {
  const auto reading = reading_plan(4).load();
  const auto training = training_plan(4).load();
  auto store = VariableStore::create({training, reading}, {.seed = 1});
  auto published = Session::create(reading, *store, {.access = VariableAccess::kPublished});
  ASSERT_TRUE(published.ok()) << published.status();
  std::atomic<bool> done = false;
  std::thread publisher;
  SessionOptions options;
  options.threads = 1;
  options.observer = [&](const StepEvent&) {
    if (publisher.joinable()) return;
    publisher = std::thread([&] {
      for (int i = 0; i < 2; ++i) EXPECT_EQ((*store)->publish(), absl::OkStatus());
      done.store(true, std::memory_order_relaxed);
    });
    while (!done.load(std::memory_order_relaxed)) std::this_thread::yield();
  };
  auto reader = Session::create(reading, *store, options);
  ASSERT_TRUE(reader.ok()) << reader.status();
  auto y = (*reader)->run_tensors(EntryId(0), {});
  publisher.join();
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_THAT((*y)[1].as<float>(), Each(1));
  EXPECT_EQ((*store)->published_versions(), 2u);
  // What changed since is published.
  ASSERT_TRUE((*store)->set("w", *Tensor::of<float>({4}, {5, 5, 5, 5})).ok());
  ASSERT_TRUE((*store)->publish().ok());
  EXPECT_THAT((*(*published)->run_tensors(EntryId(0), {}))[0].as<float>(), Each(5));
}

// "train": w += 1, bias += 1.
PlanMaker counting_plan(int64_t n) {
  PlanMaker maker;
  const auto count = static_cast<size_t>(n);
  const uint32_t w = maker.variable("w", n, fb::VariableKind::Shared, std::vector<float>(count, 1));
  const uint32_t bias =
      maker.variable("bias", n, fb::VariableKind::Shared, std::vector<float>(count, 1));
  const uint32_t one = maker.constant("one", std::vector<float>(count, 1));
  const auto bytes = static_cast<uint64_t>(n) * 4;
  EntryMaker train = maker.entry("train");
  for (const uint32_t variable : {w, bias}) {
    train.uses(variable, true, true);
    train.step("test.add", {in(kVariable, variable, bytes)},
               {in(kVariable, variable, bytes), in(fb::Space::Constant, one, bytes)},
               {number(n), number(2)}, 2);
  }
  return maker;
}

TEST(VariableStoreTest, PublishedVersionsCountForTheLimit) {
  const auto executable = counting_plan(4).load();
  for (const bool enough : {false, true}) {
    VariableStoreOptions options;
    options.max_bytes = enough ? 4096 : 200;
    const auto store = VariableStore::create(executable, options);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_EQ((*store)->bytes(), 128u);
    const auto reader = Session::create(executable, *store, {.access = VariableAccess::kPublished});
    EXPECT_EQ(reader.status().code(),
              enough ? absl::StatusCode::kOk : absl::StatusCode::kResourceExhausted);
  }
}

// Readers on threads of their own, beside a writer that publishes all the time: w and bias start
// equal and are counted up together, so any difference within or between them is a mixture.
TEST(VariableStoreTest, ReadersNeverSeeAMixtureOfVersions) {
  constexpr int64_t kElements = 2000;
  constexpr int kVersions = 1000;
  const auto training = counting_plan(kElements).load();
  const auto reading = reading_plan(kElements).load();
  auto store = VariableStore::create({training, reading});
  ASSERT_TRUE(store.ok()) << store.status();
  auto writer = Session::create(training, *store, {.threads = 1});
  std::vector<std::unique_ptr<Session>> readers;
  for (int i = 0; i < 3; ++i) {
    readers.push_back(
        *Session::create(reading, *store, {.threads = 1, .access = VariableAccess::kPublished}));
  }
  ASSERT_TRUE((*store)->publish().ok());
  std::atomic<bool> stop{false};
  std::atomic<int64_t> runs{0};
  std::atomic<int64_t> mixtures{0};
  std::vector<std::thread> threads;
  for (auto& reader : readers) {
    threads.emplace_back([&, session = reader.get()] {
      float last = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        if (!session->run(EntryId(0)).ok()) {
          ++mixtures;
          break;
        }
        const auto* y = reinterpret_cast<const float*>(session->output_data(EntryId(0), 0));
        const auto* z = reinterpret_cast<const float*>(session->output_data(EntryId(0), 1));
        for (int64_t i = 0; i < kElements; ++i) {
          if (y[i] != y[0] || z[i] != y[0]) {
            ++mixtures;
            break;
          }
        }
        if (y[0] < last) ++mixtures;  // versions only go forward
        last = y[0];
        ++runs;
      }
    });
  }
  const EntryId train = *training->entry("train");
  for (int version = 0; version < kVersions; ++version) {
    ASSERT_TRUE((*writer)->run(train).ok());
    ASSERT_TRUE((*store)->publish().ok());
    if (version % 10 == 0) std::this_thread::yield();
  }
  while (runs.load() < 100) std::this_thread::yield();
  stop.store(true);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(mixtures.load(), 0);
  EXPECT_EQ((*store)->published_versions(), static_cast<uint64_t>(kVersions + 1));
}

TEST(VariableStoreTest, AWriterGoesAlone) {
  // A run that sleeps while it holds the variables.
  PlanMaker maker;
  const uint32_t w = maker.variable("w", 1, fb::VariableKind::Shared, {1});
  EntryMaker train = maker.entry("train");
  train.uses(w, false, true);
  train.step("test.sleep", {in(kVariable, w, 4)}, {}, {number(100)});
  EntryMaker read = maker.entry("read");
  read.uses(w, true, false);
  read.output("y", fb::DType::F32, {number(1)});
  read.step("test.copy", {in(kOutput, 0, 4)}, {in(kVariable, w, 4)}, {number(1), number(1)});
  const auto executable = maker.load();
  auto store = VariableStore::create(executable);
  ASSERT_TRUE(store.ok()) << store.status();
  std::atomic<bool> started{false};
  SessionOptions options;
  options.threads = 1;
  auto writer = Session::create(executable, *store, options);
  auto reader = Session::create(executable, *store, options);
  std::thread thread([&] {
    started = true;
    EXPECT_TRUE((*writer)->run(*executable->entry("train")).ok());
  });
  while (!started) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const absl::Status status = (*reader)->run(*executable->entry("read"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ((*store)->publish().code(), absl::StatusCode::kOk);  // no reader of versions: nothing
  EXPECT_EQ((*store)->get("w").status().code(), absl::StatusCode::kFailedPrecondition);
  thread.join();
  EXPECT_TRUE((*reader)->run(*executable->entry("read")).ok());
}

TEST(VariableStoreTest, SessionVariablesBelongToTheSession) {
  PlanMaker maker;
  const uint32_t state = maker.variable("state", 2, fb::VariableKind::Session, {1, 2});
  const uint32_t zeros = maker.variable("zeros", 2, fb::VariableKind::Session);
  EntryMaker step = maker.entry("step");
  step.uses(state, true, true);
  step.uses(zeros, true, false);
  step.output("y", fb::DType::F32, {number(2)});
  step.step("test.scale", {in(kVariable, state, 8)}, {in(kVariable, state, 8)},
            {number(2), real(10), number(1)});
  step.step("test.add", {in(kOutput, 0, 8)}, {in(kVariable, state, 8), in(kVariable, zeros, 8)},
            {number(2), number(1)});
  const auto executable = maker.load();
  auto a = Session::create(executable);
  auto b = Session::create(executable);
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE((*a)->run(EntryId(0)).ok());
  ASSERT_TRUE((*a)->run(EntryId(0)).ok());
  ASSERT_TRUE((*b)->run(EntryId(0)).ok());
  EXPECT_THAT((*a)->get_variable("state")->as<float>(), ElementsAre(100, 200));
  EXPECT_THAT((*b)->get_variable("state")->as<float>(), ElementsAre(10, 20));
  ASSERT_TRUE((*b)->set_variable("zeros", *Tensor::of<float>({2}, {1, 1})).ok());
  EXPECT_THAT((*(*b)->run_tensors(EntryId(0), {}))[0].as<float>(), ElementsAre(101, 201));
  ASSERT_TRUE((*a)->reset_variables().ok());
  EXPECT_THAT((*a)->get_variable("state")->as<float>(), ElementsAre(1, 2));
  EXPECT_EQ((*a)->get_variable("w").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace modellib::runtime
