#include "modellib/tests/goldens/training_golden.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/tests/goldens/formula.h"
#include "modellib/tests/goldens/json_reader.h"

namespace modellib::goldens {
namespace {

int64_t element_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

// Takes the members of one object and keeps the first error, so that a record reads as a list.
class Fields {
 public:
  explicit Fields(JsonReader json) : json_(std::move(json)) {}

  void take(const char* key, std::string* out) { keep(json_.text(key), out); }
  void take(const char* key, int64_t* out) { keep(json_.integer(key), out); }
  void take(const char* key, double* out) { keep(json_.real(key), out); }
  void take(const char* key, std::vector<double>* out) { keep(json_.reals(key), out); }
  void take(const char* key, uint64_t* out) {
    int64_t value = 0;
    take(key, &value);
    *out = static_cast<uint64_t>(value);
  }
  void take_shape(const char* key, std::vector<int64_t>* out) {
    keep(json_.integers(key), out);
    if (!status_.ok()) return;
    constexpr int64_t kLargest = 1 << 20;
    int64_t count = 1;
    for (const int64_t extent : *out) {
      if (extent < 1 || extent > kLargest || count > kLargest / extent) {
        status_ = json_.expected(absl::StrCat("a small shape as \"", key, "\""));
        return;
      }
      count *= extent;
    }
  }
  void take_if_there(const char* key, double* out) {
    if (json_.has(key)) take(key, out);
  }
  void require(bool condition, const std::string& what) {
    if (status_.ok() && !condition) status_ = json_.expected(what);
  }
  // The record that is the member `key`.
  Fields record(const char* key) {
    absl::StatusOr<JsonReader> member = json_.member(key);
    if (member.ok()) return Fields(*std::move(member));
    require_ok(member.status());
    return *this;
  }
  std::vector<Fields> records(const char* key) {
    std::vector<Fields> result;
    const absl::StatusOr<JsonReader> member = json_.member(key);
    require_ok(member.status());
    if (!member.ok()) return result;
    const absl::StatusOr<std::vector<JsonReader>> elements = member->elements();
    require_ok(elements.status());
    if (!elements.ok()) return result;
    for (const JsonReader& element : *elements) result.emplace_back(element);
    return result;
  }
  const JsonReader& json() const { return json_; }
  void require_ok(const absl::Status& status) { status_.Update(status); }
  const absl::Status& status() const { return status_; }

 private:
  template <typename T>
  void keep(absl::StatusOr<T> value, T* out) {
    if (value.ok()) {
      *out = *std::move(value);
    } else {
      require_ok(value.status());
    }
  }

