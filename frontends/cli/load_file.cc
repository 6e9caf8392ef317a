#include "modellib/frontends/cli/load_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/formats/text_model.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/graph/program.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/registry.h"

namespace modellib::cli {

absl::Status as_unsupported(const absl::Status& status) {
  return status.code() == absl::StatusCode::kFailedPrecondition
             ? absl::UnimplementedError(status.message())
             : status;
}

absl::StatusOr<LoadedFile> load_file(const std::string& path, bool trusted,
                                     const std::set<std::string>& overridden) {
  LoadedFile file;
  MODELLIB_ASSIGN_OR_RETURN(file.format, detect_file_format(path));
  // Of what has no form at all, the importer can say where it goes wrong.
  if (file.format == FileFormat::kUnknown && absl::EndsWith(path, ".onnx")) {
    file.format = FileFormat::kOnnx;
  }
  const ContainerOptions options{.trusted = trusted};
  absl::Status status;
  switch (file.format) {
    case FileFormat::kPlan: {
      auto plan = PlanFile::open(path, options);
      status = plan.status();
      if (status.ok()) file.plan = *std::move(plan);
      break;
    }
    case FileFormat::kModel:
    case FileFormat::kText: {
      auto model = file.format == FileFormat::kModel
                       ? read_model(path, builtin_ops(), options)
                       : read_text_model(path, builtin_ops(), options);
      status = model.status();
      if (status.ok()) file.model = *std::move(model);
      break;
    }
    case FileFormat::kOnnx: {
      onnx::ImportOptions wanted;
      wanted.overridden = overridden;
      auto model = onnx::import_model(path, wanted, &file.signature);
      status = model.status();
      if (status.ok()) file.model = *std::move(model);
      break;
    }
    default:
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is no model: neither ONNX, native, text nor plan"));
  }
  if (!status.ok()) return as_unsupported(status);
  return file;
}

absl::StatusOr<std::string> choose_entry(const std::vector<std::string>& names,
                                         const std::string& wanted) {
  std::vector<std::string> choices;
  for (const std::string& name : names) {
    if (name != kInitializeEntry) choices.push_back(name);
  }
  if (wanted.empty() && choices.size() == 1) return choices[0];
  if (std::find(names.begin(), names.end(), wanted) != names.end() && !wanted.empty()) {
    return wanted;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(wanted.empty() ? "choose one of the entries with --entry: "
                                  : absl::StrCat("no entry '", wanted, "'; there are: "),
                   absl::StrJoin(names, ", ")));
}

absl::StatusOr<LoadedFile> keep_entry(LoadedFile file, const std::string& wanted) {
  if (!file.model.has_value()) return file;
  std::vector<Program::Entry>& entries = file.model->program.entries;
  std::vector<std::string> names;
  for (const Program::Entry& entry : entries) names.push_back(entry.name);
  MODELLIB_ASSIGN_OR_RETURN(const std::string chosen, choose_entry(names, wanted));
  std::erase_if(entries, [&](const Program::Entry& entry) {
    return entry.name != chosen && entry.name != kInitializeEntry;
  });
  return file;
}

}  // namespace modellib::cli
