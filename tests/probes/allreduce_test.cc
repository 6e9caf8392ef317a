// The allreduce probe: ranks that train on parts of a batch meet the losses of one that has it all,
// and their collectives are steps on a lane of their own that runs beside the backward pass.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "modellib/distributed/local/local_group.h"
#include "modellib/frontends/nn/linear.h"
#include "modellib/frontends/training/engine.h"
#include "modellib/frontends/training/optimizer.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/ops/losses.h"
#include "modellib/ops/pointwise.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

constexpr int64_t kBatch = 16, kFeatures = 24, kClasses = 6, kSteps = 15;

struct Net : nn::Module {
  Net() : fc1(kFeatures, 40), fc2(40, 40), fc3(40, kClasses) {
    register_module("fc1", fc1);
    register_module("fc2", fc2);
    register_module("fc3", fc3);
  }
  Value forward(Value x) override { return fc3.forward(relu(fc2.forward(relu(fc1.forward(x))))); }
  nn::Linear fc1, fc2, fc3;
};

absl::StatusOr<Program> program(int64_t batch, std::optional<training::DataParallel> parallel) {
  Net net;
  training::TrainProgramOptions options;
  options.inputs = {{"x", {DType::kF32, {batch, kFeatures}}}};
  options.targets = {{"labels", {DType::kI64, {batch}}}};
  options.loss = [](Value logits, absl::Span<const Value> targets) {
    return cross_entropy(logits, targets[0]);
  };
  options.data_parallel = parallel;
  return training::make_train_program(net, training::Adam({.lr = 1e-2}), options);
}

// Rows [first, first + count) of the batch of a step.
std::vector<Tensor> batch(int64_t step, int64_t first, int64_t count) {
  Tensor x = *Tensor::zeros(DType::kF32, {count, kFeatures});
  Tensor labels = *Tensor::zeros(DType::kI64, {count});
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = step * kBatch + first + i;
    for (int64_t j = 0; j < kFeatures; ++j) {
      x.set(i * kFeatures + j, std::sin(0.37 * static_cast<double>(row * kFeatures + j)));
    }
    labels.set_int(i, (row * row + 3) % kClasses);
  }
  return {x, labels, Tensor::scalar(0.01F)};
}

// The losses of one rank's steps.
std::vector<double> train(const Program& program, int64_t first, int64_t count,
                          runtime::Communicator* communicator) {
  std::vector<double> losses;
  training::EngineOptions options;
  options.seed = 5;
  options.threads = 1;
  options.communicator = communicator;
  const auto engine = training::Engine::create(program, options);
  EXPECT_TRUE(engine.ok()) << engine.status();
  if (!engine.ok()) return losses;
  const runtime::EntryId entry = *(*engine)->entry(training::kTrainEntry);
  for (int64_t step = 0; step < kSteps; ++step) {
    const absl::Status status = (*engine)->run(entry, batch(step, first, count));
    EXPECT_TRUE(status.ok()) << status;
    if (!status.ok()) break;
    losses.push_back((*engine)->scalar(entry, 0));
  }
  return losses;
}

TEST(AllReduce, RanksOnHalfBatchesMeetTheLossesOfTheWhole) {
  const std::vector<double> whole = train(*program(kBatch, {}), 0, kBatch, nullptr);
  ASSERT_EQ(whole.size(), static_cast<size_t>(kSteps));
  EXPECT_LT(whole.back(), whole.front());
  for (const int ranks : {2, 4}) {
    const int64_t part = kBatch / ranks;
    // Buckets of one gradient, of some, and one for all.
    for (const int64_t bucket_bytes : {int64_t{1}, int64_t{4096}, int64_t{25} << 20}) {
      const auto parallel = program(part, training::DataParallel{bucket_bytes});
      ASSERT_TRUE(parallel.ok()) << parallel.status();
      auto group = distributed::make_local_group(ranks);
      std::vector<std::vector<double>> losses(static_cast<size_t>(ranks));
      std::vector<std::thread> threads;
      for (int rank = 0; rank < ranks; ++rank) {
        threads.emplace_back([&, rank] {
          const auto r = static_cast<size_t>(rank);
          losses[r] = train(*parallel, rank * part, part, group[r].get());
        });
      }
      for (std::thread& t : threads) t.join();
      for (const std::vector<double>& own : losses) {
        ASSERT_EQ(own.size(), whole.size());
        for (size_t i = 0; i < whole.size(); ++i) {
          EXPECT_NEAR(own[i], whole[i], 1e-5 * whole[i]) << ranks << " ranks, step " << i;
        }
      }
    }
  }
}

