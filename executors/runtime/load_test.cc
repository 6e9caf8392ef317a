// What Executable::load and Session refuse, and what plans from untrusted sources can not do.
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "flatbuffers/flatbuffers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/test_plans.h"
#include "modellib/formats/container_writer.h"
#include "modellib/formats/plan_file.h"
#include "modellib/formats/plan_generated.h"

namespace modellib::runtime {
namespace {

using testing::arena;
using testing::EntryMaker;
using ::testing::HasSubstr;
using testing::in;
using testing::number;
using testing::PlanMaker;
using testing::real;
using testing::slot;

constexpr auto kInput = fb::Space::Input;
constexpr auto kOutput = fb::Space::Output;

// y = 2 (x + c), batch in [1, 8], with a variable that an entry of its own doubles.
PlanMaker good_plan() {
  PlanMaker maker;
  const uint32_t c = maker.constant("c", std::vector<float>(16, 1));
  const uint32_t w = maker.variable("w", 4, fb::VariableKind::Shared, {1, 2, 3, 4});
  EntryMaker entry = maker.entry("infer");
  const int batch = entry.symbol("batch", 1, 8);
  const int n = entry.slot_of(batch, 2, 2, 16);
  entry.input("x", fb::DType::F32, {number(8), number(2)}, {batch, -1});
  entry.output("y", fb::DType::F32, {slot(n, 16)});
  entry.arena_bytes(64);
  entry.step("test.add", {arena(0, 64)}, {in(kInput, 0, 64), in(fb::Space::Constant, c, 64)},
             {slot(n, 16), number(4)}, 4);
  entry.step("test.scale", {in(kOutput, 0, 64)}, {arena(0, 64)}, {slot(n, 16), real(2), number(1)});
  EntryMaker update = maker.entry("update");
  update.uses(w, true, true);
  update.step("test.scale", {in(fb::Space::Variable, w, 16)}, {in(fb::Space::Variable, w, 16)},
              {number(4), real(2), number(1)});
  return maker;
}

fb::StepT& step_of(PlanMaker& maker, size_t i) {
  return *maker.plan.entries[0]->sequences[0]->steps[i];
}

TEST(LoadTest, ListsAllKernelsThatAreMissing) {
  PlanMaker maker = good_plan();
  maker.plan.kernels.insert(maker.plan.kernels.end(), {"cpu.matmul", "cuda.softmax"});
  const absl::Status status = maker.try_load().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("2 kernels"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("cpu.matmul, cuda.softmax"));
}

// Kernels keep their names when their scalars or layouts change: such a plan would compute wrongly.
TEST(LoadTest, RefusesAPlanForOtherKernelsOfTheSameNames) {
  for (const uint32_t abi : {uint32_t{0}, kKernelAbi + 1}) {
    PlanMaker maker = good_plan();
    maker.plan.kernel_abi = abi;
    const absl::Status status = maker.try_load().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("compile the model again"));
  }
}

TEST(LoadTest, ListsAllFeaturesThatTheMachineLacks) {
  PlanMaker maker = good_plan();
  maker.plan.features = {"avx2", "avx512f", "amx"};
  const absl::Status status = maker.try_load({.features = {"avx2"}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("avx512f, amx"));
  EXPECT_TRUE(maker.try_load({.features = {"amx", "avx512f", "avx2"}}).ok());
}

TEST(LoadTest, NamesAreFoundOrListed) {
  const auto executable = good_plan().load();
  EXPECT_EQ(executable->entry_count(), 2);
  EXPECT_EQ(executable->entry("update")->index(), 1);
  const absl::Status status = executable->entry("train").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("infer, update"));
  const EntryId infer = *executable->entry("infer");
  EXPECT_EQ(*executable->input(infer, "x"), 0);
  EXPECT_EQ(*executable->symbol(infer, "batch"), 0);
  EXPECT_FALSE(executable->output(infer, "x").ok());
  EXPECT_FALSE(executable->info(infer).writes_variables);
  EXPECT_TRUE(executable->info(*executable->entry("update")).writes_variables);
  EXPECT_TRUE(executable->info(infer).inputs[0].dynamic);
}

// Extents that vary together have a bound of their own; what does not vary is bound with just its
// bytes.
TEST(LoadTest, OnlyWhatVariesMayHaveBytesToSpare) {
  PlanMaker maker = good_plan();
  maker.plan.entries[0]->inputs[0]->bytes += 4;
  EXPECT_TRUE(maker.try_load().ok()) << maker.try_load().status();
  maker.plan.entries[0]->outputs[0]->bytes = ~uint64_t{0};
  EXPECT_FALSE(maker.try_load().ok());

  PlanMaker still;
  EntryMaker entry = still.entry("main");
  entry.input("x", fb::DType::F32, {number(4)});
  entry.output("y", fb::DType::F32, {number(4)});
  entry.step("test.copy", {in(kOutput, 0, 16)}, {in(kInput, 0, 16)}, {number(4), number(1)});
  EXPECT_TRUE(still.try_load().ok()) << still.try_load().status();
  for (auto* tensors : {&still.plan.entries[0]->inputs, &still.plan.entries[0]->outputs}) {
    (*tensors)[0]->bytes += 4;
    EXPECT_FALSE(still.try_load().ok());
    (*tensors)[0]->bytes -= 4;
  }
}

TEST(LoadTest, PlansThatContradictThemselvesAreRefused) {
  const std::vector<std::function<void(PlanMaker&)>> changes = {
      [](PlanMaker& m) { step_of(m, 0).kernel = 99; },
      [](PlanMaker& m) { step_of(m, 0).scalars[0] = number(17); },  // kernel's validate
      [](PlanMaker& m) {
        step_of(m, 0).scalars[0] = {16, 5};
      },  // no such slot
      [](PlanMaker& m) { step_of(m, 0).scalars.pop_back(); },
      [](PlanMaker& m) { step_of(m, 0).chunks = std::make_unique<fb::Scalar>(-1, -1); },
      [](PlanMaker& m) {
        step_of(m, 0).chunks = std::make_unique<fb::Scalar>(int64_t{1} << 40, -1);
      },
      [](PlanMaker& m) { step_of(m, 0).inputs[0] = in(kInput, 1, 64); },
      [](PlanMaker& m) { step_of(m, 0).inputs[0] = in(kInput, 0, 128); },
      [](PlanMaker& m) { step_of(m, 0).inputs[0] = in(kInput, 0, 64, ~uint64_t{0} - 7); },
      [](PlanMaker& m) { step_of(m, 0).inputs[0] = in(kInput, 0, 64, 0, 4); },
      [](PlanMaker& m) { step_of(m, 0).inputs[0] = in(static_cast<fb::Space>(9), 0, 64); },
      [](PlanMaker& m) { step_of(m, 0).outputs[0] = in(kInput, 0, 64); },
      [](PlanMaker& m) { step_of(m, 0).outputs[0] = in(fb::Space::Constant, 0, 64); },
      [](PlanMaker& m) { step_of(m, 0).outputs[0] = in(fb::Space::Variable, 0, 16); },
      [](PlanMaker& m) { step_of(m, 1).inputs[0] = in(kOutput, 0, 64, 4); },
      [](PlanMaker& m) { step_of(m, 0).lane = 5000; },
      [](PlanMaker& m) { step_of(m, 0).waits = {0}; },
      [](PlanMaker& m) { step_of(m, 0).sequences = {0}; },
      [](PlanMaker& m) { m.plan.entries[0]->slots[0]->expr.pop_back(); },
      [](PlanMaker& m) { m.plan.entries[0]->slots[0]->expr.clear(); },
      [](PlanMaker& m) {
        m.plan.entries[0]->slots[0]->expr[0] = {fb::DimOpcode::Symbol, 3};
      },
      [](PlanMaker& m) { m.plan.entries[0]->symbols[0]->min = 9; },
      [](PlanMaker& m) { m.plan.entries[0]->symbols[0]->max = int64_t{1} << 62; },
      [](PlanMaker& m) { m.plan.entries[0]->inputs[0]->bytes = 32; },
      [](PlanMaker& m) { m.plan.entries[0]->inputs[0]->dtype = fb::DType::String; },
      [](PlanMaker& m) {
        m.plan.entries[0]->inputs[0]->symbols = {7, -1};
      },
      [](PlanMaker& m) { m.plan.entries[0]->inputs[0]->shape[1] = number(-2); },
      [](PlanMaker& m) { m.plan.entries[0]->arenas[0]->alignment = 48; },
      [](PlanMaker& m) { m.plan.entries[0]->arenas[0]->bytes = 32; },
      [](PlanMaker& m) { m.plan.entries[0]->arenas[0]->bytes = ~uint64_t{0}; },
      [](PlanMaker& m) { m.plan.entries[0]->sequences.clear(); },
      [](PlanMaker& m) { m.plan.entries[0]->signals = ~0u; },
      [](PlanMaker& m) { m.plan.entries[0]->name = "update"; },
      [](PlanMaker& m) { m.plan.entries[1]->variables.clear(); },
      [](PlanMaker& m) { m.plan.entries[1]->variables[0]->variable = 3; },
      [](PlanMaker& m) { m.plan.entries[1]->variables[0]->writes = false; },
      [](PlanMaker& m) { m.plan.variables[0]->bytes = 12; },
      [](PlanMaker& m) {
        m.plan.variables[0]->shape = {int64_t{1} << 62, 16};
      },
      [](PlanMaker& m) { m.plan.variables[0]->segment = 7; },
      [](PlanMaker& m) { m.plan.variables[0]->offset = 4; },
      [](PlanMaker& m) { m.plan.constants[0]->bytes = ~uint64_t{0}; },
      [](PlanMaker& m) { m.plan.constants[0]->offset = ~uint64_t{0}; },
      [](PlanMaker& m) { m.plan.constants[0]->segment = 2; },
  };
  ASSERT_TRUE(good_plan().try_load().ok());
  for (size_t i = 0; i < changes.size(); ++i) {
    PlanMaker maker = good_plan();
    changes[i](maker);
    const absl::Status status = maker.try_load().status();
    EXPECT_FALSE(status.ok()) << "change " << i;
    EXPECT_FALSE(status.message().empty());
  }
}

TEST(LoadTest, RoundTripsThroughAFile) {
  const PlanMaker maker = good_plan();
  const char* base = std::getenv("TEST_TMPDIR");
  const std::string path = std::string(base == nullptr ? "/tmp" : base) + "/load_test.mlplan";
  ASSERT_TRUE(write_plan(path, maker.plan, maker.segments).ok());
  const KernelTable kernels = *KernelTable::create({testing::test_kernels()});
  for (const bool trusted : {true, false}) {
    auto file = PlanFile::open(path, {.trusted = trusted});
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_TRUE((*file)->verify().ok());
    auto executable = Executable::load(*file, kernels);
    ASSERT_TRUE(executable.ok()) << executable.status();
    auto store = VariableStore::create(*executable);
    auto session = Session::create(*executable, *store);
    for (const int64_t batch : {2, 1, 8}) {
      const std::vector<float> x(static_cast<size_t>(2 * batch), 3);
      auto y = (*session)->run_tensors(EntryId(0), {*Tensor::of<float>({batch, 2}, x)});
      ASSERT_TRUE(y.ok()) << y.status();
      EXPECT_THAT((*y)[0].shape(), ::testing::ElementsAre(2 * batch));
      EXPECT_THAT((*y)[0].as<float>(), ::testing::Each(8));
    }
  }
  std::filesystem::remove(path);
}

// A plan whose one step, with 4,000 bytes of data, stands `times` times in its sequence.
std::vector<std::byte> metadata_of_a_step(size_t times) {
  flatbuffers::FlatBufferBuilder builder;
  fb::StepT step;
  step.data.assign(4000, 0);
  const std::vector<flatbuffers::Offset<fb::Step>> steps(times, fb::Step::Pack(builder, &step));
  const auto step_list = builder.CreateVector(steps);
  const std::vector<flatbuffers::Offset<fb::Sequence>> sequences = {
      fb::CreateSequence(builder, step_list)};
  const auto sequence_list = builder.CreateVector(sequences);
  const auto name = builder.CreateString("main");
  const auto lanes = builder.CreateVectorOfStrings(std::vector<std::string>{"compute"});
  fb::EntryBuilder entry(builder);
  entry.add_name(name);
  entry.add_sequences(sequence_list);
  entry.add_lanes(lanes);
  const std::vector<flatbuffers::Offset<fb::Entry>> entries = {entry.Finish()};
  const auto entry_list = builder.CreateVector(entries);
  const auto kernels = builder.CreateVectorOfStrings(std::vector<std::string>{"test.fill"});
  fb::PlanBuilder plan(builder);
  plan.add_kernels(kernels);
  plan.add_entries(entry_list);
  plan.add_kernel_abi(kKernelAbi);
  builder.Finish(plan.Finish());
  const auto* data = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {data, data + builder.GetSize()};
}

// At four bytes a time, a small plan would take all memory there is.
TEST(LoadTest, APlanThatNamesOneStepAgainAndAgainIsRefused) {
  const auto status_of = [](size_t times) {
    const auto writer = ContainerWriter::in_memory(ContainerKind::kPlan);
    EXPECT_TRUE(writer->finish(metadata_of_a_step(times)).ok());
    return PlanFile::open(SharedBytes{writer->bytes(), nullptr}, {.trusted = false}).status();
  };
  EXPECT_EQ(status_of(1), absl::OkStatus());
  for (const size_t times : {2, 1000}) {
    const absl::Status status = status_of(times);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("more than once"));
  }
}

