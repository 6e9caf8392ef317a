// The sharing probe: while one thread trains a model, others evaluate it. Each evaluation sees one
// published version of the weights, never a mixture of two, and nothing that was not published.
//
// What an evaluation saw can be told from its output: it is a function of all weights, and the
// writer notes, before it publishes a version, the bits that this version gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "modellib/frontends/nn/linear.h"
#include "modellib/frontends/nn/module.h"
#include "modellib/frontends/training/optimizer.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/ops/losses.h"
#include "modellib/ops/pointwise.h"
#include "modellib/tests/alloc_counter.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

using runtime::EntryId;
using runtime::Session;
using runtime::VariableAccess;
using runtime::VariableStore;

constexpr int64_t kBatch = 8, kIn = 12, kOut = 4;

struct Net : nn::Module {
  Net() : fc1(kIn, 32), fc2(32, 32), fc3(32, kOut) {
    register_module("fc1", fc1);
    register_module("fc2", fc2);
    register_module("fc3", fc3);
  }
  Value forward(Value x) override { return fc3.forward(relu(fc2.forward(relu(fc1.forward(x))))); }
  nn::Linear fc1, fc2, fc3;
};

using Prediction = std::vector<float>;

class Sharing : public testing::Test {
 protected:
  void SetUp() override {
    Net net;
    const training::Adam optimizer({.lr = 1e-2});
    training::TrainProgramOptions options;
    options.inputs = {{"x", {DType::kF32, {kBatch, kIn}}}};
    options.targets = {{"target", {DType::kF32, {kBatch, kOut}}}};
    options.loss = [](Value y, absl::Span<const Value> targets) { return mse_loss(y, targets[0]); };
    const auto program = training::make_train_program(net, optimizer, options);
    ASSERT_TRUE(program.ok()) << program.status();
    auto compiled = compile_for_cpu(*program);
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    executable_ = compiled->executable;
    store_ = *VariableStore::create(executable_);
    train_ = *executable_->entry(training::kTrainEntry);
    eval_ = *executable_->entry(training::kEvalEntry);
    writer_ = session(VariableAccess::kDirect, 2);
  }

  std::unique_ptr<Session> session(VariableAccess access, int threads) {
    runtime::SessionOptions options;
    options.access = access;
    options.threads = threads;
    auto session = *Session::create(executable_, store_, std::move(options));
    EXPECT_EQ(session->bind_input(eval_, 0, x_), absl::OkStatus());
    EXPECT_EQ(session->bind_input(train_, 0, x_), absl::OkStatus());
    EXPECT_EQ(session->bind_input(train_, 1, target_), absl::OkStatus());
    EXPECT_EQ(session->bind_input(train_, 2, rate_), absl::OkStatus());
    return session;
  }

  // Steps of training; false if one fails.
  bool train(int steps) {
    bool ok = true;
    for (int i = 0; i < steps; ++i) ok = writer_->run(train_).ok() && ok;
    return ok;
  }

  // What the session sees, copied to `into` [kBatch * kOut].
  bool evaluate(Session& session, float* into) const {
    if (!session.run(eval_).ok()) return false;
    std::memcpy(into, session.output_data(eval_, 0), kBatch * kOut * sizeof(float));
    return true;
  }
  Prediction evaluate(Session& session) const {
    Prediction y(kBatch * kOut);
    EXPECT_TRUE(evaluate(session, y.data()));
    return y;
  }

  const Tensor x_ = *random_tensor(DType::kF32, {kBatch, kIn}, -1, 1, "x");
  const Tensor target_ = *random_tensor(DType::kF32, {kBatch, kOut}, -1, 1, "target");
  const Tensor rate_ = Tensor::scalar(1e-2f);
  std::shared_ptr<const runtime::Executable> executable_;
  std::shared_ptr<VariableStore> store_;
  EntryId train_, eval_;
  std::unique_ptr<Session> writer_;
};

