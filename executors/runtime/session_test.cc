#include "modellib/executors/runtime/session.h"

#include <cstdlib>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
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
using testing::slot;

// y[n] = (x[n] + c[n]) * 2
PlanMaker static_plan() {
  PlanMaker maker;
  const uint32_t c = maker.constant("c", {1, 2, 3, 4});
  EntryMaker entry = maker.entry("infer");
  entry.input("x", fb::DType::F32, {number(4)});
  entry.output("y", fb::DType::F32, {number(4)});
  entry.arena_bytes(64);
  entry.step("test.add", {arena(0, 16)},
             {in(fb::Space::Input, 0, 16), in(fb::Space::Constant, c, 16)}, {number(4), number(2)},
             2);
  entry.step("test.scale", {in(fb::Space::Output, 0, 16)}, {arena(0, 16)},
             {number(4), real(2), number(1)});
  return maker;
}

// y[2 * batch] = x[batch, 2] * 3, batch in [1, 8]
PlanMaker dynamic_plan() {
  PlanMaker maker;
  EntryMaker entry = maker.entry("infer");
  const int batch = entry.symbol("batch", 1, 8);
  const int n = entry.slot_of(batch, 2, 2, 16);
  entry.input("x", fb::DType::F32, {number(8), number(2)}, {batch, -1});
  entry.output("y", fb::DType::F32, {slot(n, 16)});
  entry.step("test.scale", {in(fb::Space::Output, 0, 64)}, {in(fb::Space::Input, 0, 64)},
             {slot(n, 16), real(3), number(4)}, 4);
  return maker;
}

TEST(SessionTest, RunsStepsOverInputsConstantsAndOutputs) {
  const auto executable = static_plan().load();
  const EntryId infer = *executable->entry("infer");
  auto session = Session::create(executable);
  ASSERT_TRUE(session.ok()) << session.status();
  const std::vector<float> x = {10, 20, 30, 40};
  std::vector<float> y(4);
  ASSERT_TRUE((*session)->bind_input(infer, *executable->input(infer, "x"), x.data(), {4}).ok());
  ASSERT_TRUE((*session)->bind_output(infer, *executable->output(infer, "y"), y.data(), 16).ok());
  ASSERT_TRUE((*session)->run(infer).ok());
  EXPECT_THAT(y, ElementsAre(22, 44, 66, 88));
}

TEST(SessionTest, OwnsOutputsThatNobodyBinds) {
  const auto executable = static_plan().load();
  auto session = Session::create(executable);
  const auto outputs =
      (*session)->run_tensors(*executable->entry("infer"), {*Tensor::of<float>({4}, {0, 0, 0, 0})});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT((*outputs)[0].as<float>(), ElementsAre(2, 4, 6, 8));
}

TEST(SessionTest, FollowsTheExtentsOfEachRun) {
  const auto executable = dynamic_plan().load();
  const EntryId infer = *executable->entry("infer");
  auto session = Session::create(executable);
  const std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8};
  for (const int64_t batch : {1, 4, 2}) {
    ASSERT_TRUE((*session)->bind_input(infer, 0, x.data(), {batch, 2}).ok());
    ASSERT_TRUE((*session)->run(infer).ok());
    EXPECT_THAT((*session)->output_extents(infer, 0), ElementsAre(2 * batch));
    const auto* y = reinterpret_cast<const float*>((*session)->output_data(infer, 0));
    for (int i = 0; i < 2 * batch; ++i) EXPECT_EQ(y[i], 3 * x[static_cast<size_t>(i)]);
  }
  const absl::Status status = (*session)->bind_input(infer, 0, x.data(), {9, 2});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("batch = 9 was not planned"));
}

}  // namespace
}  // namespace modellib::runtime
