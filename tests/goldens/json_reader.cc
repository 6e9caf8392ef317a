#include "modellib/tests/goldens/json_reader.h"

#include <fstream>
#include <iterator>
#include <limits>

#include "absl/strings/str_cat.h"

namespace modellib::goldens {
namespace {

bool read_real(const nlohmann::json& value, double* out) {
  if (value.is_number()) {
    *out = value.get<double>();
    return true;
  }
  if (value == "nan") {
    *out = std::numeric_limits<double>::quiet_NaN();
  } else if (value == "inf") {
    *out = std::numeric_limits<double>::infinity();
  } else if (value == "-inf") {
    *out = -std::numeric_limits<double>::infinity();
  } else {
    return false;
  }
  return true;
}

}  // namespace

absl::Status JsonReader::expected(const std::string& what) const {
  return absl::InvalidArgumentError(
      absl::StrCat(where_, ": expected ", what, ", got ", value_->type_name()));
}

absl::StatusOr<JsonReader> JsonReader::member(const std::string& key) const {
  if (!value_->is_object()) return expected("an object");
  const auto found = value_->find(key);
  if (found == value_->end()) {
    return absl::NotFoundError(absl::StrCat(where_, ": has no member \"", key, "\""));
  }
  return JsonReader(&*found, absl::StrCat(where_, ".", key));
}

absl::StatusOr<std::vector<JsonReader>> JsonReader::elements() const {
  if (!value_->is_array()) return expected("an array");
  std::vector<JsonReader> readers;
  readers.reserve(value_->size());
  for (const nlohmann::json& element : *value_) {
    readers.emplace_back(&element, absl::StrCat(where_, "[", readers.size(), "]"));
  }
  return readers;
}

absl::StatusOr<std::string> JsonReader::text(const std::string& key) const {
  const absl::StatusOr<JsonReader> found = member(key);
  if (!found.ok()) return found.status();
  if (!found->value_->is_string()) return found->expected("a string");
  return found->value_->get<std::string>();
}

absl::StatusOr<int64_t> JsonReader::integer(const std::string& key) const {
  const absl::StatusOr<JsonReader> found = member(key);
  if (!found.ok()) return found.status();
  if (!found->value_->is_number_integer()) return found->expected("an integer");
  return found->value_->get<int64_t>();
}

absl::StatusOr<double> JsonReader::real(const std::string& key) const {
  const absl::StatusOr<JsonReader> found = member(key);
  if (!found.ok()) return found.status();
  double value = 0;
  if (!read_real(*found->value_, &value)) return found->expected("a number");
  return value;
}

absl::StatusOr<std::vector<int64_t>> JsonReader::integers(const std::string& key) const {
  const absl::StatusOr<JsonReader> found = member(key);
  if (!found.ok()) return found.status();
  const absl::StatusOr<std::vector<JsonReader>> elements = found->elements();
  if (!elements.ok()) return elements.status();
  std::vector<int64_t> values;
  values.reserve(elements->size());
  for (const JsonReader& element : *elements) {
    if (!element.value_->is_number_integer()) return element.expected("an integer");
    values.push_back(element.value_->get<int64_t>());
  }
  return values;
}

absl::StatusOr<std::vector<double>> JsonReader::reals(const std::string& key) const {
  const absl::StatusOr<JsonReader> found = member(key);
  if (!found.ok()) return found.status();
  if (!found->value_->is_array()) return found->expected("an array");
  std::vector<double> values(found->value_->size());
  for (size_t i = 0; i < values.size(); ++i) {
    const nlohmann::json& element = (*found->value_)[i];
    if (!read_real(element, &values[i])) {
      return JsonReader(&element, absl::StrCat(found->where_, "[", i, "]")).expected("a number");
    }
  }
  return values;
}

absl::StatusOr<nlohmann::json> parse_json(const std::string& text, const std::string& origin) {
  nlohmann::json document = nlohmann::json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": is not JSON"));
  }
  return document;
}

absl::StatusOr<std::string> read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) return absl::DataLossError(absl::StrCat(path, ": cannot be read"));
  return text;
}

}  // namespace modellib::goldens
