#include "modellib/tests/onnx/model_golden.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/status_macros.h"
#include "modellib/tests/goldens/formula.h"

namespace modellib {
namespace {

using nlohmann::json;

absl::StatusOr<Tensor> make(const json& spec, uint64_t seed, uint64_t number) {
  const auto shape = spec.at("shape").get<std::vector<int64_t>>();
  const auto kind = spec.at("kind").get<std::string>();
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype, parse_dtype(spec.value("dtype", "f32")));
  MODELLIB_ASSIGN_OR_RETURN(Tensor t, Tensor::zeros(dtype, shape));
  for (int64_t i = 0; i < t.elements(); ++i) {
    const auto element = static_cast<uint64_t>(i);
    if (kind == "uniform") {
      t.set(i, goldens::uniform(seed, number, element, spec.at("scale"), spec.at("offset")));
    } else if (kind == "integer") {
      t.set_int(i, goldens::integer(seed, number, element, spec.at("n")));
    } else if (kind == "lengths") {
      const auto lengths = spec.at("lengths").get<std::vector<int64_t>>();
      t.set_int(i, i % shape[1] < lengths[static_cast<size_t>(i / shape[1])] ? 1 : 0);
    } else if (kind == "constant") {
      t.set_int(i, spec.at("value"));
    } else {
      return absl::InvalidArgumentError(absl::StrCat("inputs of kind ", kind));
    }
  }
  return t;
}

}  // namespace

absl::StatusOr<ModelGolden> load_model_golden(const std::string& path) {
  std::ifstream file(path);
  const json root = json::parse(file, nullptr, false);
  if (root.is_discarded()) return absl::NotFoundError(absl::StrCat(path, " is no JSON"));
  ModelGolden golden;
  for (const json& run : root.at("runs")) {
    ModelGolden::Run& r = golden.runs.emplace_back();
    for (const json& input : run.at("inputs")) {
      MODELLIB_ASSIGN_OR_RETURN(Tensor t, make(input, root.at("seed"), r.inputs.size()));
      r.inputs.push_back({input.at("name"), std::move(t)});
    }
    for (const json& output : run.at("outputs")) {
      MODELLIB_ASSIGN_OR_RETURN(const DType dtype,
                                parse_dtype(output.at("dtype").get<std::string>()));
      r.outputs.push_back({output.at("name"), dtype, output.at("shape"), output.at("step"),
                           output.at("samples"), output.at("sum_of_magnitudes")});
    }
  }
  return golden;
}

std::string difference(const Tensor& actual, const ModelGolden::Output& expected, double rtol,
                       double atol) {
  if (actual.dtype() != expected.dtype || actual.shape() != expected.shape) {
    return absl::StrCat(to_string(actual.dtype()), "[", absl::StrJoin(actual.shape(), ","), "]");
  }
  const auto value = [&](int64_t i) {
    return is_floating(actual.dtype()) ? actual.at(i) : static_cast<double>(actual.int_at(i));
  };
  for (size_t s = 0; s < expected.samples.size(); ++s) {
    const int64_t i = static_cast<int64_t>(s) * expected.step;
    const double want = expected.samples[s];
    if (!(std::fabs(value(i) - want) <= atol + rtol * std::fabs(want))) {
      return absl::StrCat("element ", i, " is ", value(i), ", expected ", want);
    }
  }
  double sum = 0;
  for (int64_t i = 0; i < actual.elements(); ++i) sum += std::fabs(value(i));
  const double bound =
      atol * static_cast<double>(actual.elements()) + rtol * expected.sum_of_magnitudes;
  if (!(std::fabs(sum - expected.sum_of_magnitudes) <= bound)) {
    return absl::StrCat("the sum of magnitudes is ", sum, ", expected ",
                        expected.sum_of_magnitudes);
  }
  return "";
}

}  // namespace modellib
