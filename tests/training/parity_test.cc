// Training parity: small models train for 20 steps on fresh batches and meet the losses that
// PyTorch met, within twice PyTorch's own float32 error plus 1e-4 of the loss
// (tests/goldens/training_parity.py).
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "modellib/frontends/training/engine.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/tests/training/golden_training.h"

namespace modellib {
namespace {

class TrainingParity : public testing::TestWithParam<std::string> {};

TEST_P(TrainingParity, LossesArePyTorchs) {
  const absl::StatusOr<GoldenTraining> training = make_golden_training(GetParam());
  ASSERT_TRUE(training.ok()) << training.status();
  const goldens::TrainingGolden& golden = training->golden;
  const auto engine = training::Engine::create(training->program, {.threads = 2});
  ASSERT_TRUE(engine.ok()) << engine.status();
  for (const auto& [name, value] : training->parameters()) {
    const absl::Status set = (*engine)->store().set(name, value);
    ASSERT_TRUE(set.ok()) << set;
  }
  const auto entry = (*engine)->entry(training::kTrainEntry);
  ASSERT_TRUE(entry.ok()) << entry.status();
  std::vector<double> losses;
  for (int64_t step = 0; step < golden.steps; ++step) {
    const absl::Status ran = (*engine)->run(*entry, training->inputs(step));
    ASSERT_TRUE(ran.ok()) << ran;
    losses.push_back((*engine)->scalar(*entry, 0));
  }
  EXPECT_EQ(golden.check_losses(losses), absl::OkStatus());
  for (const auto& b : golden.buffers) {
    const auto value = (*engine)->store().get(b.name);
    ASSERT_TRUE(value.ok()) << value.status();
    for (size_t i = 0; i < b.after.size(); ++i) {
      EXPECT_NEAR(value->at(static_cast<int64_t>(i)), b.after[i], 1e-4) << b.name << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TrainingParity, testing::ValuesIn(golden_trainings()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace modellib
