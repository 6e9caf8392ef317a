// Plans with control flow and with several lanes.
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/formats/test_plans.h"
#include "modellib/formats/verify_plan_test_util.h"

namespace modellib {
namespace {

using namespace test_plans;  // NOLINT(google-build-using-namespace)

using ::testing::AllOf;
using ::testing::HasSubstr;

// --- control flow ---

TEST(VerifyPlan, Branches) {
  accepts(cond_plan());
  fb::PlanT p = cond_plan();
  step_of(p, 0, 2).outputs[0] = arena(128, 32);
  refuses(p, "byte 160 was left undefined by entry 'main', step 2 'control'");
  p = cond_plan();
  step_of(p, 0, 2).outputs[0] = arena(512, 64);
  refuses(p, "was left undefined");
  p = cond_plan();
  step_of(p, 0, 2).inputs[0] = arena(192, 64);
  refuses(
      p, "sequence 2, step 0 'else', input 0: reads bytes [192, 256) of arena 0, of which nothing");
  p = cond_plan();
  step_of(p, 3).inputs[0] = arena(64, 64);  // differs between the branches, but is there
  accepts(p);
  p = cond_plan();
  step_of(p, 2).sequences = {1};
  refuses(p, "1 bodies, expected 2");
  p = cond_plan();
  step_of(p, 2).sequences = {1, 1};
  refuses(p, "has another place already");
  p = cond_plan();
  step_of(p, 2).sequences = {1, 0};
  refuses(p, "has another place already");
  p = cond_plan();
  step_of(p, 2).sequences = {1, 3};
  refuses(p, "does not exist");
  p = cond_plan();
  step_of(p, 2).inputs[0] = arena(0, 8);
  refuses(p, "expected a predicate in 1");
  p = cond_plan();
  *step_of(p, 2).chunks = fb::Scalar(2, -1);
  refuses(p, "one chunk");
  p = cond_plan();
  step_of(p, 2).workspace = std::make_unique<fb::BufferRef>(arena(1024, 64));
  refuses(p, "control flow has no workspace");
  p = cond_plan();
  main_entry(p).sequences.push_back(std::make_unique<fb::SequenceT>());
  refuses(p, "sequence 3 belongs to no step");
  p = cond_plan();
  main_entry(p).signals = 1;
  step_of(p, 0, 1).signals = {0};
  refuses(p, "waits or signals within a body");
  p = cond_plan();
  main_entry(p).lanes = {"compute", "copy"};
  step_of(p, 0, 1).lane = 1;
  refuses(p, "within a body that runs on lane 0");
}

TEST(VerifyPlan, SequencesThatContainEachOtherAreRefused) {
  fb::PlanT p = cond_plan();
  // Sequences 3 and 4 hold each other; no step of the tree reaches them.
  for (uint32_t other : {4u, 3u}) {
    auto sequence = std::make_unique<fb::SequenceT>();
    sequence->steps.push_back(std::make_unique<fb::StepT>(control(kScan, {}, {}, {other}, 2)));
    main_entry(p).sequences.push_back(std::move(sequence));
  }
  refuses(p, "sequence 3 belongs to no step");
}

TEST(VerifyPlan, Loops) {
  accepts(scan_plan());
  fb::PlanT p = scan_plan();
  step_of(p, 1, 1).outputs[0] = arena(1024 + 448, 64, -64);
  accepts(p);
  p = scan_plan();
  step_of(p, 1, 1).outputs[0] = arena(384, 64, -64);
  refuses(p, "leave the 4096 bytes");
  p = scan_plan();
  step_of(p, 1, 1).outputs[0] = arena(3648, 64, 64);  // the eighth ends at 4160
  refuses(p, "leave the 4096 bytes");
  p = scan_plan();
  step_of(p, 1, 1).outputs[0] = arena(1024, 64, std::numeric_limits<int64_t>::min());
  refuses(p, "leave the 4096 bytes");
  p = scan_plan();
  step_of(p, 1, 1).outputs[0] = arena(1024, 64, 4);
  refuses(p, "must be multiples of 8");
  p = scan_plan();
  step_of(p, 1, 1).outputs[0] = arena(1024, 64, 0, 64);
  refuses(p, "within 1 loops");
  p = scan_plan();
  step_of(p, 2).scalars[0] = fb::Scalar(7, -1);
  refuses(p, "nothing has written byte 1472");  // the eighth slice
  p = scan_plan();
  step_of(p, 2).scalars.clear();
  refuses(p, "scalar 0 must bound the trips");
  p = scan_plan();
  step_of(p, 2).scalars[0] = fb::Scalar(-1, -1);
  refuses(p, "scalar 0 must bound the trips");
  p = scan_plan();
  step_of(p, 2).outputs[0] = arena(64, 4);
  refuses(p, "index of the trip in 8");
  p = scan_plan();
  step_of(p, 2).inputs = {arena(0, 4)};
  refuses(p, "expected the trips in 8");
  p = scan_plan();
  step_of(p, 1).outputs[0] = arena(512, 448);  // one slice too few
  refuses(p, "nothing has written byte 960");

  // Scratch within the body that hits what is carried: the first trip is right, the second is not.
  p = scan_plan();
  step_of(p, 2, 1).outputs[0] = arena(192, 64);
  accepts(p);
  step_of(p, 1, 1).workspace = std::make_unique<fb::BufferRef>(arena(0, 64));
  refuses(p, "was left undefined by entry 'main', sequence 1, step 1 'stack'");

  // A state in slices: trip t reads slice t and writes slice t + 1.
  p = scan_plan();
  step_of(p, 0).outputs[0] = arena(2048, 64);
  step_of(p, 0, 1).inputs[0] = arena(2048, 64, 64);
  step_of(p, 2, 1).outputs[0] = arena(2112, 64, 64);
  step_of(p, 3).inputs[1] = arena(2048 + 512, 64);
  accepts(p);

  // Two slices of a row, written in turn.
  p = scan_plan();
  step_of(p, 1, 1).outputs[0] = arena(2048, 64, 128);
  step_of(p, 2, 1).outputs.push_back(arena(2112, 64, 128));
  step_of(p, 3).inputs[0] = arena(2048, 1024);
  accepts(p);
  // Different strides that meet in some trip.
  step_of(p, 2, 1).outputs.push_back(arena(2048, 64, 64));
  refuses(p, "overlap in arena 0");
}

TEST(VerifyPlan, NestedLoops) {
  std::vector<fb::StepT> steps;
  steps.push_back(control(kScan, {}, {}, {1}, 4));
  steps.push_back(step("out", {arena(1024, 1024)}, {output(0, 64)}));
  std::vector<std::vector<fb::StepT>> bodies(2);
  bodies[0].push_back(control(kScan, {}, {}, {2}, 4));
  bodies[1].push_back(step("inner", {input(64)}, {arena(1024, 64, 64, 256)}));
  fb::PlanT p = plan(std::move(steps), std::move(bodies));
  accepts(p);
  step_of(p, 0, 2).outputs[0] = arena(1024, 64, 64, 1024);
  refuses(p, "leave the 4096 bytes");
  step_of(p, 0, 2).outputs[0] = arena(1024, 64, 64, 128);
  refuses(p, "nothing has written byte 1664");
}

TEST(VerifyPlan, NestingIsBounded) {
  for (const auto& [kernel, depth] : {std::make_pair(kScan, 7), std::make_pair(kCond, 17)}) {
    std::vector<fb::StepT> steps;
    steps.push_back(step("predicate", {input(64)}, {arena(0, 1)}));
    steps.push_back(step("out", {input(64)}, {output(0, 64)}));
    std::vector<std::vector<fb::StepT>> bodies;
    const auto nest = [&, k = kernel](uint32_t body) {
      return k == kScan ? control(kScan, {}, {}, {body}, 2)
                        : control(kCond, {arena(0, 1)}, {}, {body, body + 1});
    };
    const uint32_t each = kernel == kScan ? 1 : 2;
    steps.push_back(nest(1));
    for (int d = 1; d <= depth; ++d) {
      bodies.emplace_back();
      if (d < depth) bodies.back().push_back(nest(1 + each * static_cast<uint32_t>(d)));
      if (each == 2) bodies.emplace_back();
    }
    refuses(plan(std::move(steps), std::move(bodies)), "nested deeper");
  }
}

TEST(VerifyPlan, WhileLoops) {
  accepts(while_plan(10));
  accepts(while_plan(0));
  fb::PlanT p = while_plan(10);
  step_of(p, 0, 1).outputs[0] = arena(72, 1);
  refuses(p, "nothing has written byte 64");  // the predicate
  p = while_plan(10);
  step_of(p, 0, 2).workspace = std::make_unique<fb::BufferRef>(arena(64, 64));
  accepts(p);  // the predicate is written anew before it is read
  // The condition runs once more than the body, and reaches one slice further.
  p = while_plan(4);
  step_of(p, 0, 1).outputs.push_back(arena(3840, 64, 64));
  refuses(p, "leave the 4096 bytes");
  p = while_plan(4);
  step_of(p, 0, 2).outputs.push_back(arena(3840, 64, 64));
  accepts(p);
}

// --- lanes ---

TEST(VerifyPlan, EachRemovedWaitIsCaught) {
  accepts(two_lanes());
  fb::PlanT good = two_lanes();
  int waits = 0;
  for (size_t s = 0; s < main_entry(good).sequences[0]->steps.size(); ++s) {
    for (size_t w = 0; w < step_of(good, s).waits.size(); ++w) {
      fb::PlanT p = two_lanes();
      std::vector<uint32_t>& list = step_of(p, s).waits;
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(w));
      refuses(p, "and no wait puts one before the other");
      ++waits;
    }
  }
  EXPECT_EQ(waits, 5);
}

TEST(VerifyPlan, RacesNameBothSteps) {
  fb::PlanT p = two_lanes();
  step_of(p, 5).waits.clear();  // writes what reduce2 reads
  const absl::Status status = verify(p);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("step 5 'reuse' on lane 0"), HasSubstr("step 3 'reduce2' on lane 1"),
                    HasSubstr("[64, 128) of arena 0")));
}

