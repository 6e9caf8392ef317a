#include "modellib/tests/goldens/accuracy_golden.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/tests/goldens/json_reader.h"

namespace modellib::goldens {

absl::StatusOr<AccuracyGolden> load_accuracy_golden(const std::string& path) {
  const absl::StatusOr<std::string> text = read_text_file(path);
  if (!text.ok()) return text.status();
  const absl::StatusOr<nlohmann::json> document = parse_json(*text, path);
  if (!document.ok()) return document.status();
  const JsonReader reader(&*document, path);
  AccuracyGolden golden;
  // What examples/mnist trains with.
  for (const auto& [name, value] : {std::pair{"dropout", 0.5}, std::pair{"learning_rate", 1e-3}}) {
    const auto given = reader.real(name);
    if (!given.ok()) return given.status();
    if (*given != value) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", name, " ", value, " expected"));
    }
  }
  const auto epochs = reader.integer("epochs"), batch = reader.integer("batch");
  const auto seeds = reader.integers("seeds");
  const auto accuracies = reader.reals("validation_accuracy_last_epoch");
  const auto mean = reader.real("mean");
  for (const absl::Status& s :
       {epochs.status(), batch.status(), seeds.status(), accuracies.status(), mean.status()}) {
    if (!s.ok()) return s;
  }
  if (seeds->size() != accuracies->size()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": as many accuracies as seeds expected"));
  }
  return AccuracyGolden{*epochs, *batch, *seeds, *accuracies, *mean};
}

}  // namespace modellib::goldens
