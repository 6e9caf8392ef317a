// The steady state of training: after a warm-up no run allocates anything in the whole process, and
// the bits are the same with 1, 2 and 4 workers. Shown of the five models that PyTorch trained too,
// and of the main job: SimpleNet's train and eval entries and the frozen classifier, with a batch
// that varies.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/examples/mnist/simple_net.h"
#include "modellib/frontends/training/optimizer.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/ops/losses.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/freeze.h"
#include "modellib/tests/alloc_counter.h"
#include "modellib/tests/support/cpu_program.h"
#include "modellib/tests/training/golden_training.h"

namespace modellib {
namespace {

using runtime::EntryId;
using runtime::Session;
using runtime::VariableStore;

// A program, what its variables hold first, and calls of its entries, in turn.
struct Job {
  struct Call {
    std::string entry;
    std::vector<Tensor> inputs;
  };
  Program program;
  CompileOptions options;
  std::map<std::string, Tensor> variables;
  std::vector<Call> calls;
};

Job golden_job(const std::string& name) {
  GoldenTraining training = *make_golden_training(name);
  Job job{training.program, {}, training.parameters(), {}};
  for (int64_t step = 0; step < 3; ++step) {
    const std::vector<Tensor> inputs = training.inputs(step);
    job.calls.push_back({training::kTrainEntry, inputs});
    job.calls.push_back({training::kEvalEntry, {inputs[0]}});
  }
  return job;
}

Tensor digits(int64_t n) {
  Tensor t = *Tensor::zeros(DType::kF32, {n, 784});
  absl::Span<float> pixels = t.as_mutable<float>();
  for (size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<float>((i * 2654435761u) % 256) / 255.0f;
  }
  return t;
}

Tensor labels(int64_t n) {
  Tensor t = *Tensor::zeros(DType::kI64, {n});
  for (int64_t i = 0; i < n; ++i) t.set_int(i, i * 7 % 10);
  return t;
}

Program mnist_program() {
  examples::SimpleNet model(784, 256, 10);
  const training::Adam optimizer({.lr = 1e-3});
  training::TrainProgramOptions options;
  const Dim batch = Dim::symbol("batch");
  options.inputs = {{"images", {DType::kF32, {batch, 784}}}};
  options.targets = {{"labels", {DType::kI64, {batch}}}};
  options.loss = [](Value logits, absl::Span<const Value> targets) {
    return cross_entropy(logits, targets[0]);
  };
  return *training::make_train_program(model, optimizer, options);
}

Job mnist_job() {
  Job job;
  job.program = mnist_program();
  job.options.dims["batch"] = {1, 1000};
  // A full batch, and the rest of an epoch.
  for (const int64_t batch : {32, 32, 16}) {
    job.calls.push_back(
        {training::kTrainEntry, {digits(batch), labels(batch), Tensor::scalar(1e-3f)}});
    job.calls.push_back({training::kEvalEntry, {digits(batch)}});
  }
  return job;
}

// The classifier as it goes into a file: the weights are constants.
Job frozen_job() {
  const Program program = mnist_program();
  CompileOptions options;
  options.dims["batch"] = {1, 1000};
  const CpuProgram compiled = *compile_for_cpu(program, options);
  const auto store = *VariableStore::create(compiled.executable);
  const GraphRef frozen =
      *freeze(*program.entries.back().graph, builtin_ops(),
              [&](const Variable& variable) { return store->get(variable.name); });
  Job job{Program{{{"main", frozen}}}, options, {}, {}};
  for (const int64_t batch : {1, 32, 7}) job.calls.push_back({"main", {digits(batch)}});
  return job;
}

struct Case {
  std::string name;
  std::function<Job()> make;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::string& name : golden_trainings()) {
    all.push_back({name, [name] { return golden_job(name); }});
  }
  all.push_back({"mnist", mnist_job});
  all.push_back({"mnist_frozen", frozen_job});
  return all;
}

class SteadyState : public testing::TestWithParam<Case> {
 protected:
  struct Running {
    std::shared_ptr<VariableStore> store;
    std::unique_ptr<Session> session;
    std::vector<EntryId> entries;  // by call
  };

