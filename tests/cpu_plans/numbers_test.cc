// Numbers that plans for the CPU compute where types are narrow, unsigned or summed in a wider one.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/index.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

// An unsigned number below zero comes around, also inside a region.
TEST(CpuNumbers, NumbersOfU32WrapBetweenTheOpsOfARegion) {
  GraphBuilder b(builtin_ops(), "u32");
  const Value x = b.input("x", {DType::kU32, {3}}), y = b.input("y", {DType::kU32, {3}});
  const Value two = b.scalar(2, DType::kU32);
  b.output("half", floor_div(sub(x, y), two));
  b.output("product", floor_div(mul(x, y), two));
  b.output("sum", reduce_sum(floor_div(sub(x, y), two), {.axes = {0}}));
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  std::vector<Tensor> inputs = {*Tensor::zeros(DType::kU32, {3}), *Tensor::zeros(DType::kU32, {3})};
  const int64_t values[2][3] = {{1, 0, 4294967295}, {2, 1, 3}};
  for (size_t i = 0; i < 2; ++i) {
    for (int64_t j = 0; j < 3; ++j) inputs[i].set_int(j, values[i][j]);
  }
  const auto got = run_on_cpu(*graph, inputs);
  ASSERT_TRUE(got.ok()) << got.status();
  const auto want = run_reference(*graph, inputs);
  ASSERT_TRUE(want.ok()) << want.status();
  EXPECT_EQ(got->outputs[0].int_at(0), 2147483647);
  for (size_t i = 0; i < got->outputs.size(); ++i) {
    EXPECT_EQ(difference(got->outputs[i], want->outputs[i], 0), "") << i;
  }
}

// -1 where the signs differ, as in Python: no NaN.
TEST(CpuNumbers, FloorDivByAnInfinity) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const DType dtype : {DType::kF64, DType::kF32, DType::kF16}) {
    GraphBuilder b(builtin_ops(), "floor_div");
    const Value x = b.input("x", {dtype, {6}}), y = b.input("y", {dtype, {6}});
    b.output("quotient", floor_div(x, y));
    const auto graph = b.build();
    ASSERT_TRUE(graph.ok()) << graph.status();
    std::vector<Tensor> inputs = {*Tensor::zeros(dtype, {6}), *Tensor::zeros(dtype, {6})};
    const double values[2][6] = {{1, -1, 1, -1, 0, 7}, {kInf, kInf, -kInf, -kInf, -kInf, -2}};
    const double expected[6] = {0, -1, -1, 0, 0, -4};
    for (size_t i = 0; i < 2; ++i) {
      for (int64_t j = 0; j < 6; ++j) inputs[i].set(j, values[i][j]);
    }
    const auto got = run_on_cpu(*graph, inputs);
    ASSERT_TRUE(got.ok()) << got.status();
    const auto want = run_reference(*graph, inputs);
    ASSERT_TRUE(want.ok()) << want.status();
    for (int64_t j = 0; j < 6; ++j) {
      EXPECT_EQ(got->outputs[0].at(j), expected[j]) << j << " of " << to_string(dtype);
      EXPECT_EQ(want->outputs[0].at(j), expected[j]) << j << " of " << to_string(dtype);
    }
  }
}

