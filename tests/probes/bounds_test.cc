// The bounds probe: a free batch as *bound* (one plan for each extent, in the specialisation cache,
// which plans once for each and says why) and as *bounded* (one plan for all extents up to a
// maximum). Both give the same bits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/linear.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/specialization_cache.h"
#include "modellib/tests/alloc_counter.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kIn = 20, kOut = 5, kMaxBatch = 16;

// x[batch, 20] -> [batch, 5]: two layers with constant weights.
GraphRef mlp() {
  GraphBuilder b(builtin_ops(), "mlp");
  const Value x = b.input("x", {DType::kF32, {Dim::symbol("batch"), kIn}});
  const auto weight = [&](int64_t out, int64_t in, const char* name) {
    return b.constant(*random_tensor(DType::kF32, {out, in}, -1, 1, name));
  };
  const Value h = relu(linear(x, weight(32, kIn, "w1")));
  b.output("y", linear(h, weight(kOut, 32, "w2")));
  return *b.build();
}

Tensor batch_of(int64_t n) {
  return *random_tensor(DType::kF32, {n, kIn}, -1, 1, "x" + std::to_string(n));
}

Tensor run(const runtime::Executable& executable, runtime::Session& session, const Tensor& x) {
  const auto outputs = session.run_tensors(*executable.entry("main"), {x});
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs.ok() ? outputs->at(0) : Tensor();
}

Tensor run(const CompileResult& plan, const Tensor& x) {
  const auto executable = *load_for_cpu(plan.lowered);
  return run(*executable, **runtime::Session::create(executable), x);
}

class BoundsProbe : public testing::Test {
 protected:
  // Counts pipelines by what they tell, not by what the cache says of itself.
  CompileOptions counted(CompileOptions options = {}) {
    options.pipeline.dump = [this](int number, absl::string_view, const Graph&) {
      if (number == 1) ++pipelines_;
    };
    return options;
  }
  SpecializationCache cache(CompileOptions options = {}, size_t capacity = 8) {
    return {Program{{{"main", mlp()}}}, builtin_ops(), cpu::cpu_backend(),
            counted(std::move(options)), capacity};
  }
  static std::vector<std::string> reasons(const SpecializationCache& cache) {
    std::vector<std::string> all;
    for (const SpecializationCache::Event& e : cache.events()) all.push_back(e.reason);
    return all;
  }

  std::atomic<int> pipelines_{0};
};

TEST_F(BoundsProbe, BoundPlansOncePerBinding) {
  SpecializationCache cache = this->cache();
  for (const int64_t n : {8, 16, 8, 16, 3, 8}) {
    const auto plan = cache.get({{"batch", n}});
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_TRUE((*plan)->lowered.plan.entries[0]->symbols.empty());
    const Tensor x = batch_of(n);
    const auto expected = run_reference(mlp(), {x});
    ASSERT_TRUE(expected.ok()) << expected.status();
    EXPECT_EQ(difference(run(**plan, x), expected->outputs[0], 1e-5), "") << "batch " << n;
    EXPECT_EQ(*cache.get({{"batch", n}}), *plan);
  }
  EXPECT_EQ(pipelines_, 3);
  EXPECT_EQ(cache.compilations(), 3);
  EXPECT_THAT(reasons(cache), ElementsAre("first plan", "batch is 16, planned for 8",
                                          "batch is 3, planned for 16"));
  EXPECT_EQ(cache.events()[1].binding, (DimBinding{{"batch", 16}}));
}

