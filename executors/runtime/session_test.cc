#include "modellib/executors/runtime/session.h"

#include <cstdlib>
#include <memory>
#include <string>
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

// y = a * 3; b is read by nobody, but must have twice as many rows as a.
PlanMaker constrained_plan() {
  using Op = fb::DimOpcode;
  PlanMaker maker;
  EntryMaker entry = maker.entry("infer");
  const int batch = entry.symbol("batch", 1, 8);
  const int rows = entry.symbol("rows", 1, 16);
  const int n = entry.slot_of(batch, 1, 1, 8);
  entry.input("a", fb::DType::F32, {number(8)}, {batch});
  entry.input("b", fb::DType::F32, {number(16)}, {rows});
  entry.input("c", fb::DType::F32, {number(8)}, {batch});
  entry.output("y", fb::DType::F32, {slot(n, 8)});
  entry.step("test.scale", {in(fb::Space::Output, 0, 32)}, {in(fb::Space::Input, 0, 32)},
             {slot(n, 8), real(3), number(1)});
  auto constraint = std::make_unique<fb::ConstraintT>();
  constraint->left = {{Op::Symbol, rows}};
  constraint->right = {{Op::Symbol, batch}, {Op::Const, 2}, {Op::Mul, 0}};
  constraint->left_text = "rows";
  constraint->right_text = "2*batch";
  constraint->reason = "a pair of rows for each element";
  entry.entry().constraints.push_back(std::move(constraint));
  return maker;
}

TEST(SessionTest, ChecksConstraintsWhenInputsAreBound) {
  const auto executable = constrained_plan().load();
  const EntryId infer = *executable->entry("infer");
  const auto session = *Session::create(executable);
  const std::vector<float> x(16, 1);
  const auto run = [&](int64_t batch, int64_t rows) {
    EXPECT_TRUE(session->bind_input(infer, 0, x.data(), {batch}).ok());
    EXPECT_TRUE(session->bind_input(infer, 1, x.data(), {rows}).ok());
    EXPECT_TRUE(session->bind_input(infer, 2, x.data(), {batch}).ok());
    return session->run(infer);
  };
  EXPECT_EQ(run(3, 6), absl::OkStatus());
  const absl::Status status = run(3, 5);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("a pair of rows for each element: rows = 5, but 2*batch = 6"));
  EXPECT_EQ(session->prepare(infer).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(run(8, 16), absl::OkStatus());
  EXPECT_EQ(session->output_extents(infer, 0)[0], 8);
}

// The observer sees a named value at the extents of the run; a step without one names nothing.
TEST(SessionTest, ObserversSeeNamedValues) {
  PlanMaker maker = dynamic_plan();
  auto value = std::make_unique<fb::TensorDescT>();
  value->name = "tripled";
  value->dtype = fb::DType::F32;
  value->shape = {slot(0, 16), number(1)};
  value->bytes = 64;
  maker.plan.entries[0]->sequences[0]->steps[0]->values.push_back(std::move(value));
  std::vector<std::vector<int64_t>> extents;
  std::vector<int64_t> scalars;
  float last = 0;
  SessionOptions options;
  options.threads = 1;
  options.observer = [&](const StepEvent& event) {
    scalars.assign(event.scalars.begin(), event.scalars.end());
    EXPECT_EQ(event.chunks, 4);
    ASSERT_EQ(event.values.size(), 1u);
    const StepValue& v = event.values[0];
    EXPECT_EQ(v.name, "tripled");
    EXPECT_EQ(v.dtype, DType::kF32);
    extents.emplace_back(v.extents.begin(), v.extents.end());
    const auto* data = reinterpret_cast<const float*>(event.buffers[static_cast<size_t>(v.output)]);
    last = data[v.extents[0] - 1];
  };
  const auto session = *Session::create(maker.load(), nullptr, options);
  for (const int64_t batch : {3, 8}) {
    Tensor x = *Tensor::zeros(DType::kF32, {batch, 2});
    x.set(batch * 2 - 1, static_cast<double>(batch));
    ASSERT_TRUE(session->run_tensors(EntryId(0), std::vector<Tensor>{x}).ok());
    EXPECT_EQ(last, 3.0F * static_cast<float>(batch));
    ASSERT_EQ(scalars.size(), 3u);
    EXPECT_EQ(scalars[0], 2 * batch);
  }
  EXPECT_EQ(extents, (std::vector<std::vector<int64_t>>{{6, 1}, {16, 1}}));
}

