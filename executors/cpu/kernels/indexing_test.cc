#include "modellib/executors/cpu/kernels/indexing.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"
#include "modellib/graph/dtype.h"

namespace modellib::cpu {
namespace {

using ::testing::HasSubstr;

constexpr runtime::Kernel kGather = {"cpu.gather", validate_gather, run_gather};
constexpr runtime::Kernel kScatterAdd = {"cpu.scatter_add", validate_scatter_add, run_scatter_add};
constexpr runtime::Kernel kGatherElements = {"cpu.gather_elements", validate_gather_elements,
                                             run_gather_elements};
constexpr runtime::Kernel kScatterElements = {"cpu.scatter_elements", validate_scatter_elements,
                                              run_scatter_elements};
constexpr runtime::Kernel kUpdateSlice = {"cpu.update_slice", validate_update_slice,
                                          run_update_slice};

std::vector<float> counted(int64_t n) {
  std::vector<float> v(static_cast<size_t>(n));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i) + 1;
  return v;
}

template <class Index>
void gather_and_scatter(uint32_t seed) {
  std::mt19937 rng(seed);
  const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<uint32_t>(n)); };
  GatherScalars s;
  s.index_bytes = sizeof(Index);
  s.outer = 1 + pick(4);
  s.axis = 1 + pick(9);
  s.indices = pick(20);
  s.inner = 1 + pick(5);
  s.per_chunk = 1 + pick(7);
  std::vector<Index> indices(static_cast<size_t>(s.indices));
  for (Index& i : indices) i = static_cast<Index>(pick(static_cast<int>(2 * s.axis)) - s.axis);
  const auto data = counted(s.outer * s.axis * s.inner);
  KernelCase k;
  k.set_scalars(s);
  k.chunks = gather_chunks(s);
  k.add_output<float>(static_cast<size_t>(s.outer * s.indices * s.inner));
  k.add_input(data);
  k.add_input(indices);
  ASSERT_TRUE(k.run(kGather).ok());
  EXPECT_EQ(k.fault.code(), runtime::Fault::kNone);
  const auto y = k.output<float>(0);
  const auto place = [&](int64_t o, int64_t i, int64_t c) {
    const int64_t index = indices[static_cast<size_t>(i)] < 0
                              ? indices[static_cast<size_t>(i)] + s.axis
                              : indices[static_cast<size_t>(i)];
    return static_cast<size_t>((o * s.axis + index) * s.inner + c);
  };
  auto sums = data;
  for (int64_t o = 0; o < s.outer; ++o) {
    for (int64_t i = 0; i < s.indices; ++i) {
      for (int64_t c = 0; c < s.inner; ++c) {
        const size_t at = static_cast<size_t>((o * s.indices + i) * s.inner + c);
        EXPECT_EQ(y[at], data[place(o, i, c)]);
        sums[place(o, i, c)] += y[at];
      }
    }
  }
  for (const bool in_place : {false, true}) {
    ScatterAddScalars a;
    a.dtype = static_cast<int64_t>(DType::kF32);
    a.index_bytes = sizeof(Index);
    a.outer = s.outer;
    a.axis = s.axis;
    a.indices = s.indices;
    a.inner = s.inner;
    a.rows_per_chunk = 1 + pick(4);
    KernelCase c;
    c.set_scalars(a);
    c.chunks = scatter_chunks(a);
    c.add_input(data);
    c.add_input(indices);
    c.add_input(y);
    if (in_place)
      c.add_output_in_place(0);
    else
      c.add_output<float>(data.size());
    ASSERT_TRUE(c.run(kScatterAdd).ok());
    EXPECT_EQ(c.output<float>(0), sums);
  }
}

TEST(Gather, RandomExtentsAndItsGradient) {
  for (uint32_t seed = 0; seed < 100; ++seed) {
    gather_and_scatter<int64_t>(seed);
    gather_and_scatter<int32_t>(seed);
  }
}

TEST(Gather, ReportsIndicesOutOfRange) {
  GatherScalars s;
  s.axis = 3;
  s.indices = 3;
  choose_gather_grain(s);
  KernelCase k;
  k.set_scalars(s);
  k.chunks = gather_chunks(s);
  k.add_output<float>(3);
  k.add_input(std::vector<float>{1, 2, 3});
  k.add_input(std::vector<int64_t>{-3, 3, INT64_MIN});
  ASSERT_TRUE(k.run(kGather).ok());
  EXPECT_EQ(k.output<float>(0), (std::vector<float>{1, 0, 0}));
  EXPECT_EQ(k.fault.code(), runtime::Fault::kIndexOutOfRange);
  EXPECT_EQ(k.fault.value(), 3);
  s.axis = 4;
  k.set_scalars(s);
  EXPECT_THAT(k.validate(validate_gather).ToString(), HasSubstr("data"));
  s.axis = int64_t{1} << 40;
  s.outer = int64_t{1} << 40;
  k.set_scalars(s);
  EXPECT_FALSE(k.validate(validate_gather).ok());
}

