// After the first run nothing is allocated, and the bits do not depend on who works.
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/test_plans.h"
#include "modellib/tests/alloc_counter.h"

namespace modellib::runtime {
namespace {

using testing::arena;
using testing::EntryMaker;
using testing::in;
using testing::number;
using testing::PlanMaker;
using testing::real;
using testing::slot;

constexpr auto kInput = fb::Space::Input;
constexpr auto kOutput = fb::Space::Output;
constexpr auto kVariable = fb::Space::Variable;
constexpr int64_t kWidth = 512;
constexpr int64_t kBatch = 64;

// "train", all that a run can be: a free batch, chunks, a second lane, a loop, a variable that is
// updated. "read" copies the variable. y[batch, 512] = 2 x, w += scan over the first row's
// quarters.
PlanMaker everything() {
  PlanMaker maker;
  constexpr uint64_t kRow = kWidth * 4;
  constexpr int64_t kMax = kBatch * kWidth;
  const uint32_t w =
      maker.variable("w", kWidth / 4, fb::VariableKind::Shared, std::vector<float>(kWidth / 4, 0));
  EntryMaker train = maker.entry("train");
  const int batch = train.symbol("batch", 1, kBatch);
  const int n = train.slot_of(batch, kWidth, kWidth, kMax);
  const int rows = train.slot_of(batch, 1, 1, kBatch);
  train.input("x", fb::DType::F32, {number(kBatch), number(kWidth)}, {batch, -1});
  train.output("y", fb::DType::F32, {slot(rows, kBatch), number(kWidth)});
  train.output("sums", fb::DType::F32, {number(16)});
  train.arena_bytes(kMax * 4 + 4096);
  train.uses(w, true, true);
  train.entry().lanes = {"compute", "copy"};
  train.entry().signals = 2;
  const uint32_t body = train.sequence();
  auto& first = train.step("test.scale", {arena(0, kMax * 4)}, {in(kInput, 0, kMax * 4)},
                           {slot(n, kMax), real(0.5), number(16)}, 16);
  first.signals = {0};
  auto& copy = train.step("test.scale", {in(kOutput, 0, kMax * 4)}, {arena(0, kMax * 4)},
                          {slot(n, kMax), real(4), number(4)}, 4);
  copy.lane = 1;
  copy.waits = {0};
  copy.signals = {1};
  train.step("test.sum", {in(kOutput, 1, 64)}, {in(kInput, 0, kMax * 4)},
             {slot(n, kMax), number(16)}, 16);
  train.step("control.scan", {}, {}, {number(4)}).sequences = {body};
  train.step("test.add", {in(kVariable, w, kRow / 4)},
             {in(kVariable, w, kRow / 4), in(kInput, 0, kRow / 4, 0, kRow / 4)},
             {number(kWidth / 4), number(2)}, 2, body);
  EntryMaker read = maker.entry("read");
  read.uses(w, true, false);
  read.output("w", fb::DType::F32, {number(kWidth / 4)});
  read.step("test.copy", {in(kOutput, 0, kRow / 4)}, {in(kVariable, w, kRow / 4)},
            {number(kWidth / 4), number(2)}, 2);
  return maker;
}

std::vector<float> inputs() {
  std::vector<float> x(kBatch * kWidth);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i)) * 3;
  return x;
}

struct Results {
  std::vector<float> y, sums, w;
  bool operator==(const Results& o) const {
    const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * 4) == 0;
    };
    return same(y, o.y) && same(sums, o.sums) && same(w, o.w);
  }
};

Results results_with(const std::shared_ptr<const Executable>& executable, SessionOptions options) {
  auto store = VariableStore::create(executable);
  auto session = Session::create(executable, *store, std::move(options));
  EXPECT_TRUE(session.ok()) << session.status();
  const EntryId train = *executable->entry("train");
  const std::vector<float> x = inputs();
  Results results;
  for (const int64_t batch : {kBatch, int64_t{3}, int64_t{17}}) {
    EXPECT_TRUE((*session)->bind_input(train, 0, x.data(), {batch, kWidth}).ok());
    for (int i = 0; i < 20; ++i) EXPECT_TRUE((*session)->run(train).ok());
    const auto* y = reinterpret_cast<const float*>((*session)->output_data(train, 0));
    const auto* sums = reinterpret_cast<const float*>((*session)->output_data(train, 1));
    results.y.insert(results.y.end(), y, y + batch * kWidth);
    results.sums.insert(results.sums.end(), sums, sums + 16);
  }
  const Tensor w = *(*store)->get("w");
  results.w.assign(w.as<float>().begin(), w.as<float>().end());
  return results;
}

