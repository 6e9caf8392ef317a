// The 5,000 handwritten digits that tools/data/mnist.py prepared.
#ifndef MODELLIB_EXAMPLES_MNIST_DIGITS_H_
#define MODELLIB_EXAMPLES_MNIST_DIGITS_H_

#include <string>

#include "absl/status/statusor.h"
#include "modellib/graph/tensor.h"

namespace modellib::examples {

struct Digits {
  Tensor images;  // f32 [n, 784], 0 to 1
  Tensor labels;  // i64 [n]
};

// `part` is "train" (4,000) or "validation" (1,000) of the files in `folder`.
absl::StatusOr<Digits> read_digits(const std::string& folder, const std::string& part);

}  // namespace modellib::examples

#endif  // MODELLIB_EXAMPLES_MNIST_DIGITS_H_
