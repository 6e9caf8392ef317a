#include "modellib/tests/goldens/golden_file.h"

#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/tests/goldens/json_reader.h"

namespace modellib::goldens {
namespace {

absl::StatusOr<GoldenTensor> parse_tensor(const JsonReader& json) {
  GoldenTensor tensor;
  absl::StatusOr<std::string> name = json.text("name");
  if (!name.ok()) return name.status();
  absl::StatusOr<std::string> dtype = json.text("dtype");
  if (!dtype.ok()) return dtype.status();
  absl::StatusOr<std::vector<int64_t>> shape = json.integers("shape");
  if (!shape.ok()) return shape.status();
  absl::StatusOr<std::vector<double>> data = json.reals("data");
  if (!data.ok()) return data.status();
  if (*dtype != "f32" && *dtype != "i64" && *dtype != "bool") {
    return json.expected(absl::StrCat("a tensor of f32, i64 or bool (it says ", *dtype, ")"));
  }
  // Dividing what the data has left by each extent avoids an overflow of the product.
  size_t left = data->size();
  bool empty = false;
  for (const int64_t extent : *shape) {
    if (extent < 0) return json.expected("extents that are not negative");
    if (extent == 0) {
      empty = true;
    } else if (left % static_cast<size_t>(extent) == 0) {
      left /= static_cast<size_t>(extent);
    } else {
      left = 0;
    }
  }
  if (empty ? !data->empty() : left != 1) {
    return json.expected(
        absl::StrCat("as many elements as the shape says (it has ", data->size(), ")"));
  }
  tensor.name = *std::move(name);
  tensor.dtype = *std::move(dtype);
  tensor.shape = *std::move(shape);
  tensor.data = *std::move(data);
  return tensor;
}

absl::StatusOr<std::vector<GoldenTensor>> parse_tensors(const JsonReader& owner,
                                                        const std::string& key) {
  const absl::StatusOr<JsonReader> list = owner.member(key);
  if (!list.ok()) return list.status();
  const absl::StatusOr<std::vector<JsonReader>> elements = list->elements();
  if (!elements.ok()) return elements.status();
  std::vector<GoldenTensor> tensors;
  std::set<std::string> names;
  for (const JsonReader& element : *elements) {
    absl::StatusOr<GoldenTensor> tensor = parse_tensor(element);
    if (!tensor.ok()) return tensor.status();
    if (!names.insert(tensor->name).second) return element.expected("a name of its own");
    tensors.push_back(*std::move(tensor));
  }
  return tensors;
}

absl::StatusOr<Attributes> parse_attributes(const JsonReader& owner) {
  const absl::StatusOr<JsonReader> object = owner.member("attrs");
  if (!object.ok()) return object.status();
  if (!object->value().is_object()) return object->expected("an object");
  Attributes attributes;
  for (const auto& [name, value] : object->value().items()) {
    if (value.is_boolean()) {
      attributes.set(name, value.get<bool>());
    } else if (value.is_number_integer()) {
      attributes.set(name, value.get<int64_t>());
    } else if (value.is_number_float()) {
      attributes.set(name, value.get<double>());
    } else if (value.is_string()) {
      attributes.set(name, value.get<std::string>());
    } else {
      absl::StatusOr<std::vector<int64_t>> integers = object->integers(name);
      if (!integers.ok()) return integers.status();
      attributes.set(name, *std::move(integers));
    }
  }
  return attributes;
}

// Each tensor of `gradients` must have a partner in `values` of the same name and shape.
absl::Status check_partners(const JsonReader& json, const std::vector<GoldenTensor>& gradients,
                            const std::vector<GoldenTensor>& values) {
  for (const GoldenTensor& gradient : gradients) {
    bool found = false;
    for (const GoldenTensor& value : values) {
      found = found || (value.name == gradient.name && value.shape == gradient.shape);
    }
    if (!found) {
      return json.expected(
          absl::StrCat("the gradient \"", gradient.name, "\" to belong to a tensor of its shape"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<OpCase> parse_case(const JsonReader& json) {
  OpCase result;
  absl::StatusOr<std::string> name = json.text("name");
  if (!name.ok()) return name.status();
  result.name = *std::move(name);
  absl::StatusOr<Attributes> attrs = parse_attributes(json);
  if (!attrs.ok()) return attrs.status();
  result.attrs = *std::move(attrs);
  for (const auto& [key, list] :
       {std::pair{"inputs", &result.inputs}, std::pair{"outputs", &result.outputs},
        std::pair{"upstream", &result.upstream}, std::pair{"input_grads", &result.input_grads}}) {
    absl::StatusOr<std::vector<GoldenTensor>> tensors = parse_tensors(json, key);
    if (!tensors.ok()) return tensors.status();
    *list = *std::move(tensors);
  }
  if (absl::Status status = check_partners(json, result.upstream, result.outputs); !status.ok()) {
    return status;
  }
  if (absl::Status status = check_partners(json, result.input_grads, result.inputs); !status.ok()) {
    return status;
  }
  return result;
}

template <typename T>
absl::StatusOr<T> get(const std::map<std::string, Attributes::Value>& values,
                      const std::string& name, const char* type) {
  const auto found = values.find(name);
  if (found == values.end()) {
    return absl::NotFoundError(absl::StrCat("the case has no attribute \"", name, "\""));
  }
  if (const T* value = std::get_if<T>(&found->second)) return *value;
  return absl::InvalidArgumentError(absl::StrCat("attribute \"", name, "\" is not ", type));
}

const GoldenTensor* find(const std::vector<GoldenTensor>& tensors, const std::string& name) {
  for (const GoldenTensor& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

}  // namespace

std::vector<float> GoldenTensor::floats() const {
  return std::vector<float>(data.begin(), data.end());
}

std::vector<int64_t> GoldenTensor::integers() const {
  return std::vector<int64_t>(data.begin(), data.end());
}

absl::StatusOr<bool> Attributes::flag(const std::string& name) const {
  return get<bool>(values_, name, "a boolean");
}

absl::StatusOr<int64_t> Attributes::integer(const std::string& name) const {
  return get<int64_t>(values_, name, "an integer");
}

absl::StatusOr<double> Attributes::real(const std::string& name) const {
  const absl::StatusOr<int64_t> whole = integer(name);
  if (whole.ok()) return static_cast<double>(*whole);
  return get<double>(values_, name, "a number");
}

absl::StatusOr<std::string> Attributes::text(const std::string& name) const {
  return get<std::string>(values_, name, "a string");
}

absl::StatusOr<std::vector<int64_t>> Attributes::integers(const std::string& name) const {
  const absl::StatusOr<int64_t> single = integer(name);
  if (single.ok()) return std::vector<int64_t>{*single};
  return get<std::vector<int64_t>>(values_, name, "a list of integers");
}

const GoldenTensor* OpCase::input(const std::string& name) const { return find(inputs, name); }
const GoldenTensor* OpCase::output(const std::string& name) const { return find(outputs, name); }
const GoldenTensor* OpCase::upstream_of(const std::string& output_name) const {
  return find(upstream, output_name);
}
const GoldenTensor* OpCase::grad_of(const std::string& input_name) const {
  return find(input_grads, input_name);
}

absl::StatusOr<OpGolden> parse_op_golden(const std::string& text, const std::string& origin) {
  const absl::StatusOr<nlohmann::json> document = parse_json(text, origin);
  if (!document.ok()) return document.status();
  const JsonReader json(&*document, origin);
  OpGolden golden;
  absl::StatusOr<std::string> op = json.text("op");
  if (!op.ok()) return op.status();
  golden.op = *std::move(op);
  absl::StatusOr<std::string> reference = json.text("reference");
  if (!reference.ok()) return reference.status();
  golden.reference = *std::move(reference);
  const absl::StatusOr<JsonReader> cases = json.member("cases");
  if (!cases.ok()) return cases.status();
  const absl::StatusOr<std::vector<JsonReader>> elements = cases->elements();
  if (!elements.ok()) return elements.status();
  for (const JsonReader& element : *elements) {
    absl::StatusOr<OpCase> parsed = parse_case(element);
    if (!parsed.ok()) return parsed.status();
    golden.cases.push_back(*std::move(parsed));
  }
  return golden;
}

absl::StatusOr<OpGolden> load_op_golden(const std::string& path) {
  const absl::StatusOr<std::string> text = read_text_file(path);
  if (!text.ok()) return text.status();
  return parse_op_golden(*text, path);
}

}  // namespace modellib::goldens