// The plan says that its steps follow the batch, and reads 64 bytes whatever it is.
TEST(LoadTest, AnUntrustedPlanThatLiesReadsNothingOfTheCallers) {
  PlanMaker maker;
  EntryMaker entry = maker.entry("infer");
  const int batch = entry.symbol("batch", 1, 16);
  const int n = entry.slot_of(batch, 1, 1, 16);
  entry.input("x", fb::DType::F32, {number(16)}, {batch});
  entry.output("y", fb::DType::F32, {slot(n, 16)});
  entry.step("test.copy", {in(kOutput, 0, 64)}, {in(kInput, 0, 64)}, {number(16), number(1)});
  const auto bytes = serialize_plan(maker.plan, maker.segments);
  auto file = PlanFile::open(SharedBytes{*bytes, nullptr}, {.trusted = false});
  ASSERT_TRUE(file.ok()) << file.status();
  auto executable = Executable::load(*file, *KernelTable::create({testing::test_kernels()}));
  ASSERT_TRUE(executable.ok()) << executable.status();
  auto session = Session::create(*executable);
  // Blocks of exactly one element: a sanitizer sees the byte beyond.
  auto x = std::make_unique<float>(5);
  auto y = std::make_unique<float>(0);
  ASSERT_TRUE((*session)->bind_input(EntryId(0), 0, x.get(), {1}).ok());
  ASSERT_TRUE((*session)->bind_output(EntryId(0), 0, y.get(), 4).ok());
  ASSERT_TRUE((*session)->run(EntryId(0)).ok());
  EXPECT_EQ(*y, 5);
  *x = 6;
  ASSERT_TRUE((*session)->run(EntryId(0)).ok());
  EXPECT_EQ(*y, 6);
}

