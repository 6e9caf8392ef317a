#include "modellib/tests/onnx/model_golden.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/status_macros.h"
#include "modellib/tests/goldens/formula.h"

namespace modellib {
namespace {

using nlohmann::json;

constexpr double kLeast = 100;  // times atol: the largest sample of an output that says something

// Of pictures: each # in a drawing is a square of ink of so many pixels, all else is ground.
double painted(const json& spec, const std::vector<int64_t>& shape, int64_t element) {
  const int64_t channels = shape[1], height = shape[2], width = shape[3];
  const int64_t dot = spec.at("dot");
  const auto x = static_cast<size_t>(element % width / dot);
  const auto y = static_cast<size_t>(element / width % height / dot);
  const auto picture = static_cast<size_t>(element / (width * height * channels));
  const json& drawing = spec.at("drawings").at(picture);
  if (y < drawing.size()) {
    const auto& row = drawing.at(y).get_ref<const std::string&>();
    if (x < row.size() && row[x] == '#') return spec.at("ink");
  }
  return spec.at("ground");
}

// Of tones: square waves, each with the times from which and to which it is played, and its period.
double played(const json& spec, const std::vector<int64_t>& shape, int64_t element) {
  const int64_t length = shape[1];
  const int64_t time = element % length;
  const double level = spec.at("level");
  double sum = 0;
  for (const json& wave : spec.at("played").at(static_cast<size_t>(element / length))) {
    const auto [first, end, period] = wave.get<std::array<int64_t, 3>>();
    if (time >= first && time < end) sum += time % period * 2 < period ? level : -level;
  }
  return sum;
}

absl::StatusOr<Tensor> make(const json& spec, uint64_t seed, uint64_t number) {
  const auto shape = spec.at("shape").get<std::vector<int64_t>>();
  const auto kind = spec.at("kind").get<std::string>();
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype, parse_dtype(spec.value("dtype", "f32")));
  MODELLIB_ASSIGN_OR_RETURN(Tensor t, Tensor::zeros(dtype, shape));
  for (int64_t i = 0; i < t.elements(); ++i) {
    const auto element = static_cast<uint64_t>(i);
    if (kind == "uniform") {
      t.set(i, goldens::uniform(seed, number, element, spec.at("scale"), spec.at("offset")));
    } else if (kind == "pictures") {
      t.set(i, goldens::uniform(seed, number, element, spec.at("scale"), painted(spec, shape, i)));
    } else if (kind == "tones") {
      t.set(i, goldens::uniform(seed, number, element, spec.at("scale"), played(spec, shape, i)));
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

// Sample i is element i * step modulo the number of elements; others are named with their element.
std::vector<ModelGolden::Sample> samples_of(const json& output) {
  const int64_t step = output.at("step");
  int64_t elements = 1;
  for (const int64_t extent : output.at("shape").get<std::vector<int64_t>>()) elements *= extent;
  std::vector<ModelGolden::Sample> samples;
  int64_t element = 0;
  for (const double value : output.at("samples").get<std::vector<double>>()) {
    samples.push_back({element, value});
    element = (element + step) % elements;
  }
  using Single = std::pair<int64_t, double>;
  for (const auto& [at, value] : output.at("single").get<std::vector<Single>>()) {
    samples.push_back({at, value});
  }
  return samples;
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
      r.outputs.push_back({output.at("name"), dtype, output.at("shape"), samples_of(output),
                           output.at("sum_of_magnitudes")});
    }
  }
  return golden;
}

std::string difference(const Tensor& actual, const ModelGolden::Output& expected, double rtol,
                       double atol) {
  if (actual.dtype() != expected.dtype || actual.shape() != expected.shape) {
    return absl::StrCat(to_string(actual.dtype()), "[", absl::StrJoin(actual.shape(), ","), "]");
  }
  double largest = 0;
  for (const auto& [i, want] : expected.samples) largest = std::max(largest, std::fabs(want));
  if (is_floating(expected.dtype) && largest < kLeast * atol) {
    return absl::StrCat("nothing to compare with: no sample's magnitude exceeds ", largest);
  }
  const auto value = [&](int64_t i) {
    return is_floating(actual.dtype()) ? actual.at(i) : static_cast<double>(actual.int_at(i));
  };
  for (const auto& [i, want] : expected.samples) {
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
