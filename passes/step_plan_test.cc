#include "modellib/passes/step_plan.h"

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "flatbuffers/flatbuffers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/formats/verify_plan.h"
#include "modellib/passes/trace_models.h"

namespace modellib {
namespace {

using ::testing::HasSubstr;

// A backward pass: each gradient is copied into a bucket, reduced on the lane of collectives, and
// used by an update that writes its weight (a persistent buffer).
ScheduleProblem data_parallel(int layers) {
  ScheduleProblem p;
  const auto node = [&](int lane, int64_t workspace = 0) {
    p.nodes.push_back({workspace, lane});
    return static_cast<int>(p.nodes.size()) - 1;
  };
  const auto buffer = [&](int64_t size, int producer) {
    ScheduleBuffer& b = p.buffers.emplace_back();
    b.size = size;
    b.producer = producer;
    return static_cast<int>(p.buffers.size()) - 1;
  };
  const auto reads = [&](int n, int b) {
    p.buffers[static_cast<size_t>(b)].consumers.push_back(n);
  };
  const int start = node(0);
  int dy = buffer(256, start);
  int previous = -1;
  std::vector<std::pair<int, int>> reduced;
  for (int l = 0; l < layers; ++l) {
    const int backward = node(0, 128);
    reads(backward, dy);
    const int dx = buffer(256, backward);
    const int gradient = node(0);
    reads(gradient, dy);
    const int dw = buffer(512, gradient);
    const int reduce = node(1);
    reads(reduce, dw);
    const int sum = buffer(512, reduce);
    p.buffers[static_cast<size_t>(sum)].in_place_of = l % 2 == 0 ? dw : -1;
    if (previous >= 0) p.edges.push_back({previous, reduce});
    previous = reduce;
    reduced.push_back({sum, l});
    dy = dx;
  }
  for (const auto& [sum, l] : reduced) {
    const int update = node(0);
    reads(update, sum);
    const int weight = buffer(512, update);
    p.buffers[static_cast<size_t>(weight)].persistent = true;
  }
  return p;
}

// As a plan: persistent buffers are variables.
fb::PlanT as_plan(const ScheduleProblem& problem, const StepPlan& steps, int lanes) {
  fb::PlanT plan;
  plan.kernels = {"work"};
  auto entry = std::make_unique<fb::EntryT>();
  entry->name = "main";
  for (int l = 0; l < lanes; ++l) entry->lanes.push_back(absl::StrCat("lane", l));
  for (const MemoryPlan::Arena& arena : steps.memory.arenas) {
    auto a = std::make_unique<fb::ArenaT>();
    a->lane = static_cast<uint16_t>(arena.arena);
    a->bytes = static_cast<uint64_t>(arena.bytes);
    a->lower_bound = static_cast<uint64_t>(arena.lower_bound);
    a->alignment = static_cast<uint32_t>(arena.alignment);
    entry->planned_bytes += a->bytes;
    entry->lower_bound_bytes += a->lower_bound;
    entry->arenas.push_back(std::move(a));
  }
  std::vector<uint32_t> variable(problem.buffers.size(), 0);
  for (size_t b = 0; b < problem.buffers.size(); ++b) {
    if (!problem.buffers[b].persistent) continue;
    variable[b] = static_cast<uint32_t>(plan.variables.size());
    auto v = std::make_unique<fb::VariableT>();
    v->name = absl::StrCat("w", b);
    v->dtype = fb::DType::U8;
    v->shape = {problem.buffers[b].size};
    v->bytes = static_cast<uint64_t>(problem.buffers[b].size);
    v->segment = -1;
    plan.variables.push_back(std::move(v));
    auto use = std::make_unique<fb::VariableUseT>();
    use->variable = variable[b];
    use->reads = use->writes = true;
    entry->variables.push_back(std::move(use));
  }
  const auto reference = [&](size_t b) {
    const BufferPlace& where = steps.buffers[b];
    const auto size = static_cast<uint64_t>(problem.buffers[b].size);
    if (where.arena < 0) return fb::BufferRef(fb::Space::Variable, variable[b], 0, size, 0, 0);
    return fb::BufferRef(fb::Space::Arena, static_cast<uint32_t>(where.arena),
                         static_cast<uint64_t>(where.offset), size, 0, 0);
  };
  entry->signals = static_cast<uint32_t>(steps.sync.signals);
  auto sequence = std::make_unique<fb::SequenceT>();
  for (size_t i = 0; i < steps.schedule.order.size(); ++i) {
    const int node = steps.schedule.order[i];
    auto step = std::make_unique<fb::StepT>();
    step->lane = static_cast<uint16_t>(problem.nodes[static_cast<size_t>(node)].lane);
    for (size_t b = 0; b < problem.buffers.size(); ++b) {
      const ScheduleBuffer& buffer = problem.buffers[b];
      if (buffer.producer == node) step->outputs.push_back(reference(b));
      if (std::count(buffer.consumers.begin(), buffer.consumers.end(), node) > 0) {
        step->inputs.push_back(reference(b));
      }
    }
    const BufferPlace& workspace = steps.workspace[static_cast<size_t>(node)];
    if (workspace.arena >= 0) {
      step->workspace = std::make_unique<fb::BufferRef>(
          fb::Space::Arena, static_cast<uint32_t>(workspace.arena),
          static_cast<uint64_t>(workspace.offset),
          static_cast<uint64_t>(problem.nodes[static_cast<size_t>(node)].workspace), 0, 0);
    }
    for (int w : steps.sync.waits[i]) step->waits.push_back(static_cast<uint32_t>(w));
    if (steps.sync.completes[i] >= 0) {
      step->signals.push_back(static_cast<uint32_t>(steps.sync.completes[i]));
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

size_t count_waits(const StepPlan& plan) {
  size_t n = 0;
  for (const auto& waits : plan.sync.waits) n += waits.size();
  return n;
}

TEST(StepPlan, OneLane) {
  const ScheduleProblem problem = make_trace(TraceModel::kBertBase, {false, 1, 128});
  const auto plan = plan_steps(problem);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->sync.signals, 0);
  ASSERT_EQ(plan->memory.arenas.size(), 1u);
  EXPECT_GE(plan->memory.lower_bound, plan->schedule.peak);
  EXPECT_LE(plan->memory.ratio(), 1.1);
  EXPECT_TRUE(check_memory_plan(plan->records, plan->memory).ok());
}

TEST(StepPlan, NothingToDo) {
  const auto plan = plan_steps({});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->memory.arenas.empty());
}

TEST(StepPlan, CollectivesOverlapWithBackward) {
  const ScheduleProblem problem = data_parallel(12);
  const auto plan = plan_steps(problem);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const absl::Status status = verify(as_plan(problem, *plan, 2));
  EXPECT_TRUE(status.ok()) << status;
  // Sums that don't take over their gradient lie in the arena of their lane.
  ASSERT_EQ(plan->memory.arenas.size(), 2u);
  EXPECT_EQ(plan->memory.arenas[1].arena, 1);
  // No compute step but the updates waits for a collective: backward never stops.
  for (size_t i = 0; i < plan->schedule.order.size(); ++i) {
    const int node = plan->schedule.order[i];
    const bool update = node > 3 * 12;
    if (problem.nodes[static_cast<size_t>(node)].lane == 0 && !update) {
      EXPECT_TRUE(plan->sync.waits[i].empty()) << "node " << node;
    }
  }
}

TEST(StepPlan, EachRemovedWaitIsSeen) {
  const ScheduleProblem problem = data_parallel(6);
  for (bool extend : {false, true}) {
    StepPlanOptions options;
    options.extend_lifetimes = extend;
    const auto made = plan_steps(problem, options);
    ASSERT_TRUE(made.ok()) << made.status();
    fb::PlanT plan = as_plan(problem, *made, 2);
    ASSERT_TRUE(verify(plan).ok()) << verify(plan);
    EXPECT_GT(count_waits(*made), 6u);
    for (auto& step : plan.entries[0]->sequences[0]->steps) {
      const std::vector<uint32_t> all = step->waits;
      for (size_t w = 0; w < all.size(); ++w) {
        step->waits = all;
        step->waits.erase(step->waits.begin() + static_cast<std::ptrdiff_t>(w));
        EXPECT_THAT(std::string(verify(plan).message()), HasSubstr("and no wait"));
      }
      step->waits = all;
    }
  }
}

TEST(StepPlan, RandomProgramsOnThreeLanes) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    ScheduleProblem p;
    for (int n = 0; n < 60; ++n) {
      p.nodes.push_back({below(3) == 0 ? 64 : 0, static_cast<int>(below(2) * below(3))});
      std::set<size_t> inputs;
      for (int i = 0; i < 2 && !p.buffers.empty(); ++i) {
        inputs.insert(p.buffers.size() - 1 - below(std::min<size_t>(8, p.buffers.size())));
      }
      for (size_t b : inputs) p.buffers[b].consumers.push_back(n);
      ScheduleBuffer& out = p.buffers.emplace_back();
      out.size = static_cast<int64_t>(64 * (1 + below(4)));
      out.producer = n;
      out.output = below(10) == 0;
      if (!inputs.empty() && below(2) == 0) out.in_place_of = static_cast<int>(*inputs.begin());
      if (n > 0 && below(8) == 0)
        p.edges.push_back({static_cast<int>(below(static_cast<size_t>(n))), n});
    }
    for (bool extend : {false, true}) {
      StepPlanOptions options;
      options.extend_lifetimes = extend;
      const auto plan = plan_steps(p, options);
      ASSERT_TRUE(plan.ok()) << plan.status();
      EXPECT_TRUE(check_memory_plan(plan->records, plan->memory).ok());
      const absl::Status status = verify(as_plan(p, *plan, 3));
      EXPECT_TRUE(status.ok()) << "seed " << seed << ": " << status;
    }
  }
}

TEST(StepPlan, RefusesWhatIsWrong) {
  ScheduleProblem p;
  p.nodes.push_back({0, -1});
  EXPECT_EQ(plan_steps(p).status().code(), absl::StatusCode::kInvalidArgument);
  p.nodes[0].lane = 0;
  p.edges.push_back({0, 0});
  EXPECT_EQ(plan_steps(p).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace modellib
