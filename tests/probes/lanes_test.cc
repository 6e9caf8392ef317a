// The lanes probe: a device with several lanes, memory of its own, and steps that complete in
// random order runs the plans of the whole op table, and of training steps, as the CPU does, to the
// last bit; so does the runtime, with a thread for each lane. And every wait in a plan is needed:
// verify_plan refuses the plan without it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/distributed/local/local_group.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/formats/verify_plan.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/ops/registry.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/probes/fake_device.h"
#include "modellib/tests/probes/fake_device_backend.h"
#include "modellib/tests/support/cpu_program.h"
#include "modellib/tests/support/test_programs.h"
#include "modellib/tests/training/golden_training.h"

namespace modellib {
namespace {

absl::Status verify(const fb::PlanT& plan) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(fb::Plan::Pack(builder, &plan));
  return verify_plan(*fb::GetPlan(builder.GetBufferPointer()));
}

// Calls `check` for each wait, with the plan that lacks it; `entry` "" means all entries.
void without_each_wait(fb::PlanT& plan, const std::string& entry_name,
                       const std::function<void(const std::string& what)>& check) {
  for (auto& entry : plan.entries) {
    if (!entry_name.empty() && entry->name != entry_name) continue;
    auto& steps = entry->sequences[0]->steps;
    for (size_t s = 0; s < steps.size(); ++s) {
      const std::vector<uint32_t> waits = steps[s]->waits;
      for (size_t w = 0; w < waits.size(); ++w) {
        steps[s]->waits.erase(steps[s]->waits.begin() + static_cast<std::ptrdiff_t>(w));
        check(absl::StrCat("entry '", entry->name, "', step ", s, " '", steps[s]->name,
                           "' without its wait for signal ", waits[w]));
        steps[s]->waits = waits;
      }
    }
  }
}

int count_waits(const fb::PlanT& plan) {
  int waits = 0;
  for (const auto& entry : plan.entries) {
    for (const auto& step : entry->sequences[0]->steps) {
      waits += static_cast<int>(step->waits.size());
    }
  }
  return waits;
}

void expect_each_wait_needed(fb::PlanT& plan) {
  ASSERT_EQ(verify(plan), absl::OkStatus());
  without_each_wait(plan, "", [&](const std::string& what) {
    EXPECT_EQ(verify(plan).code(), absl::StatusCode::kInvalidArgument) << what;
  });
}

testing::AssertionResult identical(const std::vector<Tensor>& got,
                                   const std::vector<Tensor>& expected) {
  if (got.size() != expected.size()) return testing::AssertionFailure() << "number of outputs";
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i].identical(expected[i])) continue;
    return testing::AssertionFailure()
           << "output " << i << ": " << difference(got[i], expected[i], 0);
  }
  return testing::AssertionSuccess();
}

class LanesOpTable : public testing::TestWithParam<OpCase> {};

TEST_P(LanesOpTable, RunsInAnyOrder) {
  const GraphRef graph = *sample_graph(GetParam());
  const std::vector<Tensor> inputs = *sample_inputs(GetParam());
  const absl::StatusOr<CpuResult> expected = run_on_cpu(graph, inputs, {}, 1);
  ASSERT_TRUE(expected.ok()) << expected.status();

  CompileOptions options;
  const DimBinding binding = *bind_inputs(*graph, inputs);
  for (const auto& [symbol, extent] : binding) options.dims[symbol] = {extent, extent};
  const FakeDeviceBackend backend;
  absl::StatusOr<CompileResult> compiled =
      compile(Program{{{"main", graph}}}, builtin_ops(), backend, for_fake_device(options));
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  const auto device = FakeDevice::create(compiled->lowered, cpu::cpu_kernel_table());
  ASSERT_TRUE(device.ok()) << device.status();
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const auto got = (*device)->run("main", inputs, seed);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_TRUE(identical(*got, expected->outputs)) << "order " << seed;
  }

  const auto executable = load_for_cpu(compiled->lowered);
  ASSERT_TRUE(executable.ok()) << executable.status();
  runtime::SessionOptions session_options;
  const auto alone = distributed::make_local_group(1);
  session_options.communicator = alone[0].get();
  const auto session = runtime::Session::create(*executable, nullptr, std::move(session_options));
  ASSERT_TRUE(session.ok()) << session.status();
  const auto got = (*session)->run_tensors(*(*executable)->entry("main"), inputs);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(identical(*got, expected->outputs)) << "the runtime's lanes";

  expect_each_wait_needed(compiled->lowered.plan);
}

INSTANTIATE_TEST_SUITE_P(OpTable, LanesOpTable, testing::ValuesIn(op_cases()),
                         [](const auto& info) { return op_case_name(info); });

// A training program on the device and, as the judge, on the CPU.
class LanesTraining : public testing::TestWithParam<std::string> {
 protected:
  static constexpr int64_t kSteps = 3;
  using Variables = std::map<std::string, Tensor>;

  void SetUp() override {
    auto training = make_golden_training(GetParam());
    ASSERT_TRUE(training.ok()) << training.status();
    training_ = *std::move(training);
    const FakeDeviceBackend backend(1);
    auto compiled = compile(training_.program, builtin_ops(), backend, for_fake_device());
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    compiled_ = *std::move(compiled);
    const auto cpu = compile_for_cpu(training_.program);
    ASSERT_TRUE(cpu.ok()) << cpu.status();
    cpu_ = run_sessions(cpu->executable);
  }

  struct Outcome {
    std::vector<std::vector<Tensor>> outputs;  // by step
    Variables variables;
  };

