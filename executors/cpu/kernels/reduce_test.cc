#include "modellib/executors/cpu/kernels/reduce.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"

namespace modellib::cpu {
namespace {

using ::testing::HasSubstr;

constexpr runtime::Kernel kReduce = {"cpu.reduce", validate_reduce, run_reduce};
constexpr runtime::Kernel kArg = {"cpu.arg_reduce", validate_arg_reduce, run_arg_reduce};
constexpr runtime::Kernel kCumsum = {"cpu.cumsum", validate_cumsum, run_cumsum};

// Runs the steps of a plan.
template <class T>
std::vector<T> reduce_as_planned(const ReducePlan& plan, const std::vector<T>& x, uint32_t seed) {
  KernelCase first;
  first.set_scalars(plan.first);
  first.chunks = reduce_chunks(plan.first);
  first.seed = seed;
  first.add_input(x);
  const auto count = static_cast<size_t>(plan.first.outer * plan.first.inner);
  if (!plan.combines) {
    first.add_output<T>(count);
    const absl::Status s = first.run(kReduce);
    EXPECT_TRUE(s.ok()) << s;
    return first.output<T>(0);
  }
  first.add_output<std::byte>(static_cast<size_t>(plan.temporary_bytes));
  absl::Status s = first.run(kReduce);
  EXPECT_TRUE(s.ok()) << s;
  KernelCase second;
  second.set_scalars(plan.combine);
  second.chunks = reduce_chunks(plan.combine);
  second.add_input(first.output<std::byte>(0));
  second.add_output<T>(count);
  s = second.run(kReduce);
  EXPECT_TRUE(s.ok()) << s;
  return second.output<T>(0);
}

TEST(Reduce, FloatsOfEveryShape) {
  const struct {
    int64_t outer, reduce, inner;
  } shapes[] = {{1, 1, 1},    {3, 10, 1},     {5, 197, 1},   {1, 500000, 1},
                {2, 3000, 7}, {1, 4096, 768}, {7, 33, 1030}, {40, 5, 3},
                {4, 1, 50},   {1, 200000, 2}, {0, 5, 5},     {3, 0, 4}};
  for (const auto& shape : shapes) {
    for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin}) {
      std::mt19937 rng(1);
      std::normal_distribution<float> normal;
      std::vector<float> x(static_cast<size_t>(shape.outer * shape.reduce * shape.inner));
      for (float& v : x) v = normal(rng) + 0.5f;
      const bool mean = op == ReduceOp::kSum && shape.outer % 2 == 1 && shape.reduce > 0;
      const ReducePlan plan =
          plan_reduce(op, DType::kF32, shape.outer, shape.reduce, shape.inner, mean);
      const auto y = reduce_as_planned(plan, x, 1);
      EXPECT_EQ(y, reduce_as_planned(plan, x, 99));  // the order of chunks does not count
      for (int64_t o = 0; o < shape.outer; ++o) {
        for (int64_t i = 0; i < shape.inner; ++i) {
          double want = op == ReduceOp::kSum   ? 0
                        : op == ReduceOp::kMax ? -std::numeric_limits<double>::infinity()
                                               : std::numeric_limits<double>::infinity();
          for (int64_t r = 0; r < shape.reduce; ++r) {
            const double v = x[static_cast<size_t>((o * shape.reduce + r) * shape.inner + i)];
            want = op == ReduceOp::kSum   ? want + v
                   : op == ReduceOp::kMax ? std::max(want, v)
                                          : std::min(want, v);
          }
          if (mean) want /= static_cast<double>(shape.reduce);
          const double got = y[static_cast<size_t>(o * shape.inner + i)];
          if (std::isinf(want)) {
            EXPECT_EQ(got, want);
          } else {
            ASSERT_NEAR(got, want, 2e-6 * std::fabs(want) + 1e-5);
          }
        }
      }
    }
  }
  EXPECT_TRUE(plan_reduce(ReduceOp::kSum, DType::kF32, 1, 4096, 768, false).combines);
}