TEST(ScatterAdd, StartsFromZerosWithoutDataAndRoundsF16) {
  ScatterAddScalars s;
  s.dtype = static_cast<int64_t>(DType::kF16);
  s.axis = 2;
  s.indices = 3;
  choose_scatter_grain(s);
  KernelCase k;
  k.set_scalars(s);
  k.chunks = scatter_chunks(s);
  k.add_output<uint16_t>(2);
  k.add_absent_input();
  k.add_input(std::vector<int64_t>{1, 1, 5});
  k.add_input(std::vector<uint16_t>{to_f16(2048).bits, to_f16(1).bits, to_f16(1).bits});
  ASSERT_TRUE(k.run(kScatterAdd).ok());
  EXPECT_EQ(k.output<uint16_t>(0),
            (std::vector<uint16_t>{0, to_f16(2048).bits}));  // 2049 rounds to 2048
  EXPECT_EQ(k.fault.value(), 5);
}

TEST(Elements, GatherAndScatterAlongAnAxis) {
  // data [2, 3], indices [2, 2] along axis 1
  GatherElementsScalars s;
  s.extent[6] = 2;
  s.extent[7] = 2;
  s.data_stride[6] = 3;
  s.axis_extent = 3;
  s.per_chunk = 3;
  KernelCase k;
  k.set_scalars(s);
  k.chunks = 2;
  k.add_output<float>(4);
  k.add_input(std::vector<float>{0, 1, 2, 3, 4, 5});
  k.add_input(std::vector<int64_t>{2, 0, -1, -3});
  ASSERT_TRUE(k.run(kGatherElements).ok());
  EXPECT_EQ(k.output<float>(0), (std::vector<float>{2, 0, 5, 3}));
  EXPECT_TRUE(k.validate(validate_gather_elements).ok());
  s.data_stride[0] = INT64_MIN;  // of an axis of extent 1
  k.set_scalars(s);
  EXPECT_FALSE(k.validate(validate_gather_elements).ok());

  for (const int64_t add : {0, 1}) {
    ScatterElementsScalars w;
    w.dtype = static_cast<int64_t>(DType::kF32);
    w.add = add;
    w.data_count = 6;
    w.extent[6] = 2;
    w.extent[7] = 2;
    w.data_stride[6] = 3;
    w.axis_extent = 3;
    KernelCase c;
    c.set_scalars(w);
    c.add_output<float>(6);
    c.add_input(std::vector<float>{0, 1, 2, 3, 4, 5});
    c.add_input(std::vector<int64_t>{1, 1, 0, 7});
    c.add_input(std::vector<float>{10, 20, 30, 40});
    ASSERT_TRUE(c.run(kScatterElements).ok());
    EXPECT_EQ(c.output<float>(0), add ? (std::vector<float>{0, 31, 2, 33, 4, 5})
                                      : (std::vector<float>{0, 20, 2, 30, 4, 5}));
    EXPECT_EQ(c.fault.value(), 7);
    w.axis_extent = 4;
    c.set_scalars(w);
    EXPECT_FALSE(c.validate(validate_scatter_elements).ok());
  }
}

TEST(UpdateSlice, EachRowAtItsOwnPlace) {
  UpdateSliceScalars s;
  s.outer = 4;  // [2 rows, 2 heads]
  s.axis = 3;
  s.slice = 1;
  s.inner = 2;
  s.starts = 2;
  s.outer_per_start = 2;
  for (const bool in_place : {false, true}) {
    KernelCase k;
    k.set_scalars(s);
    k.chunks = 4;
    k.add_input(std::vector<float>(24, 0));
    k.add_input(counted(8));
    k.add_input(std::vector<int64_t>{2, 0});
    if (in_place)
      k.add_output_in_place(0);
    else
      k.add_output<float>(24);
    ASSERT_TRUE(k.run(kUpdateSlice).ok());
    EXPECT_EQ(k.output<float>(0), (std::vector<float>{0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3, 4,
                                                      5, 6, 0, 0, 0, 0, 7, 8, 0, 0, 0, 0}));
  }
  KernelCase k;
  k.set_scalars(s);
  k.chunks = 4;
  k.add_input(std::vector<float>(24, 0));
  k.add_input(counted(8));
  k.add_input(std::vector<int64_t>{3, -1});
  k.add_output<float>(24);
  ASSERT_TRUE(k.run(kUpdateSlice).ok());
  EXPECT_EQ(k.output<float>(0), std::vector<float>(24, 0));
  EXPECT_EQ(k.fault.code(), runtime::Fault::kIndexOutOfRange);
}

}  // namespace
}  // namespace modellib::cpu