  JsonReader json_;
  absl::Status status_;
};

void take_optimizer(Fields fields, TrainingOptimizer* out, absl::Status* status) {
  fields.take("name", &out->name);
  fields.take("lr", &out->learning_rate);
  fields.take("weight_decay", &out->weight_decay);
  fields.take_if_there("momentum", &out->momentum);
  fields.take_if_there("beta1", &out->beta1);
  fields.take_if_there("beta2", &out->beta2);
  fields.take_if_there("eps", &out->eps);
  status->Update(fields.status());
}

void take_parameter(Fields fields, TrainingParameter* out, absl::Status* status) {
  fields.take("name", &out->name);
  fields.take_shape("shape", &out->shape);
  fields.take("tensor", &out->tensor);
  fields.take("scale", &out->scale);
  fields.take("offset", &out->offset);
  fields.take("first_gradient_l2", &out->first_gradient_l2);
  fields.take("l2_after", &out->l2_after);
  status->Update(fields.status());
}

void take_buffer(Fields fields, TrainingBuffer* out, absl::Status* status) {
  fields.take("name", &out->name);
  fields.take_shape("shape", &out->shape);
  fields.take("initial", &out->initial);
  fields.take("after", &out->after);
  fields.require(static_cast<int64_t>(out->after.size()) == element_count(out->shape),
                 "as many elements as the shape says");
  status->Update(fields.status());
}

absl::StatusOr<TrainingLoss> loss_of(const std::string& name) {
  if (name == "cross_entropy") return TrainingLoss::kCrossEntropy;
  if (name == "mse") return TrainingLoss::kMse;
  return absl::InvalidArgumentError(
      absl::StrCat("loss: expected cross_entropy or mse, got ", name));
}

}  // namespace

std::vector<float> TrainingGolden::initial_values(const TrainingParameter& parameter) const {
  return uniform_tensor(seed, parameter.tensor, element_count(parameter.shape), parameter.scale,
                        parameter.offset);
}

std::vector<float> TrainingGolden::inputs(int64_t step) const {
  return uniform_tensor(seed, first_input_tensor + static_cast<uint64_t>(step),
                        element_count(input_shape), input_scale, input_offset);
}

std::vector<int64_t> TrainingGolden::labels(int64_t step) const {
  const std::vector<float> x = inputs(step);
  const int64_t sample = static_cast<int64_t>(x.size()) / batch();
  std::vector<int64_t> result;
  for (int64_t b = 0; b < batch(); ++b) {
    const auto first = x.begin() + b * sample;
    result.push_back(std::max_element(first, first + target_count) - first);
  }
  return result;
}

std::vector<float> TrainingGolden::targets(int64_t step) const {
  const std::vector<float> x = inputs(step);
  const int64_t sample = static_cast<int64_t>(x.size()) / batch();
  std::vector<float> result;
  for (int64_t b = 0; b < batch(); ++b) {
    const auto first = x.begin() + (b + 1) * sample - input_shape.back();
    result.insert(result.end(), first, first + target_count);
  }
  return result;
}

double TrainingGolden::tolerance(int64_t step) const {
  return 2 * std::abs(loss_f32[step] - loss_f64[step]) + 1e-4 * std::abs(loss_f64[step]);
}

absl::Status TrainingGolden::check_losses(const std::vector<double>& losses) const {
  if (static_cast<int64_t>(losses.size()) != steps) {
    return absl::InvalidArgumentError(
        absl::StrCat(model, ": expected ", steps, " losses, got ", losses.size()));
  }
  for (int64_t step = 0; step < steps; ++step) {
    // Written so that NaN fails.
    if (!(std::abs(losses[step] - loss_f64[step]) <= tolerance(step))) {
      return absl::OutOfRangeError(absl::StrCat(model, ": step ", step, ": expected a loss of ",
                                                loss_f64[step], " within ", tolerance(step),
                                                ", got ", losses[step]));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TrainingGolden> parse_training_golden(const std::string& text,
                                                     const std::string& origin) {
  const absl::StatusOr<nlohmann::json> document = parse_json(text, origin);
  if (!document.ok()) return document.status();
  Fields fields(JsonReader(&*document, origin));
  TrainingGolden golden;
  std::string loss;
  fields.take("model", &golden.model);
  fields.take("seed", &golden.seed);
  fields.take("steps", &golden.steps);
  fields.take("loss", &loss);
  fields.take("target_count", &golden.target_count);
  fields.take("loss_f32", &golden.loss_f32);
  fields.take("loss_f64", &golden.loss_f64);
  for (const Fields& line : fields.records("forward")) {
    fields.require(line.json().value().is_string(), "text as \"forward\"");
    if (!fields.status().ok()) break;
    golden.forward.push_back(line.json().value().get<std::string>());
  }
  Fields input = fields.record("input");
  input.take_shape("shape", &golden.input_shape);
  input.take("first_tensor", &golden.first_input_tensor);
  input.take("scale", &golden.input_scale);
  input.take("offset", &golden.input_offset);
  absl::Status status = fields.status();
  status.Update(input.status());
  take_optimizer(fields.record("optimizer"), &golden.optimizer, &status);
  for (const Fields& record : fields.records("parameters")) {
    take_parameter(record, &golden.parameters.emplace_back(), &status);
  }
  for (const Fields& record : fields.records("buffers")) {
    take_buffer(record, &golden.buffers.emplace_back(), &status);
  }
  status.Update(fields.status());
  if (!status.ok()) return status;

  const absl::StatusOr<TrainingLoss> kind = loss_of(loss);
  if (!kind.ok()) return kind.status();
  golden.loss = *kind;
  const std::vector<int64_t>& shape = golden.input_shape;
  fields.require(shape.size() >= 2, "an input with a batch and at least one other axis");
  if (!fields.status().ok()) return fields.status();
  const int64_t available =
      golden.loss == TrainingLoss::kMse ? shape.back() : element_count(shape) / golden.batch();
  fields.require(golden.target_count >= 1 && golden.target_count <= available,
                 "a \"target_count\" that a sample can give");
  fields.require(static_cast<int64_t>(golden.loss_f32.size()) == golden.steps &&
                     static_cast<int64_t>(golden.loss_f64.size()) == golden.steps,
                 "a loss for each step");
  if (!fields.status().ok()) return fields.status();
  return golden;
}

absl::StatusOr<TrainingGolden> load_training_golden(const std::string& path) {
  const absl::StatusOr<std::string> text = read_text_file(path);
  if (!text.ok()) return text.status();
  return parse_training_golden(*text, path);
}

}  // namespace modellib::goldens