// An operand of no bytes, which no kernel can check, is absent: there is no pointer to go astray
// by.
TEST(SessionTest, EmptyOperandsAreAbsent) {
  PlanMaker maker;
  EntryMaker entry = maker.entry("infer");
  entry.input("x", fb::DType::F32, {number(4)});
  entry.output("y", fb::DType::F32, {number(4)});
  entry.arena_bytes(64);
  entry.step("test.copy", {arena(64, 0)}, {in(fb::Space::Input, 0, 0, 16)}, {number(0), number(1)});
  entry.step("test.copy", {in(fb::Space::Output, 0, 16)}, {in(fb::Space::Input, 0, 16)},
             {number(4), number(1)});
  std::vector<bool> present;
  SessionOptions options;
  options.observer = [&](const StepEvent& event) {
    for (const std::byte* buffer : event.buffers.first(2)) present.push_back(buffer != nullptr);
  };
  const auto session = *Session::create(maker.load(), nullptr, options);
  ASSERT_TRUE(session->run_tensors(EntryId(0), {*Tensor::of<float>({4}, {1, 2, 3, 4})}).ok());
  EXPECT_THAT(present, ElementsAre(false, false, true, true));
}

// y[n] = x[0] for an n that no input has.
TEST(SessionTest, TheCallerSetsWhatOnlyAnOutputNames) {
  PlanMaker maker;
  EntryMaker entry = maker.entry("infer");
  const int n = entry.symbol("n", 1, 8);
  const int count = entry.slot_of(n, 1, 1, 8);
  entry.output("y", fb::DType::F32, {number(8)});
  entry.entry().outputs[0]->symbols = {n};
  entry.step("test.iota", {in(fb::Space::Output, 0, 32)}, {}, {slot(count, 8), real(5), number(1)});
  const auto session = *Session::create(maker.load());
  EXPECT_EQ(session->run(EntryId(0)).code(), absl::StatusCode::kFailedPrecondition);
  for (const int64_t value : {3, 8}) {
    ASSERT_EQ(session->set_symbol(EntryId(0), n, value), absl::OkStatus());
    const auto y = session->run_tensors(EntryId(0), {});
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_EQ((*y)[0].shape(), (std::vector<int64_t>{value}));
    EXPECT_EQ((*y)[0].as<float>().back(), static_cast<float>(4 + value));
  }
  ASSERT_EQ(session->set_symbol(EntryId(0), n, 9), absl::OkStatus());
  EXPECT_EQ(session->run(EntryId(0)).code(), absl::StatusCode::kFailedPrecondition);
}