// Beyond 2^53 a double in between would round them twice. What is narrower than f32 is f32 first.
TEST(CpuNumbers, IntegersRoundToF32Once) {
  for (const DType dtype : {DType::kI64, DType::kU64}) {
    GraphBuilder b(builtin_ops(), "round");
    const int64_t above_half = (int64_t{1} << 60) + (int64_t{1} << 36) + 1;
    const int64_t values[] = {
        above_half, above_half - 1, above_half - 2, -above_half, 2049, 65519, 257, -1, 100'000, 0};
    const Value x = b.input("x", {dtype, {10}});
    for (const DType to : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16}) {
      b.output(std::string(to_string(to)), cast(x, to));
    }
    const auto graph = b.build();
    ASSERT_TRUE(graph.ok()) << graph.status();
    std::vector<Tensor> inputs = {*Tensor::zeros(dtype, {10})};
    for (int64_t i = 0; i < 10; ++i) inputs[0].set_int(i, values[i]);
    const auto got = run_on_cpu(*graph, inputs);
    ASSERT_TRUE(got.ok()) << got.status();
    const auto want = run_reference(*graph, inputs);
    ASSERT_TRUE(want.ok()) << want.status();
    for (size_t i = 0; i < got->outputs.size(); ++i) {
      EXPECT_EQ(difference(got->outputs[i], want->outputs[i], 0), "") << i << to_string(dtype);
    }
    EXPECT_EQ(want->outputs[1].at(0), 0x1p60 + 0x1p37);
  }
}

// As the C library has it.
TEST(CpuNumbers, OddFunctionsKeepTheSignOfZero) {
  using Unary = Value (*)(Value);
  const std::initializer_list<Unary> odd = {sin, tanh, erf, expm1, log1p, sqrt, neg};
  for (const DType dtype : {DType::kF64, DType::kF32, DType::kF16}) {
    GraphBuilder b(builtin_ops(), "zeros");
    const Value x = b.input("x", {dtype, {37}});
    int number = 0;
    for (const Unary op : odd) b.output(absl::StrCat("out", number++), op(x));
    const auto graph = b.build();
    ASSERT_TRUE(graph.ok()) << graph.status();
    std::vector<Tensor> inputs = {*Tensor::zeros(dtype, {37})};
    for (int64_t i = 0; i < 37; i += 2) inputs[0].set(i, -0.0);
    const auto got = run_on_cpu(*graph, inputs);
    ASSERT_TRUE(got.ok()) << got.status();
    const auto want = run_reference(*graph, inputs);
    ASSERT_TRUE(want.ok()) << want.status();
    for (size_t n = 0; n < got->outputs.size(); ++n) {
      for (int64_t i = 0; i < 37; ++i) {
        EXPECT_EQ(std::signbit(got->outputs[n].at(i)), std::signbit(want->outputs[n].at(i)))
            << "output " << n << ", element " << i << " of " << to_string(dtype);
      }
    }
  }
}

// A region keeps f16 in f32; what asks where a number lies sees the f16 of it all the same.
TEST(CpuNumbers, TestsOfNarrowFloatsSeeTheRoundedNumber) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    GraphBuilder b(builtin_ops(), "narrow");
    const Value x = b.input("x", {dtype, {6}});
    const Value square = x * x, more = x * 1.0004;
    b.output("finite", is_finite(square));
    b.output("less", less(more, 2048));
    b.output("floor", floor(more));
    b.output("whole", cast(more, DType::kI32));
    b.output("positive", sign(square));
    const auto graph = b.build();
    ASSERT_TRUE(graph.ok()) << graph.status();
    std::vector<Tensor> inputs = {*Tensor::zeros(dtype, {6})};
    const double values[] = {300, 1e-4, 2047, 255, 1e-30, 5};
    for (int64_t i = 0; i < 6; ++i) inputs[0].set(i, values[i]);
    const auto got = run_on_cpu(*graph, inputs);
    ASSERT_TRUE(got.ok()) << got.status();
    const auto want = run_reference(*graph, inputs);
    ASSERT_TRUE(want.ok()) << want.status();
    for (size_t i = 0; i < got->outputs.size(); ++i) {
      EXPECT_EQ(difference(got->outputs[i], want->outputs[i], 0), "") << i << to_string(dtype);
    }
    if (dtype == DType::kF16) EXPECT_EQ(got->outputs[0].at(0), 0) << "300 * 300 is too large";
  }
}

