#include "modellib/distributed/local/local_group.h"

#include <cmath>
#include <functional>
#include <limits>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace modellib::distributed {
namespace {

using runtime::Communicator;
using runtime::Reduction;
using ::testing::ElementsAre;

// Runs `body` once for each rank, side by side.
void on_ranks(std::vector<std::unique_ptr<Communicator>>& group,
              const std::function<void(Communicator&)>& body) {
  std::vector<std::thread> threads;
  threads.reserve(group.size());
  for (auto& rank : group) threads.emplace_back([&body, &rank] { body(*rank); });
  for (auto& thread : threads) thread.join();
}

TEST(LocalGroupTest, AllReduceCombinesInPlaceInTheOrderOfTheRanks) {
  constexpr int kRanks = 3;
  constexpr size_t kElements = 1001;
  auto group = make_local_group(kRanks);
  std::vector<std::vector<float>> values(kRanks, std::vector<float>(kElements));
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::vector<float> expected(kElements);
    for (size_t i = 0; i < kElements; ++i) {
      for (size_t r = 0; r < kRanks; ++r) {
        values[r][i] = std::sin(static_cast<float>(i * (r + 1))) * std::pow(10.0f, 3.0f * r);
        expected[i] = r == 0 ? values[r][i] : expected[i] + values[r][i];
      }
    }
    on_ranks(group, [&](Communicator& c) {
      float* const data = values[static_cast<size_t>(c.rank())].data();
      EXPECT_TRUE(c.all_reduce(data, data, kElements, DType::kF32, Reduction::kSum).ok());
    });
    for (size_t r = 0; r < kRanks; ++r) ASSERT_EQ(values[r], expected);
  }
}

TEST(LocalGroupTest, ReducesAllTypesAndReductions) {
  auto group = make_local_group(2);
  std::vector<std::vector<int8_t>> in = {{100, -3, 5}, {100, 2, 7}};
  std::vector<std::vector<int8_t>> out(2, std::vector<int8_t>(3));
  const auto reduce = [&](Reduction reduction) {
    on_ranks(group, [&](Communicator& c) {
      const auto r = static_cast<size_t>(c.rank());
      EXPECT_TRUE(c.all_reduce(in[r].data(), out[r].data(), 3, DType::kI8, reduction).ok());
    });
    EXPECT_EQ(out[0], out[1]);
    return out[0];
  };
  EXPECT_THAT(reduce(Reduction::kSum), ElementsAre(-56, -1, 12));
  EXPECT_THAT(reduce(Reduction::kProduct), ElementsAre(16, -6, 35));
  EXPECT_THAT(reduce(Reduction::kMin), ElementsAre(100, -3, 5));
  EXPECT_THAT(reduce(Reduction::kMax), ElementsAre(100, 2, 7));

  // 2049 is no f16: the sum of three is rounded once, from f32.
  auto three = make_local_group(3);
  std::vector<Float16> halves = {to_f16(2048), to_f16(1), to_f16(1)};
  std::vector<Float16> sums(3);
  on_ranks(three, [&](Communicator& c) {
    const auto r = static_cast<size_t>(c.rank());
    EXPECT_TRUE(c.all_reduce(&halves[r], &sums[r], 1, DType::kF16, Reduction::kSum).ok());
  });
  for (const Float16 sum : sums) EXPECT_EQ(to_f32(sum), 2050);

  std::vector<double> nans = {1, std::numeric_limits<double>::quiet_NaN()};
  on_ranks(group, [&](Communicator& c) {
    double* const x = &nans[static_cast<size_t>(c.rank())];
    EXPECT_TRUE(c.all_reduce(x, x, 1, DType::kF64, Reduction::kMax).ok());
  });
  EXPECT_TRUE(std::isnan(nans[0]));
}

TEST(LocalGroupTest, BroadcastsGathersAndScatters) {
  auto group = make_local_group(3);
  std::vector<std::vector<int32_t>> in = {{1, 2}, {3, 4}, {5, 6}};
  std::vector<std::vector<int32_t>> out(3, std::vector<int32_t>(6));
  on_ranks(group, [&](Communicator& c) {
    const auto r = static_cast<size_t>(c.rank());
    EXPECT_TRUE(c.all_gather(in[r].data(), out[r].data(), 2, DType::kI32).ok());
  });
  for (const auto& o : out) EXPECT_THAT(o, ElementsAre(1, 2, 3, 4, 5, 6));
  on_ranks(group, [&](Communicator& c) {
    const auto r = static_cast<size_t>(c.rank());
    EXPECT_TRUE(
        c.reduce_scatter(out[r].data(), in[r].data(), 2, DType::kI32, Reduction::kSum).ok());
  });
  EXPECT_THAT(in[0], ElementsAre(3, 6));
  EXPECT_THAT(in[2], ElementsAre(15, 18));
  on_ranks(group, [&](Communicator& c) {
    const auto r = static_cast<size_t>(c.rank());
    EXPECT_TRUE(c.broadcast(in[r].data(), in[r].data(), 2, DType::kI32, 1).ok());
  });
  for (const auto& i : in) EXPECT_THAT(i, ElementsAre(9, 12));
}

TEST(LocalGroupTest, ARankThatAbortsFreesTheOthers) {
  auto group = make_local_group(3);
  float x[3] = {};
  on_ranks(group, [&](Communicator& c) {
    if (c.rank() == 2) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      c.abort();
      return;
    }
    float* const mine = &x[c.rank()];
    EXPECT_EQ(c.all_reduce(mine, mine, 1, DType::kF32, Reduction::kSum).code(),
              absl::StatusCode::kAborted);
  });
  EXPECT_EQ(group[0]->all_reduce(x, x, 1, DType::kF32, Reduction::kSum).code(),
            absl::StatusCode::kAborted);
}

TEST(LocalGroupTest, RanksThatDisagreeAreTold) {
  auto group = make_local_group(2);
  float x[4] = {};
  on_ranks(group, [&](Communicator& c) {
    float* const mine = &x[2 * c.rank()];
    const absl::Status status =
        c.all_reduce(mine, mine, 1 + c.rank(), DType::kF32, Reduction::kSum);
    EXPECT_FALSE(status.ok());
  });
  auto again = make_local_group(2);
  EXPECT_EQ(again[0]->all_reduce(x, x, 1, DType::kBool, Reduction::kSum).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace modellib::distributed