TEST(Reduce, OtherTypes) {
  {
    const std::vector<int32_t> x = {INT32_MAX, 1, -5, 7, 3, 2};
    EXPECT_EQ(reduce_as_planned(plan_reduce(ReduceOp::kSum, DType::kI32, 1, 2, 3, false), x, 1),
              (std::vector<int32_t>{static_cast<int32_t>(INT32_MAX + 7u), 4, -3}));
    EXPECT_EQ(reduce_as_planned(plan_reduce(ReduceOp::kProd, DType::kI32, 2, 3, 1, false), x, 1),
              (std::vector<int32_t>{static_cast<int32_t>(INT32_MAX * -5u), 42}));
  }
  {
    const std::vector<uint8_t> x = {0, 1, 0, 0, 0, 1, 1, 1, 1};  // bools [3, 3]
    for (const int64_t inner : {1, 3}) {
      const auto any = reduce_as_planned(
          plan_reduce(ReduceOp::kMax, DType::kBool, inner == 1 ? 3 : 1, 3, inner, false), x, 1);
      const auto all = reduce_as_planned(
          plan_reduce(ReduceOp::kMin, DType::kBool, inner == 1 ? 3 : 1, 3, inner, false), x, 1);
      EXPECT_EQ(any,
                inner == 1 ? (std::vector<uint8_t>{1, 1, 1}) : (std::vector<uint8_t>{1, 1, 1}));
      EXPECT_EQ(all,
                inner == 1 ? (std::vector<uint8_t>{0, 0, 1}) : (std::vector<uint8_t>{0, 0, 0}));
    }
  }
  {
    // f16 adds up in f32: 4,096 ones are 4,096, where adding in f16 would stop at 2,048.
    const std::vector<uint16_t> ones(200000, to_f16(1).bits);
    const ReducePlan plan = plan_reduce(ReduceOp::kSum, DType::kF16, 50, 4000, 1, false);
    EXPECT_EQ(reduce_as_planned(plan, ones, 1), std::vector<uint16_t>(50, to_f16(4000).bits));
    const ReducePlan mean = plan_reduce(ReduceOp::kSum, DType::kF16, 1, 200000, 1, true);
    EXPECT_TRUE(mean.combines);
    EXPECT_EQ(reduce_as_planned(mean, ones, 1), std::vector<uint16_t>(1, to_f16(1).bits));
  }
  {
    // Accumulation in f64 on request.
    std::vector<float> x(100, 1e-9f);
    x[0] = 1;
    const ReducePlan plan = plan_reduce(ReduceOp::kSum, DType::kF32, 1, 100, 1, false, DType::kF64);
    EXPECT_EQ(reduce_as_planned(plan, x, 1), std::vector<float>{static_cast<float>(1 + 99e-9)});
  }
  {
    std::vector<float> x(3000, 1);
    x[2345] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(
        reduce_as_planned(plan_reduce(ReduceOp::kMax, DType::kF32, 1, 3000, 1, false), x, 1)[0]));
    EXPECT_TRUE(std::isnan(
        reduce_as_planned(plan_reduce(ReduceOp::kMin, DType::kF32, 1, 1500, 2, false), x, 1)[1]));
  }
}