  void SetUp() override {
    job_ = GetParam().make();
    program_ = *compile_for_cpu(job_.program, job_.options);
  }

  Running start(int threads) const {
    Running r;
    r.store = *VariableStore::create(program_.executable);
    for (const auto& [name, value] : job_.variables) {
      EXPECT_EQ(r.store->set(name, value), absl::OkStatus());
    }
    runtime::SessionOptions options;
    options.threads = threads;
    r.session = *Session::create(program_.executable, r.store, std::move(options));
    for (const Job::Call& c : job_.calls) r.entries.push_back(*program_.executable->entry(c.entry));
    return r;
  }

  bool call(Running& r, size_t i) const {
    const std::vector<Tensor>& inputs = job_.calls[i].inputs;
    for (size_t k = 0; k < inputs.size(); ++k) {
      if (!r.session->bind_input(r.entries[i], static_cast<int>(k), inputs[k]).ok()) return false;
    }
    return r.session->run(r.entries[i]).ok();
  }

  Job job_;
  CpuProgram program_;
};

TEST_P(SteadyState, RunsAllocateNothing) {
  if (!AllocationCount::available()) GTEST_SKIP() << "a sanitizer owns malloc";
  if (may_allocate(program_.compiled.lowered.plan)) {
    // The only exception, and `inspect` marks its steps.
    EXPECT_EQ(GetParam().name, "cnn");
    return;
  }
  for (const int threads : {1, 2}) {
    Running r = start(threads);
    bool ok = true;
    for (size_t i = 0; i < job_.calls.size(); ++i) ok = call(r, i) && ok;
    AllocationCount count;
    for (size_t i = 0; i < 1000 * 2; ++i) ok = call(r, i % job_.calls.size()) && ok;
    EXPECT_EQ(count.stop(), 0) << threads << " threads: " << count.describe();
    EXPECT_TRUE(ok);
  }
}

TEST_P(SteadyState, TheSameBitsWithOneTwoAndFourWorkers) {
  std::vector<std::vector<Tensor>> first;
  std::map<std::string, Tensor> variables;
  for (const int threads : {1, 2, 4}) {
    SCOPED_TRACE(absl::StrCat(threads, " threads"));
    const Running r = start(threads);
    for (size_t i = 0; i < job_.calls.size(); ++i) {
      const auto outputs = r.session->run_tensors(r.entries[i], job_.calls[i].inputs);
      ASSERT_TRUE(outputs.ok()) << outputs.status();
      if (threads == 1) {
        first.push_back(*outputs);
        continue;
      }
      for (size_t o = 0; o < outputs->size(); ++o) {
        EXPECT_TRUE((*outputs)[o].identical(first[i][o])) << "call " << i << ", output " << o;
      }
    }
    for (const runtime::VariableInfo& v : r.store->variables()) {
      const Tensor value = *r.store->get(v.name);
      if (threads == 1) variables[v.name] = value;
      EXPECT_TRUE(value.identical(variables[v.name])) << v.name;
    }
  }
}

// Evaluation of all digits at once: large, so that a few runs are enough.
TEST(SteadyStateLarge, EvaluationAllocatesNothing) {
  if (!AllocationCount::available()) GTEST_SKIP() << "a sanitizer owns malloc";
  const Job job = mnist_job();
  const CpuProgram program = *compile_for_cpu(job.program, job.options);
  const auto store = *VariableStore::create(program.executable);
  const auto session = *Session::create(program.executable, store, {.threads = 2});
  const EntryId eval = *program.executable->entry(training::kEvalEntry);
  ASSERT_EQ(session->bind_input(eval, 0, digits(1000)), absl::OkStatus());
  ASSERT_EQ(session->run(eval), absl::OkStatus());
  bool ok = true;
  AllocationCount count;
  for (int i = 0; i < 3; ++i) ok = session->run(eval).ok() && ok;
  EXPECT_EQ(count.stop(), 0) << count.describe();
  EXPECT_TRUE(ok);
}

INSTANTIATE_TEST_SUITE_P(Jobs, SteadyState, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace modellib