TEST_F(BoundsProbe, BoundedPlansOnceInAll) {
  CompileOptions options;
  options.dims["batch"] = {1, kMaxBatch};
  SpecializationCache bounded = cache(options);
  const auto executable = *load_for_cpu((*bounded.get({}))->lowered);
  const auto session = *runtime::Session::create(executable);
  SpecializationCache bound = cache();
  for (const int64_t n : {8, 1, 16, 3, 8}) {
    const Tensor x = batch_of(n);
    EXPECT_TRUE(run(*executable, *session, x).identical(run(**bound.get({{"batch", n}}), x)))
        << "batch " << n;
    ASSERT_TRUE(bounded.get({}).ok());
  }
  EXPECT_EQ(bounded.compilations(), 1);
  EXPECT_EQ(pipelines_, 1 + bound.compilations());
  EXPECT_THAT(reasons(bounded), ElementsAre("first plan"));

  const runtime::EntryId entry = *executable->entry("main");
  const absl::Status beyond = session->run_tensors(entry, {batch_of(kMaxBatch + 1)}).status();
  EXPECT_EQ(beyond.code(), absl::StatusCode::kFailedPrecondition) << beyond;
  EXPECT_THAT(std::string(beyond.message()), HasSubstr("batch = 17 was not planned"));
}

TEST_F(BoundsProbe, AnotherExtentIsNoReasonToAllocate) {
  if (!AllocationCount::available()) GTEST_SKIP() << "a sanitizer owns malloc";
  CompileOptions options;
  options.dims["batch"] = {1, kMaxBatch};
  const auto executable = *load_for_cpu((*cache(options).get({}))->lowered);
  const auto session = *runtime::Session::create(executable);
  const runtime::EntryId entry = *executable->entry("main");
  const Tensor x = batch_of(kMaxBatch);
  const auto run_once = [&](int64_t n) {
    return session->bind_input(entry, 0, x.data(), {n, kIn}).ok() && session->run(entry).ok();
  };
  ASSERT_TRUE(run_once(1));
  bool ok = true;
  AllocationCount count;
  for (int64_t i = 0; i < 1000; ++i) ok = run_once(1 + i % kMaxBatch) && ok;
  EXPECT_EQ(count.stop(), 0) << count.describe();
  EXPECT_TRUE(ok);
}

TEST_F(BoundsProbe, TheLeastRecentlyUsedPlanGoesFirst) {
  SpecializationCache cache = this->cache({}, 2);
  const auto get = [&](int64_t n) { return *cache.get({{"batch", n}}); };
  const auto two = get(2);
  get(4);
  EXPECT_EQ(get(2), two);  // used: now 4 is the oldest
  get(6);
  EXPECT_EQ(get(2), two);
  EXPECT_EQ(cache.compilations(), 3);
  const auto four = get(4);  // evicts 6
  EXPECT_EQ(cache.compilations(), 4);
  get(6);  // evicts 2, which goes on working for whoever holds it
  EXPECT_NE(get(2), two);
  EXPECT_EQ(cache.compilations(), 6);
  EXPECT_EQ(pipelines_, 6);
  EXPECT_TRUE(run(*two, batch_of(2)).identical(run(*get(2), batch_of(2))));
  EXPECT_THAT(reasons(cache),
              ElementsAre("first plan", "batch is 4, planned for 2", "batch is 6, planned for 2",
                          "planned before, evicted since", "planned before, evicted since",
                          "planned before, evicted since"));
}