TEST_F(Sharing, PublishIsExplicit) {
  const auto reader = session(VariableAccess::kPublished, 1);
  EXPECT_EQ(reader->run(eval_).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(reader->run(train_).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(store_->publish(), absl::OkStatus());
  const Prediction first = evaluate(*writer_);
  EXPECT_EQ(evaluate(*reader), first);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(train(1));
    EXPECT_NE(evaluate(*writer_), first);
    EXPECT_EQ(evaluate(*reader), first);
  }
  const Prediction trained = evaluate(*writer_);
  ASSERT_EQ(store_->publish(), absl::OkStatus());
  EXPECT_EQ(evaluate(*reader), trained);
  // Publishing changes nothing for the writer, which goes on in the other buffer.
  EXPECT_EQ(evaluate(*writer_), trained);
  ASSERT_TRUE(train(1));
  EXPECT_EQ(evaluate(*reader), trained);
}

TEST_F(Sharing, ReadersSeeOneVersionAtATime) {
  constexpr int kReaders = 2, kVersions = 60;
  struct Seen {
    uint64_t before = 0, after = 0;  // versions published around the first run that gave it
    Prediction y = Prediction(kBatch * kOut);
  };
  struct Reader {
    std::unique_ptr<Session> session;
    std::vector<Seen> seen;  // each output that differs from the one before
    std::atomic<int> runs{0};
    bool ok = true;
  };
  std::vector<Reader> readers(kReaders);
  for (Reader& r : readers) r.session = session(VariableAccess::kPublished, 1);

  std::vector<Prediction> published = {evaluate(*writer_)};  // of version i + 1
  ASSERT_EQ(store_->publish(), absl::OkStatus());
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (Reader& r : readers) {
    threads.emplace_back([&] {
      while (!done) {
        Seen seen;
        seen.before = store_->published_versions();
        r.ok = evaluate(*r.session, seen.y.data()) && r.ok;
        seen.after = store_->published_versions();
        if (r.seen.empty() || r.seen.back().y != seen.y) r.seen.push_back(std::move(seen));
        ++r.runs;
      }
    });
  }
  bool ok = true;
  for (int version = 1; version < kVersions; ++version) {
    ok = train(3) && ok;
    published.push_back(evaluate(*writer_));
    ok = store_->publish().ok() && ok;
    if (version % 10 != 0) continue;
    // Whatever the machine is busy with, the readers get to run between versions.
    for (Reader& r : readers) {
      const int runs = r.runs;
      while (r.runs < runs + 3) std::this_thread::yield();
    }
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(ok);
  EXPECT_EQ(store_->published_versions(), static_cast<uint64_t>(kVersions));

  for (size_t i = 1; i < published.size(); ++i) {
    ASSERT_NE(published[i], published[i - 1]) << "versions cannot be told apart";
  }
  for (const Reader& r : readers) {
    EXPECT_TRUE(r.ok);
    EXPECT_GE(r.runs, 15);
    EXPECT_GE(r.seen.size(), 5u);
    uint64_t last = 0;
    for (const Seen& seen : r.seen) {
      // A version counts as published a moment after readers can see it.
      uint64_t version = 0;
      for (uint64_t v = seen.before; v <= std::min<uint64_t>(seen.after + 1, kVersions); ++v) {
        if (published[v - 1] == seen.y) version = v;
      }
      ASSERT_NE(version, 0u) << "a run saw a mixture, or none of the versions " << seen.before
                             << " to " << seen.after;
      ASSERT_GT(version, last) << "a run went back";
      last = version;
    }
  }
}

TEST_F(Sharing, TrainingPublishingAndReadingAllocateNothing) {
  if (!AllocationCount::available()) GTEST_SKIP() << "a sanitizer owns malloc";
  const auto reader = session(VariableAccess::kPublished, 1);
  const auto turn = [&] { return train(1) && store_->publish().ok() && reader->run(eval_).ok(); };
  ASSERT_TRUE(turn());
  bool ok = true;
  AllocationCount count;
  for (int i = 0; i < 1000; ++i) ok = turn() && ok;
  EXPECT_EQ(count.stop(), 0) << count.describe();
  EXPECT_TRUE(ok);
}

}  // namespace
}  // namespace modellib
