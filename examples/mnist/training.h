// Training SimpleNet on the digits: what the example's program and the accuracy test share.
#ifndef MODELLIB_EXAMPLES_MNIST_TRAINING_H_
#define MODELLIB_EXAMPLES_MNIST_TRAINING_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "modellib/examples/mnist/digits.h"
#include "modellib/examples/mnist/simple_net.h"
#include "modellib/frontends/training/engine.h"
#include "modellib/graph/graph.h"

namespace modellib::examples {

struct DigitsTrainingOptions {
  int64_t epochs = 30;
  int64_t batch_size = 32;
  int64_t seed = 0;
  int threads = 0;
  bool verbose = true;  // a progress bar, loss and accuracy of each epoch
};

struct DigitsTraining {
  std::unique_ptr<training::Engine> engine;
  GraphRef frozen;      // images f32[batch,784] -> logits f32[batch,10], the weights constants
  double accuracy = 0;  // on the validation digits, after the last epoch
  double seconds = 0;
};

absl::StatusOr<DigitsTraining> train_on_digits(const Digits& train, const Digits& validation,
                                               const DigitsTrainingOptions& options = {});

// Share of the rows of `logits` [n, 10] whose largest is at the label.
double accuracy_of(const Tensor& logits, const Tensor& labels);

}  // namespace modellib::examples

#endif  // MODELLIB_EXAMPLES_MNIST_TRAINING_H_
