// The goldens of the real ONNX models: goldens/MODEL.json, made by model_goldens.py.
#ifndef MODELLIB_TESTS_ONNX_MODEL_GOLDEN_H_
#define MODELLIB_TESTS_ONNX_MODEL_GOLDEN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/graph/tensor.h"

namespace modellib {

struct ModelGolden {
  struct Input {
    std::string name;
    Tensor tensor;
  };
  struct Sample {
    int64_t element;
    double value;
  };
  struct Output {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    std::vector<Sample> samples;
    double sum_of_magnitudes;
  };
  struct Run {
    std::vector<Input> inputs;
    std::vector<Output> outputs;
  };
  std::vector<Run> runs;
};

absl::StatusOr<ModelGolden> load_model_golden(const std::string& path);

// "" if each sample of `actual` is within atol + rtol |expected|, and the sum of magnitudes within
// the same bound of each element; else what is wrong. So is a golden of floats that are all less
// than 100 atol: zeros would do, or nearly.
std::string difference(const Tensor& actual, const ModelGolden::Output& expected, double rtol,
                       double atol);

}  // namespace modellib

#endif  // MODELLIB_TESTS_ONNX_MODEL_GOLDEN_H_
