#include "modellib/tests/goldens/training_golden.h"

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/status/status.h"

namespace modellib::goldens {
namespace {

using ::testing::HasSubstr;

TrainingGolden load(const std::string& model) {
  absl::StatusOr<TrainingGolden> golden =
      load_training_golden("tests/goldens/training/" + model + ".json");
  EXPECT_TRUE(golden.ok()) << golden.status();
  return golden.ok() ? *std::move(golden) : TrainingGolden();
}

// y = x w^T + b in float64, for x [rows, in], w [out, in] and b [out].
std::vector<double> linear(const std::vector<double>& x, const std::vector<float>& w,
                           const std::vector<float>& b) {
  const size_t out = b.size(), in = w.size() / out, rows = x.size() / in;
  std::vector<double> y(rows * out);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t o = 0; o < out; ++o) {
      double sum = b[o];
      for (size_t i = 0; i < in; ++i) sum += x[r * in + i] * w[o * in + i];
      y[r * out + o] = sum;
    }
  }
  return y;
}

double cross_entropy(const std::vector<double>& logits, const std::vector<int64_t>& labels) {
  const size_t classes = logits.size() / labels.size();
  double total = 0;
  for (size_t r = 0; r < labels.size(); ++r) {
    double sum = 0;
    for (size_t c = 0; c < classes; ++c) sum += std::exp(logits[r * classes + c]);
    total += std::log(sum) - logits[r * classes + labels[r]];
  }
  return total / static_cast<double>(labels.size());
}

// Loss of the first step by hand. It can only agree to twelve digits if weights, batch and labels
// are bit for bit those of the script.
TEST(TrainingGoldenTest, WeightsAndBatchesAreThoseOfTheScript) {
  const TrainingGolden golden = load("mlp");
  ASSERT_EQ(golden.parameters.size(), 6u);
  const std::vector<float> x = golden.inputs(0);
  std::vector<double> h(x.begin(), x.end());
  for (int layer = 0; layer < 3; ++layer) {
    if (layer > 0) {
      for (double& value : h) value = std::max(value, 0.0);
    }
    h = linear(h, golden.initial_values(golden.parameters[2 * layer]),
               golden.initial_values(golden.parameters[2 * layer + 1]));
  }
  EXPECT_NEAR(cross_entropy(h, golden.labels(0)), golden.loss_f64[0], 1e-12);
}

TEST(TrainingGoldenTest, TargetsOfMseAreTheLastStepsFirstFeatures) {
  const TrainingGolden golden = load("lstm");
  const std::vector<float> x = golden.inputs(3), targets = golden.targets(3);
  ASSERT_EQ(golden.input_shape, (std::vector<int64_t>{8, 5, 8}));
  ASSERT_EQ(targets.size(), 8u * 3u);
  EXPECT_EQ(targets[0], x[4 * 8]);
  EXPECT_EQ(targets[3 + 2], x[(5 + 4) * 8 + 2]);
}

TEST(TrainingGoldenTest, EveryCommittedFileLoadsAndAcceptsItsOwnLosses) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/goldens/training")) {
    SCOPED_TRACE(entry.path().string());
    absl::StatusOr<TrainingGolden> golden = load_training_golden(entry.path().string());
    ASSERT_TRUE(golden.ok()) << golden.status();
    EXPECT_EQ(golden->model, entry.path().stem().string());
    EXPECT_EQ(golden->steps, 20);
    EXPECT_FALSE(golden->forward.empty());
    EXPECT_GE(golden->parameters.size(), 6u);
    EXPECT_GT(golden->optimizer.learning_rate, 0);
    EXPECT_TRUE(golden->check_losses(golden->loss_f64).ok());
    EXPECT_TRUE(golden->check_losses(golden->loss_f32).ok());
    ++files;
  }
  EXPECT_EQ(files, 5);
}

TEST(TrainingGoldenTest, ALossOutOfToleranceIsNamed) {
  const TrainingGolden golden = load("cnn");
  EXPECT_EQ(golden.buffers.size(), 6u);
  EXPECT_EQ(golden.optimizer.momentum, 0.9);
  std::vector<double> losses = golden.loss_f64;
  losses[7] += 1.5 * golden.tolerance(7);
  EXPECT_THAT(std::string(golden.check_losses(losses).message()), HasSubstr("cnn: step 7: "));
  losses[7] = std::nan("");
  EXPECT_EQ(golden.check_losses(losses).code(), absl::StatusCode::kOutOfRange);
  losses.pop_back();
  EXPECT_EQ(golden.check_losses(losses).code(), absl::StatusCode::kInvalidArgument);
}

TEST(TrainingGoldenTest, RefusesWithTheReason) {
  const auto error = [](const std::string& text) {
    return std::string(parse_training_golden(text, "f.json").status().message());
  };
  EXPECT_THAT(error("{"), HasSubstr("f.json: is not JSON"));
  EXPECT_THAT(error("{}"), HasSubstr("f.json: has no member \"model\""));
  EXPECT_THAT(error("[]"), HasSubstr("f.json: expected an object, got array"));
}

}  // namespace
}  // namespace modellib::goldens
