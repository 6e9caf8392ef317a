#include "modellib/formats/verify_plan.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "flatbuffers/flatbuffers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/formats/test_plans.h"
#include "modellib/formats/verify_plan_test_util.h"

namespace modellib {
namespace {

using namespace test_plans;  // NOLINT(google-build-using-namespace)

using ::testing::HasSubstr;

TEST(VerifyPlan, AcceptsAGoodPlan) {
  accepts(small_plan());
  accepts(fb::PlanT());
}

struct Mutation {
  const char* message;
  std::function<void(fb::PlanT&)> change;
};

TEST(VerifyPlan, RefusesEachMutation) {
  const auto set_input = [](fb::PlanT& p, size_t s, size_t i, fb::BufferRef r) {
    step_of(p, s).inputs[i] = r;
  };
  const auto set_output = [](fb::PlanT& p, size_t s, fb::BufferRef r) {
    step_of(p, s).outputs[0] = r;
  };
  const std::vector<Mutation> mutations = {
      {"kernel 9 of 4", [](auto& p) { step_of(p, 1).kernel = 9; }},
      {"kernel 0 has no name", [](auto& p) { p.kernels[0] = ""; }},
      {"lane 1 of 1", [](auto& p) { step_of(p, 1).lane = 1; }},
      {"lanes, expected 1", [](auto& p) { main_entry(p).lanes.clear(); }},
      {"lane 3 of 1", [](auto& p) { main_entry(p).arenas[0]->lane = 3; }},
      {"no sequence", [](auto& p) { main_entry(p).sequences.clear(); }},
      {"alignment 32", [](auto& p) { main_entry(p).arenas[0]->alignment = 32; }},
      {"alignment 96", [](auto& p) { main_entry(p).arenas[0]->alignment = 96; }},
      {"lower bound 4097", [](auto& p) { main_entry(p).arenas[0]->lower_bound = 4097; }},
      {"planned bytes", [](auto& p) { main_entry(p).planned_bytes = 4095; }},
      {"planned bytes", [](auto& p) { main_entry(p).lower_bound_bytes = 1; }},
      {"the arenas pass 2^62",
       [](auto& p) { main_entry(p).arenas[0]->bytes = std::numeric_limits<uint64_t>::max(); }},
      {"Arena 1 does not exist",
       [&](auto& p) { set_input(p, 1, 0, ref(fb::Space::Arena, 1, 0, 64)); }},
      {"Constant 1 does not exist",
       [&](auto& p) { set_input(p, 2, 1, ref(fb::Space::Constant, 1, 0, 64)); }},
      {"Variable 2 does not exist", [&](auto& p) { set_input(p, 2, 2, variable(2, 64)); }},
      {"Input 1 does not exist",
       [&](auto& p) { set_input(p, 0, 0, ref(fb::Space::Input, 1, 0, 64)); }},
      {"Output 7 does not exist",
       [&](auto& p) { set_output(p, 5, ref(fb::Space::Output, 7, 0, 64)); }},
      {"unknown space", [&](auto& p) { set_input(p, 1, 0, ref(fb::Space(9), 0, 0, 64)); }},
      {"absent, yet", [&](auto& p) { set_input(p, 1, 0, ref(fb::Space::None, 0, 0, 64)); }},
      {"leave the 4096 bytes", [&](auto& p) { set_output(p, 3, arena(4088, 64)); }},
      {"leave the 4096 bytes",
       [&](auto& p) { set_output(p, 3, arena(std::numeric_limits<uint64_t>::max() - 63, 64)); }},
      {"leave the 4096 bytes",
       [&](auto& p) { set_output(p, 3, arena(64, std::numeric_limits<uint64_t>::max() - 63)); }},
      {"leave the 64 bytes of Constant", [&](auto& p) { set_input(p, 2, 1, constant(72)); }},
      {"leave the 64 bytes of Variable", [&](auto& p) { set_input(p, 2, 2, variable(1, 72)); }},
      {"leave the 64 bytes of Input", [&](auto& p) { set_input(p, 0, 0, input(72)); }},
      {"leave the 64 bytes of Output", [&](auto& p) { set_output(p, 5, output(8, 64)); }},
      {"must be multiples of 8", [&](auto& p) { set_output(p, 3, arena(4, 64)); }},
      {"must be multiples of 4", [&](auto& p) { set_output(p, 3, arena(2, 60)); }},
      {"within 0 loops", [&](auto& p) { set_output(p, 3, arena(0, 64, 64)); }},
      {"writes Input 0", [&](auto& p) { set_output(p, 3, input(64)); }},
      {"writes Constant 0", [&](auto& p) { set_output(p, 3, constant(64)); }},
      {"writes variable 1 'mean'", [&](auto& p) { set_output(p, 4, variable(1, 64)); }},
      {"reads variable 1 'mean'", [](auto& p) { main_entry(p).variables.pop_back(); }},
      {"listed twice", [](auto& p) { main_entry(p).variables[1]->variable = 0; }},
      {"variable 5 of 2", [](auto& p) { main_entry(p).variables[1]->variable = 5; }},
      {"workspace: lies in Output",
       [](auto& p) { step_of(p, 2).workspace = std::make_unique<fb::BufferRef>(output(0, 64)); }},
      {"overlap in arena 0", [&](auto& p) { set_output(p, 1, arena(64, 2048)); }},
      {"overlap in arena 0", [&](auto& p) { step_of(p, 0).outputs.push_back(arena(1024, 64)); }},
      {"workspace at",
       [](auto& p) { step_of(p, 2).workspace = std::make_unique<fb::BufferRef>(arena(2048, 64)); }},
      {"workspace at",
       [](auto& p) { step_of(p, 2).workspace = std::make_unique<fb::BufferRef>(arena(0, 64)); }},
      {"of which nothing has written byte 3136",
       [&](auto& p) { set_input(p, 3, 0, arena(3136, 64)); }},
      {"was left undefined by entry 'main', step 2 'fc2'",
       [&](auto& p) { set_input(p, 3, 0, arena(2112, 64)); }},
      {"nothing writes byte 32 of output 0 'y'", [&](auto& p) { set_output(p, 5, output(0, 32)); }},
      {"slot 0 of 0", [](auto& p) { step_of(p, 0).scalars = {fb::Scalar(3, 0)}; }},
      {"slot -2 of 0", [](auto& p) { step_of(p, 0).scalars = {fb::Scalar(3, -2)}; }},
      {"chunks", [](auto& p) { *step_of(p, 0).chunks = fb::Scalar(-1, -1); }},
      {"chunks", [](auto& p) { *step_of(p, 0).chunks = fb::Scalar(int64_t{1} << 40, -1); }},
      {"is no control flow", [](auto& p) { step_of(p, 0).sequences = {0}; }},
      {"waits for signal 0", [](auto& p) { step_of(p, 1).waits = {0}; }},
      {"declares 0 signals", [](auto& p) { step_of(p, 1).signals = {0}; }},
      {"declares 4000000000 signals", [](auto& p) { main_entry(p).signals = 4'000'000'000u; }},
      {"unknown dtype", [](auto& p) { main_entry(p).inputs[0]->dtype = fb::DType::Invalid; }},
      {"do not hold its largest extents", [](auto& p) { main_entry(p).inputs[0]->bytes = 60; }},
      {"may be -16", [](auto& p) { main_entry(p).outputs[0]->shape[0] = fb::Scalar(-16, -1); }},
      {"2 symbols for 1",
       [](auto& p) {
         main_entry(p).inputs[0]->symbols = {-1, -1};
       }},
      {"symbol 0 of 0", [](auto& p) { main_entry(p).inputs[0]->symbols = {0}; }},
      {"the name is not unique", [](auto& p) { p.variables[1]->name = "weight"; }},
      {"can not be stored", [](auto& p) { p.variables[1]->dtype = fb::DType(77); }},
      {"unknown kind", [](auto& p) { p.variables[1]->kind = fb::VariableKind(9); }},
      {"do not hold its extents", [](auto& p) { p.variables[1]->bytes = 63; }},
      {"do not hold its extents", [](auto& p) { p.variables[1]->shape = {-1}; }},
      {"do not hold its extents",
       [](auto& p) {
         p.variables[1]->shape = {int64_t{1} << 40, int64_t{1} << 40};
       }},
      {"segment -2", [](auto& p) { p.variables[1]->segment = -2; }},
      {"must be a multiple of 64",
       [](auto& p) {
         p.variables[1]->segment = 0;
         p.variables[1]->offset = 8;
       }},
      {"must be a multiple of 64", [](auto& p) { p.constants[0]->offset = 32; }},
      {"below 2^62", [](auto& p) { p.constants[0]->bytes = std::numeric_limits<uint64_t>::max(); }},
      {"is not unique",
       [](auto& p) { p.entries.push_back(std::make_unique<fb::EntryT>(*p.entries[0])); }},
  };
  for (const Mutation& m : mutations) {
    fb::PlanT p = small_plan();
    m.change(p);
    refuses(p, m.message);
  }
}

TEST(VerifyPlan, MessagesNameEntryAndStep) {
  fb::PlanT p = small_plan();
  step_of(p, 3).inputs[0] = arena(3136, 64);
  EXPECT_EQ(verify(p).message(),
            "plan: entry 'main', step 3 'grad', input 0: reads bytes [3136, 3200) of arena 0, of "
            "which nothing has written byte 3136");
}

// The planner gave the memory of "a" away while it was still needed.
TEST(VerifyPlan, SeesAValueThatIsOverwrittenTooEarly) {
  const auto with = [](uint64_t b_offset) {
    std::vector<fb::StepT> steps;
    steps.push_back(step("a", {input(64)}, {arena(0, 1024)}));
    steps.push_back(step("b", {input(64)}, {arena(b_offset, 1024)}));
    steps.push_back(step("use", {arena(0, 1024), arena(b_offset, 1024)}, {output(0, 64)}));
    return plan(std::move(steps));
  };
  accepts(with(1024));
  refuses(with(512),
          "a value of entry 'main', step 0 'a' of which entry 'main', step 1 'b' has overwritten");
}

TEST(VerifyPlan, SlotsOfAConcatenationAreNoTear) {
  std::vector<fb::StepT> steps;
  steps.push_back(step("old", {input(64)}, {arena(256, 1024)}));
  steps.push_back(step("dead", {arena(256, 1024)}, {arena(2048, 64)}));
  steps.push_back(step("left", {arena(2048, 64)}, {arena(0, 512)}));
  steps.push_back(step("right", {arena(2048, 64)}, {arena(512, 1024)}));
  steps.push_back(step("whole", {arena(0, 1536)}, {output(0, 64)}));
  accepts(plan(std::move(steps)));
}

// --- symbols and slots ---

fb::DimOp op(fb::DimOpcode code, int64_t value = 0) { return fb::DimOp(code, value); }

TEST(VerifyPlan, Slots) {
  using Op = fb::DimOpcode;
  const fb::DimOp n = op(Op::Symbol, 0);
  accepts(symbolic_plan({n}, 1, 4));
  accepts(symbolic_plan({n, op(Op::Const, 3), op(Op::Mul)}, 3, 12));
  accepts(symbolic_plan({n, op(Op::Const, 3), op(Op::Mul)}, 0, 100));
  accepts(symbolic_plan({n, n, op(Op::Sub)}, -3, 3));
  accepts(
      symbolic_plan({n, op(Op::Const, 3), op(Op::Add), op(Op::Const, 2), op(Op::FloorDiv)}, 2, 3));
  accepts(symbolic_plan({n, op(Op::Const, 3), op(Op::Mod)}, 0, 2));
  accepts(symbolic_plan({op(Op::Const, -7), op(Op::Const, 2), op(Op::FloorDiv)}, -4, -4));
  accepts(symbolic_plan({op(Op::Const, -7), op(Op::Const, 4), op(Op::Mod)}, 1, 1));
  accepts(symbolic_plan({n, op(Op::Const, 2), op(Op::Max), op(Op::Const, 3), op(Op::Min)}, 2, 3));

  refuses(symbolic_plan({n}, 2, 4), "do not stay in the declared [2, 4]");
  refuses(symbolic_plan({n}, 1, 3), "do not stay in the declared [1, 3]");
  refuses(symbolic_plan({}, 0, 0), "leaves 0 values");
  refuses(symbolic_plan({n, n}, 1, 4), "leaves 2 values");
  refuses(symbolic_plan({op(Op::Add)}, 1, 4), "fewer than two values");
  refuses(symbolic_plan({n, op(Op::Min)}, 1, 4), "fewer than two values");
  refuses(symbolic_plan({op(Op::Symbol, 1)}, 1, 4), "reads symbol 1 of 1");
  refuses(symbolic_plan({op(Op::Symbol, -1)}, 1, 4), "reads symbol -1 of 1");
  refuses(symbolic_plan({op(Op(99))}, 1, 4), "fewer than two values");
  refuses(symbolic_plan({n, n, op(Op(99))}, 1, 4), "unknown code 99");
  refuses(symbolic_plan({n, n, op(Op::Const, 1), op(Op::Sub), op(Op::FloorDiv)}, 0, 100),
          "divides by a value that may be 0");
  refuses(symbolic_plan({n, op(Op::Const, -2), op(Op::Mod)}, -9, 9), "may be -2");
  const int64_t huge = std::numeric_limits<int64_t>::max();
  refuses(symbolic_plan({n, op(Op::Const, huge), op(Op::Add)}, 1, huge), "more than 64 bits");
  refuses(symbolic_plan({op(Op::Const, huge), op(Op::Const, huge), op(Op::Mul)}, 1, huge),
          "more than 64 bits");
  refuses(symbolic_plan(std::vector<fb::DimOp>(65, n), 1, 4), "more than 64 values");

  fb::PlanT p = symbolic_plan({n}, 1, 4);
  step_of(p, 0).scalars = {fb::Scalar(3, 0)};
  refuses(p, "is not the maximum 4 of its slot 0");
  p = symbolic_plan({n}, 1, 4);
  main_entry(p).symbols[0]->min = 5;
  refuses(p, "empty or negative");
  p = symbolic_plan({n}, 1, 4);
  main_entry(p).inputs[0]->shape = {fb::Scalar(4, 0), fb::Scalar(4, -1)};
  main_entry(p).inputs[0]->symbols = {0, -1};
  accepts(p);
  main_entry(p).inputs[0]->symbols = {-1, 0};
  accepts(p);
  main_entry(p).inputs[0]->shape[1] = fb::Scalar(2, -1);
  refuses(p, "largest extent 2, but its symbol 0 may be 4");
}

TEST(VerifyPlan, Constraints) {
  using Op = fb::DimOpcode;
  const fb::DimOp n = op(Op::Symbol, 0);
  const auto constrained = [&](std::vector<fb::DimOp> left, std::vector<fb::DimOp> right) {
    fb::PlanT p = symbolic_plan({n}, 1, 4);
    auto constraint = std::make_unique<fb::ConstraintT>();
    constraint->left = std::move(left);
    constraint->right = std::move(right);
    main_entry(p).constraints.push_back(std::move(constraint));
    return p;
  };
  accepts(constrained({n}, {op(Op::Const, 3)}));
  accepts(constrained({n, n, op(Op::Mul)}, {n, op(Op::Const, 2), op(Op::FloorDiv)}));
  refuses(constrained({}, {n}), "constraint 0: the expression leaves 0 values");
  refuses(constrained({n}, {n, n}), "constraint 0: the expression leaves 2 values");
  refuses(constrained({op(Op::Symbol, 1)}, {n}), "reads symbol 1 of 1");
  refuses(constrained({n}, {n, n, op(Op(99))}), "unknown code 99");
  refuses(constrained({n}, {n, op(Op::Const, 0), op(Op::Mod)}), "divides by a value that may be 0");
  refuses(constrained({n, op(Op::Const, int64_t{1} << 62), op(Op::Mul)}, {n}),
          "a value of more than 64 bits");
}

TEST(VerifyPlan, NamedValues) {
  using Op = fb::DimOpcode;
  const auto named = [](std::vector<fb::Scalar> shape, uint64_t bytes, fb::DType dtype) {
    fb::PlanT p = symbolic_plan({op(Op::Symbol, 0)}, 1, 4);
    auto value = std::make_unique<fb::TensorDescT>();
    value->name = "h";
    value->dtype = dtype;
    value->shape = std::move(shape);
    value->bytes = bytes;
    step_of(p, 0).values.push_back(std::move(value));
    return p;
  };
  fb::PlanT plain = symbolic_plan({op(Op::Symbol, 0)}, 1, 4);
  const uint64_t size = step_of(plain, 0).outputs[0].size();
  const auto most = static_cast<int64_t>(size / 4);
  accepts(named({fb::Scalar(most, -1)}, size, fb::DType::F32));
  accepts(named({fb::Scalar(4, 0), fb::Scalar(most / 4, -1)}, size, fb::DType::F32));
  refuses(named({fb::Scalar(most + 1, -1)}, size + 4, fb::DType::F32), "of an output of");
  refuses(named({fb::Scalar(most, -1)}, size - 4, fb::DType::F32), "do not hold");
  refuses(named({fb::Scalar(4, 9)}, size, fb::DType::F32), "slot 9");
  refuses(named({fb::Scalar(-1, -1)}, size, fb::DType::F32), "may be -1");
  refuses(named({}, size, static_cast<fb::DType>(99)), "unknown dtype");
  fb::PlanT p = named({}, 4, fb::DType::F32);
  while (step_of(p, 0).values.size() <= step_of(p, 0).outputs.size()) {
    step_of(p, 0).values.push_back(std::make_unique<fb::TensorDescT>());
  }
  refuses(p, "values of");
}

// --- bounds on time ---

TEST(VerifyPlan, TwentyThousandSteps) {
  std::vector<fb::StepT> steps;
  constexpr uint32_t kSteps = 20000;
  std::vector<uint32_t> last;
  for (uint32_t i = 0; i < kSteps; ++i) {
    const uint64_t at = 64 * (i % 48);
    const uint64_t from = 64 * ((i + 47) % 48);
    fb::StepT s =
        step("s", {i == 0 ? input(64) : arena(from, 64)}, {arena(at, 64)}, i % 2, last, {i});
    last = {i};
    steps.push_back(std::move(s));
  }
  steps.push_back(step("out", {arena(64 * ((kSteps - 1) % 48), 64)}, {output(0, 64)}, 0, last));
  const fb::PlanT p = plan(std::move(steps), {}, {"compute", "copy"});
  const auto start = std::chrono::steady_clock::now();
  accepts(p);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("20000 steps on two lanes: %.0f ms with packing\n", 1e3 * seconds.count());
}

TEST(VerifyPlan, EntangledPlansEnd) {
  // Thousands of slots, each time read whole on another lane: quadratic.
  std::vector<fb::StepT> steps;
  constexpr uint64_t kSlots = 8000;
  for (uint64_t i = 0; i < kSlots; ++i) {
    steps.push_back(step("slot", {input(64)}, {arena(64 * i, 64)}));
  }
  for (uint64_t i = 0; i < kSlots; ++i) {
    steps.push_back(step("read", {arena(0, 64 * kSlots)}, {arena(64 * (kSlots + i), 64)}));
  }
  steps.push_back(step("out", {input(64)}, {output(0, 64)}));
  fb::PlanT p = plan(std::move(steps));
  main_entry(p).arenas[0]->bytes = main_entry(p).planned_bytes = 64 * 2 * kSlots;
  EXPECT_EQ(verify(p).code(), absl::StatusCode::kResourceExhausted);
}

// --- hostile bytes ---

TEST(VerifyPlan, RandomBytesNeverCrash) {
  flatbuffers::FlatBufferBuilder builder;
  int sound = 0;
  int refused = 0;
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    std::mt19937 random(seed);
    const fb::PlanT p = seed % 4 == 0   ? two_lanes()
                        : seed % 4 == 1 ? scan_plan()
                        : seed % 4 == 2 ? cond_plan()
                                        : small_plan();
    builder.Clear();
    builder.Finish(fb::Plan::Pack(builder, &p));
    uint8_t* bytes = builder.GetBufferPointer();
    const int changes = 1 + static_cast<int>(random() % 8);
    for (int c = 0; c < changes; ++c) {
      const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff, static_cast<uint8_t>(random())};
      bytes[random() % builder.GetSize()] = values[random() % 6];
    }
    flatbuffers::Verifier verifier(bytes, builder.GetSize());
    if (!fb::VerifyPlanBuffer(verifier)) continue;
    ++sound;
    refused += !verify_plan(*fb::GetPlan(bytes)).ok();
  }
  EXPECT_GT(sound, 500);
  EXPECT_GT(refused, 100);
}

TEST(VerifyPlan, MisalignedVectors) {
  flatbuffers::FlatBufferBuilder builder;
  const fb::PlanT p = small_plan();
  builder.Finish(fb::Plan::Pack(builder, &p));
  // All lies 4 bytes too far, as hostile offsets may make of a single vector.
  std::vector<uint64_t> storage(builder.GetSize() / 8 + 2);
  uint8_t* shifted = reinterpret_cast<uint8_t*>(storage.data()) + 4;
  std::memcpy(shifted, builder.GetBufferPointer(), builder.GetSize());
  const absl::Status status = verify_plan(*fb::GetPlan(shifted));
  EXPECT_THAT(std::string(status.message()), HasSubstr("not aligned to 8 bytes"));
}

TEST(VerifyPlan, AbsentTablesAndVectors) {
  flatbuffers::FlatBufferBuilder builder;
  // Tables without any field.
  const auto step = fb::CreateStep(builder);
  const auto sequence = fb::CreateSequence(
      builder, builder.CreateVector(std::vector<flatbuffers::Offset<fb::Step>>{step}));
  const auto entry =
      fb::CreateEntry(builder, 0, 0, builder.CreateVector(std::vector{fb::CreateSlot(builder)}), 0,
                      0, 0, builder.CreateVector(std::vector{sequence}));
  builder.Finish(
      fb::CreatePlan(builder, 0, 0, 0, 0, 0, 0, builder.CreateVector(std::vector{entry})));
  flatbuffers::Verifier verifier(builder.GetBufferPointer(), builder.GetSize());
  ASSERT_TRUE(fb::VerifyPlanBuffer(verifier));
  EXPECT_FALSE(verify_plan(*fb::GetPlan(builder.GetBufferPointer())).ok());
}

}  // namespace
}  // namespace modellib