TEST(Reduce, U64HasItsOwnOrder) {
  const uint64_t top = uint64_t{1} << 63, all = ~uint64_t{0};
  using List = std::vector<uint64_t>;
  const auto reduced = [](ReduceOp op, int64_t outer, int64_t reduce, int64_t inner,
                          const List& x) {
    return reduce_as_planned(plan_reduce(op, DType::kU64, outer, reduce, inner, false), x, 1);
  };
  const List x = {1, top + 5, 7, top, 3, all};
  EXPECT_EQ(reduced(ReduceOp::kMax, 1, 2, 3, x), (List{top, top + 5, all}));
  EXPECT_EQ(reduced(ReduceOp::kMin, 1, 2, 3, x), (List{1, 3, 7}));
  EXPECT_EQ(reduced(ReduceOp::kMax, 2, 3, 1, x), (List{top + 5, all}));
  EXPECT_EQ(reduced(ReduceOp::kMin, 2, 3, 1, x), (List{1, 3}));
  EXPECT_EQ(reduced(ReduceOp::kMax, 1, 0, 2, {}), (List{0, 0}));
  EXPECT_EQ(reduced(ReduceOp::kMin, 1, 0, 2, {}), (List{all, all}));
  // In parts, whose results a second step combines.
  ASSERT_TRUE(plan_reduce(ReduceOp::kMax, DType::kU64, 1, 200000, 1, false).combines);
  List many(200000);
  std::mt19937_64 rng(5);
  for (uint64_t& v : many) v = rng();
  EXPECT_EQ(reduced(ReduceOp::kMax, 1, 200000, 1, many),
            List{*std::max_element(many.begin(), many.end())});
  EXPECT_EQ(reduced(ReduceOp::kMin, 1, 200000, 1, many),
            List{*std::min_element(many.begin(), many.end())});
}

TEST(Reduce, RefusesWrongSteps) {
  const auto status = [](ReduceScalars s, size_t in, size_t out) {
    KernelCase k;
    k.set_scalars(s);
    k.add_output<float>(out);
    k.add_input(std::vector<float>(in));
    return k.validate(validate_reduce).ToString();
  };
  const ReduceScalars good = plan_reduce(ReduceOp::kSum, DType::kF32, 2, 6, 5, false).first;
  EXPECT_EQ(status(good, 60, 10), "OK");
  EXPECT_THAT(status(good, 59, 10), HasSubstr("the input"));
  EXPECT_THAT(status(good, 60, 9), HasSubstr("the output"));
  ReduceScalars bad = good;
  bad.rows_per_part = 1;  // six parts need six times the output
  EXPECT_THAT(status(bad, 60, 10), HasSubstr("the output"));
  bad = good;
  bad.dtype_accumulate = static_cast<int64_t>(DType::kI32);
  EXPECT_THAT(status(bad, 60, 10), HasSubstr("cannot reduce"));
  bad = good;
  bad.outer = int64_t{1} << 47;
  EXPECT_NE(status(bad, 60, 10), "OK");
}

// No bytes bound how long it takes to go through units without an axis.
TEST(Cumsum, RefusesLongChunksOfEmptyUnits) {
  KernelCase k;
  CumsumScalars s;
  s.dtype = static_cast<int64_t>(DType::kF32);
  s.outer = int64_t{1} << 40;
  s.axis = 0;
  s.units_per_chunk = kMaxEmptyGrain;
  k.set_scalars(s);
  k.add_output<float>(0);
  k.add_input(std::vector<float>());
  EXPECT_EQ(k.validate(validate_cumsum).ToString(), "OK");
  s.units_per_chunk = kMaxGrain;
  k.set_scalars(s);
  EXPECT_THAT(k.validate(validate_cumsum).ToString(), HasSubstr("units_per_chunk"));
}

// x [outer, reduce, inner]
template <class T>
std::vector<int64_t> arg_reduced(const std::vector<T>& x, DType dtype, int64_t outer,
                                 int64_t reduce, int64_t inner, int64_t smallest) {
  ArgReduceScalars s;
  s.dtype = static_cast<int64_t>(dtype);
  s.outer = outer;
  s.reduce = reduce;
  s.inner = inner;
  s.smallest = smallest;
  KernelCase k;
  k.set_scalars(s);
  k.chunks = outer;
  k.add_output<int64_t>(static_cast<size_t>(outer * inner));
  k.add_input(x);
  const absl::Status status = k.run(kArg);
  EXPECT_TRUE(status.ok()) << status;
  return k.output<int64_t>(0);
}