// Copies more than its steps ever wrote.
TEST(LoadTest, AnUntrustedPlanReadsNothingThatLayInMemoryBefore) {
  PlanMaker maker;
  EntryMaker entry = maker.entry("infer");
  entry.output("y", fb::DType::F32, {number(64)});
  entry.arena_bytes(256);
  entry.step("test.fill", {arena(0, 256)}, {}, {number(1), real(3), number(1)});
  entry.step("test.copy", {in(kOutput, 0, 256)}, {arena(0, 256)}, {number(64), number(1)});
  const auto bytes = serialize_plan(maker.plan, maker.segments);
  auto file = PlanFile::open(SharedBytes{*bytes, nullptr}, {.trusted = false});
  ASSERT_TRUE(file.ok()) << file.status();
  const auto executable = *Executable::load(*file, *KernelTable::create({testing::test_kernels()}));
  const OwnedBytes memory = *allocate_aligned(executable->session_bytes() + 4096);
  std::memset(memory.data, 0xab, executable->session_bytes() + 4096);
  SessionOptions options;
  options.memory = {memory.data + (4096 - reinterpret_cast<uintptr_t>(memory.data) % 4096),
                    executable->session_bytes()};
  const auto session = *Session::create(executable, nullptr, options);
  const auto y = session->run_tensors(EntryId(0), {});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_EQ((*y)[0].as<float>()[0], 3);
  EXPECT_THAT((*y)[0].as<float>().subspan(1), ::testing::Each(0));
}