// 256 is where bf16 stops counting by ones, 2048 where f16 does.
TEST(CpuNumbers, NarrowFloatsAreScatteredInF32) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    GraphBuilder b(builtin_ops(), "scatter");
    const Value zeros = b.input("zeros", {dtype, {1, 1}});
    const Value at = b.input("at", {DType::kI64, {3000}});
    const Value ones = b.input("ones", {dtype, {3000, 1}});
    b.output("rows", scatter_add(zeros, at, ones));
    b.output("elements", scatter_elements(zeros, reshape(at, {3000, 1}), ones,
                                          {.axis = 0, .reduction = "add"}));
    const auto graph = b.build();
    ASSERT_TRUE(graph.ok()) << graph.status();
    std::vector<Tensor> inputs = {*Tensor::zeros(dtype, {1, 1}),
                                  *Tensor::zeros(DType::kI64, {3000}),
                                  *Tensor::zeros(dtype, {3000, 1})};
    for (int64_t i = 0; i < 3000; ++i) inputs[2].set(i, 1);
    const auto got = run_on_cpu(*graph, inputs);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_NEAR(got->outputs[0].at(0), 3000, 8) << to_string(dtype);
    EXPECT_NEAR(got->outputs[1].at(0), 3000, 8) << to_string(dtype);
  }
}

TEST(CpuNumbers, ReductionsOfF32InF64) {
  GraphBuilder b(builtin_ops(), "sum");
  const Value x = b.input("x", {DType::kF32, {1, 3}});
  b.output("sum", reduce_sum(x, {.axes = {-1}, .keepdims = true, .accumulate = DType::kF64}));
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  Tensor values = *Tensor::zeros(DType::kF32, {1, 3});
  values.set(0, 1e8);
  values.set(1, -1e8);
  values.set(2, 1);
  const auto got = run_on_cpu(*graph, std::vector<Tensor>{values});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->outputs[0].at(0), 1);
}

// Axes apart are reduced one after the other, in f64 all the way: in f32 the 1 beside 2^24 would be
// lost between them.
TEST(CpuNumbers, ReductionsInF64OfAxesApart) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    GraphBuilder b(builtin_ops(), "sum");
    const Value x = b.input("x", {dtype, {2, 3, 2}});
    b.output("sum", reduce_sum(x, {.axes = {0, 2}, .accumulate = DType::kF64}));
    const auto graph = b.build();
    ASSERT_TRUE(graph.ok()) << graph.status();
    Tensor values = *Tensor::zeros(dtype, {2, 3, 2});
    const double numbers[] = {0x1p24, 1, 1, 1, 0, 0, -0x1p24, 0, 1, 1, 0, 0};
    for (int64_t i = 0; i < 12; ++i) values.set(i, numbers[i]);
    const auto got = run_on_cpu(*graph, std::vector<Tensor>{values});
    ASSERT_TRUE(got.ok()) << got.status();
    const double want[] = {1, 4, 0};
    for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(got->outputs[0].at(i), want[i]) << to_string(dtype);
  }
}

// In f32 the 1 would be lost, whatever follows.
TEST(CpuNumbers, ProductsOfF32InF64) {
  GraphBuilder b(builtin_ops(), "products");
  const Value x = b.input("x", {DType::kF32, {1, 3}}), column = b.input("c", {DType::kF32, {3, 1}}),
              row = b.input("r", {DType::kF32, {1, 3}});
  const Value image = reshape(x, {1, 3, 1, 1});
  b.output("matmul", matmul(x, column, {.accumulate = DType::kF64}));
  b.output("relu", relu(matmul(x, row, {.transpose_b = true, .accumulate = DType::kF64})));
  b.output("conv", conv(image, reshape(column, {1, 3, 1, 1}), {.accumulate = DType::kF64}));
  b.output("conv_relu", relu(conv(image, reshape(row, {1, 3, 1, 1}), {.accumulate = DType::kF64})));
  const Value narrow = cast(x, DType::kBF16);
  b.output("bf16", matmul(narrow, cast(column, DType::kBF16), {.accumulate = DType::kF64}));
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  constexpr float kLarge = 0x1p30f;
  const auto got =
      run_on_cpu(*graph, std::vector<Tensor>{*Tensor::of<float>({1, 3}, {kLarge, 1, -kLarge}),
                                             *Tensor::of<float>({3, 1}, {1, 1, 1}),
                                             *Tensor::of<float>({1, 3}, {1, 1, 1})});
  ASSERT_TRUE(got.ok()) << got.status();
  for (const Tensor& y : got->outputs) EXPECT_EQ(y.at(0), 1);
}

