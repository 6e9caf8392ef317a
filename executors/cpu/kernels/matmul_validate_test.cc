// What a loader refuses.
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/matmul.h"
#include "modellib/executors/cpu/kernels/matmul_kernels.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/executors/cpu/kernels/step_view_of.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {
namespace {

struct Step {
  std::vector<runtime::StepView::Range> scalars;
  std::vector<uint64_t> outputs, inputs;
  int64_t chunks;
  std::vector<int> aliases = {-1};

  runtime::StepView::Range& at(int64_t MatmulScalars::*field) {
    return scalars[field_index(field)];
  }
  absl::Status validate() const {
    return kMatmulF32.validate(view_of(scalars, outputs, inputs, chunks, aliases));
  }
};

Step good_step(bool packed) {
  MatmulShape shape;
  shape.m = 100;
  shape.n = 30;
  shape.k = 20;
  shape.b_constant = packed;
  MatmulScalars s = matmul_scalars(shape, plan_matmul(shape));
  s.bias_axis = static_cast<int64_t>(BiasAxis::kN);
  s.residual = 1;
  Step step;
  step.scalars = ranges_of(s);
  step.outputs = {100 * 30 * 4};
  step.inputs = {100 * 20 * 4, static_cast<uint64_t>(packed ? packed_b_bytes(20, 30) : 20 * 30 * 4),
                 30 * 4, 100 * 30 * 4};
  step.chunks = matmul_chunks(s);
  return step;
}

TEST(MatmulValidateTest, AcceptsExactOperandsAndRefusesShorterOnes) {
  for (const bool packed : {false, true}) {
    EXPECT_TRUE(good_step(packed).validate().ok()) << good_step(packed).validate();
    for (int operand = 0; operand < 5; ++operand) {
      Step step = good_step(packed);
      (operand == 0 ? step.outputs[0] : step.inputs[operand - 1]) -= 1;
      EXPECT_FALSE(step.validate().ok()) << "operand " << operand;
    }
  }
}

// Strides of 0 make rows one: memory must bound the work all the same.
TEST(MatmulValidateTest, RefusesWorkThatNoMemoryBounds) {
  constexpr int64_t kMany = 1 << 20;
  Step step = good_step(false);
  step.at(&MatmulScalars::m) = step.at(&MatmulScalars::m_grain) = {kMany, kMany};
  for (const auto field : {&MatmulScalars::lda, &MatmulScalars::ldc, &MatmulScalars::ld_residual}) {
    step.at(field) = {0, 0};
  }
  step.chunks = 1;
  EXPECT_FALSE(step.validate().ok());
  step = good_step(false);
  step.at(&MatmulScalars::transpose_a) = {1, 1};
  step.at(&MatmulScalars::k) = {kMany, kMany};
  step.at(&MatmulScalars::lda) = step.at(&MatmulScalars::ldb) = {0, 0};
  EXPECT_FALSE(step.validate().ok());
}

TEST(MatmulValidateTest, AVaryingBatchIsCheckedAtItsMaximum) {
  Step step = good_step(true);
  step.at(&MatmulScalars::m) = {0, 100};
  EXPECT_TRUE(step.validate().ok()) << step.validate();
  step.at(&MatmulScalars::m) = {0, 101};
  EXPECT_FALSE(step.validate().ok());
}

TEST(MatmulValidateTest, RefusesEveryHostileScalar) {
  for (int i = 0; i < kMatmulScalarCount; ++i) {
    if (i == field_index(&MatmulScalars::alpha)) continue;
    for (const int64_t value : {int64_t{-1}, INT64_MIN, INT64_MAX, (int64_t{1} << 40) + 16}) {
      for (const bool packed : {false, true}) {
        Step step = good_step(packed);
        step.scalars[i] = {value, value};
        EXPECT_FALSE(step.validate().ok()) << "scalar " << i << " = " << value;
        step.scalars[i] = {0, value};
        EXPECT_FALSE(step.validate().ok()) << "scalar " << i << " = 0.." << value;
      }
    }
  }
  // Products that overflow 64 bits.
  for (const auto field :
       {&MatmulScalars::m, &MatmulScalars::n, &MatmulScalars::k, &MatmulScalars::batch0}) {
    for (const auto stride : {&MatmulScalars::lda, &MatmulScalars::ldc, &MatmulScalars::a_batch0}) {
      Step step = good_step(true);
      step.at(field) = {int64_t{1} << 40, int64_t{1} << 40};
      step.at(stride) = {int64_t{1} << 40, int64_t{1} << 40};
      EXPECT_FALSE(step.validate().ok());
    }
  }
}

TEST(MatmulValidateTest, RefusesWrongChoicesChunksAndAliases) {
  const auto refused = [](auto change) {
    Step step = good_step(true);
    change(step);
    return !step.validate().ok();
  };
  EXPECT_TRUE(refused([](Step& s) { s.at(&MatmulScalars::transpose_a) = {2, 2}; }));
  EXPECT_TRUE(refused([](Step& s) { s.at(&MatmulScalars::b_layout) = {3, 3}; }));
  EXPECT_TRUE(refused([](Step& s) { s.at(&MatmulScalars::bias_axis) = {3, 3}; }));
  EXPECT_TRUE(refused([](Step& s) { s.at(&MatmulScalars::activation) = {99, 99}; }));
  EXPECT_TRUE(refused([](Step& s) { s.at(&MatmulScalars::residual) = {3, 3}; }));
  EXPECT_TRUE(refused([](Step& s) { s.at(&MatmulScalars::m_grain) = {0, 0}; }));
  EXPECT_TRUE(refused([](Step& s) { s.at(&MatmulScalars::n_grain) = {24, 24}; }));
  EXPECT_TRUE(refused([](Step& s) { s.at(&MatmulScalars::activation) = {0, 1}; }));
  EXPECT_FALSE(refused([](Step& s) { s.chunks += 1; }));  // it does nothing
  EXPECT_TRUE(refused([](Step& s) { s.chunks -= 1; }));
  EXPECT_TRUE(refused([](Step& s) { s.aliases = {0}; }));
  EXPECT_TRUE(refused([](Step& s) { s.inputs.pop_back(); }));
  EXPECT_TRUE(refused([](Step& s) { s.scalars.pop_back(); }));
  EXPECT_FALSE(refused([](Step& s) { s.aliases = {3}; }));
  EXPECT_TRUE(refused([](Step& s) {
    s.aliases = {3};
    s.at(&MatmulScalars::ld_residual) = {29, 29};
  }));
  // What is added after the activation is still wanted when C is written first.
  EXPECT_TRUE(refused([](Step& s) {
    s.aliases = {3};
    s.at(&MatmulScalars::residual) = {2, 2};
  }));
}

TEST(PackBValidateTest, AcceptsExactOperandsAndRefusesOthers) {
  MatmulShape shape;
  shape.m = 1000;
  shape.n = 30;
  shape.k = 20;
  const MatmulPlan plan = plan_matmul(shape);
  ASSERT_TRUE(plan.pack_step);
  const PackBScalars good = pack_b_scalars(shape, plan);
  const auto validate = [](const PackBScalars& s, uint64_t out, uint64_t in, int64_t chunks) {
    return kPackBF32.validate(view_of(ranges_of(s), {out}, {in}, chunks, {-1})).ok();
  };
  const uint64_t in = 20 * 30 * 4, out = static_cast<uint64_t>(plan.packed_bytes);
  EXPECT_EQ(out, 20 * 32 * 4);
  const int64_t chunks = pack_b_chunks(good);
  EXPECT_TRUE(validate(good, out, in, chunks));
  EXPECT_FALSE(validate(good, out - 1, in, chunks));
  EXPECT_FALSE(validate(good, out, in - 1, chunks));
  EXPECT_TRUE(validate(good, out, in, chunks + 1));
  EXPECT_FALSE(validate(good, out, in, chunks - 1));
  for (const auto field : {&PackBScalars::n, &PackBScalars::k, &PackBScalars::batch0,
                           &PackBScalars::ldb, &PackBScalars::transposed, &PackBScalars::n_grain}) {
    for (const int64_t value : {int64_t{-1}, INT64_MIN, INT64_MAX, (int64_t{1} << 40) + 16}) {
      PackBScalars s = good;
      s.*field = value;
      EXPECT_FALSE(validate(s, out, in, chunks)) << field_index(field) << " = " << value;
    }
  }
  // Batches that no memory bounds: their product is not computed beyond 64 bits.
  for (const int64_t k : {0, 20}) {
    std::vector<runtime::StepView::Range> scalars = ranges_of(good);
    scalars[static_cast<size_t>(field_index(&PackBScalars::k))] = {k, k};
    for (const auto field : {&PackBScalars::batch0, &PackBScalars::batch1}) {
      scalars[static_cast<size_t>(field_index(field))] = {0, int64_t{1} << 40};
    }
    EXPECT_FALSE(kPackBF32.validate(view_of(scalars, {out}, {in}, chunks, {-1})).ok()) << k;
  }
}

}  // namespace
}  // namespace modellib::cpu
