#include "modellib/tests/goldens/model_golden.h"

#include <utility>

#include "modellib/graph/status_macros.h"
#include "modellib/tests/goldens/formula.h"
#include "modellib/tests/goldens/json_reader.h"

namespace modellib::goldens {
namespace {

int64_t elements(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (int64_t extent : shape) count *= extent;
  return count;
}

absl::StatusOr<FormulaTensor> formula_tensor(const JsonReader& entry, int64_t seed) {
  FormulaTensor t;
  MODELLIB_ASSIGN_OR_RETURN(t.name, entry.text("name"));
  MODELLIB_ASSIGN_OR_RETURN(t.shape, entry.integers("shape"));
  MODELLIB_ASSIGN_OR_RETURN(const int64_t tensor, entry.integer("tensor"));
  double scale = 1, offset = 0;
  if (entry.has("scale")) {
    MODELLIB_ASSIGN_OR_RETURN(scale, entry.real("scale"));
    MODELLIB_ASSIGN_OR_RETURN(offset, entry.real("offset"));
  }
  t.values = uniform_tensor(static_cast<uint64_t>(seed), static_cast<uint64_t>(tensor),
                            elements(t.shape), scale, offset);
  return t;
}

absl::StatusOr<std::vector<JsonReader>> list(const JsonReader& reader, const std::string& key) {
  MODELLIB_ASSIGN_OR_RETURN(const JsonReader member, reader.member(key));
  return member.elements();
}

}  // namespace

absl::StatusOr<ModelGolden> load_model_golden(const std::string& path) {
  MODELLIB_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
  MODELLIB_ASSIGN_OR_RETURN(const nlohmann::json document, parse_json(text, path));
  const JsonReader reader(&document, path);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t seed, reader.integer("seed"));
  ModelGolden golden;
  MODELLIB_ASSIGN_OR_RETURN(const auto parameters, list(reader, "parameters"));
  for (const JsonReader& entry : parameters) {
    MODELLIB_ASSIGN_OR_RETURN(FormulaTensor t, formula_tensor(entry, seed));
    golden.parameters.push_back(std::move(t));
  }
  MODELLIB_ASSIGN_OR_RETURN(const auto inputs, list(reader, "inputs"));
  for (const JsonReader& entry : inputs) {
    if (!entry.has("integers")) {
      MODELLIB_ASSIGN_OR_RETURN(FormulaTensor t, formula_tensor(entry, seed));
      golden.real_inputs.push_back(std::move(t));
      continue;
    }
    IntegerTensor t;
    MODELLIB_ASSIGN_OR_RETURN(t.name, entry.text("name"));
    MODELLIB_ASSIGN_OR_RETURN(t.shape, entry.integers("shape"));
    MODELLIB_ASSIGN_OR_RETURN(t.values, entry.integers("integers"));
    golden.integer_inputs.push_back(std::move(t));
  }
  MODELLIB_ASSIGN_OR_RETURN(const auto outputs, list(reader, "outputs"));
  for (const JsonReader& entry : outputs) {
    ExpectedTensor t;
    MODELLIB_ASSIGN_OR_RETURN(t.name, entry.text("name"));
    MODELLIB_ASSIGN_OR_RETURN(t.shape, entry.integers("shape"));
    MODELLIB_ASSIGN_OR_RETURN(t.values, entry.reals("data"));
    golden.outputs.push_back(std::move(t));
  }
  return golden;
}

}  // namespace modellib::goldens