class BindTest : public ::testing::Test {
 protected:
  void SetUp() override {
    store_ = *VariableStore::create(executable_);
    session_ = *Session::create(executable_, store_);
  }
  std::string error(const absl::Status& status, absl::StatusCode code) {
    EXPECT_EQ(status.code(), code) << status;
    return std::string(status.message());
  }
  const std::shared_ptr<const Executable> executable_ = good_plan().load();
  const EntryId infer_ = *executable_->entry("infer");
  std::shared_ptr<VariableStore> store_;
  std::unique_ptr<Session> session_;
  std::vector<float> x_ = std::vector<float>(16, 1);
  std::vector<float> y_ = std::vector<float>(16);
};

TEST_F(BindTest, MistakesAreTold) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
  EXPECT_THAT(error(session_->run(infer_), kPrecondition), HasSubstr("'x' is not bound"));
  EXPECT_THAT(error(session_->bind_input(infer_, 0, x_.data(), {2}), kInvalid), HasSubstr("rank"));
  EXPECT_THAT(error(session_->bind_input(infer_, 0, x_.data(), {2, 3}), kInvalid),
              HasSubstr("[2,3]"));
  EXPECT_THAT(error(session_->bind_input(infer_, 0, x_.data(), {9, 2}), kPrecondition),
              HasSubstr("the plan holds for 1 to 8"));
  EXPECT_THAT(error(session_->bind_input(infer_, 0, x_.data(), {-1, 2}), kInvalid),
              HasSubstr("-1"));
  const auto* odd = reinterpret_cast<const char*>(x_.data()) + 1;
  EXPECT_THAT(error(session_->bind_input(infer_, 0, odd, {2, 2}), kInvalid), HasSubstr("aligned"));
  EXPECT_THAT(error(session_->bind_input(infer_, 0, nullptr, {2, 2}), kInvalid),
              HasSubstr("aligned"));
  EXPECT_THAT(error(session_->bind_input(infer_, 1, x_.data(), {2, 2}), kInvalid),
              HasSubstr("no input 1"));
  EXPECT_THAT(error(session_->bind_input(EntryId(7), 0, x_.data(), {2, 2}), kInvalid),
              HasSubstr("no entry 7"));
  EXPECT_THAT(error(session_->bind_input(infer_, 0, *Tensor::of<double>({1, 2}, {1, 2})), kInvalid),
              HasSubstr("f64"));
  EXPECT_THAT(error(session_->bind_input(infer_, 0, x_.data(), {0, 2}), kPrecondition),
              HasSubstr("the plan holds for 1 to 8"));
  ASSERT_TRUE(session_->bind_input(infer_, 0, x_.data(), {4, 2}).ok());
  ASSERT_TRUE(session_->bind_output(infer_, 0, y_.data(), 28).ok());
  EXPECT_THAT(error(session_->run(infer_), kInvalid), HasSubstr("takes 32 bytes"));
  ASSERT_TRUE(session_->bind_output(infer_, 0, x_.data() + 7, 32).ok());
  EXPECT_THAT(error(session_->run(infer_), kInvalid), HasSubstr("overlaps"));
  EXPECT_THAT(error(session_->set_symbol(infer_, 0, 4), kInvalid), HasSubstr("no symbol 0"));
  EXPECT_EQ(session_->output_data(infer_, 1), nullptr);
  EXPECT_TRUE(session_->output_extents(EntryId(), 0).empty());
  EXPECT_TRUE(session_->profile(EntryId(9)).empty());
  EXPECT_TRUE(executable_->info(EntryId()).name.empty());
  // After all that, a right call works.
  ASSERT_TRUE(session_->bind_output(infer_, 0, y_.data(), 64).ok());
  ASSERT_TRUE(session_->run(infer_).ok());
  EXPECT_EQ(y_[7], 4);
  EXPECT_EQ(y_[8], 0);
  ASSERT_TRUE(session_->release_output(infer_, 0).ok());
  ASSERT_TRUE(session_->run(infer_).ok());
  EXPECT_NE(session_->output_data(infer_, 0), reinterpret_cast<const std::byte*>(y_.data()));
}