// Threads of std, so that there are as many as asked for, whatever the machine has.
class Threads final : public Workers {
 public:
  explicit Threads(int threads) : threads_(threads) {}
  ~Threads() override {
    for (auto& helper : helpers_) helper.join();
  }
  int threads() const override { return threads_; }
  void summon(void (*help)(void*), void* context) override { helpers_.emplace_back(help, context); }

 private:
  const int threads_;
  std::vector<std::thread> helpers_;
};

TEST(SteadyStateTest, TheSameBitsWithOneTwoAndFourThreads) {
  const auto executable = everything().load();
  const Results one = results_with(executable, {.threads = 1});
  EXPECT_EQ(one.y.front(), 0.0f);
  EXPECT_EQ(one.y[1], 2 * inputs()[1]);
  EXPECT_TRUE(results_with(executable, {.threads = 2}) == one);
  for (const int threads : {2, 4}) {
    SessionOptions options;
    options.workers = std::make_shared<Threads>(threads);
    EXPECT_TRUE(results_with(executable, options) == one) << threads << " threads";
  }
}

// TBB starts a thread of its pool whenever one is wanted and those it has are not yet asleep again:
// rarely, but at any time. Here it has started all that these tests can want before they count.
void start_tbb_threads() {
  constexpr int kThreads = 16;
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, kThreads + 1);
  tbb::task_arena arena(kThreads, 0);
  std::atomic<int> started = 0, left = kThreads;
  for (int i = 0; i < kThreads; ++i) {
    arena.enqueue([&] {
      ++started;
      while (started < kThreads) std::this_thread::yield();
      --left;
    });
  }
  while (left > 0) std::this_thread::yield();
}

class AllocationTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!AllocationCount::available()) GTEST_SKIP() << "a sanitizer owns malloc";
    static const bool started = (start_tbb_threads(), true);
    ASSERT_TRUE(started);
  }
};

TEST_P(AllocationTest, AThousandRunsAllocateNothing) {
  const int threads = GetParam();
  const auto executable = everything().load();
  auto store = VariableStore::create(executable);
  auto session = Session::create(executable, *store, {.threads = threads});
  auto reader = Session::create(executable, *store,
                                {.threads = threads, .access = VariableAccess::kPublished});
  const EntryId train = *executable->entry("train");
  const EntryId read = *executable->entry("read");
  const std::vector<float> x = inputs();
  const Tensor whole = *Tensor::of<float>({kBatch, kWidth}, x);
  const Tensor part = *Tensor::of<float>({2, kWidth}, absl::MakeConstSpan(x).first(2 * kWidth));
  ASSERT_TRUE((*store)->publish().ok());
  // Another extent in each run: that is part of the steady state, as is another tensor.
  const auto bind = [&](int i, bool tensors) {
    if (tensors) return (*session)->bind_input(train, 0, i % 2 == 0 ? whole : part);
    return (*session)->bind_input(train, 0, x.data(), {1 + i % kBatch, kWidth});
  };
  const auto run_all = [&](int i, bool tensors) {
    bool ok = bind(i, tensors).ok();
    ok = (*session)->run(train).ok() && ok;
    ok = (*store)->publish().ok() && ok;
    return (*reader)->run(read).ok() && ok;
  };
  for (const bool tensors : {false, true}) {
    ASSERT_TRUE(run_all(0, tensors));
    bool ok = true;
    AllocationCount count;
    for (int i = 0; i < 1000; ++i) {
      ok = run_all(i, tensors) && ok;
      // Now and then, so that helpers leave and are summoned again.
      if (i % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(count.stop(), 0) << count.describe();
    EXPECT_TRUE(ok);
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, AllocationTest, ::testing::Values(1, 2, 4));

}  // namespace
}  // namespace modellib::runtime