TEST(VerifyPlan, RacesOverVariablesAndWithinBodiesCount) {
  std::vector<fb::StepT> steps;
  steps.push_back(step("out", {variable(0, 64)}, {output(0, 64)}, 0, {}, {0}));
  steps.push_back(control(kScan, {}, {}, {1}, 3));
  steps[1].lane = 1;
  steps[1].waits = {0};
  std::vector<std::vector<fb::StepT>> bodies(1);
  bodies[0].push_back(step("write", {constant(64)}, {variable(0, 64)}, 1));
  fb::PlanT p = plan(std::move(steps), std::move(bodies), {"compute", "copy"});
  accepts(p);
  step_of(p, 1).waits.clear();
  refuses(p, "of variable 0 'weight', and no wait");
}

TEST(VerifyPlan, ReadersNeedNoOrder) {
  std::vector<fb::StepT> steps;
  steps.push_back(step("a", {variable(0, 64), input(64)}, {arena(0, 64)}, 0));
  steps.push_back(step("b", {variable(0, 64), input(64)}, {output(0, 64)}, 1));
  accepts(plan(std::move(steps), {}, {"compute", "copy"}));
}

TEST(VerifyPlan, OrderIsTransitive) {
  std::vector<fb::StepT> steps;
  steps.push_back(step("a", {input(64)}, {arena(0, 64)}, 0, {}, {0}));
  steps.push_back(step("b", {input(64)}, {arena(64, 64)}, 1, {0}, {1}));
  steps.push_back(step("c", {arena(0, 64), arena(64, 64)}, {output(0, 64)}, 2, {1}));
  accepts(plan(std::move(steps), {}, {"a", "b", "c"}));
}

TEST(VerifyPlan, Signals) {
  fb::PlanT p = two_lanes();
  step_of(p, 1).waits = {4};
  refuses(p, "waits for signal 4, which no earlier step completes");  // a deadlock
  p = two_lanes();
  step_of(p, 1).waits = {77};
  refuses(p, "waits for signal 77");
  p = two_lanes();
  step_of(p, 6).signals = {0};
  refuses(p, "completes signal 0, which an earlier step completes");
  p = two_lanes();
  step_of(p, 6).signals = {9};
  refuses(p, "completes signal 9, which does not exist");
}

}  // namespace
}  // namespace modellib