// Extents of a run that could not be prepared, and a buffer that does not hold them, are no result.
TEST(SessionTest, AFailedPreparationLeavesNoOutput) {
  const auto session = *Session::create(dynamic_plan().load());
  std::vector<float> x(16, 1), y(4);
  ASSERT_TRUE(session->bind_output(EntryId(0), 0, y.data(), 16).ok());
  ASSERT_TRUE(session->bind_input(EntryId(0), 0, x.data(), {2, 2}).ok());
  ASSERT_TRUE(session->run(EntryId(0)).ok());
  EXPECT_NE(session->output_data(EntryId(0), 0), nullptr);
  ASSERT_TRUE(session->bind_input(EntryId(0), 0, x.data(), {4, 2}).ok());
  EXPECT_EQ(session->run(EntryId(0)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(session->output_data(EntryId(0), 0), nullptr);
}

TEST(SessionTest, ValuesThatTheirOutputCannotHoldAreRefused) {
  PlanMaker maker = dynamic_plan();
  auto value = std::make_unique<fb::TensorDescT>();
  value->name = "large";
  value->dtype = fb::DType::F64;
  value->shape = {slot(0, 16)};
  value->bytes = 128;
  maker.plan.entries[0]->sequences[0]->steps[0]->values.push_back(std::move(value));
  EXPECT_EQ(maker.try_load().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SessionTest, OneSymbolHasOneExtent) {
  const auto executable = constrained_plan().load();
  const EntryId infer = *executable->entry("infer");
  const auto session = *Session::create(executable);
  const std::vector<float> x(16, 1);
  ASSERT_TRUE(session->bind_input(infer, 0, x.data(), {3}).ok());
  ASSERT_TRUE(session->bind_input(infer, 1, x.data(), {6}).ok());
  ASSERT_TRUE(session->bind_input(infer, 2, x.data(), {4}).ok());
  const absl::Status status = session->run(infer);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("batch = 3 by input 'a', but 4 by input 'c'"));
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

TEST(SessionTest, ShapesOfInputsFollowFromSymbols) {
  PlanMaker maker;
  EntryMaker entry = maker.entry("infer");
  const int batch = entry.symbol("batch", 1, 8);
  const int n = entry.slot_of(batch, 2, 2, 16);
  entry.input("x", fb::DType::F32, {number(8), number(3)}, {batch, -1});
  entry.input("y", fb::DType::F32, {slot(n, 16)});
  entry.output("z", fb::DType::F32, {slot(n, 16)});
  entry.step("test.scale", {in(fb::Space::Output, 0, 64)}, {in(fb::Space::Input, 1, 64)},
             {slot(n, 16), real(3), number(4)}, 4);
  const auto executable = maker.load();
  const EntryId infer = *executable->entry("infer");
  EXPECT_THAT(*executable->input_shape(infer, 0, {5}), ElementsAre(5, 3));
  EXPECT_THAT(*executable->input_shape(infer, 1, {5}), ElementsAre(10));
  EXPECT_THAT(std::string(executable->input_shape(infer, 1, {9}).status().message()),
              HasSubstr("batch = 9 was not planned"));
  EXPECT_FALSE(executable->input_shape(infer, 2, {5}).ok());
  EXPECT_FALSE(executable->input_shape(infer, 0, {}).ok());
}

// Before any input is bound, and with the step that would write there.
TEST(SessionTest, ReservesOutputsAhead) {
  PlanMaker maker = dynamic_plan();
  maker.plan.entries[0]->sequences[0]->steps[0]->name = "triple";
  const auto executable = maker.load();
  const EntryId infer = *executable->entry("infer");
  // 64 bytes for the output, the rest for the session.
  SessionOptions options;
  options.max_bytes = executable->session_bytes() + 64;
  EXPECT_TRUE((*Session::create(executable, nullptr, options))->reserve_outputs(infer).ok());
  --options.max_bytes;
  const auto session = *Session::create(executable, nullptr, options);
  const absl::Status status = session->reserve_outputs(infer);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("output 'y' takes 64 bytes"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("; step 0 'triple' (test.scale) writes it"));
  // What the caller binds takes none.
  std::vector<float> y(16);
  ASSERT_TRUE(session->bind_output(infer, 0, y.data(), 64).ok());
  EXPECT_TRUE(session->reserve_outputs(infer).ok());
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
  for (const int64_t batch : {0, 9}) {
    const absl::Status status = (*session)->bind_input(infer, 0, x.data(), {batch, 2});
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("batch = " + std::to_string(batch) + " was not planned"));
  }
  EXPECT_EQ((*session)->bind_input(infer, 0, x.data(), {-1, 2}).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace modellib::runtime