TEST_F(BindTest, TheCallerMayBringTheMemory) {
  const uint64_t bytes = executable_->session_bytes();
  std::vector<std::byte> memory(bytes + 8192);
  std::byte* const start =
      memory.data() + (4096 - reinterpret_cast<uintptr_t>(memory.data()) % 4096);
  SessionOptions options;
  options.memory = absl::MakeSpan(start + 64, bytes);
  EXPECT_FALSE(Session::create(executable_, store_, options).ok());
  options.memory = absl::MakeSpan(start, bytes - 1);
  EXPECT_FALSE(Session::create(executable_, store_, options).ok());
  options.memory = absl::MakeSpan(start, bytes);
  options.max_bytes = 64;  // for the output alone
  auto session = Session::create(executable_, store_, options);
  ASSERT_TRUE(session.ok()) << session.status();
  auto y = (*session)->run_tensors(infer_, {*Tensor::of<float>({1, 2}, {1, 2})});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_THAT((*y)[0].as<float>(), ::testing::ElementsAre(4, 6));
  options.max_bytes = 63;
  auto poor = Session::create(executable_, store_, options);
  EXPECT_EQ((*poor)->run_tensors(infer_, {*Tensor::of<float>({1, 2}, {1, 2})}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(BindTest, TakesWhatSessionBytesSays) {
  SessionOptions options;
  options.max_bytes = executable_->session_bytes();
  const auto session = Session::create(executable_, store_, options);
  EXPECT_TRUE(session.ok()) << session.status();
  --options.max_bytes;
  EXPECT_EQ(Session::create(executable_, store_, options).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(KernelTableTest, RefusesTwinsAndKernelsWithoutABody) {
  const absl::Span<const Kernel> kernels = testing::test_kernels();
  EXPECT_EQ(KernelTable::create({kernels, kernels.first(1)}).status().code(),
            absl::StatusCode::kAlreadyExists);
  const Kernel empty{.name = "empty", .validate = nullptr, .run = nullptr};
  EXPECT_EQ(KernelTable::create({absl::MakeConstSpan(&empty, 1)}).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto table = KernelTable::create({kernels});
  EXPECT_EQ(table->find("test.add")->name, std::string("test.add"));
  EXPECT_EQ(table->find("test.ad"), nullptr);
  EXPECT_EQ(table->find(""), nullptr);
}

}  // namespace
}  // namespace modellib::runtime
