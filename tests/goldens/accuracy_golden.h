// Reads mnist_accuracy.json: what PyTorch reaches on the digits, and with which settings.
// mnist_accuracy.py writes it.

#ifndef MODELLIB_TESTS_GOLDENS_ACCURACY_GOLDEN_H_
#define MODELLIB_TESTS_GOLDENS_ACCURACY_GOLDEN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace modellib::goldens {

struct AccuracyGolden {
  int64_t epochs = 0;
  int64_t batch = 0;
  std::vector<int64_t> seeds;
  std::vector<double> accuracies;  // after the last epoch, by seed; 0 to 1
  double mean = 0;
};

absl::StatusOr<AccuracyGolden> load_accuracy_golden(const std::string& path);

}  // namespace modellib::goldens

#endif  // MODELLIB_TESTS_GOLDENS_ACCURACY_GOLDEN_H_
