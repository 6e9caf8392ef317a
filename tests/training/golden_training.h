// The small models that PyTorch trained (tests/goldens/training_parity.py) as programs of ours,
// with their batches: what parity is judged by, and training steps for any other test that wants
// some.
#ifndef MODELLIB_TESTS_TRAINING_GOLDEN_TRAINING_H_
#define MODELLIB_TESTS_TRAINING_GOLDEN_TRAINING_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/frontends/nn/module.h"
#include "modellib/frontends/training/optimizer.h"
#include "modellib/graph/program.h"
#include "modellib/graph/tensor.h"
#include "modellib/tests/goldens/training_golden.h"

namespace modellib {

struct GoldenTraining {
  goldens::TrainingGolden golden;
  std::unique_ptr<nn::Module> model;
  std::unique_ptr<training::Optimizer> optimizer;
  Program program;  // "initialize", "train", "eval"

  // What "train" takes in a step: x, target, learning rate.
  std::vector<Tensor> inputs(int64_t step) const;
  // The first values of the parameters; all else is as "initialize" leaves it.
  std::map<std::string, Tensor> parameters() const;
};

// "mlp", "cnn", "lstm", "transformer_gelu", "transformer_relu"
std::vector<std::string> golden_trainings();

// NotFound for another name. //tests/goldens:training_goldens must be among the test's data.
absl::StatusOr<GoldenTraining> make_golden_training(const std::string& name);

}  // namespace modellib

#endif  // MODELLIB_TESTS_TRAINING_GOLDEN_TRAINING_H_
