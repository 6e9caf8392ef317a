// Typed reading of JSON objects with errors that say where: "ops/relu.json: cases[2].inputs:
// expected an array". Shared by the readers of the goldens, and free of exceptions.

#ifndef MODELLIB_TESTS_GOLDENS_JSON_READER_H_
#define MODELLIB_TESTS_GOLDENS_JSON_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace modellib::goldens {

// A place in a document that outlives it, and the words for that place.
class JsonReader {
 public:
  JsonReader(const nlohmann::json* value, std::string where)
      : value_(value), where_(std::move(where)) {}

  const nlohmann::json& value() const { return *value_; }
  absl::Status expected(const std::string& what) const;

  // The member `key` of an object; NotFound where there is none.
  absl::StatusOr<JsonReader> member(const std::string& key) const;
  bool has(const std::string& key) const { return value_->is_object() && value_->contains(key); }
  // The elements of an array.
  absl::StatusOr<std::vector<JsonReader>> elements() const;

  absl::StatusOr<std::string> text(const std::string& key) const;
  absl::StatusOr<int64_t> integer(const std::string& key) const;
  absl::StatusOr<double> real(const std::string& key) const;
  absl::StatusOr<std::vector<int64_t>> integers(const std::string& key) const;
  // Numbers, and the strings "nan", "inf" and "-inf", for which JSON has no number.
  absl::StatusOr<std::vector<double>> reals(const std::string& key) const;

 private:
  const nlohmann::json* value_;
  std::string where_;
};

absl::StatusOr<nlohmann::json> parse_json(const std::string& text, const std::string& origin);
absl::StatusOr<std::string> read_text_file(const std::string& path);

}  // namespace modellib::goldens

#endif  // MODELLIB_TESTS_GOLDENS_JSON_READER_H_