TEST(AllReduce, ARunWithoutCommunicatorIsRefused) {
  const auto parallel = program(kBatch, training::DataParallel{});
  const auto engine = training::Engine::create(*parallel, {});
  ASSERT_TRUE(engine.ok()) << engine.status();
  const absl::Status status =
      (*engine)->run(*(*engine)->entry(training::kTrainEntry), batch(0, 0, kBatch));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

// One rank whose collectives last until the other lane has finished a product since the collective
// before.
class Patient : public runtime::Communicator {
 public:
  explicit Patient(const std::atomic<int>& computed) : computed_(computed) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  absl::Status all_reduce(const void* input, void* output, int64_t count, DType dtype,
                          runtime::Reduction) override {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(400);
    while (computed_.load() == before_ && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::yield();
    }
    ++collectives;
    if (computed_.load() != before_) ++overlapped;
    before_ = computed_.load();
    std::memmove(output, input, static_cast<size_t>(count * bits_of(dtype) / 8));
    return absl::OkStatus();
  }
  absl::Status broadcast(const void*, void*, int64_t, DType, int) override {
    return absl::UnimplementedError("broadcast");
  }
  absl::Status all_gather(const void*, void*, int64_t, DType) override {
    return absl::UnimplementedError("all_gather");
  }
  absl::Status reduce_scatter(const void*, void*, int64_t, DType, runtime::Reduction) override {
    return absl::UnimplementedError("reduce_scatter");
  }
  void abort() override {}

  int collectives = 0, overlapped = 0;

 private:
  const std::atomic<int>& computed_;
  int before_ = 0;
};

TEST(AllReduce, OverlapsWithBackward) {
  const auto compiled = compile_for_cpu(*program(kBatch, training::DataParallel{1}));
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  // A lane of their own, which is in the plan. Between a collective and the first step that waits
  // for it stand products of the backward pass.
  int reductions = 0, beside_products = 0;
  for (const auto& entry : compiled->compiled.lowered.plan.entries) {
    if (entry->name != training::kTrainEntry) {
      EXPECT_EQ(entry->lanes.size(), 1U) << entry->name;
      continue;
    }
    EXPECT_EQ(entry->lanes.size(), 2U);
    std::map<uint32_t, int> under_way;  // signal of a collective -> products since
    for (const auto& step : entry->sequences[0]->steps) {
      const std::string& kernel = compiled->compiled.lowered.plan.kernels[step->kernel];
      const bool reduces = kernel == "comm.all_reduce";
      EXPECT_EQ(step->lane, reduces ? 1 : 0) << step->name;
      reductions += reduces;
      for (const uint32_t signal : step->waits) {
        const auto collective = under_way.find(signal);
        if (collective == under_way.end()) continue;
        beside_products += collective->second > 0;
        under_way.erase(collective);
      }
      if (reduces && !step->signals.empty()) under_way[step->signals[0]] = 0;
      if (kernel == "cpu.matmul_f32") {
        for (auto& [signal, products] : under_way) ++products;
      }
    }
  }
  EXPECT_EQ(reductions, 7);  // six gradients and the loss
  EXPECT_GE(beside_products, 3);

  // Products of the backward pass that end while a collective is under way.
  std::atomic<int> computed{0};
  Patient communicator(computed);
  runtime::SessionOptions options;
  options.threads = 1;
  options.communicator = &communicator;
  options.observer = [&](const runtime::StepEvent& event) {
    if (event.kernel == "cpu.matmul_f32") ++computed;
  };
  const auto store = runtime::VariableStore::create(compiled->executable);
  ASSERT_TRUE(store.ok()) << store.status();
  const auto session = runtime::Session::create(compiled->executable, *store, std::move(options));
  ASSERT_TRUE(session.ok()) << session.status();
  const runtime::EntryId entry = *compiled->executable->entry(training::kTrainEntry);
  ASSERT_TRUE((*session)->run_tensors(entry, batch(0, 0, kBatch)).ok());
  EXPECT_EQ(communicator.collectives, 7);
  // Gradients of the upper layers travel while backward goes on.
  EXPECT_GE(communicator.overlapped, 2);
}

}  // namespace
}  // namespace modellib