// Those of the upper half are no negative ones.
TEST(CpuNumbers, NumbersOfU64HaveTheirOwnOrder) {
  const uint64_t top = uint64_t{1} << 63, all = ~uint64_t{0};
  const std::vector<uint64_t> values = {0,   1,       2,       3,       10, top - 1,
                                        top, top + 1, top + 3, all / 3, all};
  const auto n = static_cast<int64_t>(values.size());
  GraphBuilder b(builtin_ops(), "u64");
  const Value x = b.input("x", {DType::kU64, {n, 1}}), y = b.input("y", {DType::kU64, {n}});
  const Value f = b.input("f", {DType::kF64, {10}});
  std::vector<Value> results;
  using Binary = Value (*)(Value, Value);
  for (const Binary op :
       std::initializer_list<Binary>{floor_div, mod, pow, minimum, maximum, less, less_equal,
                                     greater, greater_equal, equal, not_equal, add, sub, mul}) {
    results.push_back(op(x, y));
  }
  const Value wide = broadcast_to(x, {n, n}) + y;
  for (const auto op : {reduce_max, reduce_min, reduce_sum, reduce_prod}) {
    results.push_back(op(wide, {.axes = {1}}));
  }
  // Other than along rows.
  for (const auto op : {reduce_max, reduce_min}) {
    results.push_back(op(wide, {.axes = {0}}));
    results.push_back(op(wide, {}));
    results.push_back(op(broadcast_to(wide, {3, n, n}), {.axes = {0, 2}}));
  }
  for (const auto op : {argmax, argmin}) {
    for (const int64_t axis : {0, 1}) results.push_back(op(wide, {.axis = axis}));
  }
  for (const DType to : {DType::kF64, DType::kF32, DType::kI32, DType::kU8, DType::kBool}) {
    results.push_back(cast(y, to));
  }
  results.push_back(cast(f, DType::kU64));
  results.push_back(cast(cast(f, DType::kF32), DType::kU64));
  for (size_t i = 0; i < results.size(); ++i) b.output(absl::StrCat("out", i), results[i]);
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  std::vector<Tensor> inputs = {*Tensor::zeros(DType::kU64, {n, 1}),
                                *Tensor::zeros(DType::kU64, {n}),
                                *Tensor::zeros(DType::kF64, {10})};
  for (int64_t i = 0; i < n; ++i) {
    for (size_t t = 0; t < 2; ++t) {
      inputs[t].set_int(i, static_cast<int64_t>(values[static_cast<size_t>(i)]));
    }
  }
  const double floats[] = {-1,     -0.5,     0.75,   7.5,  0x1p62,
                           0x1p63, 0x1.8p63, 0x1p64, 1e30, std::nan("")};
  for (int64_t i = 0; i < 10; ++i) inputs[2].set(i, floats[i]);
  const auto got = run_on_cpu(*graph, inputs);
  ASSERT_TRUE(got.ok()) << got.status();
  const auto want = run_reference(*graph, inputs);
  ASSERT_TRUE(want.ok()) << want.status();
  ASSERT_EQ(got->outputs.size(), want->outputs.size());
  for (size_t i = 0; i < got->outputs.size(); ++i) {
    EXPECT_EQ(difference(got->outputs[i], want->outputs[i], 1e-7), "") << i;
  }
}

}  // namespace
}  // namespace modellib
