// Reads the model goldens: what torchvision's and transformers' models give, with all it takes to
// run the same model on the same bits elsewhere. README.md documents the files and models.py writes
// them.

#ifndef MODELLIB_TESTS_GOLDENS_MODEL_GOLDEN_H_
#define MODELLIB_TESTS_GOLDENS_MODEL_GOLDEN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace modellib::goldens {

// A parameter, a running statistic, or an input that the formula makes.
struct FormulaTensor {
  std::string name;  // as in the model's state dict
  std::vector<int64_t> shape;
  std::vector<float> values;
};
struct IntegerTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<int64_t> values;
};
struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<double> values;
};

struct ModelGolden {
  std::vector<FormulaTensor> parameters;
  std::vector<FormulaTensor> real_inputs;
  std::vector<IntegerTensor> integer_inputs;
  std::vector<ExpectedTensor> outputs;
};

// Under Bazel: "tests/goldens/models/bert.json", with //tests/goldens:model_goldens as data.
absl::StatusOr<ModelGolden> load_model_golden(const std::string& path);

}  // namespace modellib::goldens

#endif  // MODELLIB_TESTS_GOLDENS_MODEL_GOLDEN_H_