TEST(ArgReduce, FirstOfEqualsAndNanWins) {
  using Places = std::vector<int64_t>;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x = {1, 3, 3, 0, nan, 7, 5, nan, 2, 2, 2, 2};  // [3, 4]
  EXPECT_EQ(arg_reduced(x, DType::kF32, 3, 4, 1, 0), (Places{1, 0, 0}));
  EXPECT_EQ(arg_reduced(x, DType::kF32, 3, 4, 1, 1), (Places{3, 0, 0}));
  EXPECT_EQ(arg_reduced(x, DType::kF32, 1, 3, 4, 0), (Places{1, 1, 1, 1}));
  EXPECT_EQ(arg_reduced(x, DType::kF32, 1, 3, 4, 1), (Places{1, 2, 2, 1}));
}

TEST(ArgReduce, U64HasItsOwnOrder) {
  using Places = std::vector<int64_t>;
  const uint64_t top = uint64_t{1} << 63;
  const std::vector<uint64_t> x = {1, top + 5, 7, top, 3, ~uint64_t{0}};  // [2, 3]
  EXPECT_EQ(arg_reduced(x, DType::kU64, 2, 3, 1, 0), (Places{1, 2}));
  EXPECT_EQ(arg_reduced(x, DType::kU64, 2, 3, 1, 1), (Places{0, 1}));
  EXPECT_EQ(arg_reduced(x, DType::kU64, 1, 2, 3, 0), (Places{1, 0, 1}));
  EXPECT_EQ(arg_reduced(x, DType::kU64, 1, 2, 3, 1), (Places{0, 1, 0}));
}

TEST(ArgReduce, OfNothingIsAFault) {
  ArgReduceScalars s;
  s.dtype = static_cast<int64_t>(DType::kF32);
  s.outer = 2;
  s.reduce = 0;
  KernelCase k;
  k.set_scalars(s);
  k.add_output<int64_t>(2);
  k.add_input(std::vector<float>());
  ASSERT_TRUE(k.run(kArg).ok());
  EXPECT_EQ(k.fault.code(), runtime::Fault::kIndexOutOfRange);
}

TEST(ArgReduce, LongAxis) {
  std::vector<int32_t> x(1000);
  std::mt19937 rng(4);
  for (int32_t& v : x) v = static_cast<int32_t>(rng() % 300);
  ArgReduceScalars s;
  s.dtype = static_cast<int64_t>(DType::kI32);
  s.reduce = 1000;
  KernelCase k;
  k.set_scalars(s);
  k.add_output<int64_t>(1);
  k.add_input(x);
  ASSERT_TRUE(k.run(kArg).ok());
  EXPECT_EQ(k.output<int64_t>(0)[0], std::max_element(x.begin(), x.end()) - x.begin());
}

TEST(Cumsum, BothWays) {
  const std::vector<int32_t> x = {1, 2, 3, 4, 5, 6};  // [2, 3]
  const auto run = [&](int64_t exclusive, int64_t reverse, bool rows) {
    CumsumScalars s;
    s.dtype = static_cast<int64_t>(DType::kI32);
    s.exclusive = exclusive;
    s.reverse = reverse;
    s.outer = rows ? 2 : 1;
    s.axis = rows ? 3 : 2;
    s.inner = rows ? 1 : 3;
    KernelCase k;
    k.set_scalars(s);
    k.chunks = s.outer;
    k.add_input(x);
    k.add_output_in_place(0);
    EXPECT_TRUE(k.run(kCumsum).ok());
    return k.output<int32_t>(0);
  };
  EXPECT_EQ(run(0, 0, true), (std::vector<int32_t>{1, 3, 6, 4, 9, 15}));
  EXPECT_EQ(run(1, 0, true), (std::vector<int32_t>{0, 1, 3, 0, 4, 9}));
  EXPECT_EQ(run(0, 1, true), (std::vector<int32_t>{6, 5, 3, 15, 11, 6}));
  EXPECT_EQ(run(0, 0, false), (std::vector<int32_t>{1, 2, 3, 5, 7, 9}));
}

}  // namespace
}  // namespace modellib::cpu
