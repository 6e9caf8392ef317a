// Batches: each sample once an epoch, whatever the order; and what is refused.
#include "modellib/frontends/training/data_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

namespace modellib::training {
namespace {

// Sample i is (10 i, 10 i + 1), its target i.
DataLoader loader_of(int64_t samples, const DataLoaderOptions& options) {
  std::vector<float> inputs;
  std::vector<int64_t> targets;
  for (int64_t i = 0; i < samples; ++i) {
    inputs.push_back(static_cast<float>(10 * i));
    inputs.push_back(static_cast<float>(10 * i + 1));
    targets.push_back(i);
  }
  return *DataLoader::create(*Tensor::of<float>({samples, 2}, inputs),
                             *Tensor::of<int64_t>({samples}, targets), options);
}

// The targets in the order of an epoch; checks that inputs go with them.
std::vector<int64_t> epoch(DataLoader& loader, int64_t number,
                           std::vector<int64_t>* sizes = nullptr) {
  std::vector<int64_t> order;
  loader.begin_epoch(number);
  while (const Batch* batch = loader.next()) {
    const int64_t size = batch->target.shape()[0];
    if (sizes != nullptr) sizes->push_back(size);
    EXPECT_EQ(batch->input.shape(), (std::vector<int64_t>{size, 2}));
    for (int64_t i = 0; i < size; ++i) {
      order.push_back(batch->target.int_at(i));
      EXPECT_EQ(batch->input.at(2 * i), 10.0 * static_cast<double>(order.back()));
      EXPECT_EQ(batch->input.at(2 * i + 1), 10.0 * static_cast<double>(order.back()) + 1);
    }
  }
  EXPECT_EQ(loader.next(), nullptr) << "after the end it stays at the end";
  return order;
}

std::vector<int64_t> counting(int64_t n) {
  std::vector<int64_t> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

TEST(DataLoader, GivesSamplesInOrderWithAShortLastBatch) {
  DataLoader loader = loader_of(7, {.batch_size = 3});
  std::vector<int64_t> sizes;
  EXPECT_EQ(epoch(loader, 0, &sizes), counting(7));
  EXPECT_EQ(sizes, (std::vector<int64_t>{3, 3, 1}));
  EXPECT_EQ(loader.batches(), 3);
  EXPECT_EQ(epoch(loader, 1), counting(7));
}

TEST(DataLoader, MayDropTheShortBatch) {
  DataLoader loader = loader_of(7, {.batch_size = 3, .drop_last = true});
  EXPECT_EQ(epoch(loader, 0), counting(6));
  EXPECT_EQ(loader.batches(), 2);
}

TEST(DataLoader, ABatchThatFitsLeavesNoShortOne) {
  DataLoader loader = loader_of(6, {.batch_size = 3});
  std::vector<int64_t> sizes;
  epoch(loader, 0, &sizes);
  EXPECT_EQ(sizes, (std::vector<int64_t>{3, 3}));
}

TEST(DataLoader, ABatchLargerThanTheDataIsTheData) {
  DataLoader loader = loader_of(4, {.batch_size = INT64_MAX});
  EXPECT_EQ(epoch(loader, 0), counting(4));
  EXPECT_EQ(loader.batches(), 1);
  DataLoader none = loader_of(4, {.batch_size = 100, .drop_last = true});
  EXPECT_EQ(epoch(none, 0), counting(0));
  EXPECT_EQ(none.batches(), 0);
}

// A copy would fill the batches of the original.
static_assert(!std::is_copy_constructible_v<DataLoader> && !std::is_copy_assignable_v<DataLoader>);

TEST(DataLoader, MovesWithItsBatches) {
  DataLoader loader = loader_of(4, {.batch_size = 2});
  const Batch* const first = loader.next();
  ASSERT_NE(first, nullptr);
  DataLoader moved = std::move(loader);
  const Batch* const second = moved.next();
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->target.int_at(0), 2);
  EXPECT_EQ(moved.next(), nullptr);
}

TEST(DataLoader, ShufflesBySeedAndEpoch) {
  const DataLoaderOptions options{.batch_size = 8, .shuffle = true, .seed = 3};
  DataLoader one = loader_of(50, options), other = loader_of(50, options);
  const std::vector<int64_t> first = epoch(one, 0), second = epoch(one, 1);
  EXPECT_NE(first, counting(50));
  EXPECT_NE(first, second);
  EXPECT_EQ(epoch(other, 1), second) << "an epoch does not depend on those before it";
  EXPECT_EQ(epoch(one, 0), first);
  std::vector<int64_t> sorted = first;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, counting(50));
  DataLoader seeded = loader_of(50, {.batch_size = 8, .shuffle = true, .seed = 4});
  EXPECT_NE(epoch(seeded, 0), first);
}

TEST(DataLoader, EachSampleComesEverywhere) {
  // Where sample 0 goes over 1,000 epochs of 5 samples: 200 times to each place, give or take.
  DataLoader loader = loader_of(5, {.batch_size = 5, .shuffle = true});
  std::vector<int> places(5);
  for (int64_t e = 0; e < 1000; ++e) {
    const std::vector<int64_t> order = epoch(loader, e);
    ++places[static_cast<size_t>(std::find(order.begin(), order.end(), 0) - order.begin())];
  }
  for (int count : places) EXPECT_NEAR(count, 200, 60);
}

TEST(DataLoader, RefusesWhatDoesNotFit) {
  const Tensor two = *Tensor::zeros(DType::kF32, {2, 3}), three = *Tensor::zeros(DType::kF32, {3}),
               none = *Tensor::zeros(DType::kF32, {0, 3}), scalar = Tensor::scalar(1.0f);
  const auto code = [](const Tensor& a, const Tensor& b, int64_t size) {
    return DataLoader::create(a, b, {.batch_size = size}).status().code();
  };
  EXPECT_EQ(code(two, three, 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(none, none, 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(scalar, scalar, 1), absl::StatusCode::kInvalidArgument);
  const Tensor packed = *Tensor::zeros(DType::kI4, {2, 3});
  EXPECT_EQ(code(packed, two, 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(two, packed, 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(two, two, 0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(two, two, -1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(two, two, 1), absl::StatusCode::kOk);
}

}  // namespace
}  // namespace modellib::training
