// Reads the training goldens: the losses that PyTorch meets in 20 steps of a small model, in
// float32 and float64, with all it takes to train the same model on the same bits elsewhere.
// README.md documents the files and training_parity.py writes them.
//
// A test builds the model that `forward` describes, sets each parameter to its initial_values(),
// feeds inputs(step) and labels(step) or targets(step) to each step, and hands the losses it met to
// check_losses().

#ifndef MODELLIB_TESTS_GOLDENS_TRAINING_GOLDEN_H_
#define MODELLIB_TESTS_GOLDENS_TRAINING_GOLDEN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace modellib::goldens {

struct TrainingParameter {
  std::string name;  // as in PyTorch's state dict: "block.self_attn.in_proj_weight"
  std::vector<int64_t> shape;
  uint64_t tensor = 0;  // of the formula, as are scale and offset
  double scale = 1;
  double offset = 0;
  // For finding a fault, from the float64 run: the L2 norm of the loss's gradient in the first
  // step, weight decay not included, and of the values after the last one.
  double first_gradient_l2 = 0;
  double l2_after = 0;
};

// A running statistic of a batch norm.
struct TrainingBuffer {
  std::string name;
  std::vector<int64_t> shape;
  double initial = 0;         // of each element
  std::vector<double> after;  // the last step, in float64
};

enum class TrainingLoss {
  kCrossEntropy,  // of logits and labels, mean over the batch
  kMse,           // mean over all elements
};

// Options that an optimizer does not have keep their defaults.
struct TrainingOptimizer {
  std::string name;  // "sgd", "adam" or "adamw"
  double learning_rate = 0;
  double weight_decay = 0;
  double momentum = 0;                   // sgd; no dampening, no Nesterov
  double beta1 = 0, beta2 = 0, eps = 0;  // adam and adamw
};

struct TrainingGolden {
  std::string model;
  std::vector<std::string> forward;  // the layers in words, one a line
  uint64_t seed = 0;
  int64_t steps = 0;
  std::vector<int64_t> input_shape;  // [batch, ...]
  uint64_t first_input_tensor = 0;
  double input_scale = 1;
  double input_offset = 0;
  TrainingLoss loss = TrainingLoss::kCrossEntropy;
  int64_t target_count = 0;  // classes, or features of an mse target
  TrainingOptimizer optimizer;
  std::vector<TrainingParameter> parameters;
  std::vector<TrainingBuffer> buffers;
  std::vector<double> loss_f32, loss_f64;  // [steps], each before that step's update

  int64_t batch() const { return input_shape.front(); }
  std::vector<float> initial_values(const TrainingParameter& parameter) const;
  // The batch of a step, of input_shape.
  std::vector<float> inputs(int64_t step) const;
  // For cross entropy: [batch], which of the first `target_count` values of a sample is largest.
  std::vector<int64_t> labels(int64_t step) const;
  // For mse: [batch, target_count], the first features of the last time step.
  std::vector<float> targets(int64_t step) const;

  // How far a float32 engine may be from loss_f64[step]: twice as far as PyTorch, and 1e-4 of it.
  double tolerance(int64_t step) const;
  // Whether the losses of all steps are within tolerance; else the first step that is not.
  absl::Status check_losses(const std::vector<double>& losses) const;
};

absl::StatusOr<TrainingGolden> parse_training_golden(const std::string& text,
                                                     const std::string& origin);

// Under Bazel: "tests/goldens/training/mlp.json", with //tests/goldens:training_goldens as data.
absl::StatusOr<TrainingGolden> load_training_golden(const std::string& path);

}  // namespace modellib::goldens

#endif  // MODELLIB_TESTS_GOLDENS_TRAINING_GOLDEN_H_