TEST_F(BoundsProbe, ThreadsThatAskForOneBindingPlanOnce) {
  SpecializationCache cache = this->cache();
  constexpr int kThreads = 4;
  std::vector<std::shared_ptr<const CompileResult>> plans(kThreads);
  std::atomic<int> here{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      ++here;
      while (here < kThreads) std::this_thread::yield();
      // Two bindings, so that some ask for what another is planning and some for what is not there.
      plans[static_cast<size_t>(t)] = *cache.get({{"batch", 1 + t % 2}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cache.compilations(), 2);
  EXPECT_EQ(pipelines_, 2);
  EXPECT_EQ(plans[0], plans[2]);
  EXPECT_EQ(plans[1], plans[3]);
  EXPECT_NE(plans[0], plans[1]);
}

TEST_F(BoundsProbe, WhatCannotBePlannedIsNotRemembered) {
  CompileOptions options;
  options.dims["batch"] = {1, 1000};
  SpecializationCache cache = this->cache(options);
  const absl::Status unknown = cache.get({{"width", 3}}).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("'width'"));
  SpecializationCache free = this->cache();
  const absl::Status unbounded = free.get({}).status();
  EXPECT_EQ(unbounded.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(unbounded.message()), HasSubstr("no maximum"));
  EXPECT_EQ(cache.compilations() + free.compilations(), 0);
  EXPECT_TRUE(cache.events().empty());
  ASSERT_TRUE(cache.get({{"batch", 3}}).ok());
  ASSERT_TRUE(cache.get({}).ok());
  EXPECT_THAT(reasons(cache), ElementsAre("first plan", "batch is free, was 3"));
}

TEST_F(BoundsProbe, EventsAreBoundedToo) {
  SpecializationCache cache = this->cache({}, 1);
  for (int64_t n = 1; n <= 70; ++n) ASSERT_TRUE(cache.get({{"batch", n}}).ok());
  EXPECT_EQ(cache.compilations(), 70);
  ASSERT_EQ(cache.events().size(), 64u);
  EXPECT_EQ(cache.events().back().reason, "batch is 70, planned for 69");
  // What it planned is known for longer.
  ASSERT_TRUE(cache.get({{"batch", 1}}).ok());
  EXPECT_EQ(cache.events().back().reason, "planned before, evicted since");
}

// What a graph requires of its symbols is checked when the plan is made, or when inputs are bound.
TEST(Constraints, HoldForBoundAndBoundedExtents) {
  GraphBuilder b(builtin_ops(), "pairs");
  const Dim rows = Dim::symbol("rows"), pairs = Dim::symbol("pairs");
  const Value x = b.input("x", {DType::kF32, {rows, 3}});
  const Value y = b.input("y", {DType::kF32, {pairs, 3}});
  b.require_equal(rows, pairs * 2, "two rows for each pair");
  b.output("x2", x + x);
  b.output("y2", y + y);
  const GraphRef graph = *b.build();

  CompileOptions wrong;
  wrong.dims = {{"rows", {4, 4}}, {"pairs", {3, 3}}};
  EXPECT_EQ(compile_for_cpu(graph, wrong).status().code(), absl::StatusCode::kInvalidArgument);

  CompileOptions half;  // one side is a number
  half.dims = {{"rows", {4, 4}}, {"pairs", {1, 8}}};
  CompileOptions bounded;
  bounded.dims = {{"rows", {1, 8}}, {"pairs", {1, 8}}};
  for (const CompileOptions& options : {half, bounded}) {
    const auto program = compile_for_cpu(graph, options);
    ASSERT_TRUE(program.ok()) << program.status();
    const auto session = *runtime::Session::create(program->executable);
    const runtime::EntryId entry = *program->executable->entry("main");
    const auto run = [&](int64_t n) {
      return session
          ->run_tensors(entry,
                        {*Tensor::zeros(DType::kF32, {4, 3}), *Tensor::zeros(DType::kF32, {n, 3})})
          .status();
    };
    EXPECT_EQ(run(2), absl::OkStatus());
    const absl::Status status = run(3);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("two rows for each pair: "));
    EXPECT_THAT(std::string(status.message()), HasSubstr("2*pairs = 6"));
    EXPECT_EQ(run(2), absl::OkStatus());
  }
}

// Extents are expressions, and what ops make of them is bounded.
TEST(Constraints, AnExtentThatGrowsWithoutEndIsRefused) {
  GraphBuilder b(builtin_ops(), "long");
  std::vector<Value> parts;
  for (int i = 0; i < 50; ++i) {
    const std::string name(100, static_cast<char>('a' + i % 26));
    const Dim rows = Dim::symbol(name + std::to_string(i));
    parts.push_back(b.input("x" + std::to_string(i), {DType::kF32, {rows, 2}}));
  }
  b.output("y", concat(parts, 0));
  const absl::Status status = b.build().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("too large an expression"));
}

}  // namespace
}  // namespace modellib