  Outcome run_sessions(const std::shared_ptr<const runtime::Executable>& executable) {
    Outcome outcome;
    const auto store = *runtime::VariableStore::create(executable);
    for (const auto& [name, value] : training_.parameters()) {
      EXPECT_EQ(store->set(name, value), absl::OkStatus());
    }
    const auto session = *runtime::Session::create(executable, store);
    const runtime::EntryId train = *executable->entry(training::kTrainEntry);
    for (int64_t step = 0; step < kSteps; ++step) {
      auto outputs = session->run_tensors(train, training_.inputs(step));
      EXPECT_TRUE(outputs.ok()) << outputs.status();
      if (outputs.ok()) outcome.outputs.push_back(*std::move(outputs));
    }
    for (const auto& v : executable->variables()) outcome.variables[v.name] = *store->get(v.name);
    return outcome;
  }

  absl::StatusOr<Outcome> run_device(FakeDevice& device, uint64_t seed) {
    Outcome outcome;
    const auto initialised = device.run("initialize", {Tensor::scalar<int64_t>(0)}, seed);
    if (!initialised.ok()) return initialised.status();
    for (const auto& [name, value] : training_.parameters()) {
      const absl::Status set = device.set_variable(name, value);
      if (!set.ok()) return set;
    }
    for (int64_t step = 0; step < kSteps; ++step) {
      const uint64_t order = seed * kSteps + static_cast<uint64_t>(step);
      auto outputs = device.run(training::kTrainEntry, training_.inputs(step), order);
      if (!outputs.ok()) return outputs.status();
      outcome.outputs.push_back(*std::move(outputs));
    }
    for (const auto& [name, value] : cpu_.variables) {
      outcome.variables[name] = *device.get_variable(name);
    }
    return outcome;
  }

  static bool equal(const Outcome& a, const Outcome& b) {
    for (size_t i = 0; i < b.outputs.size(); ++i) {
      if (!identical(a.outputs[i], b.outputs[i])) return false;
    }
    for (const auto& [name, value] : b.variables) {
      if (!a.variables.at(name).identical(value)) return false;
    }
    return a.outputs.size() == b.outputs.size();
  }

  static void expect_equal(const Outcome& got, const Outcome& expected) {
    ASSERT_EQ(got.outputs.size(), expected.outputs.size());
    for (size_t i = 0; i < got.outputs.size(); ++i) {
      EXPECT_TRUE(identical(got.outputs[i], expected.outputs[i])) << "training step " << i;
    }
    for (const auto& [name, value] : expected.variables) {
      EXPECT_TRUE(got.variables.at(name).identical(value)) << name;
    }
  }

  GoldenTraining training_;
  CompileResult compiled_;
  Outcome cpu_;
};

TEST_P(LanesTraining, TrainsInAnyOrder) {
  const fb::EntryT& train = *compiled_.lowered.plan.entries[1];
  ASSERT_EQ(train.name, training::kTrainEntry);
  EXPECT_EQ(train.lanes.size(), 3u);
  EXPECT_EQ(train.arenas.size(), 3u);
  EXPECT_GT(count_waits(compiled_.lowered.plan), 10);
  const auto device = FakeDevice::create(compiled_.lowered, cpu::cpu_kernel_table());
  ASSERT_TRUE(device.ok()) << device.status();
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const auto got = run_device(**device, seed);
    ASSERT_TRUE(got.ok()) << got.status();
    SCOPED_TRACE(absl::StrCat("order ", seed));
    expect_equal(*got, cpu_);
  }
}

TEST_P(LanesTraining, TrainsOnTheRuntimesLanes) {
  const auto executable = load_for_cpu(compiled_.lowered);
  ASSERT_TRUE(executable.ok()) << executable.status();
  for (int i = 0; i < 5; ++i) expect_equal(run_sessions(*executable), cpu_);
}

TEST_P(LanesTraining, EachWaitIsNeeded) { expect_each_wait_needed(compiled_.lowered.plan); }

// The device itself is no blind judge: without a wait, some order goes wrong.
TEST_P(LanesTraining, SomeOrderGoesWrongWithoutAWait) {
  int tried = 0, wrong = 0;
  without_each_wait(compiled_.lowered.plan, training::kTrainEntry, [&](const std::string& what) {
    if (tried == 10) return;
    ++tried;
    const auto device = FakeDevice::create(compiled_.lowered, cpu::cpu_kernel_table());
    ASSERT_TRUE(device.ok()) << device.status();
    for (uint64_t seed = 0; seed < 40; ++seed) {
      const auto got = run_device(**device, seed);
      if (got.ok() && equal(*got, cpu_)) continue;
      ++wrong;
      return;
    }
  });
  EXPECT_EQ(tried, 10);
  EXPECT_GE(wrong, 8);
}

// The CPU's own plan of two lanes: gradients travel on the second.
TEST(LanesOfTheCpu, EachWaitOfADataParallelStepIsNeeded) {
  int found = 0;
  for (const TestProgramCase& c : test_programs()) {
    if (c.name != "data_parallel") continue;
    ++found;
    const auto program = c.make();
    ASSERT_TRUE(program.ok()) << program.status();
    auto compiled = compile_test_program(*program);
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    EXPECT_GE(count_waits(compiled->lowered.plan), 4);
    expect_each_wait_needed(compiled->lowered.plan);
  }
  EXPECT_EQ(found, 1);
}

INSTANTIATE_TEST_SUITE_P(Models, LanesTraining, testing::ValuesIn(golden_trainings()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace modellib
